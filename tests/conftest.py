"""Real parts for every test: a PostgreSQL of its own, migrated databases, the command line as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, make_url

from adctl.adapters import migrations
from adctl.adapters.db import open_engine
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.errors import AdctlError
from tests.warm import ROOT, bare_environment, warm_interpreter

# The same examples on every machine, and no test fails for being slow on a busy one.
hypothesis.settings.register_profile(
    "adctl", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("adctl")

_SHARED = Path(os.environ.get("ADCTL_SHARED", ROOT.parent / "shared" / "data"))
Write = Callable[[str], str]
_numbers = count(1)
_not_run: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on the shared data sets cannot run without them; they are left out by name, never silently."""
    if _SHARED.is_dir():
        return
    needing = [item for item in items if "shared_data" in getattr(item, "fixturenames", ())]
    _not_run.extend(item.nodeid for item in needing)
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of several tells the process that reports what it left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_run"] = _not_run


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Every worker collects the same tests, so that one worker's word is enough."""
    _not_run[:] = getattr(node, "workeroutput", {}).get("not_run", _not_run)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _not_run:
        terminalreporter.write_line(f"not run, for want of the data sets in {_SHARED}: {', '.join(_not_run)}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that are not part of this project."""
    return _SHARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL whose databases the tests may create at will; `admin` is a libpq URL."""

    admin: str

    def url(self, database: str) -> str:
        return make_url(self.admin).set(database=database).render_as_string(hide_password=False)

    def create(self, database: str, template: str = "template0") -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(sql.Identifier(database), sql.Identifier(template))
            )

    def drop(self, database: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """ADCTL_TEST_DATABASE_URL (a role that may create databases), else an embedded server of this block."""
    given = os.environ.get("ADCTL_TEST_DATABASE_URL")
    if given:
        psycopg.connect(given, connect_timeout=5).close()
        yield Server(admin=given)
        return
    with EmbeddedServer(folder).attach() as running:
        server = Server(admin=running.libpq_url("postgres"))
        with psycopg.connect(server.admin, autocommit=True) as connection:
            # Hundreds of databases are made and none outlives the session: only a power cut would tell the difference,
            # and a vacuum that goes round all of them would take more time than the tests.
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set autovacuum = off")
            connection.execute("select pg_reload_conf()")
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of this session."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(serving(tmp_path_factory.mktemp("server")))
        except (AdctlError, psycopg.Error) as error:
            pytest.fail(f"the tests need a PostgreSQL that they may create databases in: {error}", pytrace=False)
        yield running


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """A migrated database that each test gets a copy of; ADCTL_TEST_TEMPLATE names one that is there."""
    return os.environ.get("ADCTL_TEST_TEMPLATE") or make_template(server)


def make_template(server: Server) -> str:
    """Migrates a new database once; copying it is fast."""
    name = f"adctl_template_{os.getpid()}"
    server.create(name)
    engine = open_engine(server.url(name))
    migrations.migrate(engine, migrations.available())
    engine.dispose()
    return name


@pytest.fixture
def database_url(server: Server, template: str) -> str:
    """A migrated, empty database of this test alone."""
    name = f"adctl_test_{os.getpid()}_{next(_numbers)}"
    server.create(name, template)
    return server.url(name)


@pytest.fixture
def empty_database_url(server: Server) -> str:
    """A database without any table."""
    name = f"adctl_test_{os.getpid()}_{next(_numbers)}"
    server.create(name)
    return server.url(name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's database."""
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """The one JSON document on stdout."""
        parsed = json.loads(self.out)
        assert isinstance(parsed, dict)
        return parsed


@dataclass(slots=True, kw_only=True)
class CommandLine:
    """`adctl` as a user runs it: a process with a folder and an environment of its own.

    Only with `fresh` has it an interpreter of its own too, which costs a second of imports.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    fresh: bool = False

    def __call__(self, *arguments: str, stdin: bytes = b"", **variables: str) -> Outcome:
        environment = {**self.variables(), **variables}
        if self.fresh:
            done = subprocess.run(
                [sys.executable, "-m", "adctl", *arguments],
                cwd=self.folder,
                env=environment,
                input=stdin,
                capture_output=True,
                timeout=300,
                check=False,
            )
        else:
            done = warm_interpreter().run(
                arguments, folder=self.folder, environment=environment, stdin=stdin, seconds=300
            )
        return Outcome(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The process, to be watched or killed."""
        return subprocess.Popen(
            [sys.executable, "-m", "adctl", *arguments],
            cwd=self.folder,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def variables(self) -> Mapping[str, str]:
        return {**bare_environment(), "HOME": str(self.folder), **self.environment}

    def configure(self, text: str) -> None:
        """Writes adctl.toml."""
        (self.folder / "adctl.toml").write_text(text)


@pytest.fixture
def adctl(tmp_path: Path, database_url: str) -> CommandLine:
    """The command line with this test's database and no configuration yet."""
    return CommandLine(
        folder=tmp_path,
        environment={"ADCTL_DATABASE_URL": database_url, "ADCTL_DATA_DIR": str(tmp_path / "data")},
    )


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module that can be imported; returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"brought_{tmp_path.name}"
    monkeypatch.delitem(sys.modules, name, raising=False)

    def write(source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write
