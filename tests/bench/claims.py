"""Measures the queue against procrastinate and pgqueuer: jobs that do nothing, claimed and finished, on one PostgreSQL.

`python -m tests.bench.claims [--seconds 2] [--workers 1 4 8] [--history 1000000] [--rounds 5]` with the extra `bench`.
Each time with 10,000 pending jobs, on a disk that has come to rest, as many processes as there are workers claim and
finish by each library's own calls for so many seconds, or until no job is left. adctl writes two links of its audit for
each job. A host's speed wanders more than what is compared differs: so each round measures what is compared one right
after the other, every second round the other way round, and a ratio is the median of the rounds' own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import procrastinate
import psycopg
from pgqueuer.db import PsycopgDriver
from pgqueuer.queries import EntrypointExecutionParameter, Queries
from procrastinate.jobs import Job, Status
from sqlalchemy import text

from adctl.adapters import migrations
from adctl.adapters.db import autocommitting, open_engine, transaction
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.adapters.store import accounts, attempts, changes
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import State
from adctl.domain.ids import Account
from tests.adapters.store.driver import LIMITS
from tests.conftest import Server

PENDING = 10_000
ACCOUNT = Account("main")
_BATCH = 50
# What all import is imported once: for eight workers it takes longer than what is measured.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["procrastinate", "pgqueuer.queries", "tests.adapters.store.driver"])
_PENDING = """
    insert into pending_ad_changes (account, change_id, decision_id, run_id, entity_kind, entity_id, campaign_id,
      ad_set_id, field, expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, created_at,
      state, observed_budget, updated_at)
    select 'main', id, id, id, 'ad_set', :prefix || n, 'c' || n % 400,
      :prefix || n, 'daily_budget', 10000, 11000, 'a benchmark', 0, adctl_now(), adctl_now() + interval '1 day',
      adctl_now(), :state, case when :state = 'completed' then 11000 end, adctl_now()
    from (select n, gen_random_uuid() as id from generate_series(1, :count) n) ids
"""
# Four links of the audit to each finished change, as execute leaves them; their hashes are not what is measured.
_HISTORY = """
    insert into ad_change_history
    select account, row_number() over (), updated_at, change_id, 'pending', s.state, 'execute', entity_kind, entity_id,
      field, '10000', '11000', '11000', 1, 'a benchmark wants it', sha256(change_id::text::bytea),
      sha256(entity_id::bytea)
    from pending_ad_changes, unnest(array['pending', 'claimed', 'executing', 'completed']) as s (state)
"""
_HEAD = """
    insert into audit_heads select account, seq, hash from ad_change_history order by seq desc limit 1
"""
_FINISH = """
    update pending_ad_changes
    set state = 'completed', state_reason = 'was there already', observed_budget = target_budget,
      updated_at = (select adctl_now())
    where account = 'main' and change_id = any (%s)
    returning pg_advisory_unlock(entity_lock_key(account, entity_kind, entity_id))
"""


def prepare_adctl(url: str, history: int) -> None:
    """A migrated database with its backlog, beside `history` finished changes."""
    engine = open_engine(url)
    migrations.migrate(engine, migrations.available())
    profile = AccountProfile(
        account=ACCOUNT, meta_ad_account="act_1", hubspot_portal="", currency="USD", timezone="UTC"
    )
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        attempts.sync_limits(connection, ACCOUNT, LIMITS)
        connection.execute(text("set local session_replication_role = replica"))
        if history:
            connection.execute(text(_PENDING), {"prefix": "h", "state": "completed", "count": history})
            connection.execute(text(_HISTORY))
            connection.execute(text(_HEAD))
    fill_adctl(url)


def fill_adctl(url: str) -> None:
    """The backlog, and nothing that an earlier measurement left."""
    engine = open_engine(url)
    with transaction(engine) as connection:
        connection.execute(text("set local session_replication_role = replica"))
        connection.execute(text("delete from pending_ad_changes where in_line"))
        connection.execute(text(_PENDING), {"prefix": "s", "state": "pending", "count": PENDING})
    _analyze(url)


def prepare_procrastinate(url: str, _: int) -> None:
    async def fill() -> None:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            jobs = [
                Job(id=None, queue="default", lock=None, queueing_lock=None, task_name="noop", task_kwargs={"n": n})
                for n in range(PENDING)
            ]
            await app.job_manager.batch_defer_jobs_async(jobs)

    asyncio.run(fill())
    _analyze(url)


def prepare_pgqueuer(url: str, _: int) -> None:
    async def fill() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            queries = Queries(PsycopgDriver(connection))
            await queries.install()
            await queries.enqueue(["noop"] * PENDING, [b"{}"] * PENDING, [0] * PENDING)

    asyncio.run(fill())
    _analyze(url)


def _analyze(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")


@dataclass(slots=True, kw_only=True)
class Stopwatch:
    """True until the time is over; the first question waits until all workers are ready."""

    seconds: float
    ready: Any
    started: float = 0.0

    def __call__(self) -> bool:
        if not self.started:
            self.ready.wait()
            self.started = time.perf_counter()
        return time.perf_counter() - self.started < self.seconds


def adctl_one(url: str, goes_on: Stopwatch) -> int:
    """As `execute` does it: a claim, and the move that gives the lock back."""
    done = 0
    with autocommitting(open_engine(url)) as session:
        while goes_on() and (change := changes.claim(session, ACCOUNT, "bench")) is not None:
            changes.move(
                session,
                change,
                come_from=State.CLAIMED,
                to=State.COMPLETED,
                actor="execute",
                reason="was there already",
                observed=change.target,
                durable=False,
                release=True,
            )
            done += 1
    return done


def adctl_batch(url: str, goes_on: Stopwatch) -> int:
    done = 0
    with psycopg.connect(url, autocommit=True) as session:
        # As execute settles what it sent nothing for: the commit need not reach the disk.
        session.execute(
            "select set_config('adctl.actor', 'execute', false), set_config('synchronous_commit', 'off', false)"
        )
        while goes_on():
            rows = session.execute(
                "select change_id from claim_pending_ad_change('main', 'bench', %s)", [_BATCH]
            ).fetchall()
            if not rows:
                break
            session.execute(_FINISH, [[row[0] for row in rows]])
            done += len(rows)
    return done


def procrastinate_one(url: str, goes_on: Stopwatch) -> int:
    async def run() -> int:
        done = 0
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=1))
        async with app.open_async():
            worker = await app.job_manager.register_worker()
            while goes_on() and (job := await app.job_manager.fetch_job(None, worker)) is not None:
                await app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
                done += 1
        return done

    return asyncio.run(run())


def pgqueuer_batch(url: str, goes_on: Stopwatch) -> int:
    asked: Any = {"noop": EntrypointExecutionParameter(concurrency_limit=0)}

    async def run() -> int:
        done = 0
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            queries: Any = Queries(PsycopgDriver(connection))
            me = uuid4()
            while goes_on() and (jobs := await queries.dequeue(_BATCH, asked, me, None, timedelta(seconds=30))):
                await queries.log_jobs([(job, "successful", None) for job in jobs])
                done += len(jobs)
        return done

    return asyncio.run(run())


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A contender, and how many finished changes stand beside its pending ones."""

    name: str
    history: int = 0

    def __str__(self) -> str:
        return self.name + (f" beside {self.history:,} finished" if self.history else "")


CONTENDERS: dict[str, tuple[Callable[[str, int], None], Callable[[str, Stopwatch], int]]] = {
    "adctl": (prepare_adctl, adctl_one),
    "procrastinate": (prepare_procrastinate, procrastinate_one),
    "adctl, batch 50": (prepare_adctl, adctl_batch),
    "pgqueuer, batch 50": (prepare_pgqueuer, pgqueuer_batch),
}


def work(name: str, url: str, goes_on: Stopwatch, results: Any) -> None:
    done = CONTENDERS[name][1](url, goes_on)
    results.put((done, time.perf_counter() - goes_on.started))


def rate(name: str, url: str, workers: int, seconds: float) -> float:
    """Jobs a second of all workers together."""
    ready, results = _PROCESSES.Barrier(workers), _PROCESSES.Queue()
    goes_on = Stopwatch(seconds=seconds, ready=ready)
    crew = [_PROCESSES.Process(target=work, args=(name, url, goes_on, results)) for _ in range(workers)]
    for one in crew:
        one.start()
    ended = [results.get(timeout=120) for _ in crew]
    for one in crew:
        one.join()
    return float(sum(done for done, _ in ended)) / float(max(taken for _, taken in ended))


def measured(server: Server, setting: Setting, database: str, workers: int, seconds: float) -> float:
    """Jobs a second, with nothing left to do of the preparations."""
    copied = not setting.history
    if copied:
        server.create("bench", database)
    else:
        # A copy of gigabytes would keep the disk busy for longer than the jobs do.
        fill_adctl(server.url(database))
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute("checkpoint")
    os.sync()
    found = rate(setting.name, server.url("bench" if copied else database), workers, seconds)
    if copied:
        server.drop("bench")
    return found


def rows(history: int) -> list[list[Setting]]:
    """adctl in the middle of what it is compared with, in the order of measuring."""
    return [
        [Setting(name=rival), Setting(name=ours), *([Setting(name=ours, history=history)] if history else [])]
        for ours, rival in (("adctl", "procrastinate"), ("adctl, batch 50", "pgqueuer, batch 50"))
    ]


def databases(server: Server, settings: Iterable[Setting]) -> dict[Setting, str]:
    """For each setting its database."""
    made: dict[Any, str] = {}
    for setting in settings:
        content = (CONTENDERS[setting.name][0], setting.history)
        if content not in made:
            made[content] = f"bench_{len(made)}"
            server.create(made[content])
            CONTENDERS[setting.name][0](server.url(made[content]), setting.history)
    return {setting: made[CONTENDERS[setting.name][0], setting.history] for setting in settings}


def told(figures: Sequence[float], digits: int) -> str:
    low, middle, high = (f"{figure:,.{digits}f}" for figure in (min(figures), median(figures), max(figures)))
    return f"{middle:>7} ({low} to {high})"


def measure(server: Server, asked: argparse.Namespace) -> None:
    """Prints for each number of workers what all did, and how many times as much as the others adctl did."""
    compared = rows(asked.history)
    database = databases(server, [setting for row in compared for setting in row])
    for workers in asked.workers:
        figures: dict[Setting, list[float]] = {setting: [] for setting in database}
        for number in range(asked.rounds):
            for row in compared:
                for setting in reversed(row) if number % 2 else row:
                    figures[setting].append(measured(server, setting, database[setting], workers, asked.seconds))
        for setting, found in figures.items():
            sys.stdout.write(f"{workers} workers {told(found, 0)} jobs/s  {setting}\n")
        for ours, other in [(row[1], other) for row in compared for other in (row[0], *row[2:])]:
            ratios = [one / two for one, two in zip(figures[ours], figures[other], strict=True)]
            sys.stdout.write(f"{workers} workers {told(ratios, 2)} times as many as {other}: {ours}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.claims", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)).attach() as running:
        server = Server(admin=running.libpq_url("postgres"))
        with psycopg.connect(server.admin) as connection:
            names = [f"{name} {version(name)}" for name in ("procrastinate", "pgqueuer", "psycopg")]
            sys.stdout.write(f"PostgreSQL {connection.info.server_version}, {', '.join(names)}\n")
        measure(server, asked)


if __name__ == "__main__":
    main()
