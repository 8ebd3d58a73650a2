"""Nights in which clocks are set: quiet hours, the zone, a moment in UTC, and when they end (None: it is not quiet)."""

from __future__ import annotations

CLOCKS_THAT_ARE_SET = (
    # 02:30 does not exist: the night ends when the clock goes from 02:00 to 03:00.
    ("22:00-02:30", "Europe/Berlin", "2026-03-29T00:10", "2026-03-29T01:00"),
    ("22:00-02:30", "Europe/Berlin", "2026-03-29T01:00", None),
    ("22:00-07:00", "Europe/Berlin", "2026-03-28T21:30", "2026-03-29T05:00"),
    # 02:30 comes twice: each time it is quiet until then.
    ("22:00-02:30", "Europe/Berlin", "2026-10-25T00:10", "2026-10-25T00:30"),
    ("22:00-02:30", "Europe/Berlin", "2026-10-25T00:30", None),
    ("22:00-02:30", "Europe/Berlin", "2026-10-25T01:10", "2026-10-25T01:30"),
    ("22:00-07:00", "Europe/Berlin", "2026-10-24T20:30", "2026-10-25T06:00"),
    ("01:15-06:00", "America/New_York", "2026-11-01T05:30", "2026-11-01T06:00"),
    ("22:00-06:00", "America/New_York", "2026-03-08T03:30", "2026-03-08T10:00"),
    # Half an hour, and a zone of half hours.
    ("22:00-01:45", "Australia/Lord_Howe", "2026-04-04T14:50", None),
    ("22:00-01:45", "Australia/Lord_Howe", "2026-04-04T15:05", "2026-04-04T15:15"),
    ("22:00-06:30", "Asia/Kolkata", "2026-03-02T17:00", "2026-03-03T01:00"),
)
