"""Budgets go to who owns them, ads are only paused, and nothing is lost between ads and owners."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.ad_columns import AdColumns
from adctl.domain.decisions import Decision, DecisionPlan, plan_decisions
from adctl.domain.entities import Ad, AdSet, Campaign, EntityKind, Field
from adctl.domain.ids import Account, AdId, AdSetId, CampaignId, digest
from adctl.domain.owners import Ownership, ad_shares, ownership
from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.protocol import AdVerdict, PolicyResult, Verdict

DAY = date(2026, 3, 2)
POLICY = BlendedPolicy()


def a_campaign(name: str = "c1", *, daily: int | None = None, lifetime: int | None = None) -> Campaign:
    return Campaign(
        campaign_id=CampaignId(name),
        name=name,
        status="ACTIVE",
        effective_status="ACTIVE",
        daily_budget=daily,
        lifetime_budget=lifetime,
    )


def an_ad_set(
    name: str = "s1", *, campaign: str = "c1", daily: int | None = None, lifetime: int | None = None
) -> AdSet:
    return AdSet(
        ad_set_id=AdSetId(name),
        campaign_id=CampaignId(campaign),
        name=name,
        status="ACTIVE",
        effective_status="ACTIVE",
        daily_budget=daily,
        lifetime_budget=lifetime,
    )


def an_ad(name: str, *, ad_set: str = "s1", status: str = "ACTIVE") -> Ad:
    return Ad(
        ad_id=AdId(name),
        ad_set_id=AdSetId(ad_set),
        campaign_id=CampaignId("c1"),
        name=name,
        status=status,
        effective_status=status,
    )


def columns(ads: list[Ad]) -> AdColumns:
    ad_sets, campaigns = sorted({ad.ad_set_id for ad in ads}), sorted({ad.campaign_id for ad in ads})
    return AdColumns(
        ad_ids=tuple(ad.ad_id for ad in ads),
        ad_set=np.array([ad_sets.index(ad.ad_set_id) for ad in ads], dtype=np.int64),
        ad_set_ids=tuple(ad_sets),
        campaign=np.array([campaigns.index(ad.campaign_id) for ad in ads], dtype=np.int64),
        campaign_ids=tuple(campaigns),
        status=tuple(ad.status for ad in ads),
        effective_status=tuple(ad.effective_status for ad in ads),
    )


def a_verdict(
    ad_id: str, before: int, after: int, verdict: Verdict = Verdict.KEEP, confidence: float = 0.8
) -> AdVerdict:
    return AdVerdict(
        ad_id=ad_id,
        verdict=verdict,
        current_budget=before,
        budget=after,
        confidence=confidence,
        reason=f"why {ad_id}",
        evidence={"spend": 300, "pipeline": 100, "draw": 0.5},
    )


def plan(owned: Ownership, ads: list[Ad], *verdicts: AdVerdict, unallocated: int = 0) -> DecisionPlan:
    return plan_decisions(
        account=Account("acme"),
        day=DAY,
        currency="USD",
        policy=POLICY,
        owned=owned,
        ads=columns(ads),
        active=np.array([ad.status == "ACTIVE" for ad in sorted(ads, key=lambda ad: ad.ad_id)], dtype=np.bool_),
        result=PolicyResult(verdicts=verdicts, unallocated=unallocated),
    )


def budgets(decided: DecisionPlan) -> list[Decision]:
    return [decision for decision in decided.decisions if decision.field is Field.DAILY_BUDGET]


def statuses(decided: DecisionPlan) -> list[Decision]:
    return [decision for decision in decided.decisions if decision.field is Field.STATUS]


def test_sketch_defect_a_budget_goes_to_the_ad_set_and_never_to_an_ad() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])
    ads = [an_ad("a"), an_ad("b")]

    decided = plan(owned, ads, a_verdict("a", 600, 700), a_verdict("b", 400, 450))

    (decision,) = budgets(decided)
    assert (decision.entity_kind, decision.entity_id) == (EntityKind.AD_SET, "s1")
    assert (decision.campaign_id, decision.ad_set_id) == ("c1", "s1")
    assert (decision.current, decision.target, decision.verdict) == (1_000, 1_150, Verdict.SCALE)


def test_a_campaign_with_a_budget_owns_that_of_all_its_ad_sets() -> None:
    owned = ownership([a_campaign(daily=1_000)], [an_ad_set("s1"), an_ad_set("s2")])
    ads = [an_ad("a", ad_set="s1"), an_ad("b", ad_set="s2")]

    decided = plan(owned, ads, a_verdict("a", 500, 350), a_verdict("b", 500, 600))

    (decision,) = budgets(decided)
    assert (decision.entity_kind, decision.entity_id, decision.ad_set_id) == (EntityKind.CAMPAIGN, "c1", None)
    assert (decision.current, decision.target, decision.verdict) == (1_000, 950, Verdict.CUT)


def test_a_lifetime_budget_is_listed_and_left_alone() -> None:
    owned = ownership(
        [a_campaign("c1"), a_campaign("c2", lifetime=9_000)],
        [an_ad_set("s1", lifetime=5_000), an_ad_set("s2", campaign="c2")],
    )

    decided = plan(owned, [an_ad("a")], a_verdict("a", 0, 0))

    assert budgets(decided) == []
    reason = "it has a lifetime budget, which adctl does not change"
    assert [(row.kind, row.entity_id, row.reason) for row in decided.unbudgeted] == [
        (EntityKind.CAMPAIGN, "c2", reason),
        (EntityKind.AD_SET, "s1", reason),
    ]


def test_sketch_defect_an_unknown_budget_is_not_taken_for_100() -> None:
    owned = ownership([a_campaign()], [an_ad_set("s1"), an_ad_set("s2", campaign="gone")])

    assert owned.owners == ()
    assert [(row.entity_id, row.reason) for row in owned.unbudgeted] == [
        ("s1", "no budget is known, neither its own nor its campaign's"),
        ("s2", "no budget is known, neither its own nor its campaign's"),
    ]


def test_only_a_kill_or_a_cut_pauses_an_ad() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])
    verdicts = [Verdict.KEEP, Verdict.SCALE, Verdict.CUT, Verdict.WAIT, Verdict.KILL]
    ads = [an_ad(verdict.value) for verdict in verdicts]

    decided = plan(owned, ads, *(a_verdict(verdict.value, 200, 200, verdict) for verdict in verdicts))

    assert [(row.entity_id, row.current, row.target) for row in statuses(decided)] == [
        ("keep", "ACTIVE", "ACTIVE"),
        ("scale", "ACTIVE", "ACTIVE"),
        ("cut", "ACTIVE", "PAUSED"),
        ("wait", "ACTIVE", "ACTIVE"),
        ("kill", "ACTIVE", "PAUSED"),
    ]
    assert [row.verdict for row in statuses(decided)] == verdicts


def test_an_owner_whose_ads_are_all_killed_is_not_sent_a_budget_of_nothing() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    decided = plan(owned, [an_ad("a")], a_verdict("a", 1_000, 0, Verdict.KILL), unallocated=1_000)

    (decision,) = budgets(decided)
    assert (decision.target, decision.verdict) == (1_000, Verdict.KEEP)
    assert decision.reason == "its only ad is to be paused: no budget would be spent"
    assert decided.unallocated == 1_000


def test_an_owner_without_active_ads_is_kept_and_says_so() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    decided = plan(owned, [an_ad("a", status="PAUSED")], a_verdict("a", 0, 0))

    (decision,) = budgets(decided)
    assert (decision.target, decision.verdict, decision.reason) == (1_000, Verdict.KEEP, "no active ads")
    assert statuses(decided)[0].target == "PAUSED"


def test_what_stays_is_a_decision_too() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    decided = plan(owned, [an_ad("a"), an_ad("b")], a_verdict("a", 600, 500), a_verdict("b", 400, 500))

    (decision,) = budgets(decided)
    assert (decision.current, decision.target, decision.verdict) == (1_000, 1_000, Verdict.KEEP)
    assert decision.reason == "2 active ads: the shares sum to what the budget is"


def test_the_reason_names_the_ad_that_moved_the_budget_most() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=10_000)])
    ads = [an_ad("a"), an_ad("b"), an_ad("c")]

    decided = plan(
        owned,
        ads,
        a_verdict("a", 4_000, 3_000),
        a_verdict("b", 4_000, 2_500),
        a_verdict("c", 2_000, 3_000),
    )

    assert budgets(decided)[0].reason == "3 active ads; most by ad b, 40.00 USD to 25.00 USD (why b)"


def test_the_reason_counts_what_stays_and_what_goes() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=10_000)])

    decided = plan(
        owned, [an_ad("a"), an_ad("b")], a_verdict("a", 8_000, 12_000), a_verdict("b", 2_000, 0, Verdict.KILL)
    )

    assert budgets(decided)[0].reason == "1 active ad, 1 to be paused; most by ad a, 80.00 USD to 120.00 USD (why a)"


def test_an_owners_confidence_is_weighted_by_its_money() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])
    ads = [an_ad("old"), an_ad("new")]

    decided = plan(owned, ads, a_verdict("old", 900, 900, confidence=0.8), a_verdict("new", 100, 100, confidence=0.3))

    assert budgets(decided)[0].confidence == pytest.approx(0.75)


def test_decisions_carry_policy_and_evidence_as_json() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    decided = plan(owned, [an_ad("a"), an_ad("b")], a_verdict("a", 600, 500), a_verdict("b", 400, 0, Verdict.KILL))

    budget, status = budgets(decided)[0], statuses(decided)[0]
    for decision in (budget, status):
        assert (decision.policy, decision.policy_version) == ("blended", "1")
        assert decision.parameter_hash == digest(POLICY.parameters)
    assert json.loads(json.dumps(budget.evidence)) == {
        "ads": 2,
        "ads_to_be_paused": 1,
        "shares_before": 1_000,
        "shares_after": 500,
        "spend": 600,
        "pipeline": 200,
    }
    assert json.loads(json.dumps(status.evidence)) == {
        "spend": 300,
        "pipeline": 100,
        "draw": 0.5,
        "current_budget": 600,
        "budget": 500,
    }


def decision_ids(account: str = "acme", day: date = DAY, policy: BlendedPolicy = POLICY) -> set[str]:
    decided = plan_decisions(
        account=Account(account),
        day=day,
        currency="USD",
        policy=policy,
        owned=ownership([a_campaign()], [an_ad_set(daily=1_000)]),
        ads=columns([an_ad("a"), an_ad("b")]),
        active=np.array([True, True]),
        result=PolicyResult(verdicts=(a_verdict("a", 500, 500), a_verdict("b", 500, 500)), unallocated=0),
    )
    return {str(decision.decision_id) for decision in decided.decisions}


def test_a_decision_keeps_its_id_when_decided_again() -> None:
    assert decision_ids() == decision_ids()
    assert len(decision_ids()) == 3


def test_another_account_day_or_parameter_is_another_decision() -> None:
    others = [
        decision_ids(account="other"),
        decision_ids(day=date(2026, 3, 3)),
        decision_ids(policy=replace(POLICY, kill_roas=0.4)),
    ]

    assert len(decision_ids().union(*others)) == 4 * 3


def test_ads_and_verdicts_in_different_order_are_refused() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    with pytest.raises(ValueError, match="not in the same order"):
        plan(owned, [an_ad("a"), an_ad("b")], a_verdict("b", 500, 500), a_verdict("a", 500, 500))


def test_shares_that_are_not_the_owners_budget_are_refused() -> None:
    owned = ownership([a_campaign()], [an_ad_set(daily=1_000)])

    with pytest.raises(ValueError, match="ad_set s1: shares of 900 in a budget of 1000"):
        plan(owned, [an_ad("a")], a_verdict("a", 900, 900))


@given(
    st.lists(st.integers(0, 10**8), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**7)), max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_shares_sum_to_every_owners_budget_and_leave_nobody_out(budget: list[int], ads: list[tuple[int, int]]) -> None:
    owner = np.array([place % len(budget) for place, _ in ads], dtype=np.int64)

    shares = ad_shares(np.array(budget), owner, np.array([spend for _, spend in ads], dtype=np.int64))

    for place, amount in enumerate(budget):
        mine = shares[owner == place]
        assert mine.sum() == (amount if len(mine) else 0)
        assert all(share >= amount // (4 * len(mine)) for share in mine)


def test_shares_follow_recent_spend_above_a_quarter_for_everyone() -> None:
    # given three ads of one owner: 900, 300 and, new, nothing spent
    shares = ad_shares(np.array([1_200]), np.array([0, 0, 0]), np.array([900, 300, 0]))

    assert shares.tolist() == [100 + 675, 100 + 225, 100]


def test_ads_that_have_not_spent_share_equally() -> None:
    assert ad_shares(np.array([900, 50]), np.array([1, 0, 0]), np.array([0, 0, 0])).tolist() == [50, 450, 450]


_owners = st.lists(
    st.tuples(st.integers(1, 10**6), st.lists(st.tuples(st.integers(0, 10**5), st.booleans()), min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@given(_owners)
@settings(max_examples=150, deadline=None)
def test_owners_targets_and_what_is_left_over_are_the_total(
    owners: list[tuple[int, list[tuple[int, bool]]]],
) -> None:
    # given owners whose ads' shares are halved or kept, with the rest left over
    owned = ownership(
        [a_campaign()], [an_ad_set(f"s{place}", daily=budget) for place, (budget, _) in enumerate(owners)]
    )
    members = [(place, spend, halved) for place, (_, ads) in enumerate(owners) for spend, halved in ads]
    shares = ad_shares(
        np.array([budget for budget, _ in owners]),
        np.array([place for place, _, _ in members]),
        np.array([spend for _, spend, _ in members]),
    ).tolist()
    verdicts = [
        a_verdict(f"a{number}", share, -(-share // 2) if halved else share)
        for number, ((_, _, halved), share) in enumerate(zip(members, shares, strict=True))
    ]
    unallocated = sum(verdict.current_budget - verdict.budget for verdict in verdicts)

    decided = plan(
        owned,
        [an_ad(f"a{number}", ad_set=f"s{place}") for number, (place, _, _) in enumerate(members)],
        *verdicts,
        unallocated=unallocated,
    )

    targets = [decision.target for decision in budgets(decided)]
    assert sum(int(target) for target in targets) + decided.unallocated == sum(budget for budget, _ in owners)
