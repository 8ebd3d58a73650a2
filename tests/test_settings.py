"""Settings: layers, refusals that name the place, secrets that stay hidden."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.errors import ConfigurationError, UsageError
from adctl.settings import Secret, Settings, commented_example, effective, load, process_environment

CANARY = "EAAcanary0123456789canary"
ACCOUNT = """
[accounts.main]
currency = "USD"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def written(folder: Path, text: str) -> Path:
    path = folder / "adctl.toml"
    path.write_text(text, encoding="utf-8")
    return path


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def loaded(folder: Path, toml: str = "", *, flags: dict[str, object] | None = None, **environ: str) -> Settings:
    """The settings of a folder that holds `toml` and of nothing else on this host."""
    if toml:
        written(folder, toml)
    return load(environ={"HOME": str(folder), **environ}, flags=flags, folder=folder, system=folder / "etc")


def refusal(folder: Path, toml: str = "", *, flags: dict[str, object] | None = None, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, toml, flags=flags, **environ)
    return str(caught.value)


def origins(settings: Settings) -> dict[str, tuple[str, str]]:
    return {dotted: (shown, origin) for dotted, shown, origin in effective(settings)}


# --- layers


def test_without_a_file_everything_has_its_default(home: Path) -> None:
    settings = loaded(home)
    assert settings.config_file is None
    assert settings.database_url is None
    assert settings.data_dir == home / ".local/share/adctl"
    assert settings.meta_base_url == "https://graph.facebook.com"
    assert settings.hubspot_base_url == "https://api.hubapi.com"
    assert (settings.http.connect_seconds, settings.http.read_seconds) == (5, 20)
    assert settings.http.write_deadline_seconds == 45
    assert {origin for _, _, origin in effective(settings)} == {"default"}


def test_flags_come_before_the_environment_and_that_before_the_file(home: Path) -> None:
    toml = '[log]\nformat = "kv"\n[http]\nconnect_seconds = 1\nread_seconds = 1\nwrite_deadline_seconds = 9\n'
    settings = loaded(
        home,
        toml,
        flags={"http.connect_seconds": "3", "log.format": None},
        ADCTL_HTTP_CONNECT_SECONDS="2",
        ADCTL_HTTP_READ_SECONDS="2",
        ADCTL_LOG_FORMAT="json",
    )
    assert (settings.http.connect_seconds, settings.http.read_seconds) == (3, 2)
    assert (settings.http.write_deadline_seconds, settings.log.format) == (9, "json")
    shown = origins(settings)
    assert shown["http.connect_seconds"] == ("3", "--http-connect-seconds")
    assert shown["http.read_seconds"] == ("2", "ADCTL_HTTP_READ_SECONDS")
    assert shown["http.write_deadline_seconds"] == ("9", str(home / "adctl.toml"))
    assert shown["db_keep_alive"] == ("0", "default")


def test_the_file_is_searched_here_then_in_the_users_folder_then_in_the_systems(home: Path) -> None:
    here, config, system = home / "here", home / "config/adctl", home / "etc"
    for folder, seconds in ((here, 1), (config, 2), (system, 3)):
        folder.mkdir(parents=True)
        written(folder, f"db_keep_alive = {seconds}\n")
    environ = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    found = []
    for folder in (here, config, system):
        found.append(load(environ=environ, folder=here, system=system).db_keep_alive)
        (folder / "adctl.toml").unlink()
    assert found == [1, 2, 3]


def test_an_explicit_file_is_taken_and_must_exist(home: Path) -> None:
    other = private(home / "other.toml", "db_keep_alive = 7\n")
    written(home, "db_keep_alive = 1\n")
    assert loaded(home, ADCTL_CONFIG=str(other)).db_keep_alive == 7
    assert loaded(home, flags={"config": other}).db_keep_alive == 7
    assert "missing.toml: No such file" in refusal(home, flags={"config": home / "missing.toml"})


def test_an_empty_variable_counts_as_unset(home: Path) -> None:
    assert loaded(home, ADCTL_DATABASE_URL="", ADCTL_META_TOKEN="").database_url is None


def test_relative_paths_start_where_they_are_written(home: Path) -> None:
    assert loaded(home, 'data_dir = "data"\n').data_dir == home / "data"
    assert loaded(home, 'data_dir = "~/data"\n').data_dir == home / "data"
    assert loaded(home, ADCTL_DATA_DIR="/srv/adctl").data_dir == Path("/srv/adctl")
    # A relative base directory is to be ignored, says the XDG specification.
    assert loaded(home, "db_keep_alive = 0\n", XDG_DATA_HOME="data").data_dir == home / ".local/share/adctl"


def test_the_process_environment_is_what_the_process_has() -> None:
    assert process_environment() == dict(os.environ)


# --- refusals


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("databse_url = 'x'\n", "databse_url: unknown key (did you mean database_url?)"),
        ("[htpp]\n", "htpp: unknown key (did you mean http?)"),
        ("[acounts.main]\n", "acounts: unknown key (did you mean accounts?)"),
        (ACCOUNT + "curency = 'EUR'\n", "accounts.main.curency: unknown key (did you mean currency?)"),
        (
            ACCOUNT + "[accounts.main.limits]\nstep_pecent = 5\n",
            "accounts.main.limits.step_pecent: unknown key (did you mean step_percent?)",
        ),
        (ACCOUNT + "[accounts.main.winners]\nqqq = 5\n", "accounts.main.winners.qqq: unknown key (known here: "),
        (ACCOUNT + "limits = 5\n", "accounts.main.limits: is no table"),
        ("accounts = 5\n", "accounts: is no table"),
        ("[accounts.'Main Street']\n", "accounts.Main Street: no name for an account"),
        ("[accounts.main]\ntimezone = 'UTC'\n", "accounts.main.currency: not set"),
        ("[accounts.main]\ncurrency = 'USD'\n", "accounts.main.timezone: not set"),
        ("[accounts.main]\ncurrency = 'KWD'\n", "accounts.main.currency: 'KWD' is not in Meta's table"),
        (ACCOUNT.replace("Berlin", "Berlni"), "'Europe/Berlni' is no IANA time zone (did you mean Europe/Berlin?)"),
        (ACCOUNT.replace("Europe/Berlin", "CEST"), "'CEST' is no IANA time zone (write a name such as Europe/Berlin)"),
        ("[accounts.main]\ncurrency = 'usd'\n", "'usd' is not in Meta's table of currencies (write USD)"),
        ("db_keep_alive = true\n", "db_keep_alive: true is no whole number"),
        (ACCOUNT.replace("/Berlin", ""), "accounts.main.timezone: 'Europe' is no IANA time zone"),
        (ACCOUNT + "meta_ad_account = '123'\n", "meta_ad_account: '123' does not fit (write \"act_\""),
        (ACCOUNT + "hubspot_portal = 123\n", "hubspot_portal: 123 is no text"),
        (ACCOUNT + "stage_template = 'gym'\n", "stage_template: 'gym' is not known (write one of ptd_fitness"),
        (ACCOUNT + "attribution_window_days = true\n", "attribution_window_days: true is no whole number"),
        (ACCOUNT + "attribution_window_days = 7.5\n", "attribution_window_days: '7.5' is no whole number"),
        (ACCOUNT + "policy_parameters = { a = [1] }\n", "accounts.main.policy_parameters.a: [1] is no parameter"),
        (ACCOUNT + "policy_parameters = { a = nan }\n", "accounts.main.policy_parameters.a: 'NaN' is no parameter"),
        (ACCOUNT + "columns = { ads = { spend = 5 } }\n", "accounts.main.columns.ads.spend: 5 is no column name"),
        (ACCOUNT + "columns = { ads = { leads = ' ' } }\n", "accounts.main.columns.ads.leads: ' ' is no column name"),
        ("db_keep_alive = -1\n", "db_keep_alive: -1 is out of range (write a whole number from 0 to 86400"),
        ("data_dir = ''\n", "data_dir: is empty"),
        ("log = { format = 'xml' }\n", "log.format: 'xml' is not known (write one of kv, json)"),
        ("allow_unencrypted_vendors = 'yes'\n", "allow_unencrypted_vendors: 'yes' is neither true nor false"),
        ("db_keep_alive = 1\ndb_keep_alive = 2\n", "Cannot overwrite a value (at line 2"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_wrong_line_is_refused_by_file_and_full_name(home: Path, toml: str, said: str) -> None:
    message = refusal(home, toml)
    assert message.startswith(f"{home / 'adctl.toml'}: ")
    assert said in message


def test_bytes_that_are_no_utf8_and_huge_files_are_refused(home: Path) -> None:
    (home / "adctl.toml").write_bytes(b'data_dir = "\xff"\n')
    assert "byte 12 is no UTF-8" in refusal(home)
    (home / "adctl.toml").write_bytes(b"#" * (1 << 20) + b"##")
    assert "larger than 1048576 bytes" in refusal(home)


def test_a_byte_order_mark_does_no_harm(home: Path) -> None:
    (home / "adctl.toml").write_bytes(b"\xef\xbb\xbfdb_keep_alive = 4\n")
    assert loaded(home).db_keep_alive == 4


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(home: Path) -> None:
    said = refusal(home, ADCTL_DATABASE_ULR="postgresql:///x")
    assert said == "ADCTL_DATABASE_ULR: unknown environment variable (did you mean ADCTL_DATABASE_URL?)"
    assert "ADCTL_META_TOKEN__MIAN: unknown" in refusal(home, ACCOUNT, ADCTL_META_TOKEN__MIAN=CANARY)
    assert loaded(home, ADCTL_TEST_SLOW="1", ADCTL_SHARED="/x", PATH="/bin").config_file == home / "adctl.toml"


def test_a_wrong_variable_is_named_and_not_the_file(home: Path) -> None:
    assert refusal(home, ADCTL_LOG_FORMAT="xml").startswith("ADCTL_LOG_FORMAT: 'xml' is not known")
    assert refusal(home, ADCTL_DB_KEEP_ALIVE="soon").startswith("ADCTL_DB_KEEP_ALIVE: 'soon' is no whole number")


def test_a_flag_that_is_no_setting_is_a_bug(home: Path) -> None:
    with pytest.raises(KeyError):
        loaded(home, flags={"databse_url": "x"})


NUMBERS = ("nan", "-inf", "1e400", "-0.0", "-1", "9" * 400)
TEXTS = ('""', r'"\u0000\u202e"', '"../.."', '"[::"', '"%"', '"١٢"', "1979-05-27T07:32:00Z", "07:32:00")
OTHERS = ("true", "[]", "[[1], {}]", "{}", "{ a = { b = 1 } }")


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS, *OTHERS])
def test_no_value_of_any_key_makes_a_traceback(home: Path, value: str) -> None:
    keys = re.findall(r"(?m)^#([a-z0-9_]+) = ", commented_example())
    tables = (
        "",
        "[http]\n",
        "[log]\n",
        ACCOUNT,
        *(f"{ACCOUNT}[accounts.main.{name}]\n" for name in ("limits", "winners")),
    )
    fixes = []
    for table in tables:
        for key in (*keys, "policy_parameters", "stages", "columns"):
            try:
                loaded(home, f"{table}{key} = {value}\n")
            except ConfigurationError as error:
                fixes.append(error.fix)
    assert len(fixes) > len(keys)
    assert all(fixes)


@given(text=st.text(max_size=40).filter(lambda text: "\x00" not in text))
def test_no_text_in_any_variable_makes_a_traceback(text: str) -> None:
    for name in re.findall(r"(?m)^#([a-z0-9_]+) = ", commented_example().partition("[http]")[0]):
        environ = {"HOME": "/nowhere", f"ADCTL_{name.upper().removeprefix('DEFAULT_')}": text}
        with suppress(ConfigurationError):
            assert load(environ=environ, folder=Path("/nowhere"), system=Path("/nowhere")).accounts == {}


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://a:b@host", "https://host/?a=1", "http://[", "host"])
def test_what_is_no_base_url_is_refused(home: Path, url: str) -> None:
    assert refusal(home, ADCTL_META_BASE_URL=url).startswith("ADCTL_META_BASE_URL: ")


def test_plain_http_is_for_this_host_only(home: Path) -> None:
    for url in ("http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"):
        assert loaded(home, ADCTL_HUBSPOT_BASE_URL=url).hubspot_base_url == url.rstrip("/")
    said = refusal(home, ADCTL_HUBSPOT_BASE_URL="http://localhost.example.com")
    assert said.startswith("ADCTL_HUBSPOT_BASE_URL: http would send the token in the clear")
    allowed = loaded(home, ADCTL_HUBSPOT_BASE_URL="http://proxy.lan", ADCTL_ALLOW_UNENCRYPTED_VENDORS="true")
    assert allowed.hubspot_base_url == "http://proxy.lan"


# --- accounts


def test_an_account_holds_exact_money_and_percentages(home: Path) -> None:
    toml = (
        ACCOUNT
        + """
        meta_ad_account = "act_123"
        policy_parameters = { temperature = 1.5, floor = 1, mode = "pipeline", boost = false }
        [accounts.main.limits]
        step_percent = 12.5
        floor = 5
        ceiling = 19.99
        cap_increase_per_24h = "250.10"
        quiet_hours = "22:00-06:00"
        jitter_ms = [0, 0]
        [accounts.main.stages."Sales Pipeline"]
        17 = { value = 2250.25, confidence = 0.6, outcome = "open" }
        closedlost = { value = 0, confidence = 1, outcome = "lost" }
        [accounts.main.columns.crm]
        deal_id = "Record ID"
        email = ""
        """
    )
    main = loaded(home, toml).account("main")
    assert (main.limits.floor, main.limits.ceiling, main.limits.cap_increase_per_24h) == (500, 1999, 25010)
    assert main.limits.step_percent == Decimal("12.5")
    assert main.limits.quiet_hours == (time(22), time(6))
    assert main.limits.jitter_ms == (0, 0)
    assert main.policy_parameters == {"temperature": 1.5, "floor": 1, "mode": "pipeline", "boost": False}
    stage = main.stages["Sales Pipeline"]["17"]
    assert (stage.value, stage.confidence, stage.outcome.value) == (225025, Decimal("0.6"), "open")
    assert main.columns.crm == {"deal_id": "Record ID", "email": ""}
    assert main.winners.min_spend == 5000


def test_the_defaults_of_the_guards_are_those_of_the_design(home: Path) -> None:
    limits = loaded(home, ACCOUNT).account().limits
    assert (limits.step_percent, limits.velocity_percent, limits.velocity_hours) == (Decimal(50), Decimal(20), 6)
    assert (limits.rate_per_campaign_per_hour, limits.rate_per_ad_set_per_hour) == (15, 3)
    assert (limits.fuzz_percent, limits.jitter_ms, limits.kills_per_run_percent) == (
        Decimal(3),
        (3000, 18000),
        Decimal(20),
    )
    assert (limits.min_confidence, limits.hands_off_hours, limits.settle_seconds) == (Decimal("0.70"), 72, 120)
    assert (limits.learning_phase, limits.quiet_hours) == (True, None)
    # Nobody said how much may be added: nothing is.
    assert limits.cap_increase_per_24h is None


def test_money_is_read_in_the_accounts_own_units(home: Path) -> None:
    yen = ACCOUNT.replace("USD", "JPY")
    main = loaded(home, yen + "[accounts.main.limits]\nfloor = 500\n").account()
    assert (main.limits.floor, main.winners.min_spend) == (500, 50)
    assert "more decimals than JPY" in refusal(home, yen + "[accounts.main.limits]\nfloor = 500.5\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("floor = -1", "floor: -1 is negative"),
        ("floor = 1.999", "floor: "),
        ("floor = 1.0000000001", "floor: '1.0000000001' is negative or has more decimals than USD"),
        ("floor = inf", "floor: 'Infinity' is no plain number"),
        ("floor = 1e3", "floor: '1E+3' is no plain number"),
        ("floor = '1,000'", "floor: '1,000' is not a plain decimal number"),
        ("floor = true", "floor: true is no plain number"),
        ("floor = 2\nceiling = 1", "floor: is above the ceiling"),
        ("step_percent = 100.01", "step_percent: 100.01 is out of range"),
        ("step_percent = 1.005", "step_percent: 1.005 is out of range or too fine"),
        ("step_percent = '50'", "step_percent: '50' is no plain number"),
        ("step_percent = nan", "step_percent: 'NaN' is no plain number"),
        ("rate_per_ad_set_per_hour = 4", "rate_per_ad_set_per_hour: 4 is out of range"),
        ("jitter_ms = [5, 1]", "jitter_ms: [5, 1] is no interval"),
        ("jitter_ms = [false, true]", "jitter_ms: [False, True] is no interval"),
        ("jitter_ms = 5", "jitter_ms: 5 is no interval"),
        ("quiet_hours = '22-6'", "quiet_hours: '22-6' is no span of hours"),
        ("quiet_hours = '06:00-06:00'", "quiet_hours: '06:00-06:00' starts when it ends"),
        ("learning_phase = 1", "learning_phase: 1 is neither true nor false"),
        ("settle_seconds = 45", "settle_seconds: a write may still be on its way after 45 s"),
    ],
)
def test_a_limit_that_could_not_protect_is_refused(home: Path, line: str, said: str) -> None:
    message = refusal(home, f"{ACCOUNT}[accounts.main.limits]\n{line}\n")
    assert f"accounts.main.limits.{said}" in message


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ('{ value = "1", confidence = 0.5 }', "default.won: needs value, confidence and outcome"),
        ('{ value = "1", confidence = 1.5, outcome = "won" }', "default.won.confidence: 1.5 is out of range"),
        ('{ value = "x", confidence = 1, outcome = "won" }', "default.won.value: 'x' is not a plain decimal number"),
        ('{ value = "1", confidence = 1, outcome = "maybe" }', "default.won.outcome: 'maybe' is no outcome"),
        ("5", "default.won: needs value"),
    ],
)
def test_a_stage_that_says_too_little_is_refused_by_its_place(home: Path, stage: str, said: str) -> None:
    assert f"accounts.main.stages.{said}" in refusal(home, f"{ACCOUNT}[accounts.main.stages.default]\nwon = {stage}\n")


def test_a_winner_may_not_be_demoted_at_once(home: Path) -> None:
    toml = ACCOUNT + "[accounts.main.winners]\nmin_probability = 0.5\n"
    assert "accounts.main.winners.demote_probability: is above min_probability" in refusal(home, toml)


def test_an_account_is_chosen_by_name_by_default_or_because_it_is_alone(home: Path) -> None:
    one, two = ACCOUNT, ACCOUNT + ACCOUNT.replace("main", "second")
    assert loaded(home, one).account().name == "main"
    assert loaded(home, two).account("second").name == "second"
    assert loaded(home, two, ADCTL_ACCOUNT="second").account().name == "second"
    with pytest.raises(UsageError, match="choose one with --account: main, second"):
        loaded(home, two).account()
    with pytest.raises(ConfigurationError, match=r"account 'third': not configured \(known: main, second\)"):
        loaded(home, two).account("third")
    with pytest.raises(ConfigurationError, match="none configured"):
        loaded(home, "db_keep_alive = 0").account("main")


# --- secrets


@pytest.mark.parametrize("place", ["", ACCOUNT])
def test_a_token_in_the_settings_file_is_refused_without_printing_it(home: Path, place: str) -> None:
    message = refusal(home, f"{place}meta_token = '{CANARY}'\n")
    assert "meta_token: a secret does not belong into the settings file" in message
    assert "meta_token_file" in message
    assert CANARY not in message


def test_a_token_is_taken_from_credentials_then_a_file_then_the_environment(home: Path) -> None:
    credentials = home / "credentials"
    credentials.mkdir()
    private(credentials / "meta_token", "from-credentials\n")
    private(home / "token", "from-file\n")
    file = 'meta_token_file = "token"\n'
    said = "from-environment"
    assert loaded(home, ADCTL_META_TOKEN=said).meta_token == Secret(said)
    assert loaded(home, file, ADCTL_META_TOKEN=said).meta_token == Secret("from-file")
    settings = loaded(home, file, ADCTL_META_TOKEN=said, CREDENTIALS_DIRECTORY=str(credentials))
    assert settings.meta_token == Secret("from-credentials")
    assert origins(settings)["meta_token"] == ("***", "credentials")
    assert settings.hubspot_token is None


def test_an_accounts_own_token_comes_before_the_shared_one(home: Path) -> None:
    toml = ACCOUNT + ACCOUNT.replace("main", "shop-2") + ACCOUNT.replace("main", "third")
    private(home / "third", "third-token")
    toml += 'meta_token_file = "third"\n'
    settings = loaded(home, toml, ADCTL_META_TOKEN="shared-token", ADCTL_META_TOKEN__SHOP_2="own-token")
    tokens = {name: account.meta_token for name, account in settings.accounts.items()}
    assert tokens == {"main": Secret("shared-token"), "shop-2": Secret("own-token"), "third": Secret("third-token")}
    shown = origins(settings)
    assert shown["accounts.main.meta_token"] == ("***", "ADCTL_META_TOKEN")
    assert shown["accounts.shop-2.meta_token"] == ("***", "ADCTL_META_TOKEN__SHOP_2")
    assert shown["accounts.third.meta_token"] == ("***", str(home / "third"))
    assert set(settings.secrets()) == {"shared-token", "own-token", "third-token"}


def test_accounts_that_would_share_a_variable_are_refused(home: Path) -> None:
    message = refusal(home, ACCOUNT.replace("main", "a-b") + ACCOUNT.replace("main", "a_b"))
    assert "accounts.a_b and accounts.a-b: share the names of their environment variables" in message


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o700])
def test_a_token_file_that_others_can_read_is_refused_with_the_line_that_helps(home: Path, mode: int) -> None:
    token = private(home / "token", CANARY, mode)
    message = refusal(home, 'meta_token_file = "token"\n')
    assert f"meta_token_file: {token} has mode 0{mode:o} (chmod 0600 {token})" in message
    assert CANARY not in message


def test_a_read_only_private_token_file_is_taken(home: Path) -> None:
    private(home / "token", CANARY, 0o400)
    assert loaded(home, 'meta_token_file = "token"\n').meta_token == Secret(CANARY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_file_of_another_user_is_refused(home: Path) -> None:
    token = private(home / "token", CANARY)
    os.chown(token, 12345, -1)
    assert f"{token} belongs to user id 12345" in refusal(home, 'meta_token_file = "token"\n')


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "tok\x00en", "tökén", "x" * 9000])
def test_a_file_that_holds_no_token_is_refused(home: Path, content: str) -> None:
    private(home / "token", content)
    message = refusal(home, 'meta_token_file = "token"\n')
    assert "holds no token" in message
    assert not content or content not in message


def test_a_token_file_must_be_a_file(home: Path) -> None:
    assert "No such file" in refusal(home, 'meta_token_file = "token"\n')
    (home / "token").mkdir()
    assert "Is a directory" in refusal(home, 'meta_token_file = "token"\n')


def test_no_representation_of_the_settings_shows_a_secret(home: Path) -> None:
    url = f"postgresql://adctl:{CANARY}@db.example.com/adctl"
    settings = loaded(home, ACCOUNT, ADCTL_META_TOKEN=CANARY, ADCTL_DATABASE_URL=url)
    assert settings.meta_token is not None
    assert settings.meta_token.reveal() == CANARY
    for text in (repr(settings), str(settings), f"{settings.meta_token}", str(effective(settings))):
        assert CANARY not in text
    assert settings.secrets() == (CANARY,)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hunter22@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u:hun@ter22@h/d", "postgresql://u:***@h/d"),
        ("postgresql:///d?host=/run&password=hunter22", "postgresql:///d?host=/run&password=***"),
        ("postgres://u@h1:1,h2:2/d?sslmode=verify-full", "postgres://u@h1:1,h2:2/d?sslmode=verify-full"),
    ],
)
def test_the_password_of_a_database_url_is_masked(home: Path, url: str, shown: str) -> None:
    settings = loaded(home, ADCTL_DATABASE_URL=url)
    assert settings.database_url is not None
    assert settings.database_url.reveal() == url
    assert origins(settings)["database_url"] == (shown, "ADCTL_DATABASE_URL")


@pytest.mark.parametrize("url", ["mysql://u:hunter22@h/d", "host=h password=hunter22", "postgresql://u:hun/ter22@h/d"])
def test_what_is_no_database_url_is_refused_without_printing_it(home: Path, url: str) -> None:
    message = refusal(home, ADCTL_DATABASE_URL=url)
    assert message.startswith("ADCTL_DATABASE_URL: is no PostgreSQL URL")
    assert "ter22" not in message


def test_a_database_password_needs_a_private_place(home: Path) -> None:
    url = "postgresql://u:hunter22@h/d"
    path = written(home, f'database_url = "{url}"\n')
    path.chmod(0o644)
    assert f"database_url: holds a password in a file that others may read (chmod 0600 {path}" in refusal(home)
    path.chmod(0o600)
    assert loaded(home).database_url == Secret(url)
    message = refusal(home, flags={"database_url": url})
    assert message.startswith("--database-url: a password on the command line is visible")
    assert loaded(home, flags={"database_url": "postgresql:///d"}).database_url == Secret("postgresql:///d")


def test_a_database_url_may_be_a_credential(home: Path) -> None:
    private(home / "database_url", "postgresql://u:hunter22@h/d\n")
    settings = loaded(home, CREDENTIALS_DIRECTORY=str(home), ADCTL_DATABASE_URL="postgresql:///other")
    assert origins(settings)["database_url"] == ("postgresql://u:***@h/d", "credentials")


# --- the example


def test_the_example_changes_nothing_as_it_is_written(home: Path) -> None:
    settings = loaded(home, commented_example())
    assert settings.accounts == {}
    assert {origin for _, _, origin in effective(settings)} == {"default"}


def test_every_line_of_the_example_may_be_uncommented(home: Path) -> None:
    for name in ("meta_token", "hubspot_token", "meta_app_secret", "hubspot_client_secret"):
        private(home / name, f"{name}-value")
    for name in ("privacy_key", "privacy_key_previous", "hubspot_client_secret_previous", "ping_url"):
        private(home / name, f"{name}-value")
    settings = loaded(home, re.sub(r"(?m)^#(?=\S)", "", commented_example()))
    main = settings.account()
    assert (main.currency, main.limits.cap_increase_per_24h, main.winners.min_spend) == ("USD", 10000, 5000)
    assert main.stages["default"]["closedwon"].value == 1_500_000
    unset = [
        dotted for dotted, shown, _ in effective(settings) if shown in ("not set", "none") if "quiet" not in dotted
    ]
    assert unset == []


def test_the_example_shows_the_defaults(home: Path) -> None:
    bare = loaded(home, ACCOUNT)
    optional = r"\w+_file|floor|ceiling|cap_|approval_above|learning_loss|database_url|embedder_directory"
    text = re.sub(rf"(?m)^#(?=\S)(?!{optional})", "", commented_example())
    full = loaded(home, text)
    assert full.account().limits == bare.account().limits
    assert full.account().winners == bare.account().winners
    assert (full.http, full.log, full.data_dir) == (bare.http, bare.log, bare.data_dir)
    assert (full.db_keep_alive, full.meta_base_url) == (bare.db_keep_alive, bare.meta_base_url)
