"""Ends (or freezes) the Python process that starts with this folder on its path, at the n-th pass of a named point.

The variable LETHAL says where: `POINT`, `POINT:N` or `POINT:N:stop`. Nothing in adctl knows of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class _Plan:
    """Where this process ends, and how far it has come."""

    point: str
    left: int
    signal: signal.Signals
    # What the transaction under way did that its commit makes a point of.
    done: list[str] = field(default_factory=list)
    wrote: bool = False

    def passed(self, point: str) -> None:
        if point != self.point:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.signal)

    def claimed(self, change: Any, _: dict[str, Any]) -> None:
        if change is not None:
            self.wrote = False
            self.done.append("T1")

    def authorised(self, verdict: Any, _: dict[str, Any]) -> None:
        if verdict.verdict == "send":
            self.passed("in T2")
            self.done.append("T2")

    def finished(self, _result: Any, _: dict[str, Any]) -> None:
        self.done.append("T3")

    def moved(self, done: Any, keywords: dict[str, Any]) -> None:
        if done and keywords["come_from"] == "executing":
            self.done.append("commit")

    def committed(self, _result: Any, _: dict[str, Any]) -> None:
        points, self.done = self.done, []
        for point in points:
            self.passed(point)

    def read(self, _result: Any, _: dict[str, Any]) -> None:
        self.passed("R2" if self.wrote else "R1")

    def written(self, _result: Any, _: dict[str, Any]) -> None:
        self.wrote = True
        self.passed("S")


def _wrap(owner: Any, name: str, after: Callable[[Any, dict[str, Any]], None]) -> None:
    """Replaces a function by itself and `after`, which gets its result and keyword arguments."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        after(result, keywords)
        return result

    setattr(owner, name, wrapped)


def arm(where: str) -> None:
    """Makes this process end at `where`."""
    import psycopg

    from adctl.adapters.meta import MetaPlatform
    from adctl.adapters.store import attempts, changes

    point, number, way = (where + "::").split(":")[:3]
    plan = _Plan(point=point, left=int(number or 1), signal=signal.SIGSTOP if way == "stop" else signal.SIGKILL)
    _wrap(changes, "claim", plan.claimed)
    _wrap(changes, "authorise", plan.authorised)
    _wrap(attempts, "finish", plan.finished)
    _wrap(changes, "move", plan.moved)
    _wrap(psycopg.Connection, "commit", plan.committed)
    _wrap(MetaPlatform, "read", plan.read)
    _wrap(MetaPlatform, "write", plan.written)


if "LETHAL" in os.environ:
    arm(os.environ["LETHAL"])
