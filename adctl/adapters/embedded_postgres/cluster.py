"""The data directory: made whole or not at all, configured, started, stopped; every call is made under start.lock."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from adctl.adapters.embedded_postgres.binaries import ENVIRONMENT, Binaries
from adctl.adapters.embedded_postgres.identity import Identity
from adctl.adapters.embedded_postgres.locks import FileLock
from adctl.adapters.embedded_postgres.patience import attempts
from adctl.adapters.embedded_postgres.places import PORT, Places
from adctl.adapters.embedded_postgres.postmaster import live_pid, serves
from adctl.errors import ConfigurationError, UnavailableError

USER = "adctl"
# Crash recovery after a long run may take this long.
START_SECONDS = 100
_STOP_SECONDS = 100
_LONGEST_LOG = 1_000_000
_FIRST_BUILTIN_LOCALE = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One data directory with the programs and the user that serve it."""

    places: Places
    binaries: Binaries
    identity: Identity

    def prepare(self, lock: FileLock) -> None:
        """Make everything a start needs; idempotent, and whole again after a kill at any point."""
        self._give_home_to_server()
        if not (self.places.data / "PG_VERSION").exists():
            self._initialise(lock)
        self._refuse_other_major()
        self._make_socket_directory()
        self._write_settings()

    def start(self) -> str:
        """One try; "" when the server is ready, otherwise the server's own words."""
        log = self.places.log
        if log.exists() and log.stat().st_size > _LONGEST_LOG:
            log.replace(log.with_name("server.log.1"))
        already = log.stat().st_size if log.exists() else 0
        command = ["start", "-s", "-w", "-t", str(START_SECONDS), "-D", str(self.places.data), "-l", str(log)]
        # An inherited stream would keep `adctl … | cat` waiting for the server's end.
        answer = subprocess.run(
            [*self.identity.prefix, str(self.binaries.program("pg_ctl")), *command],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
        return "" if answer.returncode == 0 else _last_complaint(log, already)

    def _give_home_to_server(self) -> None:
        """Only root gets here with something to do: a new home, or one that was last served by another user."""
        home, identity = self.places.home, self.identity
        if home.stat().st_uid == identity.uid:
            return
        # The home itself comes last: its owner says that the work is done.
        for parent, _, files in os.walk(home, topdown=False):
            for path in [parent, *(os.path.join(parent, name) for name in files)]:
                os.chown(path, identity.uid, identity.gid, follow_symlinks=False)

    def _initialise(self, lock: FileLock) -> None:
        fresh = self.places.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        # initdb holds the lock as well: should we be killed, nobody starts a second one beside it.
        answer = subprocess.run(
            [*self.identity.prefix, str(self.binaries.program("initdb")), "-D", str(fresh), *self._initdb_options()],
            env=ENVIRONMENT,
            cwd="/",
            pass_fds=(lock.descriptor,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if answer.returncode != 0:
            raise UnavailableError(
                f"initdb failed: {_one_line(answer.stderr)}", fix=f"free space and rights of {fresh}?"
            )
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("\ninclude = 'adctl.conf'\n")
            os.fsync(file.fileno())
        self._move_into_place(fresh)

    def _initdb_options(self) -> list[str]:
        options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
        if self.binaries.major >= _FIRST_BUILTIN_LOCALE:
            # lower() then knows more than ASCII, on every machine alike.
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return options

    def _move_into_place(self, fresh: Path) -> None:
        try:
            fresh.rename(self.places.data)
        except OSError as error:
            raise ConfigurationError(
                f"{self.places.data} exists and is no PostgreSQL data directory", fix="move it away"
            ) from error
        directory = os.open(self.places.home, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _refuse_other_major(self) -> None:
        data, home = self.places.data, self.places.home
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != str(self.binaries.major):
            raise ConfigurationError(
                f"{data} was made by PostgreSQL {made_by}, and {self.binaries.source} is {self.binaries.version}",
                fix=f"with PostgreSQL {made_by}: `pg_ctl -D {data} start; "
                f"pg_dumpall -U {USER} -h {self.places.socket_directory} > all.sql; pg_ctl -D {data} stop`; then "
                f"`mv {data} {home}/data.{made_by}; adctl db start; adctl db psql -- -f all.sql`",
            )

    def _make_socket_directory(self) -> None:
        directory, identity = self.places.socket_directory, self.identity
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.lstat().st_uid == os.geteuid() != identity.uid:
            os.chown(directory, identity.uid, identity.gid, follow_symlinks=False)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != identity.uid or stat.S_IMODE(found.st_mode) != 0o700:
            raise ConfigurationError(
                f"{directory}: not a directory of mode 0700 owned by uid {identity.uid}", fix="remove it"
            )

    def _write_settings(self) -> None:
        """Written before every start: the directory may have moved, and a new adctl may want other settings."""
        target = self.places.data / "adctl.conf"
        directory = str(self.places.socket_directory).replace("'", "''")
        text = _SETTINGS + f"unix_socket_directories = '\"{directory}\"'\n"
        if target.exists() and target.read_text() == text:
            return
        fresh = target.with_name("adctl.conf.new")
        with fresh.open("w") as file:
            file.write(text)
            os.fsync(file.fileno())
        fresh.chmod(0o600)
        if os.geteuid() != self.identity.uid:
            os.chown(fresh, self.identity.uid, self.identity.gid)
        fresh.replace(target)


_SETTINGS = f"""# Written by adctl before every start.
listen_addresses = ''
port = {PORT}
unix_socket_permissions = 0700
max_connections = 40
shared_buffers = 128MB
jit = off
# Handing every read over to a process of its own costs a fifth of what a decision reads; the kernel reads ahead.
effective_io_concurrency = 0
fsync = on
idle_in_transaction_session_timeout = '5min'
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""


def stop_server(data: Path) -> bool:
    """Fast shutdown (what `pg_ctl stop -m fast` sends); False when the server is still there after the limit."""
    pid = live_pid(data)
    if pid is None:
        return True
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return True
    return any(not serves(pid, data) for _ in attempts(_STOP_SECONDS))


def _last_complaint(log: Path, already: int) -> str:
    if not log.exists():
        return f"pg_ctl could not write {log}"
    with log.open("rb") as file:
        file.seek(already)
        written = file.read().decode(errors="replace")
    complaints = [line for line in written.splitlines() if "FATAL" in line or "PANIC" in line]
    return _one_line(complaints[-1] if complaints else written[-300:]) or "the server ended without a word"


def _one_line(text: str) -> str:
    return " ".join(text.split())
