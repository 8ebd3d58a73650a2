"""ingest-ads: real exports to the last unit, all of a file or nothing of it."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from adctl.adapters.db import transaction
from adctl.adapters.store import insights
from adctl.errors import InputRejectedError
from tests.builders import ACCOUNT, LEDGER, START, Loop, fact, table

HEADER = "Ad ID,Ad Set ID,Campaign ID,Reporting starts,Reporting ends,Impressions,Clicks (all),Amount spent (USD)"
ROW = '31,21,11,2026-02-01,2026-02-07,"12,345",150,"1,234.56"'
OTHER = "32,21,11,2026-02-01,2026-02-07,500,9,10.5"


def file(*rows: str, header: str = HEADER) -> io.BytesIO:
    return io.BytesIO("\n".join([header, *rows, ""]).encode())


def test_the_real_file_stands_in_the_database_to_the_last_unit(loop: Loop, shared_data: Path) -> None:
    report = loop.ingest_ads(shared_data / "kag_facebook_ads.csv", as_of=date(2026, 3, 1))
    with transaction(loop.engine, read_only=True) as connection:
        found = insights.totals(connection, ACCOUNT)
    assert (found.rows, found.ads) == (1_143, 1_143)
    assert (found.impressions, found.clicks, found.spend) == (213_434_828, 38_165, 5_870_523)
    assert (found.leads, found.purchases, found.last_day) == (3_264, 1_079, date(2026, 3, 1))
    assert (len(loop.rows("ads")), len(loop.rows("ad_sets")), len(loop.rows("campaigns"))) == (1_143, 691, 3)
    assert [fact(report, key) for key in ("rows", "impressions", "clicks", "spend", "leads", "purchases")] == [
        1_143,
        213_434_828,
        38_165,
        5_870_523,
        3_264,
        1_079,
    ]
    assert "The file has no dates: every row is a reading of 2026-03-01." in report.notes


def test_the_real_file_twice_changes_nothing(loop: Loop, shared_data: Path) -> None:
    loop.ingest_ads(shared_data / "kag_facebook_ads.csv")
    before = loop.digest(LEDGER)
    loop.advance(minutes=5)
    report = loop.ingest_ads(shared_data / "kag_facebook_ads.csv")
    assert report.summary == "1,143 rows read. No changes."
    assert loop.digest(LEDGER) == before


def test_a_dry_run_shows_how_columns_are_understood_and_writes_nothing(loop: Loop, shared_data: Path) -> None:
    before = loop.digest()
    outcome = loop.command_line()("ingest-ads", str(shared_data / "kag_facebook_ads.csv"), "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "fb_campaign_id" in outcome.out
    assert "nothing written" in outcome.out
    assert loop.digest() == before


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [
        (file(ROW, header=HEADER.replace(",Impressions", ",Reach")), 1, "", "mpressions"),
        (file(ROW + ",1", header=HEADER + ",Impressions"), 1, "Impressions", ""),
        (file(ROW, OTHER.replace("10.5", "ten")), 3, "Amount spent (USD)", "ten"),
        (file(ROW, header=HEADER.replace("USD", "EUR")), 1, "Amount spent (EUR)", "EUR"),
        (file(ROW, OTHER.replace("32", "3\0")), 3, "", "NUL"),
        (io.BytesIO(file(ROW, OTHER).getvalue()[:-20]), 3, "", ""),
        (file(ROW, OTHER.replace(",9,", ",-9,")), 3, "Clicks (all)", ""),
        (file(ROW, ROW), 3, "Ad ID", "31"),
        (io.BytesIO(b""), 1, "", ""),
    ],
    ids=[
        "a missing column",
        "a repeated header",
        "a wrong number",
        "a foreign currency",
        "a NUL",
        "half a file",
        "a negative count",
        "the same ad twice",
        "an empty file",
    ],
)
def test_a_bad_file_is_rejected_by_line_and_column_with_nothing_written(
    loop: Loop, content: io.BytesIO, line: int, column: str, says: str
) -> None:
    before = loop.digest()
    with pytest.raises(InputRejectedError) as rejected:
        loop.ingest_ads(io.BytesIO(content.getvalue()))
    assert (rejected.value.exit_code, rejected.value.line) == (65, line)
    assert column in rejected.value.column
    assert says in str(rejected.value)
    assert loop.digest() == before


def test_a_rejection_exits_65_and_names_file_line_and_column(loop: Loop) -> None:
    (loop.folder / "bad.csv").write_bytes(file(ROW, OTHER.replace("10.5", "ten")).getvalue())
    outcome = loop.command_line()("ingest-ads", "bad.csv", "--json")
    assert outcome.code == 65
    assert "bad.csv, line 3, column 'Amount spent (USD)'" in outcome.err
    assert outcome.document["error"]
    assert loop.rows("insights") == []


def test_a_file_comes_through_standard_input_too(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-ads", "-", stdin=file(ROW, OTHER).getvalue())
    assert outcome.code == 0, outcome.err
    assert loop.value("select sum(spend) from insights") == 123_456 + 1_050


def test_a_file_that_is_not_there_is_an_error_of_usage(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-ads", "nowhere.csv")
    assert outcome.code == 2
    assert "nowhere.csv" in outcome.err


@pytest.mark.parametrize("other", ["2026-02-07,2026-02-14", "2026-01-25,2026-02-01", "2026-02-03,2026-02-03"])
def test_periods_that_overlap_stored_ones_are_refused_whole(loop: Loop, other: str) -> None:
    loop.ingest_ads(file(ROW))
    before = loop.digest()
    with pytest.raises(InputRejectedError) as refused:
        loop.ingest_ads(file(OTHER, ROW.replace("2026-02-01,2026-02-07", other)))
    assert "ad 31 is already stored for 2026-02-01 to 2026-02-07" in str(refused.value)
    assert loop.digest() == before


def test_the_same_period_again_is_a_restatement(loop: Loop) -> None:
    loop.ingest_ads(file(ROW))
    report = loop.ingest_ads(file(ROW.replace(",150,", ",151,")))
    assert fact(report, "written") == 1
    assert [row["clicks"] for row in loop.rows("insights")] == [151]


def test_the_mapping_is_shown_and_can_be_configured(loop: Loop) -> None:
    (loop.folder / "own.csv").write_bytes(file(ROW, header=HEADER.replace("Ad ID", "Anzeige")).getvalue())
    adctl = loop.command_line()
    missing = adctl("ingest-ads", "own.csv", "--dry-run")
    loop.configure("[accounts.main]\n", '[accounts.main]\ncolumns.ads.ad_id = "Anzeige"\n')
    mapped = adctl("ingest-ads", "own.csv", "--dry-run", "--json")
    assert (missing.code, mapped.code) == (65, 0), mapped.err
    tables = mapped.document["tables"]
    assert isinstance(tables, dict)
    assert any("Anzeige" in row.values() for row in tables["columns"])


def test_what_meta_has_said_of_an_ad_is_not_overwritten_by_a_file(loop: Loop) -> None:
    loop.sync_meta()
    ad = loop.sandbox.world.tree.ads[0]
    row = f"{ad.id},{ad.ad_set.id},{ad.ad_set.campaign.id},2025-12-01,2025-12-07,5,1,2"
    loop.ingest_ads(file(row, header=HEADER))
    stored = {one["ad_id"]: one for one in loop.rows("ads")}
    assert (stored[ad.id]["name"], stored[ad.id]["status"]) == (ad.name, ad.status)
    assert len(stored) == 8


def test_a_reading_without_dates_is_of_the_accounts_day(loop: Loop) -> None:
    header = "ad_id,adset_id,campaign_id,impressions,clicks,spend"
    loop.ingest_ads(file("31,21,11,1,1,1", header=header))
    assert [(row["first_day"], row["day"]) for row in loop.rows("insights")] == [(START, START)]


def test_a_failure_while_storing_leaves_nothing(loop: Loop) -> None:
    loop.sync_meta()
    with loop.engine.begin() as connection:
        connection.execute(text("alter table insights add constraint no_nines check (clicks <> 9)"))
    before = loop.digest(LEDGER)
    outcome = loop.command_line()("ingest-ads", "-", stdin=file(ROW, OTHER).getvalue())
    assert outcome.code == 1
    assert loop.digest(LEDGER) == before


def test_the_columns_table_names_what_was_ignored(loop: Loop, shared_data: Path) -> None:
    report = loop.ingest_ads(shared_data / "kag_facebook_ads.csv", dry_run=True)
    assert any("interest" in row.values() for row in table(report, "columns").rows)
