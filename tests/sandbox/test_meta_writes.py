"""Writes to the Meta stand-in: they stick, they change what is spent, and Meta's refusals are kept."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError

from adctl.sandbox import Sandbox
from adctl.sandbox.ad_objects import AdSet


def budgeted(sandbox: Sandbox) -> AdSet:
    """An ad set that owns its daily budget."""
    return next(ad_set for ad_set in sandbox.world.tree.ad_sets if ad_set.daily_budget)


def refusal(meta: FacebookAdsApi, node_id: str, **params: str | int | list[str]) -> tuple[int, int | None]:
    """Code and subcode of a write that is refused."""
    with pytest.raises(FacebookRequestError) as refused:
        meta.call("POST", (node_id,), params=params)
    return refused.value.api_error_code(), refused.value.api_error_subcode()


def spent(sandbox: Sandbox, ad_set: AdSet, day: date) -> int:
    """What the ad set's ads spent on a day, in minor units."""
    amounts = sandbox.world.spend_minor(day)
    return sum(amounts[i] for i, ad in enumerate(sandbox.world.tree.ads) if ad.ad_set is ad_set)


def test_a_written_budget_sticks_and_changes_the_next_days_spend(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = budgeted(sandbox)
    before, today = spent(sandbox, ad_set, sandbox.world.today - timedelta(days=1)), sandbox.world.today

    answer = meta.call("POST", (ad_set.id,), params={"daily_budget": 4 * (ad_set.daily_budget or 0)}).json()
    sandbox.world.advance(days=1)

    assert answer == {"success": True}
    assert 3 * before < spent(sandbox, ad_set, today) < 5 * before


def test_a_paused_ad_spends_nothing_and_its_siblings_take_the_budget(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad = sandbox.world.tree.ads[0]
    number, today = 0, sandbox.world.today
    before = spent(sandbox, ad.ad_set, today - timedelta(days=1))

    meta.call("POST", (ad.id,), params={"status": "PAUSED"})
    sandbox.world.advance(days=1)

    assert sandbox.world.spend_minor(today)[number] == 0
    assert spent(sandbox, ad.ad_set, today) > 0.7 * before
    shown = meta.call("GET", (ad.id,), params={"fields": "status,effective_status"}).json()
    assert (shown["status"], shown["effective_status"]) == ("PAUSED", "PAUSED")


def test_a_paused_campaign_shows_in_the_effective_status_below_it(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad = sandbox.world.tree.ads[0]

    meta.call("POST", (ad.ad_set.campaign.id,), params={"status": "PAUSED"})

    shown = meta.call("GET", (ad.id,), params={"fields": "status,effective_status"}).json()
    assert (shown["status"], shown["effective_status"]) == ("ACTIVE", "CAMPAIGN_PAUSED")


def test_no_owner_spends_more_than_a_quarter_over_its_budget(sandbox: Sandbox) -> None:
    ad_set = budgeted(sandbox)

    days = [spent(sandbox, ad_set, day) for day in sandbox.world.delivery.days]

    assert 0.7 * (ad_set.daily_budget or 0) < min(days) <= max(days) < 1.25 * (ad_set.daily_budget or 0)


def test_the_fifth_budget_change_within_an_hour_is_refused(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = budgeted(sandbox)
    for budget in (5001, 5002, 5003, 5004):
        meta.call("POST", (ad_set.id,), params={"daily_budget": budget})

    assert refusal(meta, ad_set.id, daily_budget=5005) == (613, 1487632)
    assert ad_set.daily_budget == 5004

    sandbox.advance_to(sandbox.world.now + timedelta(hours=1))
    meta.call("POST", (ad_set.id,), params={"daily_budget": 5005})
    assert ad_set.daily_budget == 5005


def test_setting_the_same_budget_again_uses_up_nothing(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = budgeted(sandbox)

    for _ in range(6):
        meta.call("POST", (ad_set.id,), params={"daily_budget": 5001})

    assert ad_set.daily_budget == 5001
    assert len(sandbox.world.tree.activities) == len(
        {(a.object_id, a.event_type) for a in sandbox.world.tree.activities}
    )


def test_budgets_are_refused_with_metas_own_codes(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    own, tree = budgeted(sandbox), sandbox.world.tree
    under_campaign = next(ad_set for ad_set in tree.ad_sets if ad_set.campaign.daily_budget)

    assert refusal(meta, under_campaign.id, daily_budget=5000) == (100, 1885621)
    assert refusal(meta, own.campaign.id, daily_budget=5000) == (100, 1885621)
    assert refusal(meta, own.id, daily_budget=99) == (100, 1885272)
    assert refusal(meta, own.id, daily_budget=100_000_001) == (100, 1885261)
    assert refusal(meta, own.id, daily_budget="12.50") == (100, None)
    assert refusal(meta, own.id, lifetime_budget=5000) == (100, None)
    assert refusal(meta, own.id, daily_bugdet=5000) == (100, None)
    assert refusal(meta, tree.ads[0].id, daily_budget=5000) == (100, None)
    assert refusal(meta, tree.ads[0].id, status="STOPPED") == (100, None)
    assert refusal(meta, tree.ads[-1].id, status="ACTIVE") == (100, None)
    assert refusal(meta, "404404", status="PAUSED") == (100, 33)
    assert not any(exchange.applied for exchange in sandbox.meta_log)


def test_validate_only_says_success_and_changes_nothing(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = budgeted(sandbox)
    before = ad_set.daily_budget

    answer = meta.call(
        "POST", (ad_set.id,), params={"daily_budget": 5001, "execution_options": ["validate_only"]}
    ).json()

    assert answer == {"success": True}
    assert ad_set.daily_budget == before
    assert not sandbox.meta_log[-1].applied


def test_the_change_log_tells_a_person_from_the_application(sandbox: Sandbox, meta: FacebookAdsApi) -> None:
    ad_set = budgeted(sandbox)
    meta.call("POST", (ad_set.id,), params={"daily_budget": 5001})
    sandbox.world.edit(ad_set, "daily_budget", 5002)

    params = {"oid": ad_set.id, "category": "BUDGET"}
    entries = meta.call("GET", (sandbox.meta_account_id, "activities"), params=params).json()["data"]

    assert [json.loads(entry["extra_data"])["new_value"] for entry in entries] == [5002, 5001]
    assert [entry["event_type"] for entry in entries] == ["update_ad_set_budget"] * 2
    assert entries[0]["application_name"] == "Ads Manager" != entries[1]["application_name"]


def test_yen_budgets_have_no_decimals_and_a_lifetime_budget_is_shown_as_one() -> None:
    with Sandbox.start(
        seed=5,
        start=date(2026, 3, 2),
        history_days=3,
        currency="JPY",
        ads=8,
        ad_sets=4,
        campaigns=2,
        lifetime_ad_set=True,
    ) as yen:
        lifetime = [ad_set for ad_set in yen.world.tree.ad_sets if ad_set.lifetime_budget]
        day = yen.world.today - timedelta(days=1)
        asked = budgeted(yen)

        assert [ad_set.daily_budget for ad_set in lifetime] == [None]
        assert spent(yen, lifetime[0], day) > 0
        assert 0.7 * (asked.daily_budget or 0) < spent(yen, asked, day) < 1.25 * (asked.daily_budget or 0)
        assert (asked.daily_budget or 0) > 5000
