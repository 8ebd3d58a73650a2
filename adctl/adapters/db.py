"""PostgreSQL connections: short-lived, bounded by timeouts, with the locks that keep runs apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from adctl.errors import AdctlError, BusyError, ConfigurationError, DeniedError, InvariantError, UnavailableError

OLDEST_MAJOR = 15
# A host that is gone says nothing: without these a run would wait two hours for it. Seconds, the last in milliseconds.
_GIVE_UP = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# SQLSTATEs of a session that the server ended because its transaction stood still, as a frozen process lets it.
_ENDED = ("25P03", "25P04")
# SQLSTATEs of authentication and privileges.
_DENIED = ("28000", "28P01", "42501")
_REFUSED = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")
# SQLSTATEs that the triggers of sql/ raise, which name no constraint.
_INVARIANT = ("23001", "23514")
_SESSION = (
    "-c TimeZone=UTC -c statement_timeout=600s -c lock_timeout=30s -c idle_in_transaction_session_timeout=60s "
    "-c client_min_messages=warning"
)


def open_engine(url: str) -> Engine:
    """An engine without a pool: a cron process uses few connections and none twice.

    Raises ConfigurationError for a URL that is no PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "database_url: not a database URL", fix="write postgresql://user@host:5432/name"
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"database_url: {parsed.get_backend_name()} is not PostgreSQL", fix="write postgresql://user@host:5432/name"
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        # An error would quote a statement's values, and so would the traceback of a bug.
        hide_parameters=True,
        connect_args={**_GIVE_UP, "application_name": "adctl", "options": _SESSION},
    )


def translate(error: DBAPIError | psycopg.Error) -> AdctlError | None:
    """The error a person can act on, or None when it is a bug."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg.Error):
        return None
    state, words = original.sqlstate or "", str(original).strip().splitlines()
    first = words[0] if words else type(original).__name__
    # A connection that was never made has no SQLSTATE, only words.
    if state in _DENIED or any(word in first for word in _REFUSED) or ("role" in first and "not exist" in first):
        return DeniedError(f"database: {first}", fix="check the role and its rights in the database URL")
    if state in _INVARIANT and original.diag.constraint_name is None:
        return InvariantError(f"database: {first}", fix="nothing was written; run adctl audit verify and report this")
    if state == "3D000" or ("does not exist" in first and "database" in first):
        return ConfigurationError(f"database: {first}", fix="create it or correct ADCTL_DATABASE_URL")
    if isinstance(original, psycopg.OperationalError) or state.startswith(("08", "57P")) or state in _ENDED:
        return UnavailableError(f"database: {first}", fix="check ADCTL_DATABASE_URL and that the server runs")
    return None


@contextmanager
def transaction(engine: Engine, *, read_only: bool = False, snapshot: bool = False) -> Iterator[Connection]:
    """One transaction; a read-only one makes PostgreSQL itself refuse a forgotten write. With `snapshot` all its
    statements see the database as it was at the first one.
    """
    with engine.begin() as connection:
        if snapshot:
            connection.execute(text("set transaction isolation level repeatable read"))
        if read_only:
            connection.execute(text("set transaction read only"))
        yield connection


def autocommitting(engine: Engine) -> Connection:
    """A connection that commits each statement as it ends, in one round trip; `bound` makes one of several."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def bound(connection: Connection) -> Iterator[None]:
    """One transaction of the statements of an autocommitting connection."""
    with connection.begin(), driver(connection).transaction():
        yield


def driver(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection below, for COPY, inside the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


@contextmanager
def job_lock(engine: Engine, job: str, account: str) -> Iterator[None]:
    """Keeps a second run of the same job and account out, across hosts; freed by PostgreSQL when this process dies.

    Raises BusyError when another run holds it, or while a migration runs.
    """
    with autocommitting(engine) as connection:
        if not connection.scalar(text("select pg_try_advisory_lock_shared(hashtextextended('adctl.migrations', 0))")):
            raise BusyError("a migration is running", fix="try again when it has ended")
        key = {"name": f"adctl.job.{job}/{account}"}
        if not connection.scalar(text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), key):
            raise BusyError(f"{job} of account {account!r} is already running", fix="try again when it has ended")
        yield


def server_version(connection: Connection) -> int:
    """The server's major version."""
    return int(connection.scalar(text("select current_setting('server_version_num')::int")) or 0) // 10000


def refuse_old_server(connection: Connection) -> None:
    """Raises ConfigurationError when the server is older than adctl's SQL."""
    major = server_version(connection)
    if major < OLDEST_MAJOR:
        raise ConfigurationError(
            f"database: PostgreSQL {major} is too old", fix=f"use PostgreSQL {OLDEST_MAJOR} or newer"
        )
