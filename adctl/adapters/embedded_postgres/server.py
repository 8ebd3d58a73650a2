"""The embedded server as its users see it: attach, start, stop, status, URLs; the last one out turns off the light."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from adctl.adapters.embedded_postgres.binaries import Binaries, find_binaries
from adctl.adapters.embedded_postgres.cluster import START_SECONDS, USER, Cluster, stop_server
from adctl.adapters.embedded_postgres.identity import Identity, choose_identity
from adctl.adapters.embedded_postgres.keeper import keep_for
from adctl.adapters.embedded_postgres.locks import FileLock, exclusive, pids_with_open
from adctl.adapters.embedded_postgres.patience import attempts
from adctl.adapters.embedded_postgres.places import PORT, Places
from adctl.adapters.embedded_postgres.postmaster import clear_traces, is_ready, live_pid
from adctl.errors import UnavailableError

# Longer than a start or a stop may take, so that whoever waits for one sees its end.
_LOCK_SECONDS = START_SECONDS + 10
# What a start meets beside another one that was orphaned, or beside backends that have not yet noticed a crash.
_PASSES = ("shared memory", "lock file", "bind Unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What `adctl db status` shows; `users` are the processes attached, as far as this user may see them."""

    running: bool
    version: str
    source: str
    data_directory: Path
    socket_directory: Path
    pid: int | None
    users: tuple[int, ...]
    keeps_running: bool


class EmbeddedServer:
    """One server per data directory, shared by every process that attaches; its files live in `data_dir/postgres`."""

    def __init__(self, data_dir: Path, *, keep_alive: float = 0.0, binaries: Binaries | None = None) -> None:
        """`keep_alive`: seconds the server stays after its last user left. Binaries are found when first needed."""
        self._places = Places.below(data_dir)
        self._keep_alive = keep_alive
        self._binaries = binaries

    @contextmanager
    def attach(self) -> Iterator[EmbeddedServer]:
        """A running server for the block; at its end, or some time after the process was killed, the last one stops it.

        Raises UnavailableError when it does not start in time, ConfigurationError when it cannot.
        """
        self._places.make_home()
        users = FileLock(self._places.users_lock)
        try:
            users.wait_shared(_LOCK_SECONDS)
            self.ensure_running()
            try:
                yield self
            finally:
                self._leave(users)
        finally:
            users.close()

    def ensure_running(self) -> None:
        """Start the server if it died since; for attached processes, before each connect."""
        if is_ready(self._places.data, self._places.socket_file):
            return
        with exclusive(self._places.start_lock, _LOCK_SECONDS) as lock:
            if not is_ready(self._places.data, self._places.socket_file):
                self._start(lock)

    def start(self) -> None:
        """Start the server and let it run, whoever comes and goes, until `stop`."""
        self._places.make_home()
        wanted_before = self._places.keep_running.exists()
        self._places.keep_running.touch()
        try:
            with self.attach():
                pass
        # Also on Ctrl-C: a wish to keep running must not outlive a start that did not come about. Raised again.
        except BaseException:
            if not wanted_before:
                self._places.keep_running.unlink(missing_ok=True)
            raise

    def stop(self) -> bool:
        """Stop it now, or (answer False) as processes that are attached leave it: at once or after `keep_alive`."""
        self._places.make_home()
        self._places.keep_running.unlink(missing_ok=True)
        users = FileLock(self._places.users_lock)
        try:
            if not users.try_exclusive():
                return False
            if not self._stop():
                raise UnavailableError(
                    f"the server over {self._places.data} does not end", fix=f"see {self._places.log}"
                )
            return True
        finally:
            users.close()

    def status(self) -> ServerStatus:
        """Reads only: starts nothing, takes no lock.

        Raises ConfigurationError without binaries, or over another user's files.
        """
        places, binaries = self._places, self._programs()
        places.refuse_foreign()
        return ServerStatus(
            running=is_ready(places.data, places.socket_file),
            version=binaries.version,
            source=binaries.source,
            data_directory=places.data,
            socket_directory=places.socket_directory,
            pid=live_pid(places.data),
            users=pids_with_open(places.users_lock),
            keeps_running=places.keep_running.exists(),
        )

    def url(self, database: str = "adctl") -> str:
        """A SQLAlchemy URL (psycopg, unix socket); makes the database if missing, so the server must be running."""
        self._ensure_database(database)
        return self._url("postgresql+psycopg", database)

    def libpq_url(self, database: str = "adctl") -> str:
        """The same for psql and psycopg."""
        self._ensure_database(database)
        return self._url("postgresql", database)

    @property
    def psql_path(self) -> Path:
        """Run it as a child while attached: a program that replaces this process would not hold the server."""
        return self._programs().program("psql")

    def _url(self, scheme: str, database: str) -> str:
        host = quote(str(self._places.socket_directory), safe="")
        return f"{scheme}://{USER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def _programs(self) -> Binaries:
        if self._binaries is None:
            self._binaries = find_binaries()
        return self._binaries

    def _ensure_database(self, database: str) -> None:
        try:
            with psycopg.connect(self._url("postgresql", "postgres"), autocommit=True) as connection:
                found = connection.execute("select 1 from pg_catalog.pg_database where datname = %s", [database])
                if found.fetchone() is None:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process was a moment faster
        except psycopg.OperationalError as error:
            raise UnavailableError(f"the embedded server: {error}", fix="run `adctl db start`") from error

    def _start(self, lock: FileLock) -> None:
        places, complaint = self._places, "no answer"
        cluster = self._cluster()
        for _ in attempts(START_SECONDS):
            if is_ready(places.data, places.socket_file):
                return
            if live_pid(places.data) is not None:
                complaint = "the server's process does not answer"
                continue
            cluster.prepare(lock)
            clear_traces(places.data, places.socket_file)
            complaint = cluster.start() or "started, but no answer"
            if "FATAL" in complaint and not any(word in complaint for word in _PASSES):
                break
        raise UnavailableError(f"the embedded server does not start: {complaint}", fix=f"see {places.log}")

    def _cluster(self) -> Cluster:
        places, binaries = self._places, self._programs()
        identity = choose_identity(places.home, places.data)
        return Cluster(places=places, binaries=self._runnable(binaries, identity), identity=identity)

    def _runnable(self, binaries: Binaries, identity: Identity) -> Binaries:
        """Programs the server's user can reach: a virtual environment may lie below a closed directory."""
        if identity.can_run(binaries.program("postgres")):
            return binaries
        copy = self._places.home / f"binaries-{binaries.version}"
        for outdated in set(self._places.home.glob("binaries-*")) - {copy}:
            shutil.rmtree(outdated)
        return binaries.copy_to(copy)

    def _leave(self, users: FileLock) -> None:
        """Whoever can have the lock alone is the last; everyone who comes now waits until it is decided."""
        if not users.try_exclusive() or self._places.keep_running.exists():
            return
        if self._keep_alive > 0:
            keep_for(self._places, self._keep_alive)
        else:
            self._stop()

    def _stop(self) -> bool:
        with exclusive(self._places.start_lock, _LOCK_SECONDS):
            return stop_server(self._places.data)
