"""Workers end with the process that asked them, however it ends, and with the first of them that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from adctl.adapters.processes import in_processes

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


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_workers_do_not_outlive_who_asked_them(tmp_path: Path, end: signal.Signals) -> None:
    line = f"from pathlib import Path; from tests.adapters.test_processes import ask; ask(Path({str(tmp_path)!r}))"
    asking = subprocess.Popen([sys.executable, "-c", line], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + _PATIENCE
    while len(found := [int(file.stem) for file in tmp_path.glob("*.pid")]) < 2:
        assert time.monotonic() < deadline, "the workers never began"
        time.sleep(0.01)

    # As Ctrl-C at a terminal does, to all of them; whoever kills, kills one.
    os.killpg(asking.pid, end) if end is signal.SIGINT else asking.send_signal(end)

    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline, "a worker was left behind"
        time.sleep(0.01)
    asking.wait(_PATIENCE)


def test_the_first_that_fails_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="it failed"):
        in_processes(fail_beside_another, [tmp_path] * 4, 2, lambda number, task: None)
