"""Work that is shared by processes of this machine."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection
from threading import Thread, current_thread, main_thread
from typing import TypeVar

from adctl.errors import UnavailableError

T = TypeVar("T")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1
# What a shell makes of SIGTERM.
_TERMINATED = 143


def _print_aside() -> None:
    """Standard output is the report's of the process that asked, also for who writes to it past Python."""
    sys.stdout = sys.stderr
    if sys.__stderr__ is not None:
        os.dup2(2, 1)


def _begin() -> None:
    _print_aside()
    # Ctrl-C reaches all processes of a terminal. Who asked ends the workers: one that told of it itself would be ended
    # in the middle of the message, and who asked would wait for the rest of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def in_processes(
    work: Callable[[T], R], tasks: Sequence[T], processes: int | None, done: Callable[[int, T], None]
) -> list[R]:
    """What the work gives for each task, in their order; `done` hears how many are done and which was last.

    `processes` is how many run at once, all cores when not given; 1 is this process alone. Raises UnavailableError
    when one of them is killed, and SystemExit on SIGTERM.
    """
    if processes == 1:
        found = []
        for number, task in enumerate(tasks, start=1):
            found.append(work(task))
            done(number, task)
        return found
    with _ended_in_order():
        return _shared(work, tasks, processes, done)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM unwinds this process, as Ctrl-C does: ended at once, it would leave the semaphores of its pool behind."""
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        # Told twice, it still ends in order.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(_TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _shared(
    work: Callable[[T], R], tasks: Sequence[T], processes: int | None, done: Callable[[int, T], None]
) -> list[R]:
    # Fresh processes: a fork would copy whatever threads the numerical libraries hold.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            futures: dict[Future[R], T] = {pool.submit(work, task): task for task in tasks}
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                done(number, futures[future])
        except BrokenProcessPool as error:
            raise UnavailableError(
                "a process that had a part of the work was killed, by the kernel perhaps, for want of memory",
                fix="free memory, or ask for less at once",
            ) from error
        # Also on Ctrl-C and SIGTERM: what has begun, and what waits beside a worker, would keep all cores busy. Raised
        # again.
        except BaseException:
            for worker in active_children():
                worker.terminate()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def in_time(work: Callable[[], R], seconds: float) -> R:
    """What the work gives, done in a copy of this process, which is killed when it takes longer, whatever it hangs in.

    The result has to be plain data, and the work must not touch a connection. Raises TimeoutError, and
    ChildProcessError when the copy ends without a result.
    """
    forking = get_context("fork")
    receiving, sending = forking.Pipe(duplex=False)
    copy = forking.Process(target=_send, args=(work, sending, seconds), daemon=True)
    copy.start()
    sending.close()
    try:
        if not receiving.poll(seconds):
            raise TimeoutError(f"no result after {seconds:g} s")
        found: R = receiving.recv()
        return found
    except EOFError as error:
        copy.join()
        raise ChildProcessError(f"it ended with {copy.exitcode} and no result") from error
    finally:
        copy.kill()
        copy.join()
        copy.close()
        receiving.close()


def _send(work: Callable[[], R], sending: Connection, seconds: float) -> None:
    _print_aside()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The kernel ends the copy also when whoever waits for it was killed: at once, since it holds their locks, or, where
    # only Linux knows that, when time is up.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(seconds) + 1)
    sending.send(work())
