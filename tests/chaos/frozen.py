"""Executors of an account, stopped at a named point one after the other: `python -m tests.chaos.frozen POINT…`.

Says `frozen` once all stand still; a line on standard input wakes them. Prints how each ended, as one JSON list.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial

from tests.chaos.executors import execute, forked
from tests.chaos.lethal.sitecustomize import arm


def _execute(point: str) -> int:
    arm(f"{point}:1:stop")
    return execute()


def _frozen(point: str) -> int:
    """The process that stands still at the point."""
    pid = forked(partial(_execute, point))
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"it never came to {point}: {os.waitstatus_to_exitcode(status)}"
    return pid


def main() -> None:
    pids: list[int] = []
    try:
        pids += (_frozen(point) for point in sys.argv[1:])
    except AssertionError:
        # Whoever reads what this prints would wait for them as well.
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        raise
    sys.stdout.write("frozen\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
