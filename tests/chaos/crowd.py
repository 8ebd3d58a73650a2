"""Eight executors and forty changes of one account: random faults and deaths, a halt."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import text

from adctl.adapters.db import transaction
from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from tests.builders import Loop
from tests.chaos.cells import FAULTS, Cell, cell_on

WORLD = {"campaigns": 8, "ad_sets": 26, "ads": 48}
EXECUTORS = 8
_Found = TypeVar("_Found")
_MOST_ROUNDS = 15
_ENDS = {0, 3, 69, 75, -9}
GENEROUS = ('cap_increase_per_24h = "300.00"', 'cap_increase_per_24h = "9000.00"')

# Every change is to be completed.
LAST_ADS_TOO = ("[accounts.main.limits]\n", "[accounts.main.limits]\nkill_last_ad = true\n")


def queue_many(loop: Loop, number: int, rng: np.random.Generator) -> list[Campaign | AdSet | Ad]:
    """Half of them raises and cuts of budgets, half pauses of ads."""
    owners = loop.owners()[: number // 2]
    ads = [ad for ad in loop.sandbox.world.tree.ads if ad.status == "ACTIVE"][: number - len(owners)]
    for node in owners:
        assert node.daily_budget is not None
        loop.queue(node, node.daily_budget * int(rng.choice([81, 90, 105, 110, 119])) // 100)
    for ad in ads:
        loop.queue(ad, "PAUSED")
    nodes = [*owners, *ads]
    assert len(nodes) == number
    return nodes


def start_executors(loop: Loop, seed: int, deaths: int = 0, executors: int = EXECUTORS) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.executors", str(executors), str(seed), str(deaths)],
        cwd=loop.folder,
        env=loop.command_line().variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ends_of(cell: Cell, process: subprocess.Popen[bytes]) -> list[int]:
    """How each executor ended, once nothing is on its way to Meta any more."""
    out, err = process.communicate(timeout=300)
    cell.meta.wait_until_idle()
    cell.said.append(err.decode())
    assert process.returncode == 0, err.decode()
    ends: list[int] = json.loads(out)
    assert set(ends) <= _ENDS, f"{ends}\n{err.decode()}"
    cell.codes += ends
    return ends


def rounds_until_done(cell: Cell, seed: int) -> None:
    """I13: round by round of two immortal executors, until nothing is in flight."""
    for number in range(_MOST_ROUNDS):
        ends_of(cell, start_executors(cell.loop, seed * 100 + number, executors=2))
        if not cell.open_states():
            return
        cell.let_time_pass()
    raise AssertionError(f"I13: after {_MOST_ROUNDS} rounds there still is {cell.open_states()}")


def crowd(database_url: str, folder: Path, *, seed: int, changes: int = 40) -> None:
    """Every second seed has a cap that holds some of the raises back."""
    rng = np.random.default_rng(seed)
    with cell_on(database_url, folder, **WORLD) as cell:
        if seed % 2 == 0:
            cell.loop.configure(*GENEROUS)
        nodes = queue_many(cell.loop, changes, rng)
        running = _with_an_active_ad(cell.loop)
        armed = _arm_faults(cell, nodes, rng)
        for number in range(3):
            ends_of(cell, start_executors(cell.loop, seed * 100 + 50 + number, deaths=85))
            cell.let_time_pass()
        rounds_until_done(cell, seed)
        assert cell.codes.count(-9) >= 3, f"hardly anything died: {cell.codes}"
        reached = {arrival.entity for arrival in cell.meta.arrivals()}
        assert [one.hits for entity, one in armed.items() if entity in reached] == [1] * len(armed.keys() & reached)
        assert len(armed.keys() & reached) >= changes // 4
        assert len({row["authorised_by"] for row in cell.loop.rows("change_attempts")}) >= 3, "one did it all"
        assert cell.violations() == []
        assert _with_an_active_ad(cell.loop) == running, "the last active ad of an ad set was paused"


def _with_an_active_ad(loop: Loop) -> set[str]:
    """The ad sets that deliver; every ad in them was to be paused."""
    return {ad.ad_set.id for ad in loop.sandbox.world.tree.ads if ad.status == "ACTIVE"}


def _arm_faults(cell: Cell, nodes: list[Campaign | AdSet | Ad], rng: np.random.Generator) -> dict[str, Any]:
    """A fault for the first write to every second entity."""
    told = [fault for fault in FAULTS.values() if fault is not None]
    return {
        node.id: cell.meta.faults.arm(**told[rng.integers(len(told))], method="POST", path=f"{node.id}$")
        for node in nodes[::2]
    }


def halted_crowd(database_url: str, folder: Path, *, seed: int, changes: int = 40) -> None:
    """A halt amid the sending: not one attempt is written after its commit, and after resume the rest is done."""

    def halt(cell: Cell) -> int:
        with transaction(cell.loop.engine) as connection:
            # Its lock waits for authorisations under way, so the count is that at the commit.
            connection.execute(text("update controls set halted = true, reason = 'enough' where account = '*'"))
            return int(connection.scalar(text("select count(*) from change_attempts")) or 0)

    with cell_on(database_url, folder, **WORLD) as cell:
        cell.loop.configure(*GENEROUS)
        queue_many(cell.loop, changes, np.random.default_rng(seed))
        written = amid_sending(cell, seed, halt)
        assert 0 < written < changes, "the halt came amid the sending"
        assert cell.loop.value("select count(*) from change_attempts") == written
        assert 75 in cell.codes
        assert cell.open_states()
        cell.loop.run_sql("update controls set halted = false where account = '*'")
        rounds_until_done(cell, seed)
        assert cell.loop.value("select count(*) from change_attempts") > written
        assert cell.violations() == []


def amid_sending(cell: Cell, seed: int, do: Callable[[Cell], _Found]) -> _Found:
    """Does something once five writes have arrived, and lets the executors end."""
    done = Event()
    # The sixth writer and all behind it wait, so that the sending cannot be over before it was done.
    cell.meta.at_arrival = lambda: len(cell.meta.arrivals()) <= 5 or done.wait(60)
    process = start_executors(cell.loop, seed * 100 + 99)
    deadline = time.monotonic() + 120
    while len(cell.meta.arrivals()) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert len(cell.meta.arrivals()) >= 5, cell.said
    found = do(cell)
    done.set()
    ends_of(cell, process)
    return found
