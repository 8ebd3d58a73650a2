"""The commands for people, as processes: status, doctor, init, config, db, sandbox."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.cli.checkup import transport
from adctl.domain.checks import Grade
from tests.builders import python_of_the_readme
from tests.conftest import CommandLine, Outcome

ACCOUNT = '[accounts.main]\nmeta_ad_account = "act_1"\nhubspot_portal = "1"\ncurrency = "USD"\ntimezone = "UTC"\n'
CANARY = "EAAcanary0123456789abcdefghij"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running `adctl sandbox`: what it says for a shell, and for adctl.toml."""

    variables: Mapping[str, str]
    table: str


def ready(process: subprocess.Popen[bytes], last: bytes) -> str:
    """What the process prints, up to the line that starts with `last`."""
    assert process.stdout is not None
    lines: list[bytes] = []
    while not (lines and lines[-1].startswith(last)):
        line = process.stdout.readline()
        assert line, b"".join(lines)
        lines.append(line)
    return b"".join(lines).decode()


def ended(process: subprocess.Popen[bytes], number: int) -> int:
    process.send_signal(number)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Read as a person does it: the export lines into the environment, the rest into adctl.toml."""
    process = CommandLine(folder=tmp_path_factory.mktemp("sandbox")).start(
        "sandbox", "--seed", "3", "--start", "2026-03-02"
    )
    said = ready(process, b'"1084213005"')
    shell, table = said.split("# For adctl.toml:\n")
    exported = [line.removeprefix("export ").partition("=") for line in shell.splitlines() if "export " in line]
    yield Served(variables={name: value for name, _, value in exported}, table=table)
    assert ended(process, signal.SIGTERM) == 0


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def lines(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Doctor's checks: what was looked at -> (grade, finding)."""
    assert "Traceback" not in outcome.err
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    return {row["subject"]: (row["grade"], row["finding"]) for row in tables["checks"]}


def test_what_the_sandbox_prints_makes_doctor_content(adctl: CommandLine, served: Served) -> None:
    adctl.configure(served.table)
    adctl.environment.update(served.variables)
    # Its checks import what they need in threads, side by side.
    adctl.fresh = True
    outcome = adctl("doctor")
    assert outcome.code == 0, outcome
    assert "sandbox: Meta " in outcome.out
    assert "12 stages in 2 pipelines" in outcome.out
    assert outcome.err == ""
    for name in ("ADCTL_META_TOKEN", "ADCTL_HUBSPOT_TOKEN"):
        assert served.variables[name] not in outcome.out


def test_status_shows_the_run_of_a_job_and_fresh_insights(adctl: CommandLine, served: Served) -> None:
    adctl.configure(served.table)
    adctl.environment.update(served.variables)
    assert adctl("sync-meta").code == 0
    outcome = adctl("status", "--json")
    tables = outcome.document["tables"]
    assert isinstance(tables, dict)
    assert [(row["job"], row["state"]) for row in tables["jobs"]] == [("sync-meta", "done")]
    assert [row["state"] for row in tables["freshness"]] == ["fresh", "never read"]
    assert outcome.code == 0


def test_the_same_seed_gives_the_same_sandbox_as_json_too(tmp_path: Path, served: Served) -> None:
    process = CommandLine(folder=tmp_path).start("sandbox", "--seed", "3", "--start", "2026-03-02", "--json")
    said = ready(process, b"{")
    assert served.variables["ADCTL_META_TOKEN"] in said
    assert served.variables["ADCTL_META_BASE_URL"] not in said
    assert ended(process, signal.SIGINT) == 0


# A process that is told to end some thousand times, a moment around that in which it begins to wait for it.
_TOLD_OFTEN = """
import os, random, signal, time
from adctl.cli.stand_ins import _told_to_end
told, (go, begin), waiting = _told_to_end(), os.pipe(), os.getpid()
def spin(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
if os.fork() == 0:
    os.close(begin)
    while os.read(go, 1):
        spin(random.random() * 3e-4)
        os.kill(waiting, signal.SIGINT)
    os._exit(0)
for _ in range(5000):
    os.write(begin, b"x")
    spin(1.5e-4)
    os.read(told, 1)
"""


def test_an_end_that_comes_just_as_it_begins_to_be_waited_for_is_heard() -> None:
    subprocess.run([sys.executable, "-c", _TOLD_OFTEN], check=True, timeout=100)


def test_a_taken_port_is_a_usage_error(tmp_path: Path, silent: str) -> None:
    outcome = CommandLine(folder=tmp_path)("sandbox", "--meta-port", silent.rpartition(":")[2])
    assert outcome.code == 2
    assert outcome.err.startswith("adctl: error: cannot listen on 127.0.0.1: Address already in use")


def test_doctor_answers_in_time_beside_vendors_and_a_database_that_hang(adctl: CommandLine, silent: str) -> None:
    adctl.configure(ACCOUNT)
    address = silent.removeprefix("http://")
    began = time.monotonic()
    outcome = adctl(
        "doctor",
        "--json",
        ADCTL_META_BASE_URL=silent,
        ADCTL_HUBSPOT_BASE_URL=silent,
        ADCTL_META_TOKEN=CANARY,
        ADCTL_HUBSPOT_TOKEN=CANARY,
        ADCTL_DATABASE_URL=f"postgresql://u:{CANARY}@{address}/adctl",
    )
    # 4 s of patience beside the start of the process, which can take long where others use the machine.
    assert time.monotonic() - began < 60
    assert outcome.code == 2
    found = lines(outcome)
    assert {found[name][0] for name in ("database", "main: Meta", "main: HubSpot")} == {"CRIT"}
    assert found["main: configuration"] == ("WARN", "no cap on raises: nothing is ever sent")
    assert CANARY not in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("module", "seconds", "grade", "told"),
    [
        ("import time\ntime.sleep(1000)\n", 600, "WARN", "was not made within 3 s"),
        ("import time\ntime.sleep(1000)\n", 1, "CRIT", "was not made within 1 s"),
        ("import nowhere\n", 600, "CRIT", "cannot be imported: No module named 'nowhere'"),
    ],
    ids=["hangs", "hangs longer than a run waits", "lacks a module"],
)
def test_doctor_says_of_a_policy_of_ones_own_what_keeps_it_from_being_made(
    adctl: CommandLine, module: str, seconds: int, grade: str, told: str
) -> None:
    (adctl.folder / "own_policies.py").write_text(module)
    adctl.configure(f'{ACCOUNT}policy = "own_policies:Policy"\npolicy_seconds = {seconds}\n')

    outcome = adctl("doctor", "--json", PYTHONPATH=str(adctl.folder))

    found = lines(outcome)
    assert (outcome.code, found["main: policy"][0]) == (2, grade)
    assert told in found["main: policy"][1]
    assert found["main: configuration"] == ("WARN", "no cap on raises: nothing is ever sent")


def test_doctor_looks_at_the_models_that_decide_too(adctl: CommandLine) -> None:
    module = adctl.folder / "my_policies.py"
    module.write_text(python_of_the_readme("my_policies.py"))
    adctl.configure(ACCOUNT)
    adctl.environment["PYTHONPATH"] = str(adctl.folder)
    registered = adctl("models", "register", "--policy", "my_policies:CheapClicks", "--name", "mine")
    assert registered.code == 0, registered
    well = lines(adctl("doctor", "--json"))
    module.write_text("import nowhere\n")
    found = lines(adctl("doctor", "--json"))
    assert well["main: challenger mine"] == ("OK", "my_policies:CheapClicks")
    assert found["main: challenger mine"][0] == "CRIT"
    assert "No module named 'nowhere'" in found["main: challenger mine"][1]


def test_doctor_with_an_unreachable_database_still_checks_the_rest(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    outcome = adctl("doctor", "--json", ADCTL_DATABASE_URL="postgresql://u@127.0.0.1:1/adctl")
    found = lines(outcome)
    assert outcome.code == 2
    assert found["database"][0] == "CRIT"
    assert "Connection refused" in found["database"][1]
    assert found["main: meta_token"] == ("CRIT", "not set")
    assert found["configuration"][0] == "OK"


def test_doctor_makes_a_line_of_a_broken_configuration(adctl: CommandLine) -> None:
    adctl.configure("[accounts.main\n")
    outcome = adctl("doctor", "--json")
    assert outcome.code == 2
    assert [grade for grade, _ in lines(outcome).values()] == ["CRIT"]


def test_doctor_makes_a_line_of_an_unknown_account(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    outcome = adctl("doctor", "--json", "--account", "other")
    found = lines(outcome)
    assert outcome.code == 2
    assert found["accounts"] == ("CRIT", "account 'other': not configured")
    assert found["database"][0] == "OK"


def test_doctor_does_not_make_an_embedded_server(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path, environment={"ADCTL_DATA_DIR": str(tmp_path / "data")})
    adctl.configure(ACCOUNT)
    found = lines(adctl("doctor", "--json"))
    assert found["embedded server"][0] == "CRIT"
    assert not (tmp_path / "data").exists()


def test_doctor_warns_of_a_settings_file_that_others_may_write(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    (adctl.folder / "adctl.toml").chmod(0o666)
    assert lines(adctl("doctor", "--json"))["permissions"] == ("WARN", "others may write adctl.toml")


@pytest.mark.parametrize(
    ("url", "grade"),
    [
        ("postgresql://u@/adctl?host=%2Frun%2Fpg", Grade.OK),
        ("postgresql://u@127.0.0.1/adctl", Grade.OK),
        ("postgresql+psycopg://u@localhost:5433/adctl", Grade.OK),
        ("postgresql://u@db.example.org/adctl?sslmode=verify-full", Grade.OK),
        ("postgresql://u@db.example.org/adctl", Grade.CRIT),
        ("postgresql://u@db.example.org/adctl?sslmode=require", Grade.CRIT),
        ("postgresql://u@10.0.0.7/adctl?sslmode=verify-ca", Grade.CRIT),
        ("postgresql://u@/adctl?host=localhost,db.example.org", Grade.CRIT),
    ],
)
def test_a_database_elsewhere_must_prove_its_name(url: str, grade: Grade) -> None:
    assert transport(url, {}).grade is grade


def test_the_environment_may_ask_for_verification() -> None:
    assert transport("postgresql://u@db.example.org/adctl", {"PGSSLMODE": "verify-full"}).grade is Grade.OK


def test_status_without_a_database_is_69_in_one_sentence(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    outcome = adctl("status", ADCTL_DATABASE_URL="postgresql://u@127.0.0.1:1/adctl")
    assert (outcome.code, outcome.out) == (69, "")
    assert outcome.err.count("\n") == 1
    assert "Connection refused" in outcome.err


def test_status_of_an_unknown_account_or_with_a_broken_file_is_78(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    unknown = adctl("status", "--account", "other")
    assert (unknown.code, unknown.err) == (78, "adctl: error: account 'other': not configured (known: main)\n")
    adctl.configure("[accounts.main\n")
    broken = adctl("status")
    assert broken.code == 78
    assert broken.err.count("\n") == 1


def test_init_writes_a_private_file_that_loads_and_never_replaces_one(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    first = adctl("init")
    file = tmp_path / "adctl.toml"
    written = file.read_text()
    second = adctl("init")
    assert first.code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(written) == {}
    assert "#cap_increase_per_24h" in written
    assert adctl("config").code == 0
    assert second.code == 2
    assert second.err == "adctl: error: adctl.toml is there already (move it away, or name another file)\n"
    assert file.read_text() == written
    assert os.listdir(tmp_path) == ["adctl.toml"]


def test_init_works_beside_a_broken_file_and_follows_no_link(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path)
    adctl.configure("[broken")
    (tmp_path / "link.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert adctl("init", "new.toml").code == 0
    assert adctl("init", "link.toml").code == 2
    assert not (tmp_path / "elsewhere.toml").exists()
    missing = adctl("init", "nowhere/adctl.toml")
    assert missing.code == 2
    assert "No such file or directory" in missing.err


def test_config_names_every_origin_and_shows_no_secret(adctl: CommandLine) -> None:
    adctl.configure(ACCOUNT)
    adctl.environment["ADCTL_META_TOKEN"] = CANARY
    adctl.environment["ADCTL_DATABASE_URL"] = f"postgresql://u:{CANARY}@db.example.org/adctl?sslmode=require"
    plain, document = adctl("config"), adctl("config", "--json")
    for outcome in (plain, document):
        assert outcome.code == 0
        assert CANARY not in outcome.out + outcome.err
    tables = document.document["tables"]
    assert isinstance(tables, dict)
    found = {row["key"]: (row["value"], row["origin"]) for row in tables["settings"]}
    assert found["meta_token"] == ("***", "ADCTL_META_TOKEN")
    assert found["database_url"][0] == "postgresql://u:***@db.example.org/adctl?sslmode=require"
    assert found["accounts.main.currency"] == ("USD", "adctl.toml")
    assert found["http.connect_seconds"] == ("5", "default")


def test_the_embedded_server_starts_serves_and_stops_by_command(tmp_path: Path) -> None:
    adctl = CommandLine(folder=tmp_path, environment={"ADCTL_DATA_DIR": str(tmp_path / "data")})
    assert adctl("db", "url").code == 69
    started = adctl("db", "start", "--json").document["facts"]
    url = adctl("db", "url")
    asked = adctl("db", "psql", "--", "-Atc", "select current_database()")
    refused = adctl("db", "psql", "--", "-c", "selec")
    gone = adctl("db", "psql", "--", "-c", "select 1", "--dbname", "nowhere")
    stopped = adctl("db", "stop")
    at_rest = adctl("db", "status", "--json").document["facts"]
    assert isinstance(started, dict)
    assert started["running"] is True
    assert started["keeps_running"] is True
    assert (url.code, url.err) == (0, "")
    assert url.out.startswith("postgresql://adctl@/adctl?host=")
    assert (asked.code, asked.out) == (0, "adctl\n")
    assert refused.code == 1
    assert gone.code == 2
    assert stopped.code == 0
    assert "stopped" in stopped.out
    assert isinstance(at_rest, dict)
    assert at_rest["running"] is False


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ("0", "It stops as soon as the last command using it ends.\n"),
        (
            "600",
            "It stops 600 s (db_keep_alive) after the last command using it ends.\n",
        ),
    ],
)
def test_a_server_in_use_is_said_to_stop_when_it_will(tmp_path: Path, seconds: str, said: str) -> None:
    data = tmp_path / "data"
    adctl = CommandLine(folder=tmp_path, environment={"ADCTL_DATA_DIR": str(data), "ADCTL_DB_KEEP_ALIVE": seconds})
    with EmbeddedServer(data).attach():
        assert said in adctl("db", "stop").out


def test_a_configured_database_leaves_the_embedded_server_alone(adctl: CommandLine) -> None:
    for command in ("start", "stop"):
        outcome = adctl("db", command)
        assert outcome.code == 78
        assert "the embedded server is not used" in outcome.err
    assert "is not used" in adctl("db", "status").out
    assert adctl("db", "psql", "--", "-Atc", "select 1").out == "1\n"
    assert not (adctl.folder / "data").exists()


def test_the_url_is_printed_without_its_password_unless_asked(adctl: CommandLine) -> None:
    adctl.environment["ADCTL_DATABASE_URL"] = f"postgresql://u:{CANARY}@db.example.org/adctl"
    masked = adctl("db", "url")
    whole = adctl("db", "url", "--show-password")
    assert masked.out == "postgresql://u:***@db.example.org/adctl\n"
    assert "--show-password" in masked.err
    assert whole.out == f"postgresql://u:{CANARY}@db.example.org/adctl\n"


def test_psql_has_the_password_in_no_argument_list(adctl: CommandLine, silent: str) -> None:
    address = silent.removeprefix("http://")
    adctl.environment["ADCTL_DATABASE_URL"] = f"postgresql://u:{CANARY}@{address}/adctl?connect_timeout=20"
    process = adctl.start("db", "psql")
    child = child_of(process.pid)
    arguments = (child / "cmdline").read_bytes()
    variables = (child / "environ").read_bytes()
    assert ended(process, signal.SIGTERM) == 128 + signal.SIGTERM
    assert b"psql\0" in arguments
    assert CANARY.encode() not in arguments
    assert f"PGPASSWORD={CANARY}".encode() in variables


def child_of(pid: int) -> Path:
    """The process that `pid` has started, once it is another program."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"--dbname" in Path(f"/proc/{word}/cmdline").read_bytes():
                return Path("/proc") / word
        time.sleep(0.02)
    pytest.fail("psql was not started")
