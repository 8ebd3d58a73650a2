"""The rows of the bulk benchmark, the same for every loader, streamed; arithmetic varies them, no seed is needed.

Making a row is part of every load that is measured, so what repeats is made once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
_FIRST = date(2026, 2, 2)
_DAYS = 28
_CALENDAR = [_FIRST + timedelta(days=number) for number in range(_DAYS)]
_CREATED = [NOW - timedelta(minutes=7 * number) for number in range(9_973)]
_CLOSED = [at + timedelta(days=9) for at in _CREATED]
_STAGES = ("appointmentscheduled", "qualifiedtobuy", "closedwon", "closedlost")

INSIGHT_KEY = ("account", "ad_id", "day")
INSIGHT_VALUES = (
    "first_day",
    "ad_set_id",
    "campaign_id",
    "impressions",
    "clicks",
    "link_clicks",
    "spend",
    "leads",
    "purchases",
    "purchase_value",
    "windows",
)
DEAL_KEY = ("account", "deal_id")
DEAL_VALUES = ("pipeline", "stage", "amount", "currency", "created_at", "closed_at", "archived", "contact_id", "source")
STAMPS = {"insights": ("read_at",), "deals": ("modified_at", "read_at")}
KEYS = {"insights": INSIGHT_KEY, "deals": DEAL_KEY}
VALUES = {"insights": INSIGHT_VALUES, "deals": DEAL_VALUES}

Row = tuple[object, ...]


def columns(table: str) -> Sequence[str]:
    return (*KEYS[table], *VALUES[table], *STAMPS[table])


def rows(table: str, number: int) -> Iterator[Row]:
    """`number` rows in the order of `columns`."""
    return map(_insight if table == "insights" else _deal, range(number))


def dicts(table: str, number: int) -> Iterator[dict[str, object]]:
    names = columns(table)
    return (dict(zip(names, row, strict=True)) for row in rows(table, number))


def _insight(i: int) -> Row:
    ad, day = i // _DAYS, _CALENDAR[i % _DAYS]
    seen = i * 7919 % 20_000
    return (
        "main",
        str(23_850_000_000_000_000 + ad),
        day,
        day,
        str(23_840_000_000_000_000 + ad // 4),
        str(23_830_000_000_000_000 + ad // 16),
        seen,
        seen // 50,
        seen // 70,
        seen * 3,
        seen // 900,
        seen // 3000,
        seen // 3000 * 4900,
        "7d_click,1d_view",
        NOW,
    )


def _deal(i: int) -> Row:
    at = i % len(_CREATED)
    return (
        "main",
        str(20_000_000_000 + i),
        "default",
        _STAGES[i % 4],
        i * 7919 % 3_000_000 if i % 5 else None,
        "USD",
        _CREATED[at],
        _CLOSED[at] if i % 2 else None,
        i % 97 == 0,
        str(10_000_000_000 + i),
        "hubspot",
        _CREATED[at],
        NOW,
    )
