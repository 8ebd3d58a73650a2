"""PostgreSQL crashes while several executors are amid their work; `python -m tests.chaos` does it at every point."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.server_crashes import crash_at


def test_a_crash_of_the_server_loses_no_authorisation_and_repeats_no_write(tmp_path: Path) -> None:
    crash_at("", tmp_path, point="in T2", beside=("T2", "S", "R1"))
