"""Executors of one account at once: dying and starting again, halted, frozen."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.crowd import crowd, halted_crowd
from tests.chaos.scenarios import clock_jumps, late_riser


def test_eight_executors_that_die_at_random_send_everything_once(database_url: str, tmp_path: Path) -> None:
    crowd(database_url, tmp_path, seed=0, changes=24)


def test_once_a_halt_is_committed_no_attempt_is_written(database_url: str, tmp_path: Path) -> None:
    halted_crowd(database_url, tmp_path, seed=0, changes=30)


def test_a_worker_that_wakes_up_too_late_sends_nothing(database_url: str, tmp_path: Path) -> None:
    late_riser(database_url, tmp_path, loses_session=True)


def test_a_clock_that_jumps_back_by_two_days_sends_nothing_twice(database_url: str, tmp_path: Path) -> None:
    clock_jumps(database_url, tmp_path, days=-2, kill="S")
