"""Dates and times of other people's files, read only where they mean one thing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from adctl.domain.dates import DateCell, DateOrder, DateOrderLearner, parse_day, parse_moment
from adctl.errors import InputRejectedError

LATEST = date(2026, 11, 1)
BERLIN = ZoneInfo("Europe/Berlin")


def proven(*texts: str) -> DateOrder | None:
    learner = DateOrderLearner("f.csv")
    for line, text in enumerate(texts, start=2):
        learner.see(DateCell(line=line, column="Day", text=text))
    return learner.order()


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01",
        "2026/10/01",
        "2026.10.1",
        "01.10.2026",
        "Oct 1, 2026",
        "October 1 2026",
        "1 Oct 2026",
        "1-Oct-2026",
        "2026-10-01 00:00:00",
        "2026-10-01T00:00",
    ],
)
def test_a_date_that_means_one_day_is_read(text: str) -> None:
    assert parse_day(text, None, latest=LATEST) == date(2026, 10, 1)


@pytest.mark.parametrize(
    "text",
    [
        "09/01/2026",
        "1/2/26",
        "45567",
        "2026-13-01",
        "2026-02-30",
        "31.02.2026",
        "2003-12-31",
        "2026-11-02",
        "0000-00-00",
        "2026-10-01 09:30",
        "2026-10-01T00:00Z",
        "٢٠٢٦-١٠-٠١",
        "Foo 1, 2026",
        "2026-10/01",
        "T" * 70_000,
        "N/A",
        "99/99/2026",
    ],
)
def test_any_other_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"may be|not a date|does not exist|not between|a moment|no month"):
        parse_day(text, None, latest=LATEST)


def test_a_file_that_shows_its_order_once_is_read_by_it() -> None:
    assert proven("09/01/2026", "08/31/2026") is DateOrder.MONTH_FIRST
    assert proven("09/01/2026", "31/08/2026 10:00") is DateOrder.DAY_FIRST
    assert proven("09/01/2026", "31.08.2026", "2026-08-31") is None
    assert parse_day("09/01/2026", DateOrder.MONTH_FIRST, latest=LATEST) == date(2026, 9, 1)
    assert parse_day("09/01/2026", DateOrder.DAY_FIRST, latest=LATEST) == date(2026, 1, 9)


def test_a_date_with_equal_day_and_month_needs_no_order() -> None:
    assert parse_day("05/05/2026", None, latest=LATEST) == date(2026, 5, 5)


def test_two_orders_in_one_file_are_refused_naming_both_cells() -> None:
    with pytest.raises(InputRejectedError, match=r"line 4, column 'Day'.*'08/31/2026' on line 2"):
        proven("08/31/2026", "09/01/2026", "31/08/2026")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("2026-07-01 09:30", datetime(2026, 7, 1, 7, 30, tzinfo=UTC)),
        ("2026-07-01T09:30:15.250Z", datetime(2026, 7, 1, 9, 30, 15, 250_000, tzinfo=UTC)),
        ("2026-07-01 09:30:00+05:30", datetime(2026, 7, 1, 4, tzinfo=UTC)),
        ("Jul 1, 2026 12:05 AM", datetime(2026, 6, 30, 22, 5, tzinfo=UTC)),
        ("1.7.2026 9:30 PM", datetime(2026, 7, 1, 19, 30, tzinfo=UTC)),
        # The clock is set back: the first of the two hours.
        ("2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_without_an_offset_is_of_the_account_zone(text: str, expected: datetime) -> None:
    assert parse_moment(text, None, latest=LATEST, zone=BERLIN) == expected


@pytest.mark.parametrize(
    "text", ["2026-07-01 25:00", "2026-07-01 09:61", "2026-07-01 13:00 PM", "2026-07-01 1:00+99:00"]
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not exist|no such hour|no offset"):
        parse_moment(text, None, latest=LATEST, zone=BERLIN)


def test_an_hour_that_the_clock_leaves_out_is_refused_and_the_start_of_a_day_is_none() -> None:
    for text in ("2026-03-29 02:00", "29.03.2026 02:59:59"):
        with pytest.raises(ValueError, match="does not exist in Europe/Berlin"):
            parse_moment(text, None, latest=LATEST, zone=BERLIN)
    for text, hour in (("2026-03-29 01:59", 0), ("2026-03-29 03:00", 1), ("2026-03-29T02:30+01:00", 1)):
        assert parse_moment(text, None, latest=LATEST, zone=BERLIN).hour == hour
    # In Cuba that day began at one.
    for text in ("2026-03-08", "2026-03-08 00:00"):
        start = parse_moment(text, None, latest=LATEST, zone=ZoneInfo("America/Havana"))
        assert start == datetime(2026, 3, 8, 5, tzinfo=UTC)
