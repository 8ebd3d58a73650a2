"""sync-meta: what the ad account holds stands in the database, once, and whole or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adctl.errors import ConfigurationError, UnavailableError
from adctl.sandbox.ad_objects import effective_status
from tests.builders import LEDGER, START, Loop, fact


def test_the_stored_objects_are_the_worlds(loop: Loop) -> None:
    loop.sync_meta()
    tree = loop.sandbox.world.tree
    assert {
        row["campaign_id"]: (row["name"], row["status"], row["effective_status"], row["daily_budget"])
        for row in loop.rows("campaigns")
    } == {one.id: (one.name, one.status, effective_status(one), one.daily_budget) for one in tree.campaigns}
    assert {
        row["ad_set_id"]: (row["campaign_id"], row["status"], row["daily_budget"]) for row in loop.rows("ad_sets")
    } == {one.id: (one.campaign.id, one.status, one.daily_budget) for one in tree.ad_sets}
    assert {
        row["ad_id"]: (row["ad_set_id"], row["campaign_id"], row["creative_id"], row["status"], row["created_at"])
        for row in loop.rows("ads")
    } == {one.id: (one.ad_set.id, one.ad_set.campaign.id, one.creative.id, one.status, one.created) for one in tree.ads}
    assert {row["creative_id"] for row in loop.rows("creatives")} == {one.creative.id for one in tree.ads}
    assert all(row["fields"]["headline"] and row["fields"]["body"] for row in loop.rows("creatives"))


def test_the_stored_insights_are_the_worlds_to_the_last_unit(loop: Loop) -> None:
    report = loop.sync_meta()
    world = loop.sandbox.world
    stored = {(row["ad_id"], row["day"]): row for row in loop.rows("insights")}
    days = world.delivery.days
    assert START in days
    for number, ad in enumerate(world.tree.ads):
        for day, ledger in days.items():
            row = stored.get((ad.id, day))
            read = (row["impressions"], row["clicks"], row["link_clicks"], row["spend"]) if row else (0, 0, 0, 0)
            figures = (ledger.impressions, ledger.clicks, ledger.link_clicks)
            assert read == (*(int(figure[number]) for figure in figures), world.spend_minor(day)[number])
    assert fact(report, "spend") == sum(row["spend"] for row in stored.values()) == world.totals().spend
    assert sum(row["impressions"] for row in stored.values()) == world.totals().impressions
    assert sum(row["clicks"] for row in stored.values()) == world.totals().clicks


def test_syncing_twice_changes_nothing(loop: Loop) -> None:
    first = loop.sync_meta()
    before = loop.digest(LEDGER)
    second = loop.sync_meta()
    assert fact(first, "written") != 0
    assert fact(second, "written") == 0
    assert second.summary.endswith("No changes.")
    assert loop.digest(LEDGER) == before


def test_a_dry_run_reads_all_and_writes_nothing(loop: Loop) -> None:
    before = loop.digest()
    report = loop.sync_meta(dry_run=True)
    assert fact(report, "ads") == 8
    assert loop.digest() == before
    assert loop.posts() == []


def test_a_restated_row_is_updated_and_says_when_it_was_read(loop: Loop) -> None:
    loop.sync_meta()
    day = START - timedelta(days=3)
    first = {(row["ad_id"], row["day"]): row for row in loop.rows("insights")}
    read_at = loop.sandbox.world.now
    loop.sandbox.world.delivery.days[day].clicks[0] += 7
    loop.advance(seconds=90)

    report = loop.sync_meta()

    ad_id = loop.sandbox.world.tree.ads[0].id
    after = {(row["ad_id"], row["day"]): row for row in loop.rows("insights")}
    changed = {key for key in after if after[key] != first[key]}
    assert fact(report, "written") == 1
    assert changed == {(ad_id, day)}
    assert after[ad_id, day]["clicks"] == first[ad_id, day]["clicks"] + 7
    assert (first[ad_id, day]["read_at"], after[ad_id, day]["read_at"]) == (read_at, loop.sandbox.world.now)


def test_only_the_last_days_are_read_again(loop: Loop) -> None:
    loop.sync_meta(days=2)
    assert min(row["day"] for row in loop.rows("insights")) == START - timedelta(days=2)


@pytest.mark.parametrize("edge", ["insights", "/ads$", "/adsets$", "/campaigns$"])
def test_an_empty_page_in_the_middle_loses_nothing(loop: Loop, edge: str) -> None:
    fault = loop.sandbox.meta.faults.arm("empty_page", path=edge)
    loop.sync_meta()
    assert fault.hits == 1
    assert len(loop.rows("ads")) == 8
    assert loop.value("select sum(spend) from insights") == loop.sandbox.world.totals().spend


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [("currency", '"USD"', '"EUR"'), ("timezone", '"Europe/Berlin"', '"Europe/Paris"')],
)
def test_another_currency_or_time_zone_is_refused_with_nothing_written(
    loop: Loop, key: str, old: str, new: str
) -> None:
    loop.configure(f"{key} = {old}", f"{key} = {new}")
    before = loop.digest()
    with pytest.raises(ConfigurationError) as refused:
        loop.sync_meta()
    assert f"accounts.main.{key}: Meta says" in str(refused.value)
    assert loop.digest() == before


def test_a_corrected_currency_is_taken_after_a_refused_run(loop: Loop) -> None:
    adctl = loop.command_line()
    loop.configure('currency = "USD"', 'currency = "EUR"')
    refused = adctl("sync-meta")
    loop.configure('currency = "EUR"', 'currency = "USD"')
    done = adctl("sync-meta")
    assert (refused.code, done.code) == (78, 0), done.err
    assert "correct adctl.toml" in refused.err
    assert [row["currency"] for row in loop.rows("accounts")] == ["USD"]


def test_the_currency_is_pinned_once_figures_are_stored(loop: Loop) -> None:
    loop.sync_meta()
    loop.configure('currency = "USD"', 'currency = "EUR"')
    before = loop.digest(LEDGER)
    outcome = loop.command_line()("ingest-crm")
    assert outcome.code == 78
    assert "currency is 'EUR' in the configuration but 'USD' in the database" in outcome.err
    assert loop.digest(LEDGER) == before


def test_a_run_that_dies_in_the_middle_leaves_the_watermark(loop: Loop) -> None:
    loop.sync_meta()
    reached = loop.value("select until from sync_watermarks where source = 'meta.insights'")
    loop.advance(hours=3)
    loop.sandbox.meta.faults.arm("status", path="insights$", times=None)

    with pytest.raises(UnavailableError):
        loop.sync_meta()

    assert loop.value("select until from sync_watermarks where source = 'meta.insights'") == reached
    loop.sandbox.meta.faults.clear()
    loop.sync_meta()
    assert loop.value("select until from sync_watermarks where source = 'meta.insights'") == loop.sandbox.world.now
    assert loop.value("select sum(spend) from insights") == loop.sandbox.world.totals().spend


def test_a_deleted_ad_stays_with_its_figures_and_runs_no_more(loop: Loop) -> None:
    loop.sync_meta()
    ad = loop.sandbox.world.tree.ads[0]
    spent = loop.value("select sum(spend) from insights where ad_id = :ad", ad=ad.id)
    loop.sandbox.meta.edit_by_person({"id": ad.id, "status": "DELETED"})

    report = loop.sync_meta()

    stored = {row["ad_id"]: row for row in loop.rows("ads")}
    assert fact(report, "ads") == 7
    assert (stored[ad.id]["status"], stored[ad.id]["effective_status"]) == ("DELETED", "DELETED")
    assert {row["status"] for ad_id, row in stored.items() if ad_id != ad.id} <= {"ACTIVE", "PAUSED", "ARCHIVED"}
    assert loop.value("select sum(spend) from insights where ad_id = :ad", ad=ad.id) == spent > 0
    assert fact(loop.sync_meta(), "written") == 0


def test_the_token_stands_in_no_line_of_the_logs(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("graph_error", code=100, message=f"bad token {loop.sandbox.meta_token}")
    outcome = loop.command_line()("sync-meta", "-vv", "--json")
    assert outcome.code == 78
    assert loop.sandbox.meta_token not in outcome.out + outcome.err
