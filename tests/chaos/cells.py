"""One cell of the matrix: adctl killed at a named point, one fault at Meta, then runs until nothing is in flight."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adctl.sandbox.ad_objects import Ad, AdSet
from tests.builders import Loop, loop_on
from tests.chaos.invariants import OPEN, violations
from tests.chaos.witness import Witness, WitnessedSandbox
from tests.warm import ROOT

LETHAL = Path(__file__).parent / "lethal"
SETTLE = 120
WORLD: Mapping[str, Any] = {"history_days": 2, "campaigns": 2, "ad_sets": 4, "ads": 8, "stand_ins": WitnessedSandbox}
# The client gives a write up after one second.
_TOO_LATE = 1.6
_MOST_RUNS = 8

# After which step of the protocol the process dies; "during S" once the whole request has arrived at Meta.
KILLS = ("T1", "R1", "T2", "during S", "S", "T3", "R2", "commit")
FAULTS: Mapping[str, Mapping[str, Any] | None] = {
    "ok": None,
    "drop before": {"kind": "close"},
    "drop after": {"kind": "close", "apply": True},
    "500 before": {"kind": "status", "status": 500},
    "500 after": {"kind": "status", "status": 500, "apply": True},
    "limited": {"kind": "graph_error", "code": 613, "subcode": 1487632, "message": "4 times an hour"},
    "refused": {"kind": "graph_error", "code": 100, "subcode": 1885272, "message": "too low"},
    "garbage": {"kind": "garbage", "apply": True},
    "slow": {"kind": "latency", "seconds": 0.3},
    "late": {"kind": "latency", "seconds": _TOO_LATE},
    "no effect": {"kind": "no_effect"},
}


@dataclass(slots=True, kw_only=True)
class Cell:
    """An account of its own with two changes queued; every run of `execute` on it and how it ended."""

    loop: Loop
    meta: Witness
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def run(self, lethal: str = "", at_arrival: Callable[[subprocess.Popen[bytes]], None] | None = None) -> int:
        """`adctl execute` as a process, with a point to die at; its exit code, -9 when it was killed."""
        process = start(self.loop, lethal)
        self.meta.at_arrival = (lambda: at_arrival(process)) if at_arrival else (lambda: None)
        out, err = process.communicate(timeout=120)
        self.meta.at_arrival = lambda: None
        self.meta.wait_until_idle()
        self.codes.append(process.returncode)
        self.said.append(out.decode() + err.decode())
        return process.returncode

    def look_without_touching(self) -> None:
        """I14: a dry run amid the wreckage writes nothing, here and at Meta."""
        before, arrived = self.loop.digest(), len(self.meta.arrivals())
        outcome = self.loop.command_line()("execute", "--dry-run")
        assert (outcome.code, len(self.meta.arrivals())) == (0, arrived), outcome.err
        assert self.loop.digest() == before

    def open_states(self) -> list[str]:
        return [row["state"] for row in self.loop.rows("pending_ad_changes") if row["state"] in OPEN]

    def let_time_pass(self) -> None:
        """Until whatever waits may go on: settle, or the time that a deferral named."""
        due = self.loop.value("select max(earliest_execute_at) from pending_ad_changes where state = 'pending'")
        now = self.loop.sandbox.world.now
        self.loop.advance(seconds=max(SETTLE, (due - now).total_seconds() if due else 0))

    def converge(self) -> None:
        """I13: finitely many runs empty the queue."""
        for _ in range(_MOST_RUNS):
            assert self.run() in (0, 3, 75), self.said[-1]
            if not self.open_states():
                return
            self.let_time_pass()
        raise AssertionError(f"I13: after {_MOST_RUNS} runs there still is {self.open_states()}")

    def violations(self, edited: frozenset[str] = frozenset()) -> list[str]:
        told = [f"I17: a run told the token: {text}" for text in self.said if self.loop.sandbox.meta_token in text]
        return told + violations(self.loop, self.meta.sights, edited)


def start(loop: Loop, lethal: str = "") -> subprocess.Popen[bytes]:
    """`adctl execute`, with the wrapper around its named points when it is to die at one."""
    line = loop.command_line()
    if lethal:
        line.environment = {**line.environment, "LETHAL": lethal, "PYTHONPATH": f"{LETHAL}:{ROOT}"}
    return line.start("execute", "--json")


@contextmanager
def cell_on(database_url: str, folder: Path, **options: Any) -> Iterator[Cell]:
    """A fresh account on a migrated, empty database."""
    with loop_on(database_url, folder, **{**WORLD, **options}) as loop:
        meta = loop.sandbox.meta
        assert isinstance(meta, Witness)
        meta.database_url = database_url
        yield Cell(loop=loop, meta=meta)


def queue_two(loop: Loop) -> tuple[AdSet, Ad]:
    """A raise of an ad set's budget, and after it the pause of an ad."""
    tree = loop.sandbox.world.tree
    node = next(one for one in tree.ad_sets if one.daily_budget is not None)
    ad = next(one for one in tree.ads if one.status == "ACTIVE")
    assert node.daily_budget is not None
    loop.queue(node, node.daily_budget * 12 // 10)
    loop.advance(seconds=1)
    loop.queue(ad, "PAUSED")
    return node, ad


def crash(cell: Cell, kill: str, fault: str, *, hurry: bool = False) -> None:
    """Lets a process die at `kill`, `fault` strike the first write of the raise, and the rest go well.

    The point is reached in the first run, or, when the fault keeps the first run from it, in a later one. The next run
    follows at once, or, to save runs (`hurry`), when the outcome of the dead one's write has settled.
    """
    node, _ = queue_two(cell.loop)
    told = FAULTS[fault]
    armed = cell.meta.faults.arm(**told, method="POST", path=f"{node.id}$") if told else None
    for _ in range(_MOST_RUNS):
        code = cell.run(at_arrival=_kill) if kill == "during S" else cell.run(kill)
        if code == -9:
            break
        assert code in (0, 3, 75), cell.said[-1]
        cell.let_time_pass()
    assert cell.codes[-1] == -9, f"nothing died at {kill}: {cell.codes}"
    if hurry:
        cell.let_time_pass()
    elif fault == "ok":
        cell.look_without_touching()
    cell.converge()
    assert armed is None or armed.hits == 1, f"{fault} did not strike"
    assert cell.violations() == []
    # Who dies with a refusal in hand leaves an unknown outcome: it is looked at, and sent again.
    ends = {row["state"] for row in cell.loop.rows("pending_ad_changes")}
    assert ends <= ({"completed", "failed"} if fault == "refused" else {"completed"}), ends


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, and only once the process is gone may Meta go on with its request."""
    process.kill()
    process.wait(30)
