"""Every file of the corpus is refused at its line and column, or loaded as it says; big ones in little memory."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.adapters.files.ads_export import read_ads_export
from adctl.adapters.files.crm_export import read_crm_export
from adctl.adapters.files.opened_files import Limits, Source, open_packed, rereadable
from adctl.domain.exports import CrmExport
from adctl.domain.rejects import Quarantine
from adctl.errors import InputRejectedError, UsageError
from tests.adapters.files.bad_cells import AMOUNTS, DATES, HEADER, cells, row, with_cell
from tests.adapters.files.bad_input_corpus import TWO, TWO_DEALS, Case, Deal, Refused, files

NOW = datetime(2026, 10, 8, 12, tzinfo=UTC)
CELLS = tuple(cells())


def read(source: Source, limits: Limits | None = None, quarantine: Quarantine | None = None) -> CrmExport:
    return read_crm_export(source, currency="USD", as_of=NOW, zone=UTC, limits=limits, quarantine=quarantine)


def deals(export: CrmExport) -> tuple[Deal, ...]:
    return tuple((str(deal.deal_id), deal.stage, deal.amount) for deal in export.deals)


def refusal(source: Source, limits: Limits | None = None) -> InputRejectedError:
    with pytest.raises(InputRejectedError) as caught:
        read(source, limits)
    return caught.value


@pytest.mark.parametrize("case", files(), ids=lambda case: case.name)
def test_a_file_is_loaded_as_it_is_or_refused_at_line_and_column(case: Case) -> None:
    if not isinstance(case.outcome, Refused):
        assert deals(read(io.BytesIO(case.data))) == case.outcome
        return
    error = refusal(io.BytesIO(case.data))
    assert (error.line, error.exit_code) == (case.outcome.line, 65)
    assert error.column
    assert case.outcome.column in ("", error.column)
    assert case.outcome.why in error.reason
    assert error.fix
    assert len(str(error)) < 800


@pytest.mark.parametrize("case", files(), ids=lambda case: case.name)
def test_an_allowance_loads_nothing_that_is_not_there(case: Case) -> None:
    quarantine = Quarantine(100)
    try:
        export = read(io.BytesIO(case.data), quarantine=quarantine)
    except InputRejectedError:
        assert isinstance(case.outcome, Refused)
        return
    known = case.outcome if not isinstance(case.outcome, Refused) else ()
    assert export.totals.rows + len(quarantine.rows) >= max(len(known), 1)
    assert bool(quarantine.rows) is isinstance(case.outcome, Refused)


@pytest.mark.parametrize(("name", "data", "column", "reason"), CELLS, ids=[cell[0] for cell in CELLS])
def test_a_cell_is_read_for_what_it_says_or_sets_its_row_aside(
    name: str, data: bytes, column: str, reason: str
) -> None:
    if not reason:
        assert read(io.BytesIO(data)).totals.rows == 1
        return
    error = refusal(io.BytesIO(data))
    assert (error.line, error.column) == (2, column), name
    assert reason in error.reason
    assert error.fix
    if b"\0" in data:
        return
    quarantine = Quarantine(1)
    export = read(io.BytesIO(data + b'"99","Won","-","2026-09-03"\n'), quarantine=quarantine)
    assert [deal.deal_id for deal in export.deals] == ["99"]
    assert [(one.line, one.column) for one in quarantine.rows] == [(2, column)]


def test_amounts_and_dates_are_what_they_say() -> None:
    for text, amount in AMOUNTS.items():
        if not isinstance(amount, str):
            assert deals(read(io.BytesIO(with_cell("Amount", text))))[0][2] == amount, text
    for text, told in DATES.items():
        if told[:1] not in ("", "!"):
            [deal] = read(io.BytesIO(with_cell("Create Date", text))).deals
            assert deal.created_at == datetime.fromisoformat(told).replace(tzinfo=UTC), text


# --- an independent reader says the same -----------------------------------------------------------------------------

_WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda text: text[0] not in "=+@#" and "\ufffd" not in text
)
_DEAL = st.tuples(_WORD, st.integers(-(10**9), 10**9), st.dates(date(2020, 1, 1), date(2026, 10, 1)))


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(_DEAL, min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_and_json_write_is_read_back_to_the_last_character(
    rows: list[tuple[str, int, date]], delimiter: str, quoting: int, ending: str, encoding: str
) -> None:
    titles = HEADER.strip().split(",")
    table = [
        [str(number), stage, f"{cents / 100:.2f}", day.isoformat()]
        for number, (stage, cents, day) in enumerate(rows, 1)
    ]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ending).writerows([titles, *table])  # type: ignore[arg-type]
    reference = list(csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=delimiter))[1:]
    expected = tuple((deal, stage, round(float(amount) * 100)) for deal, stage, amount, _ in reference)
    assert deals(read(io.BytesIO(text.getvalue().encode(encoding)))) == expected
    records = [dict(zip(titles, one, strict=True)) for one in table]
    assert deals(read(io.BytesIO(json.dumps(records).encode(encoding)))) == expected
    lines = "".join(json.dumps(one, ensure_ascii=False) + ending for one in records)
    assert deals(read(io.BytesIO(lines.encode(encoding)))) == expected


def test_a_row_without_a_name_is_no_total_when_what_was_set_aside_explains_it_not() -> None:
    header = "ad_id,adset_id,campaign_id,impressions,clicks,spend,day\n"
    rows = "31,2,3,5,1,1.00,2026-10-01\n32,2,3,x,1,1.00,2026-10-01\n"
    for last, aside in ((",,,9,2,2.00,", 1), (",,,9,2,2.50,2026-10-01", 2)):
        quarantine = Quarantine(5)
        data = io.BytesIO((header + rows + last + "\n").encode())
        export = read_ads_export(data, currency="USD", as_of=NOW.date(), quarantine=quarantine)
        assert (export.totals.rows, len(quarantine.rows)) == (1, aside)


# --- size, time, what is no file -------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A gigabyte of one character behind a beginning, made while it is read."""

    def __init__(self, beginning: bytes, filling: bytes) -> None:
        self._beginning = beginning
        self._filling = filling
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        size = max(min(size, (1 << 30) - self._at), 0)
        found = self._beginning[self._at : self._at + size]
        self._at += size
        return found + self._filling * (size - len(found))


@pytest.mark.parametrize(
    ("beginning", "filling", "line"),
    [
        (b"", b"x", 1),
        (b"", b" ", 1),
        (TWO.encode(), b"x", 4),
        (TWO.encode() + b'13,"', b"\n", 4),
        (HEADER.encode(), b",", 2),
        (b"[", b" ", 1),
        (b'{"deal_id": "', b"x", 1),
        (b'[{"deal_id": ', b"1", 1),
        (b"[", b"[", 1),
        (b"{", b'"', 1),
    ],
    ids=repr,
)
def test_a_gigabyte_in_one_line_is_refused_in_little_memory(beginning: bytes, filling: bytes, line: int) -> None:
    tracemalloc.start()
    try:
        error = refusal(Endless(beginning, filling), Limits(file_bytes=64 << 20))  # type: ignore[arg-type]
        assert error.line == line
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_a_directory_and_a_missing_file_are_faults_of_the_command_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_a_pipe_is_read_and_one_that_stays_open_is_given_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(TWO.encode(),))
    writer.start()
    assert deals(read(pipe, Limits(seconds=60))) == TWO_DEALS
    writer.join()
    assert "did not end within 0 seconds" in refusal(pipe, Limits(seconds=0)).reason
    with open_both(pipe) as open_end:
        open_end.write(TWO.encode())
        assert "did not end within 1 seconds" in refusal(pipe, Limits(seconds=1)).reason


def test_a_named_pipe_is_called_by_its_path_even_when_it_is_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"Deal ID,Stage,Amount\n1,Won,much\n",))
    writer.start()
    with rereadable(pipe, Limits(seconds=60)) as source:
        writer.join()
        for _ in range(2):
            assert refusal(source).source == str(pipe)


def open_both(pipe: Path) -> IO[bytes]:
    return os.fdopen(os.open(pipe, os.O_RDWR | os.O_NONBLOCK), "wb", buffering=0)


def test_a_pipe_over_the_size_is_refused(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as out:
        out.write(TWO.encode())
        out.close()
        assert "more than 50 bytes" in refusal(source, Limits(file_bytes=50)).reason


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    path.write_text(TWO)

    def grow() -> None:
        with open_packed(path) as (_, stream):
            assert stream.read(10)
            with path.open("a") as more:
                more.write(row("13"))

    with pytest.raises(InputRejectedError, match="changed while it was read"):
        grow()
    assert len(read(path).deals) == 3


def test_a_file_that_takes_too_long_is_refused() -> None:
    assert "takes more than -1 seconds" in refusal(io.BytesIO(TWO.encode()), Limits(seconds=-1)).reason
