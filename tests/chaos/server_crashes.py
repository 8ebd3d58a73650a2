"""PostgreSQL crashes beneath executors that stand at every point of the protocol, and beneath a crowd at its work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.builders import Loop
from tests.chaos.cells import Cell, cell_on, start
from tests.chaos.crowd import GENEROUS, LAST_ADS_TOO, WORLD, amid_sending, queue_many, rounds_until_done
from tests.chaos.own_server import own_server
from tests.chaos.scenarios import wait_until_stopped

# Where a change stands when its worker is at the point, and after the crash. A claim and what came of a sending are
# committed without waiting for the disk; the authorisation waits for it, and takes along whatever was written before.
_BEFORE = {
    "T1": "claimed",
    "R1": "claimed",
    "in T2": "claimed",
    "T2": "executing",
    "S": "executing",
    "T3": "executing",
    "R2": "executing",
    "commit": "completed",
}
AFTER = {point: {"claimed": "pending", "completed": "executing"}.get(state, state) for point, state in _BEFORE.items()}
EVERYWHERE = ("T2", "S", "T3", "R2", "commit", "T1", "R1")


def crash_at(_url: str, folder: Path, *, point: str, beside: Sequence[str] = EVERYWHERE) -> None:
    """`adctl execute` stands at `point`, other executors of the account stand at others, when the server crashes.

    What was authorised is known ever after, a claim that nothing followed is as if it had never been, a confirmation
    that was lost is found out again, every worker ends with 69, and in the end all is done once.
    """
    # One that waits for its turn, so that those that were completed have something to go on with.
    changes = len(beside) + 2
    with own_server(folder) as server, cell_on(server.url, folder) as cell:
        cell.loop.configure(*LAST_ADS_TOO)
        queue_many(cell.loop, changes, np.random.default_rng(0))
        server.freeze_log_writer()
        others = _start_frozen(cell.loop, beside)
        command = start(cell.loop, f"{point}:1:stop")
        wait_until_stopped(command)
        assert _states(cell) == _with_those_that_wait(changes, [_BEFORE[one] for one in (*beside, point)])

        server.crash()

        # The claims of the others live on: the command behind them began with a commit that does wait for the disk.
        assert _states(cell) == _with_those_that_wait(changes, [*(_BEFORE[one] for one in beside), AFTER[point]])
        told, _ = others.communicate(b"wake up\n", timeout=120)
        assert json.loads(told) == [69] * len(beside), told
        _assert_one_sentence(command)
        cell.let_time_pass()
        cell.loop.execute()
        assert _states(cell) == Counter(completed=changes)
        assert cell.violations() == []


def _start_frozen(loop: Loop, points: Sequence[str]) -> subprocess.Popen[bytes]:
    """Executors that stand still, each at a point."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.frozen", *points],
        cwd=loop.folder,
        env=loop.command_line().variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"frozen\n", process.communicate()
    return process


def _assert_one_sentence(command: subprocess.Popen[bytes]) -> None:
    """Awake, it notices that its server is gone, says so and ends."""
    command.send_signal(signal.SIGCONT)
    out, err = command.communicate(timeout=120)
    assert command.returncode == 69, err.decode()
    assert err.startswith(b"adctl: error: database: "), err.decode()
    assert (err.count(b"\n"), err.endswith(b")\n")) == (1, True), err.decode()
    assert json.loads(out)["error"]


def _with_those_that_wait(changes: int, states: Sequence[str]) -> Counter[str]:
    return Counter(states) + Counter(pending=changes - len(states))


def _states(cell: Cell) -> Counter[str]:
    return Counter(row["state"] for row in cell.loop.rows("pending_ad_changes"))


def crashed_crowd(_url: str, folder: Path, *, seed: int, changes: int = 40) -> None:
    """The server crashes amid the sending of eight executors, while others of their writes are on the way to Meta."""
    with own_server(folder) as server, cell_on(server.url, folder, **WORLD) as cell:
        cell.loop.configure(*GENEROUS)
        queue_many(cell.loop, changes, np.random.default_rng(seed))
        amid_sending(cell, seed, lambda _: server.crash())
        assert 69 in cell.codes, f"nobody lost the server: {cell.codes}"
        cell.let_time_pass()
        rounds_until_done(cell, seed)
        assert cell.violations() == []
