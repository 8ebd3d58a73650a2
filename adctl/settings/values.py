"""The settings as frozen values; each field carries its reader and its explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from adctl.errors import ConfigurationError, UsageError
from adctl.settings import kinds
from adctl.settings.keys import SecretKey, Section, choice, flag, money, number, path, text, whole
from adctl.settings.limits import LimitsSettings
from adctl.settings.secret import Secret
from adctl.settings.stages import StageSettings, stage_table

_PRIVATE = "File with mode 0600 that holds {}; a relative name starts at this file's folder."
_STAGES = """\
appointmentscheduled = { value = "2250.00", confidence = 0.6, outcome = "open" }
closedwon = { value = "15000.00", confidence = 1, outcome = "won" }
closedlost = { value = 0, confidence = 1, outcome = "lost" }"""


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the vendors know us by. An account's own tokens come before those of the whole file."""

    meta_token: Annotated[Secret | None, SecretKey(says="Meta's access token")] = None
    meta_token_file: Annotated[Path | None, path(_PRIVATE.format("Meta's access token"), example='"meta_token"')] = None
    hubspot_token: Annotated[Secret | None, SecretKey(says="HubSpot's private app token")] = None
    hubspot_token_file: Annotated[
        Path | None, path(_PRIVATE.format("HubSpot's private app token"), example='"hubspot_token"')
    ] = None
    meta_app_secret: Annotated[Secret | None, SecretKey(says="Meta's app secret")] = None
    meta_app_secret_file: Annotated[
        Path | None, path(_PRIVATE.format("Meta's app secret (signs each request)"), example='"meta_app_secret"')
    ] = None
    hubspot_client_secret: Annotated[Secret | None, SecretKey(says="HubSpot's client secret")] = None
    hubspot_client_secret_file: Annotated[
        Path | None,
        path(
            _PRIVATE.format("HubSpot's client secret (checks spooled webhooks)"),
            example='"hubspot_client_secret"',
        ),
    ] = None
    hubspot_client_secret_previous: Annotated[
        Secret | None, SecretKey(says="The secret before that, while it is renewed")
    ] = None
    hubspot_client_secret_previous_file: Annotated[
        Path | None,
        path(
            _PRIVATE.format("the client secret before this one, while spooled webhooks may be signed with it"),
            example='"hubspot_client_secret_previous"',
        ),
    ] = None
    privacy_key: Annotated[Secret | None, SecretKey(says="The key of the hashes of personal data")] = None
    privacy_key_file: Annotated[
        Path | None,
        path(
            _PRIVATE.format("the key that personal data is hashed with (openssl rand -hex 32)"), example='"privacy_key"'
        ),
    ] = None
    privacy_key_previous: Annotated[Secret | None, SecretKey(says="The key before that, until its hashes expired")] = (
        None
    )
    privacy_key_previous_file: Annotated[
        Path | None,
        path(
            _PRIVATE.format("the privacy key before this one, until its hashes have expired"),
            example='"privacy_key_previous"',
        ),
    ] = None
    ping_url: Annotated[
        Secret | None, SecretKey(says="Address of a dead-man's switch; may hold {job} and {account}")
    ] = None
    ping_url_file: Annotated[
        Path | None,
        path(
            _PRIVATE.format("the address of a dead-man's switch that each run pings (…/{job}-{account})"),
            example='"ping_url"',
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Time limits of every request, in seconds."""

    connect_seconds: Annotated[int, whole("Limit for connecting.", 1, 60)] = 5
    read_seconds: Annotated[int, whole("Limit for the silence between two packets of an answer.", 1, 600)] = 20
    write_deadline_seconds: Annotated[
        int, whole("Limit for a whole write to Meta; what takes longer counts as unknown and is read back.", 1, 600)
    ] = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What a file may hold; beyond it the file is refused before it fills memory or time."""

    max_megabytes: Annotated[int, whole("Size of a file, unpacked.", 1, 1_000_000)] = 1024
    max_rows: Annotated[int, whole("Rows of a file.", 1, 100_000_000)] = 2_000_000
    max_columns: Annotated[int, whole("Columns of a file.", 1, 100_000)] = 1_000
    max_field_chars: Annotated[int, whole("Characters of one cell.", 1, 100_000_000)] = 65_536
    max_record_chars: Annotated[int, whole("Characters of one row or JSON value.", 1, 100_000_000)] = 1_048_576
    max_depth: Annotated[int, whole("Objects and lists around a value in JSON.", 1, 200)] = 32
    max_seconds: Annotated[int, whole("Seconds that a file may take to arrive, or to be read once.", 1, 86_400)] = 1_800


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How log lines look."""

    format: Annotated[str, choice("Log lines on stderr: kv (key=value) or json.", "kv", "json")] = "kv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsSettings:
    """Which column of an export holds which field, where it is not the usual name."""

    ads: Annotated[
        Mapping[str, str],
        kinds.names(
            'Columns of the Ads Manager export; "" leaves a field out.',
            example='spend = "Amount spent (USD)"',
            under="columns.ads",
        ),
    ] = field(default_factory=_nothing)
    crm: Annotated[
        Mapping[str, str],
        kinds.names(
            'Columns of the CRM export; "" leaves a field out.', example='deal_id = "Record ID"', under="columns.crm"
        ),
    ] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionSettings:
    """Which layers stand behind the first, that of ids in addresses; they need a privacy key and consent."""

    fingerprint: Annotated[bool, flag("Match a conversion to a click of the same device.")] = True
    probabilistic: Annotated[bool, flag("Match a conversion to a click of the same network within 24 hours.")] = True
    unattributed_warn_percent: Annotated[
        Decimal, number("`adctl status` asks for a look when more of the deals than this have no ad, %.", 0, 100)
    ] = Decimal(80)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """What `adctl purge` leaves."""

    click_days: Annotated[
        int, whole("Days after the attribution window that clicks are kept, for conversions processed late.", 0, 400)
    ] = 30
    reject_days: Annotated[int, whole("Days that rejected rows of files are kept.", 1, 400)] = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnersSettings:
    """When a creative counts as a winner."""

    target_roas: Annotated[Decimal, number("Revenue per unit of spend that a winner exceeds.", 0, 1000)] = Decimal(
        "1.0"
    )
    min_probability: Annotated[Decimal, number("P(ROAS > target) from which a creative wins.", 0, 1)] = Decimal("0.90")
    demote_probability: Annotated[Decimal, number("P(ROAS > target) below which a winner is demoted.", 0, 1)] = Decimal(
        "0.60"
    )
    min_impressions: Annotated[int, whole("Impressions before a creative is judged.", 0, 1_000_000_000)] = 1000
    min_spend: Annotated[int, money("Spend before a creative is judged.", preset="50")]
    target_cost_per_win: Annotated[
        int, money("What a win may cost; three times that must be spent before a creative wins.", preset="0")
    ]
    embedder: Annotated[
        str,
        text(
            "How creatives are compared: hashed (ships with adctl), own-words (after adctl winners fit), module:Class.",
            pattern=r"hashed|own-words|[A-Za-z_][\w.]*:[A-Za-z_]\w*",
            wants='write "hashed", "own-words" or "module:Class"',
        ),
    ] = "hashed"
    embedder_directory: Annotated[
        Path | None, path("The local model that a module:Class is made with.", example='"models/mini"')
    ] = None


_LIMITS = LimitsSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings(Tokens):
    """One Meta ad account and the HubSpot portal behind it; `name` is its word everywhere in adctl."""

    name: str
    meta_ad_account: Annotated[
        str | None,
        text(
            "The ad account's id in Ads Manager.",
            example='"act_1234567890"',
            pattern=r"act_\d{1,20}",
            wants='write "act_" and the digits of the account, in quotes',
        ),
    ] = None
    hubspot_portal: Annotated[
        str | None,
        text(
            "HubSpot's portal id (Hub ID).",
            example='"12345678"',
            pattern=r"\d{1,20}",
            wants="write the digits of the Hub ID in quotes",
        ),
    ] = None
    currency: Annotated[str, kinds.currency("The account's currency; data in another one is refused.", example='"USD"')]
    timezone: Annotated[
        str, kinds.timezone("The account's own time zone: it decides what a day is.", example='"America/New_York"')
    ]
    policy: Annotated[
        str,
        text(
            "The policy that becomes the account's first champion; from then on `adctl models` says who decides.",
            pattern=r"[a-z0-9][a-z0-9_-]{0,62}|[A-Za-z_][\w.]{0,200}:[A-Za-z]\w{0,62}",
            wants='write the name of a policy, such as bayes, or "module:Class" for your own',
        ),
    ] = "bayes"
    policy_seconds: Annotated[
        int, whole("Seconds a policy of your own (module:Class) may take to be made, and to decide.", 1, 86_400)
    ] = 600
    attribution_window_days: Annotated[int, whole("Days from a click to a conversion it can explain.", 1, 90)] = 7
    stage_template: Annotated[
        str | None,
        choice("Stage values to start from.", "ptd_fitness", "ecommerce", "b2b_saas", example='"b2b_saas"'),
    ] = None
    floors: Annotated[
        Mapping[str, int],
        kinds.budgets(
            "Floors of single campaigns and ad sets by id, beside limits.floor.",
            example='"120200000000000001" = "25.00"',
            under="floors",
        ),
    ] = field(default_factory=lambda: MappingProxyType({}))
    ceilings: Annotated[
        Mapping[str, int],
        kinds.budgets(
            "Ceilings of single campaigns and ad sets by id, beside limits.ceiling.",
            example='"120200000000000001" = "250.00"',
            under="ceilings",
        ),
    ] = field(default_factory=lambda: MappingProxyType({}))
    policy_parameters: Annotated[
        Mapping[str, bool | int | float | str],
        kinds.parameters("The policy's own parameters.", example="temperature = 1.0", under="policy_parameters"),
    ] = field(default_factory=lambda: MappingProxyType({}))
    stages: Annotated[
        Mapping[str, Mapping[str, StageSettings]],
        stage_table(
            "What a deal is worth in each stage, a table per pipeline (value in major units).",
            example=_STAGES,
            under="stages.default",
        ),
    ] = field(default_factory=lambda: MappingProxyType({}))
    columns: Annotated[ColumnsSettings, Section(says="Columns of exports.")] = ColumnsSettings()
    attribution: Annotated[AttributionSettings, Section(says="Layers of attribution.")] = AttributionSettings()
    retention: Annotated[RetentionSettings, Section(says="How long personal keys are kept.")] = RetentionSettings()
    limits: Annotated[LimitsSettings, Section(says="Guards between a decision and Meta.")] = _LIMITS
    winners: Annotated[WinnersSettings, Section(says="When a creative counts as a winner.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Tokens):
    """Everything adctl was told. `origins` maps a dotted key to where its value came from, defaults left out."""

    database_url: Annotated[
        Secret | None,
        kinds.database_url(
            "PostgreSQL 15 or later; unset: the embedded server below data_dir.",
            example='"postgresql://adctl@localhost/adctl"',
        ),
    ] = None
    data_dir: Annotated[Path, path("The embedded server and caches live here.", example='"~/.local/share/adctl"')]
    db_keep_alive: Annotated[int, whole("Seconds the embedded server stays up after its last user.", 0, 86_400)] = 0
    host_name: Annotated[
        str | None,
        text(
            "What this host is called among those that run an account; unset: its own name. Pods take one name.",
            example='"pods"',
        ),
    ] = None
    default_account: Annotated[
        str | None,
        text("The account meant when --account is not given.", example='"main"', env="ADCTL_ACCOUNT"),
    ] = None
    meta_base_url: Annotated[str, kinds.base_url("Meta's Graph API.")] = "https://graph.facebook.com"
    hubspot_base_url: Annotated[str, kinds.base_url("HubSpot's API.")] = "https://api.hubapi.com"
    allow_unencrypted_vendors: Annotated[
        bool, flag("Let the base URLs above be plain http on other hosts: tokens then travel in the clear.")
    ] = False
    http: Annotated[HttpSettings, Section(says="Time limits of requests.")] = HttpSettings()
    input: Annotated[InputSettings, Section(says="What a file may hold.")] = InputSettings()
    log: Annotated[LogSettings, Section(says="Log lines.")] = LogSettings()
    accounts: Mapping[str, AccountSettings] = field(default_factory=lambda: MappingProxyType({}))
    config_file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=_nothing)

    def account(self, name: str | None = None) -> AccountSettings:
        """The account called `name`, else the default one, else the only one.

        Raises ConfigurationError when none is configured or the name is unknown, UsageError when several could be
        meant.
        """
        if not self.accounts:
            raise ConfigurationError(
                "accounts: none configured", fix="add [accounts.NAME] to adctl.toml; `adctl init` writes an example"
            )
        wanted = name or self.default_account or self._only_account()
        if wanted not in self.accounts:
            raise ConfigurationError(f"account {wanted!r}: not configured", fix=f"known: {', '.join(self.accounts)}")
        return self.accounts[wanted]

    def _only_account(self) -> str:
        if len(self.accounts) > 1:
            raise UsageError(
                "several accounts are configured", fix=f"choose one with --account: {', '.join(self.accounts)}"
            )
        return next(iter(self.accounts))

    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the redaction of logs and reports."""
        holders: list[Tokens] = [self, *self.accounts.values()]
        found = [
            secret.reveal()
            for holder in holders
            for secret in (
                holder.meta_token,
                holder.hubspot_token,
                holder.meta_app_secret,
                holder.hubspot_client_secret,
                holder.hubspot_client_secret_previous,
                holder.privacy_key,
                holder.privacy_key_previous,
                holder.ping_url,
            )
            if secret
        ]
        password = kinds.password_of(self.database_url.reveal()) if self.database_url else ""
        return tuple(dict.fromkeys([*found, password] if password else found))
