"""Measures a first sync of many deals from the sandbox: requests against the least possible, and where the time goes.

`python -m tests.bench.sync_deals [--deals 100000]` from the checkout. The sandbox answers from this process, `adctl
sync-hubspot` is a process of its own. Least possible means HubSpot's own limits: 50 deals with history a page, 100
contacts a read, 1,000 deals a read of associations, and associations only for deals with several contacts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import psycopg

from adctl.adapters import migrations
from adctl.adapters.db import open_engine
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.sandbox import Exchange
from adctl.sandbox.world import epoch_ms
from tests.builders import SMALL, Loop, loop_on

# A private app of HubSpot's upper tiers may ask this often.
_PER_SECOND = 19.0
_CONTACTS = 10**10 * 4


def furnish(loop: Loop, number: int) -> Counter[str]:
    """Adds deals, two thirds of them with a contact, one in twenty with a second; returns how many of what."""
    world, at = loop.sandbox.world, epoch_ms(loop.sandbox.world.now)
    counted: Counter[str] = Counter(deals=number)
    for place, deal_id in enumerate(world.add_deals(number)):
        if place % 3 == 0:
            continue
        contacts = [_CONTACTS + place * 2 + side for side in range(2 if place % 20 == 1 else 1)]
        counted.update(contacts=len(contacts), several=len(contacts) > 1)
        for contact in contacts:
            world.portal.create("contacts", contact, at, {"hs_facebook_click_id": f"click{contact}"})
            world.portal.associate(deal_id, contact)
    return counted


def kind_of(exchange: Exchange) -> str:
    words = [word for word in exchange.path.split("/") if word and not word.isdigit()]
    return " ".join([exchange.method, *words[2:]])


def show(title: str, log: Sequence[Exchange], taken: float, least: int) -> None:
    busy = sum((one.finished or one.started) - one.started for one in log)
    ends = [one.finished or one.started for one in log]
    gaps = sum(max(later.started - end, 0.0) for end, later in zip(ends, log[1:], strict=False))
    write = sys.stdout.write
    write(f"{title}: {len(log)} requests, least possible {least} ({len(log) / least:.2f} x); {taken:.1f} s\n")
    share = taken * _PER_SECOND / len(log)
    write(f"  the vendor's limit alone would take {len(log) / _PER_SECOND:.1f} s; this is {share:.2f} of it\n")
    rest = taken - busy - gaps
    write(f"  answering {busy:.1f} s, adctl between two requests {gaps:.1f} s, start and end {rest:.1f} s\n")
    for kind, number in Counter(map(kind_of, log)).most_common():
        write(f"  {number:6} {kind}\n")


def timed_sync(loop: Loop) -> tuple[list[Exchange], float]:
    """Without a time limit: the machine may be busy with other things."""
    before, started = len(loop.sandbox.hubspot_log), time.monotonic()
    process = loop.command_line().start("sync-hubspot")
    cpu, peak = children_seconds(), peak_until_the_end(process)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err.decode())
    taken, cpu = time.monotonic() - started, children_seconds() - cpu
    deals = int(out.split(b" deals")[0].rsplit(maxsplit=1)[-1])
    sys.stdout.write(f"{deals} deals; processor time of adctl {cpu:.1f} s, {cpu / deals * 1000:.2f} ms a deal\n")
    sys.stdout.write(f"peak memory {peak:.0f} MiB\n")
    return loop.sandbox.hubspot_log[before:], taken


def peak_until_the_end(process: subprocess.Popen[bytes]) -> float:
    """The most that the kernel has seen the process hold, MiB. What it prints fits in a pipe.

    `getrusage` cannot tell: of a child it counts what this process, sandbox and all, held when it forked.
    """
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        seen = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        peak = max([peak, *map(int, seen)])
        time.sleep(0.05)
    return peak / 1024


def children_seconds() -> float:
    """Of processes that have ended: PostgreSQL, which has not, is not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deals", type=int, default=100_000)
    number = parser.parse_args().deals
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "server").attach() as running:
        with psycopg.connect(running.libpq_url("postgres"), autocommit=True) as connection:
            connection.execute("create database bench template template0")
        url = running.libpq_url("bench")
        engine = open_engine(url)
        migrations.migrate(engine, migrations.available())
        engine.dispose()
        with loop_on(url, Path(folder), **{**SMALL, "history_days": 0}) as loop:
            counted = furnish(loop, number)
            loop.advance(hours=1)
            read = [ceil(counted["contacts"] / 100), ceil(counted["several"] / 1000)]
            # Besides: the pipelines, the search for merged deals and the list of archived ones.
            log, taken = timed_sync(loop)
            show("every deal", log, taken, ceil(number / 50) + sum(read) + 3)
            loop.advance(hours=1)
            changed = [str(one) for one in loop.sandbox.world.portal.collections["deals"].ids[: number // 10]]
            for deal in changed:
                loop.sandbox.hubspot.edit_by_person({"id": deal, "properties": {"dealstage": "closedwon"}})
            loop.advance(minutes=30)
            log, taken = timed_sync(loop)
            tenth = len(changed)
            least = ceil(tenth / 200) + ceil(tenth / 50) + ceil(tenth / 1000) + ceil(counted["contacts"] / 10 / 100) + 3
            show("a tenth changed", log, taken, least)


if __name__ == "__main__":
    main()
