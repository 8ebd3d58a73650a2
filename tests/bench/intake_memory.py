"""Measures the memory and the processor time of taking big files in: `ingest-ads`, `ingest-crm`, each of them twice.

`python -m tests.bench.intake_memory [--rows 1000000] [--only deals]` from the checkout. Each run is a process of its
own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from adctl.adapters import migrations
from adctl.adapters.db import open_engine
from adctl.adapters.embedded_postgres import EmbeddedServer
from tests.bench.sync_deals import children_seconds, peak_until_the_end
from tests.builders import SMALL, Loop, loop_on

_DAYS = 28
_PARTS = ("18-24", "25-34", "35-44", "45+")
_FIGURES = "Impressions,Clicks (all),Link clicks,Amount spent (USD),Leads,Purchases"
_ADS = f"Ad ID,Ad set ID,Campaign ID,Ad name,Day,{{}}{_FIGURES}\n"
_DEALS = "Record ID,Deal Stage,Pipeline,Amount,Create Date,Close Date,Ad ID,fbclid\n"


def ads(rows: int, end: datetime, parts: tuple[str, ...] = ()) -> Iterator[str]:
    """A row an ad and day, or one for each part of them."""
    yield _ADS.format("Age," if parts else "")
    days = [(end - timedelta(days=n + 1)).date().isoformat() for n in range(_DAYS)]
    wide = max(len(parts), 1)
    for n in range(rows):
        ad, day = divmod(n // wide, _DAYS)
        ids = f"{23_850_000_000_000_001 + ad},{23_840_000_000_000_001 + ad // 4},{23_830_000_000_000_001 + ad // 16}"
        part = f"{parts[n % wide]}," if parts else ""
        seen = n * 7919 % 20_000
        yield f"{ids},Ad {ad},{days[day]},{part}{seen},{seen // 50},{seen // 70},{seen * 3 / 100:.2f},{seen // 900},0\n"


def deals(rows: int, end: datetime) -> Iterator[str]:
    yield _DEALS
    stages = ("appointmentscheduled", "qualifiedtobuy", "closedwon", "closedlost")
    for n in range(rows):
        created = (end - timedelta(minutes=1 + 7 * (n % 9_973))).strftime("%Y-%m-%dT%H:%MZ")
        stage, closed = stages[n % 4], created if n % 4 > 1 else ""
        ad = str(23_850_000_000_000_001 + n % 30_000) if n % 3 else ""
        click = f"IwAR{n:020}" if n % 3 == 0 else ""
        yield f"{20_000_000_000 + n},{stage},default,{n * 7919 % 3_000_000 / 100:.2f},{created},{closed},{ad},{click}\n"


def measure(loop: Loop, title: str, command: str, file: Path) -> None:
    for turn in ("first", "again"):
        process = loop.command_line().start(command, str(file))
        cpu, peak = children_seconds(), peak_until_the_end(process)
        out, err = process.communicate()
        if process.returncode not in (0, 3):
            raise SystemExit(err.decode())
        cpu, told = children_seconds() - cpu, out.decode().splitlines()[1]
        sys.stdout.write(f"{title:12} {turn}: peak {peak:4.0f} MiB, processor {cpu:6.1f} s; {told}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("ads", "deals", "parts"), help="one kind of file")
    asked = parser.parse_args()
    rows = asked.rows
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "server").attach() as running:
        with psycopg.connect(running.libpq_url("postgres"), autocommit=True) as connection:
            connection.execute("create database bench template template0")
        url, file = running.libpq_url("bench"), Path(folder) / "file.csv"
        engine = open_engine(url)
        migrations.migrate(engine, migrations.available())
        engine.dispose()
        with loop_on(url, Path(folder), **{**SMALL, "history_days": 0}) as loop:
            end = loop.sandbox.world.now.astimezone(UTC)
            for title, command, lines in (
                ("ads", "ingest-ads", ads(rows, end)),
                ("deals", "ingest-crm", deals(rows, end)),
                ("parts", "ingest-ads", ads(rows, end - timedelta(days=40), _PARTS)),
            ):
                if asked.only in (None, title):
                    with file.open("w") as out:
                        out.writelines(lines)
                    measure(loop, title, command, file)


if __name__ == "__main__":
    main()
