"""What decide makes of poor data, from PostgreSQL on: a defined verdict or a clear refusal, under every policy."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import deals
from adctl.commands import decide
from adctl.domain.policies.catalogue import make_policy
from adctl.domain.report import Report
from adctl.errors import ConfigurationError, InputRejectedError
from tests.books import DAY, MAIN, PROFILE, Books
from tests.builders import Loop, fact, table

POLICIES = ("bayes", "blended", "rules")


def decided(engine: Engine, policy: str, *, kill_last_ad: bool = False) -> Report:
    chosen = make_policy(policy, {})
    return decide.run(engine, PROFILE, chosen, run_id=uuid4(), dry_run=True, kill_last_ad=kill_last_ad)


def verdicts(report: Report) -> dict[str, str]:
    return {str(row["ad_id"]): str(row["verdict"]) for row in table(report, "ads").rows}


def money(report: Report) -> tuple[int, int, int]:
    """Daily budgets before, wanted and left over."""
    before, after, left = (fact(report, key) for key in ("budget_before", "budget_after", "unallocated"))
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert isinstance(left, int)
    return before, after, left


def assert_kept(report: Report) -> None:
    before, after, left = money(report)
    assert before == after + left
    assert before == 10_000


@pytest.mark.parametrize("deals", [0, 3], ids=["no deals", "deals"])
def test_without_insights_everything_stays_as_it_is_and_the_reason_is_said(engine: Engine, deals: int) -> None:
    books = Books(engine)
    books.ads("a1", "a2", created=30.0)
    books.ads("a3", created=30.0, status="PAUSED")
    for place in range(deals):
        books.deal(f"d{place}", "a1", ("new", 9.0), ("won", 2.0), amount=700_000)
    for policy in POLICIES:
        report = decided(engine, policy)
        assert verdicts(report) == {"a1": "wait", "a2": "wait", "a3": "keep"}
        assert money(report) == (10_000, 10_000, 0)
        for row in table(report, "ads").rows:
            assert row["current_budget"] == row["recommended_budget"]
            assert row["reason"] == (
                "not active" if row["ad_id"] == "a3" else "no insights were ever read: adctl sync-meta"
            )


@pytest.mark.parametrize("kill_last_ad", [False, True], ids=["kept on", "paused"])
def test_when_every_ad_of_a_budget_is_killed_its_money_stops_with_them_or_goes_on_with_the_last_as_the_guard_has_it(
    engine: Engine, kill_last_ad: bool
) -> None:
    books = Books(engine)
    books.ads("a1", "a2")
    for ad in ("a1", "a2"):
        books.spend(ad, 90_000)
    report = decided(engine, "blended", kill_last_ad=kill_last_ad)
    assert set(verdicts(report).values()) == {"kill"}
    assert money(report) == (10_000, 10_000, 10_000)
    assert fact(report, "idle") == (10_000 if kill_last_ad else 0)
    told = [one.label for one in report.facts if one.value == 10_000]
    assert ("of it goes on with an ad set's last ad" in told) is not kill_last_ad
    assert "left over, for no ad is to go on" in told


@pytest.mark.parametrize(("ago", "told"), [(2, False), (3, True)])
def test_old_insights_are_named(engine: Engine, ago: int, told: bool) -> None:
    books = Books(engine)
    books.ads("a1")
    books.spend("a1", 1_000, ago=ago)
    notes = decided(engine, "bayes").notes
    assert any(f"The newest insight is of {DAY - timedelta(days=ago)}, 3 days before" in note for note in notes) is told


def test_without_deals_nobody_is_scaled_and_the_budget_is_kept(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1", "a2")
    for ad in ("a1", "a2"):
        books.spend(ad, 4_000)
    for policy in POLICIES:
        report = decided(engine, policy)
        assert set(verdicts(report).values()) <= {"keep", "wait"}
        assert_kept(report)


def test_an_unmapped_stage_is_named_and_its_deal_is_a_lead_worth_nothing(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1")
    books.spend("a1", 9_000)
    books.deal("d1", "a1", ("mystery", 5.0))
    for policy in POLICIES:
        report = decided(engine, policy)
        assert any("default/mystery (1)" in note for note in report.notes)
        assert_kept(report)


def test_negative_spend_is_refused_where_it_comes_in(loop: Loop) -> None:
    rows = b"ad_id,adset_id,campaign_id,impressions,clicks,spend\n31,21,11,10,1,-5\n"
    with pytest.raises(InputRejectedError, match="line 2"):
        loop.ingest_ads(io.BytesIO(rows))
    assert loop.rows("insights") == []


def test_a_restated_spend_stands_instead_of_the_one_before(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1")
    for spend, read in ((90_000, 0.9), (30_000, 0.6)):
        books.spend("a1", spend, read=read)
        for policy in POLICIES:
            (row,) = table(decided(engine, policy), "ads").rows
            assert row["spend"] == spend


def test_a_deal_dated_before_its_ad_existed_neither_saves_nor_scales_it(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1", created=4.0)
    books.spend("a1", 30_000)
    books.deal("d1", "a1", ("new", 25.0), ("won", 20.0), amount=9_000_000)
    (row,) = table(decided(engine, "bayes"), "ads").rows
    assert (row["deals_ignored"], row["won_deals"], row["deals"]) == (1, 0, 0.0)
    assert row["verdict"] != "scale"


def test_another_currency_is_refused_for_the_account_and_named_for_a_deal(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1")
    books.spend("a1", 9_000)
    books.deal("d1", "a1", ("new", 5.0), ("won", 2.0), amount=700, currency="EUR")
    euros = replace(PROFILE, currency="EUR")
    with pytest.raises(ConfigurationError, match="currency is 'EUR' in the configuration but 'USD'"):
        decide.run(engine, euros, make_policy("bayes", {}), run_id=uuid4())
    for policy in POLICIES:
        report = decided(engine, policy)
        assert any("1 won deals are in another currency than USD" in note for note in report.notes)
        assert_kept(report)


def test_when_all_ads_are_dead_the_budget_is_left_as_it_is(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1", "a2", status="PAUSED")
    books.spend("a1", 30_000)
    for policy in POLICIES:
        report = decided(engine, policy)
        assert set(verdicts(report).values()) == {"keep"}
        (budget,) = table(report, "budgets").rows
        assert (budget["before"], budget["after"], budget["reason"]) == (10_000, 10_000, "no active ads")


def test_what_no_number_can_say_is_stored_as_unknown(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1", "a2", status="PAUSED")
    books.spend("a1", 30_000)
    # No ad goes on, so there is no return of a last unit.
    decide.run(engine, PROFILE, make_policy("bayes", {}), run_id=uuid4())
    with transaction(engine, read_only=True) as connection:
        found = connection.execute(text("select evidence -> 'marginal_roas' from decisions where entity_kind = 'ad'"))
        assert [row[0] for row in found] == [None, None]


def test_one_ad_keeps_the_whole_budget(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1")
    books.spend("a1", 3_000)
    for policy in POLICIES:
        (row,) = table(decided(engine, policy), "ads").rows
        assert (row["current_budget"], row["recommended_budget"]) == (10_000, 10_000)


def test_a_budget_smaller_than_the_sum_of_floors_is_still_shared_to_the_last_unit(engine: Engine) -> None:
    books = Books(engine, budget=7)
    books.ads("a1", "a2", "a3", "a4", "a5")
    books.spend("a1", 3_000)
    for policy in POLICIES:
        report = decided(engine, policy)
        before, after, left = money(report)
        assert (before, before) == (7, after + left)


def test_a_cent_whose_ad_is_killed_stays_for_the_ad_that_has_no_share_of_it(engine: Engine) -> None:
    books = Books(engine, budget=1)
    books.ads("a1", "a2")
    books.spend("a1", 90_000)
    report = decided(engine, "blended", kill_last_ad=True)
    assert verdicts(report) == {"a1": "kill", "a2": "keep"}
    (budget,) = table(report, "budgets").rows
    assert (budget["before"], budget["after"]) == (1, 1)
    assert budget["reason"] == (
        "1 active ad, 1 to be paused: the budget stays, though what had a share of it is to be paused"
    )
    assert (fact(report, "idle"), fact(report, "unallocated")) == (0, 1)
    assert "left over, for ads without a share" in [one.label for one in report.facts]


def test_a_deal_that_was_archived_or_merged_counts_for_nothing(engine: Engine) -> None:
    books = Books(engine)
    books.ads("a1")
    books.spend("a1", 30_000)
    books.deal("d1", "a1", ("new", 5.0), ("won", 2.0), amount=700_000)
    with transaction(engine) as connection:
        (deal,) = deals.live(connection, MAIN)
        gone = replace(deal, archived=True)
        deals.upsert_deals(connection, MAIN, [gone], source="hubspot", read_at=deal.modified_at)
    (row,) = table(decided(engine, "bayes"), "ads").rows
    assert (row["deals"], row["won_deals"]) == (0.0, 0)
