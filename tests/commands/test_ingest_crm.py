"""ingest-crm: CRM exports to the last unit, one attribution a deal, every stage valued or named."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions
from adctl.commands.ingest_crm import CrmFile
from adctl.domain.attribution import Touch
from adctl.domain.ids import AdId
from adctl.domain.report import Report
from adctl.errors import InputRejectedError
from tests.builders import ACCOUNT, LEDGER, Loop, fact, table

HEADER = "Deal ID,Stage,Amount,Create Date,Close Date,Ad ID,fbclid"
# What the data's own README and a sum over the file say.
STAGES = {"Won": 4_238, "Lost": 2_473, "Engaging": 1_589, "Prospecting": 500}
DEFAULT = '[accounts.main.stages."default"]\n'
FIXTURE_STAGES = """\
"Won" = { value = "2361.00", confidence = 1, outcome = "won" }
"Lost" = { value = 0, confidence = 1, outcome = "lost" }
"Engaging" = { value = "800.00", confidence = 0.4, outcome = "open" }
"""


def deals(*rows: str, header: str = HEADER) -> CrmFile:
    return CrmFile(source=io.BytesIO("\n".join([header, *rows, ""]).encode()))


def values(content: Any) -> CrmFile:
    return CrmFile(source=io.BytesIO(json.dumps(content).encode()), is_performances=True)


def credited(loop: Loop) -> dict[str, str | None]:
    return {row["deal_id"]: row["ad_id"] for row in loop.rows("attributions")}


def track(loop: Loop, *clicks: Touch) -> None:
    with transaction(loop.engine) as connection:
        accounts.ensure(connection, loop.job().profile)
        attributions.upsert_touches(connection, ACCOUNT, clicks)


@pytest.fixture
def fixture(loop: Loop, shared_data: Path) -> Path:
    """The CRM export as people have it; the account has a value for three of its four stages."""
    loop.configure(DEFAULT, DEFAULT + FIXTURE_STAGES)
    return shared_data / "crm_pipeline_fixture.csv"


def test_the_fixture_stands_in_the_database_to_the_last_unit(loop: Loop, fixture: Path) -> None:
    report = loop.ingest_crm(CrmFile(source=fixture))
    by_stage = {stage: loop.value("select count(*) from deals where stage = :stage", stage=stage) for stage in STAGES}
    assert by_stage == STAGES
    assert loop.value("select sum(amount) from deals where stage = 'Won'") == 10_005_534_00
    assert (fact(report, "rows"), fact(report, "deals")) == (8_800, 8_800)
    assert fact(report, "file_won") == fact(report, "won") == 10_005_534_00
    assert fact(report, "synthetic") == 10_005_534_00 + 1_589 * 800_00


def test_an_unmapped_stage_is_named_and_exits_3(loop: Loop, fixture: Path) -> None:
    report = loop.ingest_crm(CrmFile(source=fixture))
    assert report.exit_code == 3
    assert table(report, "unmapped_stages").rows == ({"pipeline": "default", "stage": "Prospecting", "deals": 500},)
    assert "1 stage without a value: add to adctl.toml" in report.summary
    outcome = loop.command_line()("ingest-crm")
    assert outcome.code == 3
    assert "Prospecting" in outcome.out


def test_the_fixture_twice_changes_nothing(loop: Loop, fixture: Path) -> None:
    loop.ingest_crm(CrmFile(source=fixture))
    before = loop.digest(LEDGER)
    loop.advance(minutes=5)
    report = loop.ingest_crm(CrmFile(source=fixture))
    assert fact(report, "written") == 0
    assert "No changes." in report.summary
    assert loop.digest(LEDGER) == before


def test_a_dry_run_values_what_it_would_store_and_writes_nothing(loop: Loop, fixture: Path) -> None:
    before = loop.digest()
    report = loop.ingest_crm(CrmFile(source=fixture), dry_run=True)
    assert loop.digest() == before
    assert [row["stage"] for row in table(report, "unmapped_stages").rows] == ["Prospecting"]
    assert fact(report, "synthetic") == 10_005_534_00 + 1_589 * 800_00
    assert any("close_value" in row.values() for row in table(report, "columns").rows)


def test_a_dry_run_before_the_first_run_knows_the_configured_values(loop: Loop) -> None:
    loop.sync_hubspot()
    planned = loop.ingest_crm(dry_run=True)
    done = loop.ingest_crm()
    assert (planned.exit_code, done.exit_code) == (0, 0)
    assert fact(planned, "synthetic") == fact(done, "synthetic") != 0


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [
        (b"Deal ID,Stage\n1,Won\n", 1, "", "amount"),
        (b"Deal ID,Stage,Amount,Amount\n1,Won,1,1\n", 1, "Amount", ""),
        (b"Deal ID,Stage,Amount\n1,Won,1\n2,Won,much\n", 3, "Amount", "much"),
        (b"Deal ID,Stage,Amount,Currency\n1,Won,1,USD\n2,Won,1,EUR\n", 3, "Currency", "EUR"),
        (b"Deal ID,Stage,Amount\n1,Won,1\n2,W\0n,1\n", 3, "", "NUL"),
        (b'Deal ID,Stage,Amount\n1,Won,1\n2,"Won,1', 3, "", ""),
    ],
    ids=["a missing column", "a repeated header", "a wrong number", "a foreign currency", "a NUL", "half a file"],
)
def test_a_bad_file_is_rejected_by_line_and_column_with_nothing_written(
    loop: Loop, content: bytes, line: int, column: str, says: str
) -> None:
    before = loop.digest()
    with pytest.raises(InputRejectedError) as rejected:
        loop.ingest_crm(CrmFile(source=io.BytesIO(content)))
    assert (rejected.value.exit_code, rejected.value.line) == (65, line)
    assert column in rejected.value.column
    assert says in str(rejected.value).replace("Amount", "amount")
    assert loop.digest() == before


def test_a_rejection_exits_65_and_names_the_place(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-crm", "-", stdin=b"Deal ID,Stage,Amount\n1,Won,1\n2,Won,much\n")
    assert outcome.code == 65
    assert "standard input, line 3, column 'Amount'" in outcome.err
    assert loop.rows("deals") == []


def test_a_currency_is_that_of_the_account_or_refused(loop: Loop) -> None:
    with pytest.raises(InputRejectedError):
        loop.ingest_crm(deals("1,Won,5,,,,", header=HEADER.replace("Amount", "Amount (EUR)")))


# --- values per ad ---------------------------------------------------------------------------------------------------


def test_values_per_ad_are_absolute_and_the_same_again_changes_nothing(loop: Loop) -> None:
    loop.sync_meta()
    ad = loop.sandbox.world.tree.ads[0].id
    loop.ingest_crm(values({"ad_performances": {ad: 120.5}}))
    before = loop.digest(LEDGER)
    again = loop.ingest_crm(values({"ad_performances": {ad: 120.5}}))
    assert fact(again, "written") == 0
    assert loop.digest(LEDGER) == before
    loop.ingest_crm(values({"ad_performances": {ad: "99.99"}}))
    assert [(row["ad_id"], row["value"]) for row in loop.rows("ad_performances")] == [(ad, 9_999)]


def test_unknown_ads_of_a_bulk_file_are_counted_and_listed(loop: Loop) -> None:
    loop.sync_meta()
    ad = loop.sandbox.world.tree.ads[0].id
    report = loop.ingest_crm(values({"ad_performances": {ad: 1, **{str(number): 2 for number in range(90, 97)}}}))
    assert fact(report, "unknown_ads") == 7
    assert [row["ad_id"] for row in table(report, "unknown_ads").rows] == [str(number) for number in range(90, 97)]
    assert report.notes == ("The file names 7 unknown ads: run adctl sync-meta.",)


def test_values_per_ad_come_through_standard_input_too(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-crm", "-", stdin=b'\n {"ad_performances": {"31": 7.25}}')
    assert outcome.code == 0, outcome.err
    assert [(row["ad_id"], row["value"]) for row in loop.rows("ad_performances")] == [("31", 725)]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        ('{\n"ad_performances": {\n"31": "much"}}', 3, "31"),
        ('{"ad_performances": {"31": 1,\n"31": 2}}', 2, "31"),
        ('{"ad_performances": {"31": -1}}', 1, "31"),
        ('{"ad_performances": {"31": 1', 1, "character 29"),
        ('{"performances": {"31": 1}}', 1, "ad_performances"),
    ],
)
def test_a_bad_bulk_file_is_rejected_with_nothing_written(loop: Loop, content: str, line: int, column: str) -> None:
    before = loop.digest()
    with pytest.raises(InputRejectedError) as rejected:
        loop.ingest_crm(CrmFile(source=io.BytesIO(content.encode()), is_performances=True))
    assert (rejected.value.line, rejected.value.column) == (line, column)
    assert loop.digest() == before


# --- attribution -----------------------------------------------------------------------------------------------------

CLICKED = datetime(2026, 2, 20, 12, tzinfo=UTC)


def lead(name: str, *, created: datetime = CLICKED, ad: str = "", click: str = "") -> str:
    return f"{name},closedwon,10,{created.isoformat()},2026-03-01,{ad},{click}"


def ingested(loop: Loop, *rows: str) -> Report:
    return loop.ingest_crm(deals(*rows))


def test_every_deal_has_one_attribution_and_the_share_without_is_told(synced: Loop) -> None:
    report = synced.ingest_crm()
    found = credited(synced)
    assert len(found) == len(synced.rows("deals")) == fact(report, "deals")
    none = sum(ad is None for ad in found.values())
    assert fact(report, "none") == none > 0
    assert fact(report, "unattributed") == round(none / len(found), 4)
    assert set(filter(None, found.values())) <= {ad.id for ad in synced.sandbox.world.tree.ads}


def test_a_conversion_before_its_click_is_not_credited(loop: Loop) -> None:
    track(loop, Touch(click_id="clickone1", ad_id=AdId("31"), clicked_at=CLICKED))
    ingested(
        loop, lead("early", created=CLICKED - timedelta(minutes=1), click="clickone1"), lead("later", click="clickone1")
    )
    assert credited(loop) == {"early": None, "later": "31"}


def test_a_conversion_processed_late_keeps_its_click(loop: Loop) -> None:
    track(loop, Touch(click_id="clickone1", ad_id=AdId("31"), clicked_at=CLICKED))
    loop.advance(days=60)
    ingested(loop, lead("late", created=CLICKED + timedelta(days=6), click="clickone1"))
    assert credited(loop) == {"late": "31"}


def test_deals_without_keys_do_not_match_each_other(loop: Loop) -> None:
    track(loop, Touch(click_id="clickone1", ad_id=AdId("31"), clicked_at=CLICKED))
    ingested(loop, lead("one"), lead("two"))
    assert credited(loop) == {"one": None, "two": None}


def test_a_deal_of_two_ads_is_unattributed(loop: Loop) -> None:
    loop.sync()
    ads = [ad.id for ad in loop.sandbox.world.tree.ads]
    deal_id = next(row["deal_id"] for row in loop.rows("attributions") if row["ad_id"] == ads[0])
    loop.run_sql("update deals set ad_id = :ad where deal_id = :deal", ad=ads[1], deal=deal_id)
    loop.ingest_crm()
    stored = {row["deal_id"]: row for row in loop.rows("attributions")}[deal_id]
    assert (stored["ad_id"], stored["method"], stored["evidence"]["reason"]) == (None, "none", "several ads are named")


def test_a_replayed_and_shuffled_file_gives_the_same_value(loop: Loop) -> None:
    rows = [lead(f"d{number}") for number in range(5)]
    first = ingested(loop, *rows)
    again = ingested(loop, *reversed(rows))
    assert fact(first, "synthetic") == fact(again, "synthetic") == 5 * 10_00
    assert fact(again, "written") == 0


def test_a_lost_deal_takes_its_value_away(loop: Loop) -> None:
    won = ingested(loop, lead("d1"), lead("d2"))
    lost = ingested(loop, lead("d1"), lead("d2").replace("closedwon", "closedlost"))
    assert (fact(won, "synthetic"), fact(lost, "synthetic")) == (20_00, 10_00)


def test_a_changed_stage_value_holds_from_now_on_and_is_kept_with_its_time(loop: Loop) -> None:
    loop.ingest_crm()
    stage = '"closedwon" = { value = "'
    old = loop.toml.partition(stage)[2].partition('"')[0]
    loop.advance(hours=1)
    loop.configure(f"{stage}{old}", f"{stage}777.00")
    report = loop.ingest_crm()
    kept = [row for row in loop.rows("synthetic_revenue_config") if row["stage"] == "closedwon"]
    assert fact(report, "written") == 1
    assert [row["value"] for row in sorted(kept, key=lambda row: row["effective_from"])][-1] == 777_00
    assert {row["effective_from"] for row in kept} == {datetime(2000, 1, 1, tzinfo=UTC), loop.sandbox.world.now}
    assert fact(loop.ingest_crm(), "written") == 0
