"""Ends (or freezes) the Python process that starts with this folder on its path, at the n-th pass of a named point.

The variable LETHAL says where: `POINT`, `POINT:N` or `POINT:N:stop`. Nothing in adctl knows of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

_WHERE, _, _REST = os.environ.get("LETHAL", "").partition(":")
_COUNT, _, _WAY = _REST.partition(":")
_SIGNAL = signal.SIGSTOP if _WAY == "stop" else signal.SIGKILL
_passes = 0
# What the transaction under way did that its commit makes a point of.
_done: list[str] = []
_wrote = False


def _passed(point: str) -> None:
    global _passes
    if point != _WHERE:
        return
    _passes += 1
    if _passes == int(_COUNT or 1):
        os.kill(os.getpid(), _SIGNAL)


def _wrap(owner: Any, name: str, after: Callable[[Any, dict[str, Any]], None]) -> None:
    """Replaces a function by itself and `after`, which gets its result and keyword arguments."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        result = original(*arguments, **keywords)
        after(result, keywords)
        return result

    setattr(owner, name, wrapped)


def _claimed(change: Any, _: dict[str, Any]) -> None:
    global _wrote
    if change is not None:
        _wrote = False
        _done.append("T1")


def _authorised(verdict: Any, _: dict[str, Any]) -> None:
    if verdict.verdict == "send":
        _done.append("T2")


def _finished(_result: Any, _: dict[str, Any]) -> None:
    _done.append("T3")


def _moved(done: Any, keywords: dict[str, Any]) -> None:
    if done and keywords["come_from"] == "executing":
        _done.append("commit")


def _committed(_result: Any, _: dict[str, Any]) -> None:
    points, _done[:] = tuple(_done), []
    for point in points:
        _passed(point)


def _read(_result: Any, _: dict[str, Any]) -> None:
    _passed("R2" if _wrote else "R1")


def _written(_result: Any, _: dict[str, Any]) -> None:
    global _wrote
    _wrote = True
    _passed("S")


def _arm() -> None:
    import psycopg

    from adctl.adapters.meta import MetaPlatform
    from adctl.adapters.store import attempts, changes

    _wrap(changes, "claim", _claimed)
    _wrap(changes, "authorise", _authorised)
    _wrap(attempts, "finish", _finished)
    _wrap(changes, "move", _moved)
    _wrap(psycopg.Connection, "commit", _committed)
    _wrap(MetaPlatform, "read", _read)
    _wrap(MetaPlatform, "write", _written)


if _WHERE:
    _arm()
