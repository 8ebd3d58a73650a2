"""Currencies and budgets of every kind, from the account at Meta to the integer that Meta receives."""

from __future__ import annotations

import pytest

from adctl.errors import ConfigurationError
from tests.builders import Loop, fact

WORLD = {"history_days": 14, "campaigns": 3, "ad_sets": 6, "ads": 12}


@pytest.mark.parametrize("loop", [{**WORLD, "currency": "JPY"}, {**WORLD, "currency": "TWD"}], indirect=True)
def test_a_currency_without_cents_reaches_meta_as_the_plain_integer(loop: Loop) -> None:
    loop.configure('cap_increase_per_24h = "300.00"', "cap_increase_per_24h = 10000000\nlearning_phase = false")
    loop.configure("min_confidence = 0.60", "min_confidence = 0")
    before = {one.id: one.daily_budget for one in loop.owners()}
    loop.sync()
    loop.decide()
    loop.enqueue()
    assert fact(loop.execute(), "confirmed") != 0
    sent = {
        one.path.rpartition("/")[2]: int(str(one.body["daily_budget"]))
        for one in loop.posts()
        if "daily_budget" in one.body
    }
    assert sent
    for owner, budget in sent.items():
        assert 80 * (before[owner] or 0) <= 100 * budget <= 120 * (before[owner] or 0)
        stored = loop.value("select target_budget from pending_ad_changes where entity_id = :id", id=owner)
        assert stored == budget == next(one.daily_budget for one in loop.owners() if one.id == owner)


@pytest.mark.parametrize("loop", [{**WORLD, "history_days": 1, "currency": "KWD"}], indirect=True)
def test_a_currency_that_metas_table_lacks_is_refused_before_anything_is_asked(loop: Loop) -> None:
    with pytest.raises(ConfigurationError, match="'KWD' is not in Meta's table"):
        loop.sync_meta()
    assert loop.sandbox.meta_log == []


def test_an_ad_under_review_is_paused_by_its_own_status(loop: Loop) -> None:
    ad = next(one for one in loop.sandbox.world.tree.ads if one.status == "ACTIVE")
    loop.sandbox.meta.edit_by_person({"id": ad.id, "review": "PENDING_REVIEW"})
    loop.queue(ad, "PAUSED")
    loop.execute()
    assert (ad.status, loop.value("select state from pending_ad_changes")) == ("PAUSED", "completed")


def test_an_ad_set_that_gave_its_budget_to_its_campaign_is_blocked(loop: Loop) -> None:
    node = next(one for one in loop.sandbox.world.tree.ad_sets if one.daily_budget)
    loop.queue(node, (node.daily_budget or 0) + 100)
    node.campaign.daily_budget, node.daily_budget = node.daily_budget, None
    loop.execute()
    assert (loop.value("select state from pending_ad_changes"), loop.posts()) == ("blocked", [])
