"""Both adapters against the sandbox's stand-ins: a whole simulated world read and written through the real SDKs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from adctl.adapters.hubspot import HubSpotCrm
from adctl.adapters.meta import MetaPlatform
from adctl.domain.deals import Outcome
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ports import DealPage, WriteOutcome
from adctl.errors import BusyError
from adctl.sandbox import Sandbox
from tests.adapters.canned_hubspot import QUICK as QUICK_CRM
from tests.adapters.canned_meta import QUICK as QUICK_META

START = date(2026, 3, 2)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    options = getattr(request, "param", {})
    with Sandbox.start(**{"seed": 3, "start": START, "history_days": 7, **options}) as running:
        yield running


@pytest.fixture
def platform(sandbox: Sandbox) -> Iterator[MetaPlatform]:
    with MetaPlatform(
        ad_account=sandbox.meta_account_id,
        token=sandbox.meta_token,
        base_url=sandbox.meta_url,
        patience=replace(QUICK_META, write_deadline=0.4),
    ) as opened:
        yield opened


@pytest.fixture
def crm(sandbox: Sandbox) -> Iterator[HubSpotCrm]:
    with HubSpotCrm(
        token=sandbox.hubspot_token, currency="USD", base_url=sandbox.hubspot_url, patience=QUICK_CRM
    ) as opened:
        yield opened


def deal_ids(pages: Iterator[DealPage]) -> list[str]:
    return [deal.deal_id for page in pages for deal in page.deals]


# --- Meta ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sandbox", [{"currency": "USD"}, {"currency": "JPY"}, {"currency": "HUF"}], indirect=True)
def test_a_weeks_insights_add_up_to_the_worlds_spend(sandbox: Sandbox, platform: MetaPlatform) -> None:
    rows = list(platform.insights(START - timedelta(days=7), START))
    totals = sandbox.world.totals()
    assert totals.spend > 0
    assert sum(row.spend for row in rows) == totals.spend
    assert sum(row.impressions for row in rows) == totals.impressions
    assert len({(row.ad_id, row.day) for row in rows}) == len(rows)


def test_every_object_of_the_account_is_read_with_its_creative(sandbox: Sandbox, platform: MetaPlatform) -> None:
    tree = sandbox.world.tree
    ads = list(platform.ads())
    assert [one.campaign_id for one in platform.campaigns()] == [one.id for one in tree.campaigns]
    assert [one.ad_set_id for one in platform.ad_sets()] == [one.id for one in tree.ad_sets]
    assert {ad.ad_id for ad, _ in ads} == {one.id for one in tree.ads if one.status != "DELETED"}
    assert all(creative is not None and creative.headline and creative.body for _, creative in ads)


def test_an_empty_page_in_the_middle_loses_no_row(sandbox: Sandbox, platform: MetaPlatform) -> None:
    whole = list(platform.insights(START - timedelta(days=7), START))
    fault = sandbox.meta.faults.arm("empty_page", path="insights")
    assert list(platform.insights(START - timedelta(days=7), START)) == whole
    assert fault.hits == 1


def test_a_budget_is_written_once_and_read_back(sandbox: Sandbox, platform: MetaPlatform) -> None:
    ad_set = next(one for one in platform.ad_sets() if one.daily_budget and one.status == "ACTIVE")
    assert ad_set.daily_budget is not None
    answer = platform.write(ad_set.ad_set_id, Field.DAILY_BUDGET, ad_set.daily_budget + 100)
    state = platform.read(EntityKind.AD_SET, ad_set.ad_set_id)
    assert answer.outcome is WriteOutcome.ACCEPTED
    assert state is not None
    assert state.daily_budget == ad_set.daily_budget + 100
    assert Counter(one.method for one in sandbox.meta_log)["POST"] == 1


def test_an_ad_is_paused(sandbox: Sandbox, platform: MetaPlatform) -> None:
    ad = next(ad for ad, _ in platform.ads() if ad.status == "ACTIVE")
    assert platform.write(ad.ad_id, Field.STATUS, "PAUSED").outcome is WriteOutcome.ACCEPTED
    state = platform.read(EntityKind.AD, ad.ad_id)
    assert state is not None
    assert (state.status, state.daily_budget) == ("PAUSED", None)


@pytest.mark.parametrize(
    "kind", ["hang", "close", "trickle", "latency", "html", "garbage", "redirect", "throttled", "success_false"]
)
@pytest.mark.parametrize("apply", [False, True], ids=["not applied", "applied"])
def test_a_fault_leaves_the_outcome_of_a_write_unknown(
    sandbox: Sandbox, platform: MetaPlatform, kind: str, apply: bool
) -> None:
    ad_set = next(one for one in platform.ad_sets() if one.daily_budget)
    fault = sandbox.meta.faults.arm(kind, method="POST", apply=apply, seconds=3 if kind in ("latency", "hang") else 0.4)
    answer = platform.write(ad_set.ad_set_id, Field.DAILY_BUDGET, 12300)
    assert fault.hits == 1
    assert answer.outcome is WriteOutcome.UNKNOWN


def test_an_object_that_is_not_there_is_none_to_read_and_refused_to_write(platform: MetaPlatform) -> None:
    assert platform.read(EntityKind.AD, "99") is None
    assert platform.write("99", Field.STATUS, "PAUSED").outcome is WriteOutcome.REFUSED


def test_full_usage_is_told_per_use_case(sandbox: Sandbox, platform: MetaPlatform) -> None:
    sandbox.meta.faults.arm("usage", percent=100, minutes=25)
    platform.account()
    waits = platform.usage()
    assert 1490 <= waits["ads_management"] <= 1500
    assert 1490 <= waits["ad_account"] <= 1500


# --- HubSpot ---------------------------------------------------------------------------------------------------------


def test_search_and_list_find_the_same_deals_with_the_same_moves(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    found = list(crm.deals_modified_since(LONG_AGO))
    listed = list(crm.deals_modified_since(None))
    assert sandbox.world.totals().deals > 100
    assert deal_ids(iter(found)) == deal_ids(iter(listed))
    assert [move for page in found for move in page.moves] == [move for page in listed for move in page.moves]
    for page in found:
        known = {contact.contact_id for contact in page.contacts}
        assert {deal.contact_id for deal in page.deals if deal.contact_id} <= known


def test_the_last_move_of_a_deal_leads_to_its_stage(crm: HubSpotCrm) -> None:
    for page in crm.deals_modified_since(LONG_AGO):
        last = {move.deal_id: (move.pipeline, move.stage) for move in page.moves}
        assert last == {deal.deal_id: (deal.pipeline, deal.stage) for deal in page.deals}


@pytest.mark.parametrize("sandbox", [{"history_days": 28}], indirect=True)
def test_the_won_deals_are_the_worlds(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    won = {(one.pipeline, one.stage) for one in crm.stages() if one.outcome is Outcome.WON}
    deals = [deal for page in crm.deals_modified_since(None) for deal in page.deals]
    assert len([one for one in deals if (one.pipeline, one.stage) in won]) == sandbox.world.totals().won > 0


def test_more_than_ten_thousand_deals_of_one_millisecond_are_all_found(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    added = sandbox.hubspot.edit_by_person({"add_deals": 10_050})["ids"]
    found = deal_ids(crm.deals_modified_since(sandbox.world.now))
    assert len(found) == len(set(found))
    assert set(added) <= set(found)
    assert {one.status for one in sandbox.hubspot_log} == {200}


def test_an_archived_and_a_merged_deal_are_found_where_they_are(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    first, second, third = sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    sandbox.hubspot.edit_by_person({"archive": first})
    sandbox.hubspot.edit_by_person({"merge": second, "into": third})
    found = {one.deal_id: one for page in crm.deals_modified_since(sandbox.world.now) for one in page.deals}
    archived = [one for page in crm.archived_deals() for one in page.deals]
    assert {first, second} & set(found) == {second}
    assert (found[second].merged_into, found[second].amount, found[second].archived) == (third, None, True)
    assert {one.deal_id: one.merged_into for one in archived} == {first: None, second: third}


def test_a_daily_limit_ends_the_walk_at_once(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    fault = sandbox.hubspot.faults.arm("rate_limited", policy="DAILY", retry_after=36000)
    with pytest.raises(BusyError, match="daily"):
        list(crm.deals_modified_since(None))
    assert fault.hits == 1


def test_faults_along_a_walk_change_nothing_of_its_result(sandbox: Sandbox, crm: HubSpotCrm) -> None:
    whole = list(crm.deals_modified_since(LONG_AGO))
    arm = sandbox.hubspot.faults.arm
    faults = [
        arm(kind, skip=skip)
        for kind, skip in (("close", 1), ("html", 2), ("rate_limited", 3), ("garbage", 5), ("hang", 8))
    ]
    assert list(crm.deals_modified_since(LONG_AGO)) == whole
    assert [fault.hits for fault in faults] == [1] * 5
