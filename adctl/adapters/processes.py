"""Work that is shared by processes of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def _print_aside() -> None:
    """Standard output is the report's of the process that asked."""
    sys.stdout = sys.stderr


def in_processes(
    work: Callable[[T], R], tasks: Sequence[T], processes: int | None, done: Callable[[int, T], None]
) -> list[R]:
    """What the work gives for each task, in their order; `done` hears how many are done and which was last.

    `processes` is how many run at once, all cores when not given; 1 is this process alone.
    """
    if processes == 1:
        found = []
        for number, task in enumerate(tasks, start=1):
            found.append(work(task))
            done(number, task)
        return found
    # Fresh processes: a fork would copy whatever threads the numerical libraries hold.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_print_aside) as pool:
        futures: dict[Future[R], T] = {pool.submit(work, task): task for task in tasks}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                done(number, futures[future])
        # Also on Ctrl-C: what has not begun would keep all cores busy. Raised again.
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]
