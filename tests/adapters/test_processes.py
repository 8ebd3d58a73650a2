"""Workers end with the process that asked them, however it ends, and with the first of them that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from adctl.adapters.processes import in_processes, in_time
from adctl.errors import UnavailableError

_PATIENCE = 120.0


def sit(folder: Path) -> None:
    """Work that never ends: it leaves the number of its process."""
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(1e6)


def fail_beside_another(folder: Path) -> None:
    """Fails once another sits."""
    with suppress(FileExistsError):
        (folder / "one").mkdir()
        sit(folder)
    while not list(folder.glob("*.pid")):
        time.sleep(0.01)
    raise ArithmeticError("it failed")


def ask(folder: Path) -> None:
    in_processes(sit, [folder] * 2, 2, lambda number, task: None)


def ask_in_time(folder: Path) -> None:
    in_time(lambda: sit(folder), _PATIENCE * 5)


def runs(pid: int) -> bool:
    """Whether the process has not ended; where nobody collects it, a container's first process, its number stays."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("asked", "workers", "end"),
    [
        (ask, 2, signal.SIGKILL),
        (ask, 2, signal.SIGTERM),
        (ask, 2, signal.SIGINT),
        (ask_in_time, 1, signal.SIGKILL),
        (ask_in_time, 1, signal.SIGINT),
    ],
    ids=["workers SIGKILL", "workers SIGTERM", "workers SIGINT", "copy SIGKILL", "copy SIGINT"],
)
def test_workers_do_not_outlive_who_asked_them(
    tmp_path: Path, asked: Callable[[Path], None], workers: int, end: signal.Signals
) -> None:
    # Whoever is started in the background is deaf to SIGINT, these tests with all that they start.
    line = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    line += f"from pathlib import Path; from tests.adapters.test_processes import {asked.__name__} as ask; "
    line += f"ask(Path({str(tmp_path)!r}))"
    asking = subprocess.Popen([sys.executable, "-c", line], start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + _PATIENCE
    while len(found := [int(file.stem) for file in tmp_path.glob("*.pid")]) < workers:
        assert time.monotonic() < deadline, "the workers never began"
        time.sleep(0.01)

    # As Ctrl-C at a terminal does, to all of them; whoever kills, kills one.
    os.killpg(asking.pid, end) if end is signal.SIGINT else asking.send_signal(end)

    while any(runs(pid) for pid in found):
        assert time.monotonic() < deadline, "a worker was left behind"
        time.sleep(0.01)
    said = asking.communicate(timeout=_PATIENCE)[1]
    if end is signal.SIGTERM:
        assert (asking.returncode, said) == (143, "")
    elif end is signal.SIGINT:
        assert "leaked semaphore" not in said


def test_the_first_that_fails_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="it failed"):
        in_processes(fail_beside_another, [tmp_path] * 4, 2, lambda number, task: None)


def kill_itself(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_kernel_kills_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="a process that had a part of the work was killed"):
        in_processes(kill_itself, [tmp_path] * 2, 2, lambda number, task: None)
