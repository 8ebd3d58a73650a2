"""Rows that are set aside: accepted + rejected = read whatever is wrong, and a whole file that is broken is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.adapters.files.ads_export import read_ads_export
from adctl.adapters.files.crm_export import read_crm_export
from adctl.adapters.files.sightings import open_sightings
from adctl.domain.exports import AdsExport, CrmExport
from adctl.domain.privacy import privacy_keys
from adctl.domain.rejects import KeptRows, Quarantine, RejectedRow, presentable, scrubbed
from adctl.errors import InputRejectedError

NOW = datetime(2026, 10, 8, 12, tzinfo=UTC)
TITLES = ("Deal ID", "Stage", "Amount", "Create Date")
ADS = "ad_id,adset_id,campaign_id,impressions,clicks,spend,day"


def deals(data: bytes, quarantine: Quarantine) -> CrmExport:
    return read_crm_export(io.BytesIO(data), currency="USD", as_of=NOW, zone=UTC, quarantine=quarantine)


def ads(text: str, quarantine: Quarantine, header: str = ADS) -> AdsExport:
    data = f"{header}\n{text}\n".encode()
    return read_ads_export(io.BytesIO(data), currency="USD", as_of=date(2026, 10, 8), quarantine=quarantine)


def as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([TITLES, *rows])
    return text.getvalue().encode()


def as_lines(rows: list[list[str]]) -> bytes:
    return "".join(json.dumps(dict(zip(TITLES, row, strict=False))) + "\n" for row in rows).encode()


def as_array(rows: list[list[str]]) -> bytes:
    return json.dumps([dict(zip(TITLES, row, strict=False)) for row in rows]).encode()


_id = st.sampled_from(["1", "2", "3", "4", "5", "6", "", "1.2E+17", "=1+1", "a b"])
_stage = st.sampled_from(["Won", "Talk", "", "=cmd"])
_amount = st.sampled_from(["1", "12.50", "-3", "", "—", "NaN", "inf", "1e400", "1_000", "١٢", "0x1f", "$5", "1.005"])
_created = st.sampled_from(["2026-09-01", "", "2026-13-01", "1899-12-30", "yesterday", "2036-01-01"])
_row = st.tuples(_id, _stage, _amount, _created).map(list)
_ragged = st.lists(st.sampled_from(["1", "x", ""]), min_size=5, max_size=6).map(lambda row: ["9", *row])


@settings(deadline=None, max_examples=150)
@given(st.lists(_row | _ragged, min_size=1, max_size=12), st.sampled_from([as_csv, as_lines, as_array]), st.booleans())
def test_accepted_and_rejected_rows_are_all_that_were_read(rows: list[list[str]], write: Any, packed: bool) -> None:
    rows = [["1", "Won", "5", "2026-09-01"], *(row for row in rows if any(row))]
    data = write(rows)
    quarantine = Quarantine(len(rows))
    export = deals(gzip.compress(data) if packed else data, quarantine)
    assert export.totals.rows + len(quarantine.rows) == len(rows)
    assert len({deal.deal_id for deal in export.deals}) == len(export.deals) == export.totals.rows
    numbers = [row.number for row in quarantine.rows]
    assert len(set(numbers)) == len(numbers)
    assert all(row.reason and row.line >= 1 for row in quarantine.rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(_row | _ragged, min_size=1, max_size=8))
def test_without_an_allowance_one_bad_row_refuses_what_an_allowance_sets_aside(rows: list[list[str]]) -> None:
    rows = [["1", "Won", "5", "2026-09-01"], *(row for row in rows if any(row))]
    quarantine = Quarantine(len(rows))
    deals(as_csv(rows), quarantine)
    if quarantine.rows:
        with pytest.raises(InputRejectedError):
            deals(as_csv(rows), Quarantine())
        with pytest.raises(InputRejectedError):
            deals(as_csv(rows), Quarantine(len(quarantine.rows) - 1))
    else:
        deals(as_csv(rows), Quarantine())


@settings(deadline=None, max_examples=150)
@given(
    data=st.binary(max_size=200)
    | st.sampled_from([as_csv, as_lines, as_array]).map(lambda w: w([["1", "W", "5", ""]])),
    cut=st.integers(0, 60),
    junk=st.binary(max_size=4),
    packed=st.booleans(),
    limit=st.integers(0, 3),
)
def test_bytes_of_any_kind_are_loaded_or_refused_with_a_line(
    data: bytes, cut: int, junk: bytes, packed: bool, limit: int
) -> None:
    broken = data[:cut] + junk + data[cut:]
    broken = gzip.compress(broken)[: -1 - limit] if packed and cut % 2 else broken
    for kind in ("deals", "ads", "clicks"):
        assert _line_of_refusal(kind, broken, limit) is not None


def _line_of_refusal(kind: str, data: bytes, limit: int) -> int | None:
    """0 when the file was loaded."""
    try:
        _read(kind, data, Quarantine(limit))
    except InputRejectedError as error:
        return error.line
    return 0


def _read(kind: str, data: bytes, quarantine: Quarantine) -> None:
    if kind == "deals":
        deals(data, quarantine)
    elif kind == "ads":
        read_ads_export(io.BytesIO(data), currency="USD", as_of=date(2026, 10, 8), quarantine=quarantine)
    else:
        source = io.BytesIO(data)
        with open_sightings(source, "clicks", as_of=NOW, zone=UTC, privacy=None, quarantine=quarantine) as reading:
            list(reading.sightings())


# --- what is the row's fault, what the file's ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"Deal ID,Stage,Amount\n1,Won,5\n\n2,Won,5\n",
        b'Deal ID,Stage,Amount\n1,Won,5\n2,"Won,5\n3,Won,5\n',
        b"Deal ID,Stage,Amount\n1,Won,5\n2,W\xff,5\n",
        b"Deal ID,Stage,Amount\n1,Won,5\n2,Wo",
        b'[{"deal_id": 1, "stage": "Won", "amount": 5}, {"deal_id"',
        b'{"total": 5, "deals": [{"deal_id": 1, "stage": "Won", "amount": 5}]}',
        gzip.compress(b"Deal ID,Stage,Amount\n1,Won,5\n")[:-5],
    ],
    ids=["two tables", "a quote never closed", "no text", "cut", "cut JSON", "records missing", "cut gzip"],
)
def test_a_broken_file_is_refused_whatever_is_allowed(data: bytes) -> None:
    with pytest.raises(InputRejectedError):
        deals(data, Quarantine(1_000))


def test_a_row_that_writes_numbers_otherwise_is_set_aside_and_proves_nothing_for_the_rest() -> None:
    rows = [
        ["1", "Won", "1,234.50", ""],
        ["2", "Won", "1.234,50", ""],
        ["3", "Won", "1,234", ""],
        ["4", "Won", "7", ""],
    ]
    quarantine = Quarantine(5)
    export = deals(as_csv(rows), quarantine)
    assert [(deal.deal_id, deal.amount) for deal in export.deals] == [("1", 123_450), ("4", 700)]
    assert [row.number for row in quarantine.rows] == [2, 3]


def test_in_json_a_number_is_a_plain_one() -> None:
    quarantine = Quarantine(9)
    rows = [["1", "Won", "1.234", ""], ["2", "Won", "1,234", ""], ["3", "Won", "12.5", ""], ["4", "Won", "1e3", ""]]
    export = deals(as_lines(rows), quarantine)
    assert [(deal.deal_id, deal.amount) for deal in export.deals] == [("3", 1250)]
    assert [row.number for row in quarantine.rows] == [1, 2, 4]


def test_a_total_row_must_be_the_sum_of_the_deals() -> None:
    text = b"Deal ID,Stage,Amount\n1,Won,5.50\n2,Talk,4\nTotal,,%s\n"
    export = deals(text % b"9.50", Quarantine())
    assert export.totals.rows == 2
    assert any("equals the sum" in note for note in export.notes)
    with pytest.raises(InputRejectedError, match="states 960 minor units, the rows add up to 950"):
        deals(text % b"9.60", Quarantine())


def test_a_part_of_an_ads_figures_takes_the_other_parts_with_it() -> None:
    header = f"{ADS},age"
    parts = "31,2,3,5,1,1.00,2026-10-01,18-24\n31,2,3,x,1,1.00,2026-10-01,25-34\n32,2,3,5,1,1.00,2026-10-01,18-24\n"
    more = "32,2,3,5,1,2.00,2026-10-01,25-34"
    quarantine = Quarantine(5)
    export = ads(parts + more, quarantine, header)
    assert [(one.ad_id, one.spend) for one in export.insights] == [("32", 300)]
    assert (export.totals.rows, len(quarantine.rows)) == (2, 2)


def test_a_part_of_nobody_knows_which_ad_refuses_the_file() -> None:
    header = f"{ADS},age"
    text = "31,2,3,5,1,1.00,2026-10-01,18-24\n31,2,3,5,1,1.00,2026-10-01,25-34\n,2,3,5,1,1.00,2026-10-01,35-44"
    with pytest.raises(InputRejectedError, match="of which ad is not known"):
        ads(text, Quarantine(5), header)


def test_a_stated_total_still_bounds_what_is_left() -> None:
    rows = "31,2,3,5,1,1.00,2026-10-01\n32,2,3,x,1,1.00,2026-10-01\n"
    export = ads(rows + ",,,10,2,2.00,", Quarantine(1))
    assert not export.total_checked
    with pytest.raises(InputRejectedError, match="the total row states"):
        ads(rows + ",,,4,2,2.00,", Quarantine(1))


def test_one_row_too_many_refuses_the_file_and_names_the_row() -> None:
    rows = [[str(number), "Won", "much" if number > 2 else "1", ""] for number in range(1, 6)]
    with pytest.raises(InputRejectedError) as caught:
        deals(as_csv(rows), Quarantine(2))
    assert (caught.value.line, caught.value.column) == (6, "Amount")
    assert "more than 2 bad rows" in str(caught.value)


# --- what is kept of them --------------------------------------------------------------------------------------------


def test_nothing_personal_is_kept_of_a_row() -> None:
    row = RejectedRow(
        number=1,
        line=2,
        column="Amount",
        reason="'ann@example.com' is not a number",
        cells={"Deal ID": "7", "Amount": "ann@example.com", "Mail": "ann@example.com", "Deal name": "Ann Lee"},
        whole=True,
    )
    kept = presentable(row, {"deal_id": "Deal ID", "amount": "Amount", "email": "Mail"}, privacy_keys("k" * 32, None))
    assert kept.cells == {"Deal ID": "7", "Amount": "***"}
    assert kept.reason == "'***' is not a number"
    assert kept.email is not None
    assert len(kept.email) == 32


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("call ann.lee+x@example.com now", "call *** now"),
        ("from 203.0.113.9 and 2a00:1450:4001:82a::200e", "from *** and ***"),
        ("at 12:30:15 on 1.2.3", "at 12:30:15 on 1.2.3"),
        ("access_token=EAAB123 & more", "access_token=*** & more"),
        ("EAA" + "x" * 30, "***"),
        ("Mozilla/5.0 (X11; Linux) Firefox/1", "***"),
        ("Closed Won", "Closed Won"),
    ],
)
def test_addresses_agents_and_tokens_are_scrubbed(text: str, left: str) -> None:
    assert scrubbed(text) == left


def test_kept_rows_are_read_with_the_habits_of_their_file() -> None:
    quarantine = Quarantine(3)
    deals(as_csv([["1", "Won", "1.234,50", "31.08.2026"], ["2", "", "2.345", "2026-09-01"]]), quarantine)
    assert quarantine.habits is not None
    [bad] = quarantine.presentable(None)
    again = KeptRows("deals.csv", quarantine.habits, [(17, bad.line, {**bad.cells, "Stage": "Won"})])
    retried = Quarantine(1)
    export = read_crm_export(again, currency="USD", as_of=NOW, zone=UTC, quarantine=retried)
    assert [deal.amount for deal in export.deals] == [234_500]
    assert again.loaded(retried) == [17]
