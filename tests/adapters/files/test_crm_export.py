"""CRM exports: the fixture to the last unit, HubSpot's own columns, and one test per way of being wrong."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.adapters.files.crm_export import read_crm_export
from adctl.domain.deals import Deal, Outcome, StageMove
from adctl.domain.exports import CrmExport, StageNames
from adctl.domain.ids import AdId, ContactId, DealId
from adctl.errors import ConfigurationError, InputRejectedError

AS_OF = datetime(2026, 10, 8, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HEADER = "Record ID,Deal Name,Deal Stage,Pipeline,Amount,Create Date,Close Date,Last Modified Date"
WON = '701,"Casino, big",Closed Won,Sales Pipeline,"15,000.50",2026-09-01 08:00,2026-09-20,2026-09-21 10:00'
OPEN = "702,Draw,Proposal,Sales Pipeline,,2026-09-02 09:30,2026-12-31,2026-09-03 10:00"
LOST = "703,Gone,closedlost,Sales Pipeline,250,2026-09-02 09:30,2026-09-20,2026-09-21 10:00"


def read(
    text: str,
    *,
    stage_names: StageNames | None = None,
    overrides: Mapping[str, str] | None = None,
    currency: str = "USD",
) -> CrmExport:
    return read_crm_export(
        io.BytesIO(text.encode()),
        currency=currency,
        as_of=AS_OF,
        zone=BERLIN,
        stage_names=stage_names or StageNames(),
        overrides=overrides,
    )


def table(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def refused(text: str) -> InputRejectedError:
    with pytest.raises(InputRejectedError) as caught:
        read(text)
    return caught.value


def test_the_fixture_is_read_to_the_last_unit(shared_data: Path) -> None:
    found = read_crm_export(shared_data / "crm_pipeline_fixture.csv", currency="USD", as_of=AS_OF, zone=BERLIN)
    assert found.totals.rows == len(found.deals) == 8800
    assert found.totals.won_value == 10_005_534_00
    assert {(one.stage, one.outcome): one.deals for one in found.totals.stages} == {
        ("Won", Outcome.WON): 4238,
        ("Lost", Outcome.LOST): 2473,
        ("Engaging", Outcome.OPEN): 1589,
        ("Prospecting", Outcome.OPEN): 500,
    }
    by_stage = [move.stage for move in found.moves]
    assert {stage: by_stage.count(stage) for stage in set(by_stage)} == {
        "Engaging": 4238 + 2473 + 1589,
        "Won": 4238,
        "Lost": 2473,
    }
    assert found.mapping.ignored == ("sales_agent", "product", "account")
    assert found.notes == ()


def test_a_hubspot_export_is_read_with_times_of_the_account_zone() -> None:
    found = read(table(WON, OPEN))
    assert found.deals == (
        Deal(
            deal_id=DealId("701"),
            pipeline="Sales Pipeline",
            stage="Closed Won",
            amount=1_500_050,
            currency="USD",
            created_at=datetime(2026, 9, 1, 6, tzinfo=UTC),
            closed_at=datetime(2026, 9, 19, 22, tzinfo=UTC),
            modified_at=datetime(2026, 9, 21, 8, tzinfo=UTC),
        ),
        Deal(
            deal_id=DealId("702"),
            pipeline="Sales Pipeline",
            stage="Proposal",
            amount=None,
            currency="USD",
            created_at=datetime(2026, 9, 2, 7, 30, tzinfo=UTC),
            closed_at=None,
            modified_at=datetime(2026, 9, 3, 8, tzinfo=UTC),
        ),
    )


def test_a_closed_deal_moved_to_its_stage_on_its_close_date_and_an_open_one_has_no_move() -> None:
    assert read(table(WON, OPEN, LOST)).moves == tuple(
        StageMove(
            deal_id=DealId(deal), pipeline="Sales Pipeline", stage=stage, at=datetime(2026, 9, 19, 22, tzinfo=UTC)
        )
        for deal, stage in (("701", "Closed Won"), ("703", "closedlost"))
    )


def test_the_date_of_the_current_stage_makes_a_move_of_an_open_deal() -> None:
    found = read(table("1,Proposal,5,2026-09-03", header="Deal ID,Stage,Amount,Date entered current stage"))
    assert [(move.stage, move.at.isoformat()) for move in found.moves] == [("Proposal", "2026-09-02T22:00:00+00:00")]


def test_an_engage_date_is_the_entry_to_the_opening_stage() -> None:
    text = table(
        "X1,Won,2026-08-01,2026-09-01,5", header="opportunity_id,deal_stage,engage_date,close_date,close_value"
    )
    found = read(text, stage_names=StageNames(opening="Talks"))
    assert [move.stage for move in found.moves] == ["Talks", "Won"]
    assert found.deals[0].created_at == found.moves[0].at
    assert found.deals[0].pipeline == "default"


def test_a_deal_without_dates_has_no_moves_and_was_modified_as_of_the_reading() -> None:
    found = read(table("1,Won,5", header="Deal ID,Stage,Amount"))
    assert found.moves == ()
    assert (found.deals[0].created_at, found.deals[0].closed_at, found.deals[0].modified_at) == (None, None, AS_OF)


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [
        ("Won", Outcome.WON),
        ("CLOSED  won", Outcome.WON),
        ("closedwon", Outcome.WON),
        ("Closed Won (Sales Pipeline)", Outcome.WON),
        ("Closed Lost", Outcome.LOST),
        ("Not won", Outcome.OPEN),
        ("Proposal", Outcome.OPEN),
    ],
)
def test_a_stage_is_won_lost_or_open_by_its_name(stage: str, outcome: Outcome) -> None:
    assert StageNames().outcome(stage) is outcome


def test_the_names_of_won_and_lost_are_configuration() -> None:
    names = StageNames(won=frozenset({"Gewonnen"}), lost=frozenset({"Verloren"}))
    text = table("1,gewonnen,5", "2,Verloren,3", "3,Won,2", header="Deal ID,Stage,Amount")
    found = read(text, stage_names=names)
    assert found.totals.won_value == 500
    assert [one.outcome for one in found.totals.stages] == [Outcome.WON, Outcome.LOST, Outcome.OPEN]


CLICK = "IwAR2abc_DEF-123"


@pytest.mark.parametrize(
    ("header", "cell", "ad_id", "click_id"),
    [
        ("Ad ID", "31", "31", None),
        ("Ad ID", "", None, None),
        ("utm_content", "31", "31", None),
        ("utm_content", "blue banner", None, None),
        ("First page seen", f"https://x.example/?utm_content=31&fbclid={CLICK}", "31", CLICK),
        ("fbclid", CLICK, None, CLICK),
    ],
)
def test_attribution_comes_from_whichever_column_has_it(
    header: str, cell: str, ad_id: str | None, click_id: str | None
) -> None:
    deal = read(table(f"1,Won,5,{cell}", header=f"Deal ID,Stage,Amount,{header}")).deals[0]
    assert (deal.ad_id, deal.click_id) == (ad_id, click_id)


def test_the_ad_id_column_wins_over_the_landing_page() -> None:
    text = table("1,Won,5,31,https://x.example/?utm_content=32", header="Deal ID,Stage,Amount,Ad ID,Landing URL")
    assert read(text).deals[0].ad_id == AdId("31")


@pytest.mark.parametrize(("cell", "contact"), [("8001", ContactId("8001")), ("8001;8002", None), ("", None)])
def test_a_contact_is_taken_only_when_it_is_the_only_one(cell: str, contact: ContactId | None) -> None:
    text = table(f'1,Won,5,"{cell}"', header="Deal ID,Stage,Amount,Associated Contact IDs")
    assert read(text).deals[0].contact_id == contact


def test_a_deal_may_be_typed_in_after_it_was_closed() -> None:
    deal = read(table(WON.replace("2026-09-01 08:00", "2026-09-25 08:00"))).deals[0]
    assert deal.created_at is not None
    assert deal.closed_at is not None
    assert deal.closed_at < deal.created_at


def test_an_amount_may_be_negative_or_a_dash() -> None:
    found = read(table("1,Won,-5.50", "2,Won,-", header="Deal ID,Stage,Amount"))
    assert [deal.amount for deal in found.deals] == [-550, None]
    assert found.totals.won_value == -550


@pytest.mark.parametrize(
    ("old", "new", "column", "reason"),
    [
        ("701", "", "Record ID", "the id is empty"),
        ("701", "7.01E+11", "Record ID", "has lost digits of the id"),
        ("701", "7 01", "Record ID", "is not an id"),
        ("701", "702", "Record ID", "deal 702 stands on line 2 already"),
        ("Closed Won", " ", "Deal Stage", "the stage is empty"),
        ('"15,000.50"', "N/A", "Amount", "is not a number"),
        ('"15,000.50"', "1e5", "Amount", "scientific notation"),
        ('"15,000.50"', "$15000", "Amount", "is not a number"),
        ('"15,000.50"', "NaN", "Amount", "is not a number"),
        ('"15,000.50"', "15000.505", "Amount", "more decimals"),
        ('"15,000.50"', "9999999999999", "Amount", "is not a plain decimal number"),
        ('"15,000.50"', '"15,000"', "Amount", "may be a thousand times more or less"),
        ("2026-09-01 08:00", "yesterday", "Create Date", "is not a date"),
        ("2026-09-01 08:00", "2026-09-01 24:00", "Create Date", "does not exist"),
        ("2026-09-01 08:00", "1999-09-01", "Create Date", "is not between"),
        ("2026-09-01 08:00", "2026-10-10", "Create Date", "is not between"),
        ("2026-09-20", "2026-10-10", "Close Date", "is not between"),
        ("2026-09-20", "09/10/2026", "Close Date", "nothing in the file says which"),
        ("2026-09-21 10:00", "1758448800000", "Last Modified Date", "is not a date"),
    ],
)
def test_a_wrong_cell_is_refused_with_line_and_column(old: str, new: str, column: str, reason: str) -> None:
    error = refused(table(OPEN, WON.replace(old, new, 1)))
    assert (error.line, error.column) == (3, column)
    assert reason in error.reason


def test_an_expected_close_in_the_next_century_is_refused() -> None:
    error = refused(table(OPEN.replace("2026-12-31", "2126-12-31")))
    assert (error.line, error.column) == (2, "Close Date")


def test_a_deal_that_closes_before_it_opens_is_refused() -> None:
    error = refused(
        table("1,Won,2026-09-02,2026-09-01,5", header="opportunity_id,deal_stage,engage_date,close_date,amount")
    )
    assert (error.line, error.column) == (2, "close_date")


def test_a_wrong_ad_id_is_refused_not_dropped() -> None:
    error = refused(table("1,Won,5,1.2E+17", header="Deal ID,Stage,Amount,Ad ID"))
    assert (error.line, error.column) == (2, "Ad ID")
    assert "Excel" in error.fix


@pytest.mark.parametrize("title", ["Record ID", "Deal Stage", "Amount"])
def test_a_missing_column_is_refused_by_name(title: str) -> None:
    error = refused(table(WON, header=HEADER.replace(title, "Other")))
    assert (error.line, error.column) == (1, title)
    assert "known names" in error.reason


@pytest.mark.parametrize(
    ("header", "row", "line", "column"),
    [
        ("Deal ID,Stage,Amount (EUR)", "1,Won,5", 1, "Amount (EUR)"),
        ("Deal ID,Stage,Amount,Currency", "1,Won,5,EUR", 2, "Currency"),
    ],
)
def test_another_currency_is_refused_naming_both(header: str, row: str, line: int, column: str) -> None:
    error = refused(table(row, header=header))
    assert (error.line, error.column) == (line, column)
    assert "EUR" in error.reason
    assert "USD" in error.reason


def test_an_override_of_an_unknown_field_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="'value'"):
        read(table(WON), overrides={"value": "Amount"})


@given(
    mutations=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=360), st.sampled_from([b"", b",", b'"', b"\n", b"\0", b"\xff", b"9"])
        ),
        min_size=1,
        max_size=4,
    ),
    end=st.integers(min_value=1, max_value=400),
)
def test_any_damage_to_an_export_is_read_or_refused(mutations: list[tuple[int, bytes]], end: int) -> None:
    data = table(WON, OPEN, LOST).encode()
    for position, inserted in mutations:
        data = data[:position] + inserted + data[position + 1 :]
    try:
        found = read_crm_export(io.BytesIO(data[:end]), currency="USD", as_of=AS_OF, zone=BERLIN)
    except InputRejectedError:
        return
    assert found.totals.rows == len({deal.deal_id for deal in found.deals}) >= 1


@given(cells=st.lists(st.text(max_size=12), min_size=7, max_size=7))
def test_any_cells_are_read_or_refused(cells: list[str]) -> None:
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    header = "Deal ID,Stage,Amount,Create Date,Close Date,Landing URL,Currency"
    try:
        found = read_crm_export(
            io.BytesIO(table(row, header=header).encode("utf-8", "surrogatepass")),
            currency="USD",
            as_of=AS_OF,
            zone=BERLIN,
        )
    except InputRejectedError:
        return
    assert found.totals.rows == 1
