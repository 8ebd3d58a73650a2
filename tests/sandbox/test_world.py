"""The simulated world: deterministic for a seed, fast, and true to what it says about itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from adctl.sandbox import World
from adctl.sandbox.crm import Record

START = date(2026, 3, 2)


def fingerprint(world: World) -> tuple[object, ...]:
    """Everything the servers could show of a world."""
    days = {day: (ledger.spend.tolist(), ledger.clicks.tolist()) for day, ledger in world.delivery.days.items()}
    records = [asdict(r) for kind in world.portal.collections.values() for r in kind.records.values()]
    wires = [(ad.id, ad.name, ad.created, ad.creative.wire) for ad in world.tree.ads]
    return days, records, wires, world.tree.account, world.portal.id, world.truth(), world.totals()


@pytest.fixture(scope="module")
def world() -> World:
    """The default world of the demo's size."""
    return World.generate(seed=11, start=START)


def deals(world: World) -> list[Record]:
    return list(world.portal.collections["deals"].records.values())


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    one, same, other = (fingerprint(World.generate(seed=seed, start=START, history_days=7)) for seed in (11, 11, 12))

    assert one == same
    assert one[2] != other[2]


def test_the_way_the_clock_is_moved_does_not_matter() -> None:
    by_days, by_hours = (World.generate(seed=4, start=START, history_days=3, ads=8) for _ in range(2))

    by_days.advance(days=2)
    for _ in range(48):
        by_hours.advance_to(by_hours.now + timedelta(hours=1))

    assert fingerprint(by_hours) == fingerprint(by_days)


def test_half_hours_add_up_and_nothing_happens_before_the_clock_says_so() -> None:
    world = World.generate(seed=4, start=START, history_days=3, ads=8)
    for _ in range(8):
        at = world.now
        before = set(world.portal.collections["contacts"].records)
        world.advance_to(at + timedelta(minutes=30))
        new = set(world.portal.collections["contacts"].records) - before
        created = [world.portal.collections["contacts"].records[i].created for i in new]
        assert all(at.timestamp() * 1000 <= ms <= world.now.timestamp() * 1000 for ms in created)


def test_the_clock_does_not_go_back(world: World) -> None:
    with pytest.raises(ValueError, match="cannot advance"):
        world.advance_to(world.now - timedelta(seconds=1))


@pytest.mark.parametrize("seed", range(3))
def test_true_returns_run_from_clear_losers_to_clear_winners(seed: int) -> None:
    ads = World.generate(seed=seed, start=START).truth()
    roas = sorted(ad.roas for ad in ads)

    assert roas[2] < 0.5
    assert roas[-2] > 3
    assert all(ad.marginal_roas < ad.roas for ad in ads if ad.daily_spend)


def test_what_came_back_is_what_the_truth_promised() -> None:
    world = World.generate(seed=2, start=START, history_days=60, organic_per_day=0.0, cycle_days=1.0)
    before = world.truth()
    spend, revenue = world.totals().spend, world.totals().revenue

    promised = sum(ad.roas * ad.spent for ad in before) / sum(ad.spent for ad in before)

    assert revenue / spend == pytest.approx(promised, rel=0.35)


def test_budgets_belong_to_campaigns_and_to_ad_sets(world: World) -> None:
    campaigns = world.tree.campaigns

    assert 0 < sum(campaign.daily_budget is not None for campaign in campaigns) < len(campaigns)
    assert len(world.tree.ads) == 24


def test_leads_name_their_ad_but_for_a_share(world: World) -> None:
    contacts = world.portal.collections["contacts"].records.values()
    paid = [c for c in contacts if c.properties.get("hs_analytics_source") == "PAID_SOCIAL"]
    keys = [parse_qs(urlsplit(c.properties["hs_analytics_first_url"] or "").query) for c in paid]

    known = {ad.id for ad in world.tree.ads}
    named = [key["utm_content"][0] for key in keys if "utm_content" in key]
    assert 0.05 < 1 - len(named) / len(keys) < 0.2
    assert set(named) <= known
    assert any("fbclid" in key and "utm_content" not in key for key in keys)


def test_deals_move_through_their_own_pipelines_stages(world: World) -> None:
    stages = {pipeline.id: {stage.id for stage in pipeline.stages} for pipeline in world.portal.pipelines}

    seen = Counter(deal.properties["pipeline"] for deal in deals(world))

    assert set(seen) == set(stages)
    for deal in deals(world):
        path = [version.value for version in deal.history["dealstage"]]
        assert set(path) <= stages[deal.properties["pipeline"] or ""]
        times = [version.at for version in deal.history["dealstage"]]
        assert times == sorted(times)
        assert deal.updated >= times[-1]


def test_some_deals_are_won_some_lost_some_stay_open_and_some_have_no_amount(world: World) -> None:
    closed = Counter((d.properties.get("hs_is_closed"), d.properties.get("hs_is_closed_won")) for d in deals(world))

    assert closed["true", "true"] == world.totals().won > 20
    assert closed["true", "false"] > closed["true", "true"]
    assert closed["false", "false"] > 100
    assert any(d.properties["amount"] is None for d in deals(world))


def test_the_won_amounts_are_the_revenue(world: World) -> None:
    won = [float(d.properties["amount"] or 0) for d in deals(world) if d.properties.get("hs_is_closed_won") == "true"]

    assert round(sum(won) * 100) == world.totals().revenue


def test_creatives_vary_and_some_are_near_copies() -> None:
    wires = [ad.creative.wire for ad in World.generate(seed=3, start=START, ads=120, history_days=1).tree.ads]

    stories = [wire for wire in wires if "body" in wire]
    assert len({wire["body"] for wire in stories}) > 90
    assert len({wire["image_hash"] for wire in stories}) < len(stories) < len(wires)
    assert {wire["object_type"] for wire in wires} == {"VIDEO", "SHARE"}
