"""SIGKILL at every named point, with a fault at Meta: nothing is sent wrong, sent twice or lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cells import cell_on, crash

# Every point once, each with another fault; `python -m tests.chaos` runs them all.
FEW = (
    ("T1", "limited"),
    ("R1", "drop before"),
    ("T2", "no effect"),
    ("during S", "late"),
    ("S", "500 after"),
    ("T3", "garbage"),
    ("R2", "slow"),
    ("commit", "drop after"),
)


@pytest.mark.parametrize(("kill", "fault"), FEW)
def test_a_crash_and_a_fault_together_break_no_promise(
    kill: str, fault: str, database_url: str, tmp_path: Path
) -> None:
    with cell_on(database_url, tmp_path) as cell:
        crash(cell, kill, fault, hurry=True)
