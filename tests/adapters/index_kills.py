"""Kills writers of an index file at any moment and reads what they leave: `python -m tests.adapters.index_kills`.

It prints how many of the kills (60, or `--kills N`) left a file that can be read.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adctl.adapters.winner_index import WinnerIndex, read_index
from adctl.domain.embedding.index_stamp import IndexStamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What one kill left: a file that can be read, and parts of another one when the writer was at work."""

    readable: bool
    at_work: bool


def killed_writers(folder: Path, kills: int) -> Generator[Kill, None, None]:
    """Writers of one file after the other, each killed within 50 ms of its first write."""
    path = folder / "killed"
    command = [sys.executable, "-m", "tests.adapters.index_writer", str(path)]
    checkout = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout) as process:
        assert process.stdin
        assert process.stdout
        expected = [IndexStamp(**json.loads(process.stdout.readline())) for _ in range(2)]
        for delay in np.random.default_rng(5).uniform(0.0, 0.05, kills).tolist():
            before = _file_number(path)
            process.stdin.write("write\n")
            process.stdin.flush()
            writer = int(process.stdout.readline())
            _wait_for_another(path, before)
            time.sleep(delay)
            os.kill(writer, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            yield Kill(
                readable=any(isinstance(read_index(path, one), WinnerIndex) for one in expected),
                # The next writer removes what this one left.
                at_work=any(folder.glob(".killed.*.tmp")),
            )


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _wait_for_another(path: Path, before: int | None) -> None:
    """Until the writer has put a file of its own there: it is at work, and missing is no right answer any more."""
    deadline = time.monotonic() + 60
    while _file_number(path) in (None, before):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    with tempfile.TemporaryDirectory() as folder:
        seen = list(killed_writers(Path(folder), parser.parse_args().kills))
    at_work = sum(one.at_work for one in seen)
    sys.stdout.write(f"{sum(one.readable for one in seen)} of {len(seen)} readable; {at_work} hit a writer at work\n")


if __name__ == "__main__":
    main()
