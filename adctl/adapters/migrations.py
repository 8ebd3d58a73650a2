"""Ordered, forward-only migrations from sql/, with a ledger of checksums."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, text

from adctl.adapters.db import driver, refuse_old_server
from adctl.errors import BusyError, ConfigurationError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    version: int
    name: str
    sql: str
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """`applied` and `pending` are file names in order."""

    applied: tuple[str, ...]
    pending: tuple[Migration, ...]


def folder() -> Path:
    """Where the files are: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("adctl")))
    for candidate in (package / "sql", package.parent / "sql"):
        if candidate.is_dir():
            return candidate
    raise ConfigurationError("the migration files are missing from this installation", fix="install adctl again")


def available(directory: Path | None = None) -> tuple[Migration, ...]:
    """The files in order. Raises ConfigurationError when a name or the numbering is off."""
    found = []
    for path in sorted((directory or folder()).glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if not match:
            raise ConfigurationError(f"sql/{path.name}: not named like 0001_what_it_does.sql", fix="rename it")
        content = path.read_bytes()
        found.append(
            Migration(
                version=int(match[1]),
                name=path.name,
                sql=content.decode(),
                checksum=hashlib.sha256(content).hexdigest(),
            )
        )
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        raise ConfigurationError("sql/: the numbers do not run 0001, 0002, … without gap or repeat", fix="renumber")
    return tuple(found)


def status(connection: Connection, files: tuple[Migration, ...]) -> MigrationStatus:
    """What is applied and what waits.

    Raises ConfigurationError when an applied file was edited or removed, or the database is ahead of this adctl.
    """
    ledger = _ledger(connection)
    by_version = {m.version: m for m in files}
    for version, name, checksum in ledger:
        known = by_version.get(version)
        if known is None:
            raise ConfigurationError(
                f"the database has {name}, which this adctl does not know", fix="install the newer adctl"
            )
        if known.checksum != checksum:
            raise ConfigurationError(
                f"sql/{known.name} was edited after it was applied", fix="restore it and write a new migration"
            )
    done = {version for version, _, _ in ledger}
    return MigrationStatus(
        applied=tuple(name for _, name, _ in ledger),
        pending=tuple(m for m in files if m.version not in done),
    )


def refuse_when_pending(connection: Connection) -> None:
    """Raises ConfigurationError while migrations wait: no command runs on a schema it was not written for."""
    waiting = status(connection, available()).pending
    if waiting:
        names = ", ".join(m.name for m in waiting)
        raise ConfigurationError(f"migrations are pending: {names}", fix="run adctl migrate")


def migrate(engine: Engine, files: tuple[Migration, ...]) -> tuple[str, ...]:
    """Applies what waits, one transaction a file, under a lock; returns the names applied by this call.

    Raises BusyError when the lock cannot be had within a minute, ConfigurationError naming a file that fails.
    """
    with engine.connect() as connection, _lock(connection):
        refuse_old_server(connection)
        _create_ledger(connection)
        waiting = status(connection, files).pending
        connection.commit()
        for migration in waiting:
            _apply(connection, migration)
        return tuple(m.name for m in waiting)


def _apply(connection: Connection, migration: Migration) -> None:
    # On the raw connection: SQLAlchemy would read `:name` and `%` in the file.
    raw = driver(connection)
    try:
        raw.execute(migration.sql.encode())
        raw.execute(
            "insert into schema_migrations (version, name, checksum) values (%s, %s, %s)",
            (migration.version, migration.name, migration.checksum),
        )
        raw.commit()
    except psycopg.Error as error:
        raw.rollback()
        if isinstance(error, psycopg.OperationalError):
            raise
        first = str(error).strip().splitlines()[0]
        raise ConfigurationError(f"sql/{migration.name}: {first}", fix="nothing of this file was applied") from error


@contextmanager
def _lock(connection: Connection) -> Iterator[None]:
    # Polled: a blocking lock request deadlocks with statements that wait for older snapshots.
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while not connection.scalar(text("select pg_try_advisory_lock(hashtextextended('adctl.migrations', 0))")):
        connection.commit()
        if time.monotonic() > deadline:
            raise BusyError(
                "another migration or a running job holds the lock",
                fix="try again when it has ended",
            )
        time.sleep(0.05)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("select pg_advisory_unlock(hashtextextended('adctl.migrations', 0))"))
        connection.commit()


def _create_ledger(connection: Connection) -> None:
    connection.execute(
        text(
            """
            create table if not exists schema_migrations (
              version integer primary key,
              name text not null,
              checksum text not null,
              applied_at timestamptz not null default clock_timestamp()
            )
            """
        )
    )


def _ledger(connection: Connection) -> list[tuple[int, str, str]]:
    if connection.scalar(text("select to_regclass('schema_migrations')")) is None:
        return []
    rows = connection.execute(text("select version, name, checksum from schema_migrations order by version"))
    return [(row.version, row.name, row.checksum) for row in rows]
