"""Days and moments as people's programs write them, read only where they can mean one thing.

Read: `2026-10-01` (also with `/` or `.`), `01.10.2026` (always day first), `Oct 1, 2026` and `1 October 2026`. A date
such as `09/01/2026` is read when the file proves its order (`08/31/2026` elsewhere) or both readings are one day,
and refused otherwise. Years have four digits. A moment adds `9:30`, `09:30:15.5`, `9:30 PM`, and `Z` or an offset.
Where programs write for programs it may be ten digits, seconds since 1970, or thirteen, milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from enum import StrEnum

from adctl.errors import InputRejectedError

_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.ASCII)
_MONTH_NAMED = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})", re.ASCII)
_DAY_NAMED = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3,9})\.?,?[ -](\d{4})", re.ASCII)
_CLOCK = re.compile(
    r"(?P<day>.*?)[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])[Mm])?(?: ?(?P<offset>Z|UTC|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
_EPOCH = re.compile(r"\d{10}(?:\d{3})?", re.ASCII)
_LONGEST = 40
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
# Facebook opened in 2004: an earlier day is an empty cell of a spreadsheet or a typing error.
_EARLIEST = date(2004, 1, 1)


class DateOrder(StrEnum):
    """The order of `09/01/2026`."""

    DAY_FIRST = "day first"
    MONTH_FIRST = "month first"


@dataclass(frozen=True, slots=True, kw_only=True)
class DateCell:
    line: int
    column: str
    text: str


class DateOrderLearner:
    """Collects what the cells of one file prove about its order of day and month."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._proof: tuple[DateOrder, DateCell] | None = None

    def see(self, cell: DateCell) -> None:
        """Raises InputRejectedError naming both cells when this one contradicts an earlier one."""
        order = _proven_order(cell.text.strip())
        if order is None:
            return
        self._proof = self._proof or (order, cell)
        known, first = self._proof
        if known is not order:
            what = f"{cell.text!r} is written {order}, {first.text!r} on line {first.line} {known}"
            fix = "write every date of the file in one way, best as 2026-10-31"
            raise InputRejectedError(what, source=self._source, line=cell.line, column=cell.column, fix=fix)

    def order(self) -> DateOrder | None:
        """None when no cell proved one."""
        return self._proof[0] if self._proof else None


def parse_day(text: str, order: DateOrder | None, *, latest: date) -> date:
    """A day from 2004 to `latest`. A clock time is accepted only at midnight. Raises ValueError with the reason."""
    clock = _clock(text)
    if clock is None:
        return _day(text, text.strip(), order, latest)
    if _time_of_day(text, clock) != time() or clock["offset"]:
        raise ValueError(f"{text!r} is a moment, a day is expected")
    return _day(text, clock["day"], order, latest)


def parse_moment(
    text: str, order: DateOrder | None, *, latest: date, zone: tzinfo, since_epoch: bool = False
) -> datetime:
    """A moment in UTC, on a day from 2004 to `latest`. Raises ValueError with the reason.

    Without an offset the clock is the one of `zone`: the first of the two hours when it is set back, and no hour that
    is left out when it is put forward. Without a time it is the start of the day there. `since_epoch` reads seconds
    and milliseconds since 1970, too.
    """
    if since_epoch and _EPOCH.fullmatch(text):
        return _since_epoch(text, latest, zone)
    clock = _clock(text)
    day = _day(text, clock["day"] if clock else text.strip(), order, latest)
    at = _time_of_day(text, clock) if clock else time()
    there = datetime.combine(day, at, _offset(clock["offset"], zone) if clock else zone)
    moment = there.astimezone(UTC)
    # The start of a day stands for the day, also where the clock is put forward at midnight.
    if at != time() and moment.astimezone(there.tzinfo).replace(tzinfo=None) != there.replace(tzinfo=None):
        raise ValueError(f"{text!r} is a time that does not exist in {zone}, where the clock is put forward then")
    return moment


def _since_epoch(text: str, latest: date, zone: tzinfo) -> datetime:
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text.ljust(13, "0")))
    if not _EARLIEST <= at.astimezone(zone).date() <= latest:
        raise ValueError(f"{text!r} is not between {_EARLIEST} and {latest}")
    return at


def _clock(text: str) -> re.Match[str] | None:
    # The pattern may backtrack over its whole input: a date is short, and a time has a colon.
    return _CLOCK.fullmatch(text.strip()) if ":" in text and len(text) <= _LONGEST else None


def _day(text: str, part: str, order: DateOrder | None, latest: date) -> date:
    numbers = _year_month_day(text, part, order)
    try:
        day = date(*numbers)
    except ValueError:
        raise ValueError(f"{text!r} is a day that does not exist") from None
    if not _EARLIEST <= day <= latest:
        raise ValueError(f"{text!r} is not between {_EARLIEST} and {latest}")
    return day


def _year_month_day(text: str, part: str, order: DateOrder | None) -> tuple[int, int, int]:
    if match := _YEAR_FIRST.fullmatch(part):
        return int(match[1]), int(match[3]), int(match[4])
    if match := _YEAR_LAST.fullmatch(part):
        return _year_last(text, match, order)
    if match := _MONTH_NAMED.fullmatch(part):
        return int(match[3]), _month(text, match[1]), int(match[2])
    if match := _DAY_NAMED.fullmatch(part):
        return int(match[3]), _month(text, match[2]), int(match[1])
    raise ValueError(f"{text!r} is not a date such as 2026-10-01")


def _year_last(text: str, match: re.Match[str], order: DateOrder | None) -> tuple[int, int, int]:
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    order = _order_of(match) or order
    if order is None and first != second:
        raise ValueError(f"{text!r} may be day first or month first: nothing in the file says which")
    return (year, first, second) if order is DateOrder.MONTH_FIRST else (year, second, first)


def _proven_order(text: str) -> DateOrder | None:
    clock = _clock(text)
    match = _YEAR_LAST.fullmatch(clock["day"] if clock else text)
    # Dots are day first wherever they are used, so they say nothing of slashes.
    return _order_of(match) if match and match[2] != "." else None


def _order_of(match: re.Match[str]) -> DateOrder | None:
    if match[2] == "." or int(match[1]) > 12:
        return DateOrder.DAY_FIRST
    return DateOrder.MONTH_FIRST if int(match[3]) > 12 else None


def _month(text: str, name: str) -> int:
    for number, month in enumerate(_MONTHS, start=1):
        if name.lower() in (month, month[:3]):
            return number
    raise ValueError(f"{text!r} names no month")


def _time_of_day(text: str, clock: re.Match[str]) -> time:
    hour, half = int(clock["hour"]), (clock["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError(f"{text!r} has no such hour")
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    micro = int((clock["fraction"] or "").ljust(6, "0")[:6])
    try:
        return time(hour, int(clock["minute"]), int(clock["second"] or 0), micro)
    except ValueError:
        raise ValueError(f"{text!r} is a time that does not exist") from None


def _offset(text: str | None, zone: tzinfo) -> tzinfo:
    if text is None:
        return zone
    if text in ("Z", "UTC"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 15 or minutes > 59:
        raise ValueError(f"{text!r} is no offset from UTC")
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
