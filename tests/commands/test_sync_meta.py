"""sync-meta: what the ad account holds stands in the database, once, and whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.adapters.store import media
from adctl.adapters.store.time_travel import as_known
from adctl.cli.vendors import meta
from adctl.commands import sync_meta
from adctl.domain.creatives import Creative
from adctl.domain.entities import Ad
from adctl.domain.ids import AdId
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Report
from adctl.errors import BusyError, ConfigurationError, UnavailableError
from adctl.sandbox import Exchange
from adctl.sandbox.ad_objects import effective_status
from tests.builders import ACCOUNT, LEDGER, SMALL, START, Loop, fact, table


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


@dataclass(frozen=True)
class Interrupted:
    """Meta, where something happens after campaigns and ad sets were read and before the ads are."""

    platform: AdsPlatform
    happens: Callable[[], object]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.platform, name)

    def ads(self) -> Iterator[tuple[Ad, Creative | None]]:
        self.happens()
        return self.platform.ads()


def test_what_is_confirmed_while_a_sync_reads_is_not_overwritten_by_what_it_had_read_before(loop: Loop) -> None:
    loop.sync_meta()
    node = loop.owners()[0]
    old = node.daily_budget or 0

    def a_change_is_carried_out() -> None:
        loop.advance(seconds=1)
        loop.queue(node, old * 11 // 10)
        assert fact(loop.execute(), "confirmed") == 1

    def stored() -> set[int]:
        rows = loop.rows("campaigns") + loop.rows("ad_sets")
        return {row["daily_budget"] for row in rows if node.id in (row.get("ad_set_id"), row["campaign_id"])}

    job = loop.job()
    with meta(job) as platform:
        interrupted = cast(AdsPlatform, Interrupted(platform, a_change_is_carried_out))
        sync_meta.run(loop.engine, job.profile, interrupted)
    assert node.daily_budget == old * 11 // 10
    assert node.daily_budget in stored()
    assert old not in stored()
    assert loop.rows("person_edits") == []
    loop.advance(seconds=1)
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": old})
    loop.sync_meta()
    assert old in stored()


def test_a_restated_row_is_updated_and_says_when_it_was_read(loop: Loop) -> None:
    loop.sync_meta()
    day = START - timedelta(days=3)
    first = {(row["ad_id"], row["day"]): row for row in loop.rows("insights")}
    read_at = loop.sandbox.world.now
    loop.sandbox.meta.edit_by_person({"restate": loop.sandbox.world.tree.ads[0].id, "day": str(day), "clicks": 7})
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


def test_the_size_of_an_image_is_asked_for_once_also_where_meta_does_not_know_it(loop: Loop) -> None:
    shown = {ad.creative.wire.get("image_hash") for ad in loop.sandbox.world.tree.ads} - {None}
    loop.sync_meta()
    sizes = loop.rows("images")
    lost = str(sizes[0]["image_hash"])
    loop.run_sql("delete from images where image_hash = :one", one=lost)
    with transaction(loop.engine) as connection:
        media.store_images(connection, ACCOUNT, ["elsewhere"], {}, loop.sandbox.world.now)
        assert media.unread_images(connection, ACCOUNT, ["elsewhere", lost]) == [lost]
        assert "elsewhere" not in media.shapes(connection, ACCOUNT)
    asked = len(loop.sandbox.meta_log)

    loop.sync_meta()
    loop.sync_meta()

    questions = [one for one in loop.sandbox.meta_log[asked:] if one.path.endswith("adimages")]
    assert [json.loads(one.params["hashes"]) for one in questions] == [[lost]]
    assert {row["image_hash"] for row in sizes} >= shown
    assert all(row["width"] > 0 and row["height"] > 0 for row in sizes)


def test_the_length_of_a_video_is_asked_for_once_also_where_meta_does_not_know_it(loop: Loop) -> None:
    shown = {ad.creative.wire.get("video_id") for ad in loop.sandbox.world.tree.ads} - {None}
    loop.sync_meta()
    stored = loop.rows("videos")
    lost = str(stored[0]["video_id"])
    loop.run_sql("delete from videos where video_id = :one", one=lost)
    with transaction(loop.engine) as connection:
        media.store_videos(connection, ACCOUNT, ["elsewhere"], {}, loop.sandbox.world.now)
        assert media.unread_videos(connection, ACCOUNT, ["elsewhere", lost]) == [lost]
        assert "elsewhere" not in media.lengths(connection, ACCOUNT)
    asked = len(loop.sandbox.meta_log)

    loop.sync_meta()
    loop.sync_meta()

    questions = [one for one in loop.sandbox.meta_log[asked:] if one.path.endswith("advideos")]
    assert len(questions) == 1
    assert shown
    assert {row["video_id"] for row in stored} == shown
    assert all(row["seconds"] >= 4 for row in stored)
    with transaction(loop.engine) as connection:
        assert media.lengths(connection, ACCOUNT)[lost] == stored[0]["seconds"]


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


def test_running_ads_that_do_not_name_themselves_are_listed(loop: Loop) -> None:
    running = [ad for ad in loop.sandbox.world.tree.ads if effective_status(ad) == "ACTIVE"]
    assert fact(loop.sync_meta(), "nameless") == 0
    for ad in running[:2]:
        loop.sandbox.meta.edit_by_person({"ad": ad.id, "url_tags": "utm_source=fb&utm_content={{ad.name}}"})
    loop.sandbox.meta.edit_by_person({"id": running[1].id, "status": "PAUSED"})

    report = loop.sync_meta()

    assert [row["ad_id"] for row in table(report, "nameless").rows] == [running[0].id]
    assert "utm_content={{ad.id}}" in report.notes[0]


def test_the_token_stands_in_no_line_of_the_logs(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("graph_error", code=100, message=f"bad token {loop.sandbox.meta_token}")
    outcome = loop.command_line()("sync-meta", "-vv", "--json")
    assert outcome.code == 78
    assert loop.sandbox.meta_token not in outcome.out + outcome.err


# --- readings --------------------------------------------------------------------------------------------------------


def test_each_reading_is_kept_with_its_time_and_only_where_a_figure_changed(loop: Loop) -> None:
    loop.sync_meta()
    day, ad_id = START - timedelta(days=3), AdId(loop.sandbox.world.tree.ads[0].id)
    first_read = loop.sandbox.world.now
    readings = len(loop.rows("insight_readings"))
    assert readings == len(loop.rows("insights"))
    loop.sync_meta()
    assert len(loop.rows("insight_readings")) == readings
    loop.advance(seconds=90)
    loop.sandbox.meta.edit_by_person({"restate": loop.sandbox.world.tree.ads[0].id, "day": str(day), "clicks": 7})
    loop.sync_meta()

    def clicks_known(at: datetime) -> dict[str, int]:
        with as_known(loop.engine, ACCOUNT, at) as connection:
            found = connection.execute(text("select ad_id, clicks from insights where day = :day"), {"day": day})
            return {row.ad_id: row.clicks for row in found}

    then, now = clicks_known(first_read + timedelta(seconds=80)), clicks_known(loop.sandbox.world.now)

    assert len(loop.rows("insight_readings")) == readings + 1
    assert now == then | {ad_id: then[ad_id] + 7}
    assert clicks_known(first_read - timedelta(days=1)) == {}


def test_what_a_deleted_ad_had_spent_is_still_restated(loop: Loop) -> None:
    loop.sync_meta()
    day, ad = START - timedelta(days=3), loop.sandbox.world.tree.ads[0]
    loop.sandbox.meta.edit_by_person({"id": ad.id, "status": "DELETED"})
    loop.sync_meta()
    clicks = loop.value("select clicks from insights where ad_id = :ad and day = :day", ad=ad.id, day=day)
    loop.sandbox.world.delivery.days[day].clicks[0] += 5
    loop.advance(minutes=1)
    loop.sync_meta()
    assert loop.value("select clicks from insights where ad_id = :ad and day = :day", ad=ad.id, day=day) == clicks + 5


def test_the_attribution_windows_are_asked_for_and_stored(loop: Loop) -> None:
    loop.sync_meta()
    asked = [one for one in loop.sandbox.meta_log if one.path.endswith("insights")]
    assert {one.params["action_attribution_windows"] for one in asked} == {'["7d_click","1d_view"]'}
    assert {row["windows"] for row in loop.rows("insights")} == {"7d_click,1d_view"}


def test_metas_minimum_budgets_are_stored_in_the_accounts_currency(loop: Loop) -> None:
    loop.sync_meta()
    assert {row["kind"]: row["amount"] for row in loop.rows("minimum_budgets")} == {
        "min_daily_budget_imp": 100,
        "min_daily_budget_video_views": 100,
        "min_daily_budget_high_freq": 500,
        "min_daily_budget_low_freq": 4000,
    }


@pytest.mark.parametrize(
    "loop",
    [{**SMALL, "start": date(2026, 3, 29)}, {**SMALL, "start": date(2026, 10, 25)}],
    indirect=True,
    ids=["the short day", "the long day"],
)
def test_days_are_the_accounts_over_a_change_of_the_clocks(loop: Loop) -> None:
    """At 23:30 UTC the account in Berlin has already begun the next day."""
    start = loop.sandbox.world.today
    loop.advance(hours=(23.5 - loop.sandbox.world.now.hour))
    report = loop.sync_meta()
    assert fact(report, "until") == start + timedelta(days=1)
    assert loop.value("select max(day) from insights") <= start + timedelta(days=1)
    assert loop.value("select sum(spend) from insights") == loop.sandbox.world.totals().spend
    by_day = "select sum(spend) from insights where day = :day"
    assert loop.value(by_day, day=start) == sum(loop.sandbox.world.spend_minor(start))


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_full_quota_ends_the_next_run_before_it_asks_anything(loop: Loop) -> None:
    fault = loop.sandbox.meta.faults.arm("usage", path="insights", percent=100, minutes=25, times=None)
    loop.sync_meta()
    asked = len(loop.sandbox.meta_log)
    outcome = loop.command_line()("sync-meta")
    assert fault.hits > 0
    assert outcome.code == BusyError.exit_code
    assert "rests until 2026-03-02 05:2" in outcome.err
    assert len(loop.sandbox.meta_log) == asked
    loop.sandbox.meta.faults.clear()
    loop.advance(minutes=26)
    loop.sync_meta()
    assert len(loop.sandbox.meta_log) > asked


def test_a_throttled_run_leaves_its_wait_to_the_next(loop: Loop) -> None:
    loop.sync_meta()
    loop.sandbox.meta.faults.arm("graph_error", path="/ads$", code=80004, subcode=2446079)
    with pytest.raises(BusyError, match="80004"):
        loop.sync_meta()
    asked = len(loop.sandbox.meta_log)
    with pytest.raises(BusyError, match="rests until"):
        loop.sync_meta()
    assert len(loop.sandbox.meta_log) == asked


def test_a_throttle_on_the_first_call_of_a_new_account_is_just_busy(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("graph_error", code=17, subcode=2446079)
    with pytest.raises(BusyError, match="17"):
        loop.sync_meta()


# --- reports ---------------------------------------------------------------------------------------------------------


def by_reports(loop: Loop, sleep: Callable[[float], None] = lambda seconds: None, days: int = 28) -> Report:
    """As a large account is read."""
    job = loop.job()
    with meta(job) as platform:
        return sync_meta.run(loop.engine, job.profile, platform, days=days, report_from=1, sleep=sleep)


def starts(loop: Loop) -> list[Exchange]:
    return [one for one in loop.posts() if one.path.endswith("insights")]


def test_a_large_account_is_read_as_a_report_with_the_same_result(loop: Loop) -> None:
    by_reports(loop)
    reported = loop.digest(LEDGER)["insights"]
    assert len(starts(loop)) == 1
    loop.run_sql("delete from insights")
    loop.sync_meta()
    assert loop.digest(LEDGER)["insights"] == reported
    assert loop.rows("insight_reports") == []


@pytest.mark.parametrize("kind", ["report_stalls", "report_short"])
def test_a_report_that_is_not_done_is_left_to_the_next_run_and_split_after_an_hour(loop: Loop, kind: str) -> None:
    loop.sandbox.meta.faults.arm(kind, method="POST", path="insights")
    slept: list[float] = []
    with pytest.raises(BusyError, match="still being made"):
        by_reports(loop, slept.append)
    assert sum(slept) == 120
    assert loop.rows("insights") == []
    loop.advance(minutes=30)
    with pytest.raises(BusyError):
        by_reports(loop)
    assert len(starts(loop)) == 1
    loop.advance(minutes=31)

    by_reports(loop)

    assert len(starts(loop)) == 3
    assert loop.value("select sum(spend) from insights") == loop.sandbox.world.totals().spend
    assert loop.rows("insight_reports") == []


def test_a_report_is_resumed_by_its_stored_id_after_a_run_that_died(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("status", path=r"/\d+/insights$", times=None)
    with pytest.raises(UnavailableError):
        by_reports(loop)
    (left,) = loop.rows("insight_reports")
    loop.sandbox.meta.faults.clear()
    wanted = loop.sandbox.world.now
    loop.advance(minutes=10)
    by_reports(loop)
    assert left["report_run_id"] is not None
    assert len(starts(loop)) == 1
    assert loop.value("select until from sync_watermarks where source = 'meta.insights'") == wanted
    assert loop.value("select sum(spend) from insights") > 0


def test_reports_that_fail_are_split_by_days_and_then_by_campaigns(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("report_fails", path=r"act_\d+/insights", method="POST", times=None)
    by_reports(loop, days=1)
    assert loop.value("select sum(spend) from insights") == sum(
        sum(loop.sandbox.world.spend_minor(day)) for day in (START - timedelta(days=1), START)
    )
    campaigns = {one.id for one in loop.sandbox.world.tree.campaigns}
    assert {one.path.split("/")[-2] for one in starts(loop)} > campaigns


def test_a_report_that_fails_however_small_ends_the_run(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm("report_fails", path="insights", method="POST", times=None)
    with pytest.raises(UnavailableError, match="-2/2490547"):
        by_reports(loop)


def test_a_day_that_is_too_much_by_the_row_is_read_by_campaigns(loop: Loop) -> None:
    loop.sandbox.meta.faults.arm(
        "graph_error",
        path=r"act_\d+/insights",
        times=None,
        code=1,
        message="Please reduce the amount of data you're asking for, then retry your request",
    )
    loop.sync_meta(days=1)
    last = START - timedelta(days=1)
    assert loop.value("select sum(spend) from insights where day >= :day", day=last) == sum(
        sum(loop.sandbox.world.spend_minor(day)) for day in (last, START)
    )


def test_an_ad_account_has_one_account_for_two_would_each_use_up_its_limits(loop: Loop) -> None:
    loop.sync_meta()
    loop.configure("[accounts.main", "[accounts.twin")
    found = loop.command_line()("sync-meta")
    assert (found.code, "is the ad account of 'main'" in found.err) == (78, True)
    assert {row["account"] for row in loop.rows("controls")} == {"*", "main"}
    with pytest.raises(DBAPIError, match="one_account_an_ad_account"):
        loop.run_sql(
            """
            insert into accounts (account, meta_ad_account, currency, timezone)
            select 'twin', meta_ad_account, currency, timezone from accounts
            """
        )
