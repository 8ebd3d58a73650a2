"""Look at everything a run needs, in a few seconds, and say what to do about each thing that is not right."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Thread

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters import migrations
from adctl.adapters.db import OLDEST_MAJOR, autocommitting, server_version, transaction, translate
from adctl.adapters.store import accounts, models
from adctl.domain.accounts import AccountProfile
from adctl.domain.checks import Check, Grade, crit, ok, refused, warn
from adctl.domain.counted import counted
from adctl.domain.models import Model
from adctl.domain.ports import AdsPlatform, Crm
from adctl.domain.report import Column, Report, Table
from adctl.errors import AdctlError, ConfigurationError

# Beyond the first, log lines of host and database can no longer be put in one order; beyond the second, vendors refuse
# signed messages and certificates may look expired.
_SKEW_WARN, _SKEW_CRIT = 5.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """`look` yields checks one by one; when it stops with an error or hangs, `subject` names what did."""

    subject: str
    look: Callable[[], Iterable[Check]]


def run(probes: Sequence[Probe], *, seconds: float) -> Report:
    """Takes all probes at once and answers after `seconds` at the latest, whatever hangs. Writes nothing."""
    threads = [_Looking(probe) for probe in probes]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return _report([check for thread in threads for check in thread.result(seconds)])


class _Looking(Thread):
    """One probe in a thread of its own, which is left behind when it hangs."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(name=f"doctor: {probe.subject}", daemon=True)
        self._probe = probe
        self._found: list[Check] = []
        self._finished = False

    def run(self) -> None:
        subject = self._probe.subject
        try:
            for check in self._probe.look():
                self._found.append(check)
        except AdctlError as error:
            self._found.append(refused(subject, error))
        except (DBAPIError, psycopg.Error) as error:
            self._found.append(_database_error(subject, error))
        self._finished = True

    def result(self, seconds: float) -> list[Check]:
        found = list(self._found)
        if self.is_alive() and not self._finished:
            slow = f"no answer within {seconds:.0f} s"
            found.append(crit(self._probe.subject, slow, "check the address and the network"))
        elif not self._finished:
            found.append(crit(self._probe.subject, "a bug: see the traceback above", "report it"))
        return found


def _database_error(subject: str, error: DBAPIError | psycopg.Error) -> Check:
    known = translate(error)
    if known is not None:
        return refused(subject, known)
    original = error.orig if isinstance(error, DBAPIError) else error
    return crit(subject, f"database: {str(original).strip().splitlines()[0]}", "see the server's log")


def database(
    engine: Engine, profiles: Sequence[AccountProfile], host_now: Callable[[], datetime], vendors: Sequence[str]
) -> Iterator[Check]:
    """Reached, its version, migrations, clocks, the accounts in it, and a session that is one.

    `vendors` are the base URLs that lead to real vendors.
    """
    with autocommitting(engine) as connection:
        major = server_version(connection)
        if major < OLDEST_MAJOR:
            yield crit("database", f"PostgreSQL {major} is too old", f"use PostgreSQL {OLDEST_MAJOR} or newer")
            return
        yield ok("database", f"PostgreSQL {major} answers")
        yield _clocks(connection, host_now)
        waiting = migrations.status(connection, migrations.available()).pending
        if waiting:
            yield crit("migrations", f"{len(waiting)} pending, from {waiting[0].name} on", "run adctl migrate")
        else:
            yield ok("migrations", "none is pending")
            yield _simulated(connection, vendors)
            yield from (_pinned(connection, profile) for profile in profiles)
        yield _session(engine, connection)


def _clocks(connection: Connection, host_now: Callable[[], datetime]) -> Check:
    before = host_now()
    there = connection.scalar(text("select clock_timestamp()"))
    after = host_now()
    assert isinstance(there, datetime)
    skew = abs((there - before - (after - before) / 2).total_seconds())
    if skew <= _SKEW_WARN:
        return ok("clocks", f"host and database differ by {skew:.1f} s")
    grade = Grade.WARN if skew <= _SKEW_CRIT else Grade.CRIT
    finding = f"host and database differ by {skew:.0f} s"
    return Check(subject="clocks", grade=grade, finding=finding, fix="synchronise both, for example with chrony")


def _simulated(connection: Connection, vendors: Sequence[str]) -> Check:
    if not accounts.is_simulated(connection):
        return ok("clock of this database", "real")
    finding, fix = "simulated: a database of adctl demo or of tests", "use another database for real accounts"
    real = ", ".join(vendors)
    return (
        crit("clock of this database", f"{finding}, yet {real} is real", fix)
        if vendors
        else warn("clock of this database", finding, fix)
    )


def _pinned(connection: Connection, profile: AccountProfile) -> Check:
    subject = f"{profile.account}: in the database"
    try:
        known = accounts.check_pinned(connection, profile)
    except ConfigurationError as error:
        return refused(subject, error)
    return ok(subject, "fits the configuration" if known else "holds no figures yet")


def models_in_force(engine: Engine, profile: AccountProfile) -> Sequence[Model]:
    """The champion and the challengers of the account; none where the database is not ready for it."""
    with transaction(engine, read_only=True) as connection:
        if migrations.status(connection, migrations.available()).pending:
            return ()
        return models.in_force(connection, profile.account)


_LOCK = text("select pid, pg_try_advisory_lock(hashtextextended('adctl.doctor/' || pid, 0)) from pg_backend_pid() pid")
_STILL_MINE = text(
    """
    select exists (
      select from pg_locks l
      where l.locktype = 'advisory' and l.objsubid = 1 and l.pid = pg_backend_pid() and pg_backend_pid() = :pid
        and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('adctl.doctor/' || cast(:pid as int), 0))
    """
)
_UNLOCK = text("select pg_advisory_unlock(hashtextextended('adctl.doctor/' || cast(:pid as int), 0))")


def _session(engine: Engine, connection: Connection) -> Check:
    """Whether two statements of one connection meet the same session: locks live in it."""
    pid = connection.execute(_LOCK).one().pid
    with engine.connect() as other:
        # A pooler gives the session just given back to whoever comes next: this transaction takes it away.
        other.execute(text("select 1"))
        mine = connection.scalar(_STILL_MINE, {"pid": pid})
        connection.execute(_UNLOCK, {"pid": pid})
    if mine:
        return ok("database sessions", "locks last from one statement to the next")
    return crit(
        "database sessions",
        "a proxy gives every transaction another session, so locks protect nothing",
        "connect to PostgreSQL itself, or to a port that pools sessions",
    )


def meta(profile: AccountProfile, platform: AdsPlatform) -> Iterator[Check]:
    """Reached, the token accepted, and the ad account counts money and days as configured."""
    subject = f"{profile.account}: Meta"
    found = platform.account()
    differing = [
        f"{key} is {said} at Meta but {configured} here"
        for key, said, configured in (
            ("currency", found.currency, profile.currency),
            ("timezone", found.timezone, profile.timezone),
        )
        if said != configured
    ]
    if differing:
        yield crit(subject, "; ".join(differing), f"correct accounts.{profile.account} in adctl.toml")
    else:
        yield ok(subject, f"{profile.meta_ad_account} answers: {found.name}, {found.currency}, {found.timezone}")
    yield from _meta_rights(f"{profile.account}: Meta's permissions", platform.permissions())


def _meta_rights(subject: str, granted: frozenset[str]) -> Iterator[Check]:
    """Nothing where Meta does not tell; the right to change ads includes the right to read them."""
    if "ads_management" in granted:
        yield ok(subject, "ads_management")
    elif "ads_read" in granted:
        yield warn(
            subject, "ads_read alone: no change can be sent", "grant the token ads_management on this ad account"
        )
    elif granted:
        told = f"neither ads_read nor ads_management among {', '.join(sorted(granted))}"
        yield crit(subject, told, "grant the token ads_read and ads_management on this ad account")


def hubspot(profile: AccountProfile, crm: Crm) -> Iterator[Check]:
    """Reached and the token accepted, shown by reading the pipelines and one of each thing that a sync reads."""
    stages = crm.stages()
    pipelines = {stage.pipeline for stage in stages}
    told = f"answers: {counted(len(stages), 'stage')} in {counted(len(pipelines), 'pipeline')}"
    yield ok(f"{profile.account}: HubSpot", told)
    crm.try_reading()
    yield ok(f"{profile.account}: HubSpot's scopes", "deals, their contacts and what ties them can be read")


def _report(checks: Sequence[Check]) -> Report:
    counts = Counter(check.grade for check in checks)
    worst = max((check.grade for check in checks), key=lambda grade: grade.exit_code, default=Grade.OK)
    bad = [f"{counts[grade]} {grade}" for grade in (Grade.CRIT, Grade.WARN) if counts[grade]]
    return Report(
        command="doctor",
        summary=f"{worst}: {', '.join(bad) or 'nothing to do'}, of {len(checks)} checks.",
        tables=(
            Table(
                key="checks",
                title="Checks",
                columns=(
                    Column(key="grade", label=""),
                    Column(key="subject", label="what"),
                    Column(key="finding", label="found"),
                    Column(key="fix", label="fix"),
                ),
                rows=tuple(
                    {"grade": c.grade.value, "subject": c.subject, "finding": c.finding, "fix": c.fix} for c in checks
                ),
            ),
        ),
        exit_code=worst.exit_code,
    )
