"""From settings to what `doctor` looks at: every probe, with the patience of someone who wants an answer at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from adctl.cli.job import Invocation
from adctl.cli.running import database, load_settings
from adctl.cli.wiring import profile_of, stage_values
from adctl.domain.checks import Check, Grade, crit, ok, refused, warn
from adctl.errors import AdctlError, ConfigurationError
from adctl.settings import Tokens, process_environment

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adctl.commands.doctor import Probe
    from adctl.domain.models import Model
    from adctl.domain.policies.catalogue import Parameter
    from adctl.domain.report import Report
    from adctl.settings import AccountSettings, Secret, Settings

_SECONDS = 4.0
# One vendor that hangs must leave time to say so.
_ONE_CALL = 3.0
_OTHERS_MAY_WRITE = 0o022
# What the probes use: threads that import parts of one package at once can fail in the interpreter's import locks.
_USED_BY_PROBES = (
    "adctl.adapters.embedded_postgres",
    "adctl.adapters.hubspot",
    "adctl.adapters.meta",
    "adctl.adapters.timed_policies",
    "adctl.domain.policies.catalogue",
)


def examine(invocation: Invocation, account: str | None) -> Report:
    """All probes that the settings allow; settings that do not load are a finding like any other."""
    from adctl.commands.doctor import Probe, run

    try:
        settings = load_settings(invocation)
    except AdctlError as error:
        finding = refused("configuration", error)
        return run([Probe(subject="configuration", look=lambda: [finding])], seconds=_SECONDS)
    for module in _USED_BY_PROBES:
        import_module(module)
    return run(list(_probes(settings, account)), seconds=_SECONDS)


def _probes(settings: Settings, account: str | None) -> Iterator[Probe]:
    from adctl.commands.doctor import Probe

    yield Probe(subject="configuration", look=partial(_configuration, settings))
    chosen: list[AccountSettings] = []
    try:
        chosen = [settings.account(account)] if account else list(settings.accounts.values())
    except AdctlError as error:
        unknown = refused("accounts", error)
        yield Probe(subject="accounts", look=lambda: [unknown])
    yield Probe(subject="database", look=partial(_database, settings, chosen))
    for one in chosen:
        yield Probe(subject=f"{one.name}: configuration", look=partial(_account, one))
        yield Probe(subject=f"{one.name}: policy", look=partial(_policy, one))
        yield Probe(subject=f"{one.name}: models", look=partial(_models, settings, one))
        yield Probe(subject=f"{one.name}: Meta", look=partial(_meta, settings, one))
        yield Probe(subject=f"{one.name}: HubSpot", look=partial(_hubspot, settings, one))


def _configuration(settings: Settings) -> Iterator[Check]:
    if settings.config_file is None:
        yield warn("configuration", "no adctl.toml found", "adctl init")
    else:
        yield ok("configuration", str(settings.config_file))
    if settings.accounts:
        yield ok("accounts", ", ".join(settings.accounts))
    else:
        yield crit("accounts", "none is configured", "add [accounts.NAME] to adctl.toml; adctl init writes an example")
    yield from _permissions(settings)


def _permissions(settings: Settings) -> Iterator[Check]:
    """Who may write here decides what is spent. Secret files that others may read do not even load."""
    places = [place for place in (settings.config_file, settings.data_dir) if place is not None and place.exists()]
    open_places = [place for place in places if S_IMODE(place.stat().st_mode) & _OTHERS_MAY_WRITE]
    for place in open_places:
        yield warn("permissions", f"others may write {place}", f"chmod go-w {place}")
    secrets = _secret_files(settings)
    if not open_places:
        yield ok("permissions", f"only this user may write; {len(secrets)} secret files, each for this user alone")


def _secret_files(settings: Settings) -> set[Path]:
    holders = (settings, *settings.accounts.values())
    names = [field.name for field in fields(Tokens) if field.name.endswith("_file")]
    return {path for holder in holders for name in names if (path := getattr(holder, name)) is not None}


def _database(settings: Settings, chosen: list[AccountSettings]) -> Iterator[Check]:
    from adctl.commands import doctor

    if settings.database_url is not None:
        yield transport(settings.database_url.reveal(), process_environment())
    else:
        found = _embedded(settings)
        yield found
        if found.grade is not Grade.OK:
            return
    urls = (settings.meta_base_url, settings.hubspot_base_url)
    real = [url for url in urls if not _is_local(urlsplit(url).hostname or "")]
    with database(settings) as engine:
        _hurry(engine)
        yield from doctor.database(engine, [profile_of(one) for one in chosen], _host_now, real)


def _hurry(engine: Engine) -> None:
    """Short timeouts, and PostgreSQL itself refuses a write."""
    from sqlalchemy import event

    options = "-c TimeZone=UTC -c statement_timeout=2s -c default_transaction_read_only=on"
    hasty = {"connect_timeout": 2, "options": options}
    event.listen(engine, "do_connect", lambda _dialect, _record, _words, parameters: parameters.update(hasty))


def _embedded(settings: Settings) -> Check:
    from adctl.adapters.embedded_postgres import EmbeddedServer

    status = EmbeddedServer(settings.data_dir).status()
    facts = f"PostgreSQL {status.version} ({status.source}), {status.data_directory}"
    if not status.data_directory.exists():
        return crit("embedded server", f"{facts}: not made yet", "adctl migrate")
    return ok("embedded server", f"{facts}: {'running' if status.running else 'at rest, starts when needed'}")


def transport(url: str, environ: Mapping[str, str]) -> Check:
    """Whether what goes to the database stays on this host, or is encrypted to a server that proved who it is."""
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import make_url

    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    parts = conninfo_to_dict(plain)
    hosts = str(parts.get("hostaddr") or parts.get("host") or environ.get("PGHOST") or "").split(",")
    if all(_is_local(host) for host in hosts):
        return ok("database transport", "local")
    mode = str(parts.get("sslmode") or environ.get("PGSSLMODE") or "prefer")
    if mode == "verify-full":
        return ok("database transport", "sslmode=verify-full")
    return crit(
        "database transport",
        f"{', '.join(hosts)} is not this host and sslmode is {mode}: the server's name is not verified",
        "add ?sslmode=verify-full&sslrootcert=system to the database URL",
    )


def _is_local(host: str) -> bool:
    try:
        return host in ("", "localhost") or host.startswith(("/", "@")) or ip_address(host).is_loopback
    except ValueError:
        return False


def _host_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - to be compared with the database's clock, the one for all else


def _account(account: AccountSettings) -> Iterator[Check]:
    subject = f"{account.name}: configuration"
    if not stage_values(account):
        yield warn(subject, "no stage has a value: deals are worth nothing", "set stage_template or [….stages.…]")
    if account.limits.cap_increase_per_24h is None:
        fix = f"set accounts.{account.name}.limits.cap_increase_per_24h once you want changes sent"
        yield warn(subject, "no cap on raises: nothing is ever sent", fix)
    else:
        yield ok(subject, "a cap on raises")


def _policy(account: AccountSettings) -> Iterator[Check]:
    yield _made(f"{account.name}: policy", account, account.policy, account.policy_parameters)


def _models(settings: Settings, account: AccountSettings) -> Iterator[Check]:
    """Whether those that decide can be made, side by side, since each may take all the time that there is. What is
    wrong with the database is told by its own lines."""
    from sqlalchemy.exc import DBAPIError

    from adctl.commands import doctor

    if settings.database_url is None and _embedded(settings).grade is not Grade.OK:
        return
    found: Sequence[Model] = ()
    with suppress(AdctlError, DBAPIError), database(settings) as engine:
        _hurry(engine)
        found = doctor.models_in_force(engine, profile_of(account))

    def look(model: Model) -> Check:
        return _made(f"{account.name}: {model.role} {model.name}", account, model.policy, model.parameters)

    with ThreadPoolExecutor(max(len(found), 1)) as pool:
        yield from pool.map(look, found)


def _made(subject: str, account: AccountSettings, policy: str, parameters: Mapping[str, Parameter]) -> Check:
    """Whether a policy can be made. One of the account's own may rightly take longer than there is time here."""
    from adctl.adapters.timed_policies import TimedPolicies

    most = min(account.policy_seconds, _ONE_CALL)
    try:
        TimedPolicies(most)(policy, parameters)
    except ConfigurationError as error:
        if not isinstance(error.__cause__, TimeoutError):
            return refused(subject, error)
        fix = f"see what it waits for; a run stops it after policy_seconds, {account.policy_seconds} s"
        judge = crit if most == account.policy_seconds else warn
        return judge(subject, f"policy {policy!r} was not made within {most:g} s", fix)
    return ok(subject, policy)


def _meta(settings: Settings, account: AccountSettings) -> Iterator[Check]:
    from adctl.adapters.meta import MetaPlatform, Patience
    from adctl.commands import doctor

    subject = f"{account.name}: Meta"
    if account.meta_ad_account is None:
        fix = f'write meta_ad_account = "act_…" below [accounts.{account.name}]'
        yield warn(subject, "no ad account: only exports can be taken in", fix)
        return
    token = account.meta_token or settings.meta_token
    yield _token(settings, account, "meta_token", token)
    if token is not None:
        patience = Patience(connect=2, read=_ONE_CALL, read_deadline=_ONE_CALL, tries=1)
        with MetaPlatform(
            ad_account=account.meta_ad_account,
            token=token.reveal(),
            base_url=settings.meta_base_url,
            patience=patience,
        ) as platform:
            yield from doctor.meta(profile_of(account), platform)


def _hubspot(settings: Settings, account: AccountSettings) -> Iterator[Check]:
    from adctl.adapters.hubspot import HubSpotCrm, Patience
    from adctl.commands import doctor

    token = account.hubspot_token or settings.hubspot_token
    if token is None and account.hubspot_portal is None:
        fix = f'write hubspot_portal = "…" below [accounts.{account.name}]'
        yield warn(f"{account.name}: HubSpot", "no portal: only exports can be taken in", fix)
        return
    yield _token(settings, account, "hubspot_token", token)
    if token is not None:
        patience = Patience(connect=2, read=_ONE_CALL, deadline=_ONE_CALL, tries=1)
        with HubSpotCrm(
            token=token.reveal(), base_url=settings.hubspot_base_url, currency=account.currency, patience=patience
        ) as crm:
            yield from doctor.hubspot(profile_of(account), crm)


def _token(settings: Settings, account: AccountSettings, name: str, token: Secret | None) -> Check:
    subject = f"{account.name}: {name}"
    if token is None:
        fix = f"set ADCTL_{name.upper()}, or name a file of mode 0600 as {name}_file, or use a systemd credential"
        return crit(subject, "not set", fix)
    origin = settings.origins.get(f"accounts.{account.name}.{name}") or settings.origins.get(name, "default")
    return ok(subject, f"from {origin}")
