"""Monthly partitions of the tables that grow with time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import Connection, text

Partitioned = Literal["job_runs", "insights", "insight_readings", "stage_moves", "decisions", "winner_events"]


def ensure_months(connection: Connection, table: Partitioned, days: Iterable[date]) -> None:
    """Makes the partitions that the given days need; nothing when there are no days."""
    months = {day.replace(day=1) for day in days}
    for month in sorted(months):
        connection.execute(
            text("select ensure_months(:table, :first, :last)"), {"table": table, "first": month, "last": month}
        )


def ensure_now(connection: Connection, table: Partitioned, today: date) -> None:
    """Makes the partition of today and the next one, so that a run may pass the end of a month."""
    ensure_months(connection, table, (today, today + timedelta(days=31)))
