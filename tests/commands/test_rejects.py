"""--max-rejects and the quarantine: good rows loaded, bad ones kept, listed, retried, dropped; never half a file."""

from __future__ import annotations

import gzip
import io

import pytest

from adctl.adapters.crm_intake import CrmFile, Files
from adctl.errors import InputRejectedError
from tests.builders import LEDGER, Loop, fact, table

GOOD = "Deal ID,Stage,Amount\n1,closedwon,5.00\n2,closedwon,7.00\n"
MIXED = "Deal ID,Stage,Amount,Email,Deal name\n1,closedwon,5.00,,Fine\n2,closedwon,much,ann@example.com,Ann\n3,,7,,\n"
ADS = (
    "ad_id,adset_id,campaign_id,impressions,clicks,spend,day\n"
    "31,2,3,5,1,1.00,2026-02-01\n32,2,3,x,1,1.00,2026-02-01\n33,2,3,5,1,1.00,2026-02-01\n"
)


def write(loop: Loop, name: str, text: str) -> str:
    (loop.folder / name).write_text(text)
    return name


def test_a_bad_row_never_stops_the_good_ones_when_that_is_allowed(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-crm", write(loop, "deals.csv", MIXED), "--max-rejects", "2")
    assert outcome.code == 3, outcome.err
    assert "2 rows rejected" in outcome.out
    assert [row["deal_id"] for row in loop.rows("deals")] == ["1"]
    kept = loop.rows("rejected_rows")
    assert [(row["file_name"], row["line"], row["column_name"], row["kind"]) for row in kept] == [
        ("deals.csv", 3, "Amount", "crm"),
        ("deals.csv", 4, "Stage", "crm"),
    ]
    assert kept[0]["cells"] == {"Deal ID": "2", "Stage": "closedwon", "Amount": "much"}
    assert kept[0]["run_id"] is not None


def test_one_bad_row_too_many_writes_nothing_and_exits_65(loop: Loop) -> None:
    write(loop, "deals.csv", MIXED)
    before = loop.digest(LEDGER)
    loop.command_line()("status")
    for allowance in ("0", "1"):
        outcome = loop.command_line()("ingest-crm", "deals.csv", "--max-rejects", allowance)
        assert outcome.code == 65
        assert "deals.csv, line" in outcome.err
    assert (loop.rows("deals"), loop.rows("rejected_rows")) == ([], [])
    assert {name for name, one in loop.digest(LEDGER).items() if one != before[name]} <= {"accounts", "controls"}


def test_the_same_file_twice_keeps_its_bad_rows_once(loop: Loop) -> None:
    files = Files(deals=CrmFile(source=io.BytesIO(MIXED.encode())), max_rejects=5)
    first = loop.take_in(files)
    assert (fact(first, "rows"), fact(first, "accepted"), fact(first, "rejected")) == (3, 1, 2)
    before = loop.digest(LEDGER)
    again = loop.take_in(Files(deals=CrmFile(source=io.BytesIO(MIXED.encode())), max_rejects=5))
    assert fact(again, "written") == 0
    assert loop.digest(LEDGER) == before
    assert [row["line"] for row in table(again, "rejects").rows] == [3, 4]


def test_a_dry_run_shows_the_bad_rows_and_keeps_none(loop: Loop) -> None:
    outcome = loop.command_line()("ingest-crm", write(loop, "d.csv", MIXED), "--max-rejects", "5", "--dry-run")
    assert outcome.code == 3, outcome.err
    assert "is not a number" in outcome.out
    assert (loop.rows("deals"), loop.rows("rejected_rows")) == ([], [])


def test_ads_rows_are_set_aside_and_loaded_once_they_are_good(loop: Loop) -> None:
    adctl = loop.command_line()
    outcome = adctl("ingest-ads", write(loop, "ads.csv", ADS), "--max-rejects", "1")
    assert outcome.code == 3, outcome.err
    assert sorted(row["ad_id"] for row in loop.rows("insights")) == ["31", "33"]
    assert "impressions" in adctl("rejects", "list").out
    still = adctl("rejects", "retry")
    assert (still.code, "No changes." in still.out) == (3, True)
    loop.run_sql("""update rejected_rows set cells = cells || '{"impressions": "8"}'""")
    assert adctl("rejects", "retry").code == 0
    assert sorted((row["ad_id"], row["impressions"]) for row in loop.rows("insights")) == [
        ("31", 5),
        ("32", 8),
        ("33", 5),
    ]
    assert loop.value("select settled_as from rejected_rows") == "loaded"
    assert "No row is set aside." in adctl("rejects", "list").out


def test_a_row_of_tomorrow_is_loaded_by_a_retry_when_its_day_has_come(loop: Loop) -> None:
    later = "Deal ID,Stage,Amount,Create Date\n1,closedwon,5,2026-03-01\n2,closedwon,5,2026-03-20\n"
    adctl = loop.command_line()
    assert adctl("ingest-crm", "-", "--max-rejects", "1", stdin=later.encode()).code == 3
    assert adctl("rejects", "retry").code == 3
    loop.advance(days=20)
    assert adctl("rejects", "retry").code == 0
    assert sorted(row["deal_id"] for row in loop.rows("deals")) == ["1", "2"]


def test_a_row_is_loaded_by_a_retry_once_the_configuration_names_the_right_column(loop: Loop) -> None:
    text = "Deal ID,Stage,Amount,Create Date,Close Date\n1,closedwon,5,2026-02-01,\n2,closedwon,7,2026-02-01,soon\n"
    adctl = loop.command_line()
    assert adctl("ingest-crm", write(loop, "deals.csv", text), "--max-rejects", "1").code == 3
    limits = "[accounts.main.limits]\n"
    loop.configure(limits, f'[accounts.main.columns.crm]\nclosed = "Create Date"\n{limits}')
    assert adctl("rejects", "retry").code == 0
    assert sorted((row["deal_id"], row["amount"]) for row in loop.rows("deals")) == [("1", 500), ("2", 700)]


def test_rows_are_dropped_by_id_or_all_together(loop: Loop) -> None:
    adctl = loop.command_line()
    adctl("ingest-crm", write(loop, "deals.csv", MIXED), "--max-rejects", "2")
    first, second = sorted(row["reject_id"] for row in loop.rows("rejected_rows"))
    assert adctl("rejects", "drop").code == 2
    assert adctl("rejects", "drop", str(second + 10)).code == 2
    assert adctl("rejects", "drop", "--all", "--dry-run").code == 0
    assert adctl("rejects", "drop", str(first)).code == 0
    assert [row["settled_as"] for row in sorted(loop.rows("rejected_rows"), key=lambda r: r["reject_id"])] == [
        "dropped",
        None,
    ]
    assert "1 row dropped" in adctl("rejects", "drop", "--all").out


@pytest.mark.parametrize("name", ["deals.json", "deals.csv", "deals.dat", "deals.csv.gz"])
def test_a_file_is_told_by_its_content_not_by_its_name(loop: Loop, name: str) -> None:
    as_json = b'{"results": [{"id": "1", "properties": {"dealstage": "closedwon", "amount": "5.00"}}]}'
    for data, deal in ((GOOD.encode(), 2), (gzip.compress(as_json), 1), (as_json, 1)):
        loop.run_sql("delete from deals")
        (loop.folder / name).write_bytes(data)
        outcome = loop.command_line()("ingest-crm", name)
        assert outcome.code == 0, outcome.err
        assert len(loop.rows("deals")) == deal


def test_a_file_refused_while_it_is_streamed_in_leaves_nothing(loop: Loop) -> None:
    clicks = "click_id,ad_id,clicked_at\nclickone1,31,2026-02-20\nclicktwo2,31,soon\n"
    with pytest.raises(InputRejectedError):
        loop.take_in(Files(clicks=io.BytesIO(clicks.encode())))
    assert loop.rows("click_tracking") == []
