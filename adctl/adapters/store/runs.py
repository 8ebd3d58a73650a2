"""The ledger of runs and the watermarks of what was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from adctl.adapters.store.accounts import now
from adctl.adapters.store.partitions import ensure_now
from adctl.domain.ids import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of one command. `alive` says that its lock is held: an unended run without it is lost. The next run of the
    command gives a lost one its end, but no exit code.
    """

    job: str
    run_id: UUID
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    summary: str | None
    alive: bool


_CLOSE_LOST = text(
    """
    update job_runs set ended_at = adctl_now(), summary = 'lost: it never told how it ended; found by run ' || :run_id
    where account = :account and job = :job and ended_at is null
    """
)


def start(connection: Connection, account: Account, job: str, run_id: UUID, *, host: str, pid: int) -> None:
    """Writes down that a run begins. The caller holds the job's lock, so any other run without an end is lost."""
    connection.execute(_CLOSE_LOST, {"account": account, "job": job, "run_id": run_id})
    started = now(connection)
    ensure_now(connection, "job_runs", started.date())
    connection.execute(
        text(
            """
            insert into job_runs (account, run_id, job, started_at, host, pid)
            values (:account, :run_id, :job, :started_at, :host, :pid)
            """
        ),
        {"account": account, "run_id": run_id, "job": job, "started_at": started, "host": host, "pid": pid},
    )


def finish(
    connection: Connection,
    account: Account,
    run_id: UUID,
    *,
    exit_code: int,
    summary: str,
    facts: Mapping[str, object],
) -> None:
    connection.execute(
        text(
            """
            update job_runs
            set ended_at = adctl_now(), exit_code = :exit_code, summary = :summary, facts = cast(:facts as jsonb)
            where account = :account and run_id = :run_id
            """
        ),
        {
            "account": account,
            "run_id": run_id,
            "exit_code": exit_code,
            "summary": summary,
            "facts": json.dumps(facts, default=str),
        },
    )


_LAST = text(
    """
    select distinct on (r.job) r.job, r.run_id, r.started_at, r.ended_at, r.exit_code, r.summary,
      exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.objsubid = 1
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and ((l.classid::bigint << 32) | l.objid::bigint)
            = hashtextextended('adctl.job.' || r.job || '/' || r.account, 0)
      ) as alive
    from job_runs r
    where r.account = :account
    order by r.job, r.started_at desc
    """
)


def last_runs(connection: Connection, account: Account) -> tuple[Run, ...]:
    """The newest run of each job."""
    rows = connection.execute(_LAST, {"account": account})
    return tuple(Run(**row._mapping) for row in rows)


def last_successes(connection: Connection, account: Account) -> dict[str, datetime]:
    """When the newest run that ended with 0 began, by job."""
    rows = connection.execute(
        text(
            """
            select job, max(started_at) as at from job_runs
            where account = :account and exit_code = 0 group by job order by job
            """
        ),
        {"account": account},
    )
    return {row.job: row.at for row in rows}


def watermarks(connection: Connection, account: Account) -> dict[str, datetime]:
    """How far every source has been read that was read at all."""
    rows = connection.execute(
        text("select source, until from sync_watermarks where account = :account order by source"),
        {"account": account},
    )
    return {row.source: row.until for row in rows}


def watermark(connection: Connection, account: Account, source: str) -> datetime | None:
    """How far `source` has been read, None when never: a run under a clock that was ahead proves nothing."""
    value = connection.scalar(
        text(
            """
            select until from sync_watermarks
            where account = :account and source = :source and until <= adctl_now()
            """
        ),
        {"account": account, "source": source},
    )
    assert value is None or isinstance(value, datetime)
    return value


def advance_watermark(connection: Connection, account: Account, source: str, until: datetime) -> None:
    """Moves the watermark forward; it goes back only from where no clock has been yet."""
    connection.execute(
        text(
            """
            insert into sync_watermarks as w (account, source, until, updated_at)
            values (:account, :source, :until, adctl_now())
            on conflict (account, source) do update
              set until = greatest(case when w.until <= adctl_now() then w.until end, excluded.until),
                updated_at = excluded.updated_at
            """
        ),
        {"account": account, "source": source, "until": until},
    )
