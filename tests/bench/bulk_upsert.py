"""Measures adctl's bulk path against SQLAlchemy's insertmanyvalues and dlt's merge: same rows, same server, one run.

`python -m tests.bench.bulk_upsert [--rows 1000000] [--dlt PYTHON [--dlt-rows 200000]]` from the checkout. PYTHON is the
interpreter of an environment with `dlt[postgres]`, which adctl does not depend on; without it that part is left out,
and said so. Each load is a process of its own, so that its peak memory is its own; each is done twice, and the second
has nothing to say. CPU seconds are those of the process and of the whole server: they hold on a busy machine, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import psycopg
from sqlalchemy import MetaData, Table, create_engine, or_
from sqlalchemy.dialects.postgresql import insert

from adctl.adapters import migrations
from adctl.adapters.db import open_engine, transaction
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import merge
from tests.bench.bulk_rows import KEYS, NOW, STAMPS, VALUES, dicts, rows

TABLES = ("insights", "deals")
_ROOT = Path(__file__).parents[2]
_CHUNK = 10_000
_MIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Seconds of the first and the second load, on the clock and of CPU; peak memory of the process in MiB."""

    first: float
    second: float
    first_cpu: float
    second_cpu: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What PostgreSQL counted for a table and its partitions."""

    inserted: int
    updated: int
    dead: int


def by_merge(url: str, table: str, number: int) -> None:
    engine = open_engine(url)
    with transaction(engine) as connection:
        merge(connection, table, KEYS[table], VALUES[table], rows(table, number), stamps=STAMPS[table])
    engine.dispose()


def by_insertmanyvalues(url: str, table: str, number: int) -> None:
    """`on conflict do update` where a value differs, with the batching that SQLAlchemy has for it."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    target = Table(table, MetaData(), autoload_with=engine)
    new = insert(target)
    values = VALUES[table]
    statement = new.on_conflict_do_update(
        index_elements=KEYS[table],
        set_={name: new.excluded[name] for name in (*values, *STAMPS[table])},
        where=or_(*(target.c[name].is_distinct_from(new.excluded[name]) for name in values)),
        # Beside `on conflict` SQLAlchemy batches values for a returning clause alone: else it sends row after row.
    ).returning(target.c[KEYS[table][0]])
    source = dicts(table, number)
    with engine.begin() as connection:
        while chunk := list(islice(source, _CHUNK)):
            connection.execute(statement, chunk)
    engine.dispose()


LOADERS: dict[str, Callable[[str, str, int], None]] = {"merge": by_merge, "insertmanyvalues": by_insertmanyvalues}


def load_once(loader: str, url: str, table: str, number: int) -> None:
    """Inside the child process: one load, its seconds and peak memory as JSON on stdout."""
    started = time.monotonic()
    LOADERS[loader](url, table, number)
    taken = time.monotonic() - started
    sys.stdout.write(json.dumps([taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB]) + "\n")


def child(postmaster: int, *command: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds of it and of the server, and MiB of one load."""
    started = _cpu_of_children() + _cpu_of_server(postmaster)
    done = subprocess.run(
        command, cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[1:4]} failed:\n{done.stderr[-2000:]}")
    seconds, peak = json.loads(done.stdout.strip().splitlines()[-1])
    return float(seconds), _cpu_of_children() + _cpu_of_server(postmaster) - started, float(peak)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of_server(postmaster: int) -> float:
    """Its own, that of its processes and of those that have ended."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # Behind the name in brackets: state, parent, …; times are fields 14 to 17.
                found = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == postmaster:
                ticks += sum(map(int, found[11:15]))
            elif int(found[1]) == postmaster:
                ticks += sum(map(int, found[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def twice(postmaster: int, *command: str) -> Loaded:
    (first, first_cpu, peak), (second, second_cpu, other) = child(postmaster, *command), child(postmaster, *command)
    return Loaded(first=first, second=second, first_cpu=first_cpu, second_cpu=second_cpu, peak=max(peak, other))


def writes(url: str, table: str) -> Writes:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            """
            select coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0), coalesce(sum(n_dead_tup), 0)
            from pg_stat_user_tables where relname ~ ('^' || %s || '(_\\d+_\\d+)?$')
            """,
            (table,),
        ).fetchone()
    assert row is not None
    return Writes(inserted=int(row[0]), updated=int(row[1]), dead=int(row[2]))


def empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("truncate insights, deals")
        connection.execute("checkpoint")


def prepare(url: str) -> None:
    engine = open_engine(url)
    migrations.migrate(engine, migrations.available())
    with transaction(engine) as connection:
        ensure_months(connection, "insights", [NOW.date().replace(month=month) for month in (1, 2, 3)])
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into accounts (account, meta_ad_account, currency, timezone) values ('main', 'act_1', 'USD', 'UTC')"
        )


def measure(url: str, postmaster: int, table: str, number: int) -> dict[str, Loaded]:
    found = {}
    for loader in LOADERS:
        empty(url)
        before = writes(url, table)
        command = (sys.executable, "-m", "tests.bench.bulk_upsert", "--load", loader, url, table, str(number))
        found[loader] = twice(postmaster, *command)
        after = writes(url, table)
        if loader == "merge":
            line = f"{after.inserted - before.inserted} inserted, {after.updated - before.updated} updated"
            sys.stdout.write(f"{table}: merge, both loads together: {line}, {after.dead} dead rows\n")
    return found


def show(table: str, number: int, found: dict[str, Loaded], ours: Loaded, share: float = 1.0) -> None:
    """With how many times the seconds a row took that it took `ours`, of whose rows `number` are a `share`."""
    for loader, one in found.items():
        times = (
            f"{name} {taken:7.2f} s ({taken / beside / share:4.1f} x)"
            for name, taken, beside in (
                ("first", one.first, ours.first),
                ("CPU", one.first_cpu, ours.first_cpu),
                ("second", one.second, ours.second),
                ("CPU", one.second_cpu, ours.second_cpu),
            )
        )
        sys.stdout.write(f"{table:9} {number} rows  {loader:16} {'  '.join(times)}  peak {one.peak:4.0f} MiB\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dlt", metavar="PYTHON")
    parser.add_argument("--dlt-rows", type=int, metavar="ROWS", help="fewer for dlt, compared by the row")
    parser.add_argument("--load", nargs=4, metavar=("LOADER", "URL", "TABLE", "ROWS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        loader, url, table, number = asked.load
        load_once(loader, url, table, int(number))
        return
    if asked.dlt is None:
        sys.stdout.write("dlt is not measured: no interpreter that has it was given (--dlt).\n")
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "server").attach() as running:
        with psycopg.connect(running.libpq_url("postgres"), autocommit=True) as connection:
            connection.execute("create database bench template template0")
            server = connection.info.server_version // 10000
        names = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "psycopg"))
        sys.stdout.write(f"PostgreSQL {server}, Python {platform.python_version()}, {names}\n")
        url = running.libpq_url("bench")
        prepare(url)
        postmaster = running.status().pid
        assert postmaster is not None
        for table in TABLES:
            found = measure(url, postmaster, table, asked.rows)
            show(table, asked.rows, found, found["merge"])
            if asked.dlt is not None:
                few = asked.dlt_rows or asked.rows
                by_dlt = twice(postmaster, asked.dlt, "tests/bench/dlt_load.py", url, table, str(few))
                show(table, few, {"dlt": by_dlt}, found["merge"], few / asked.rows)


if __name__ == "__main__":
    main()
