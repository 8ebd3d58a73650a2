"""Funding: all raises of a plan together take no more than its cuts free and the day may grow by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.decisions import Decision
from adctl.domain.guards.answers import Guard, Pass
from adctl.domain.guards.context import GuardContext, ValueInForce
from adctl.domain.guards.funds import Funds, Queued, funds_of
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import AdSetId
from tests.domain.guards.guard_builders import LIMITS, NOW, a_budget, a_context, a_kill, passed, waited

DONE = Queued(move=0, stands=True, waits=False)
WAITING = replace(DONE, waits=True)


def growing_by(
    growth: int | None, limits: Limits = LIMITS, stopping: Mapping[str, int] = MappingProxyType({})
) -> GuardContext:
    funds = None if growth is None else Funds(growth=growth, stopping=stopping)
    return replace(a_context(limits), funds=funds)


def moves(decisions: list[Decision], context: GuardContext) -> list[int]:
    """What each decision passes with, 0 where it does not pass."""
    answers = judge(decisions, context)
    return [
        answer.target - decision.current
        if isinstance(answer, Pass) and isinstance(answer.target, int) and isinstance(decision.current, int)
        else 0
        for decision, answer in zip(decisions, answers, strict=True)
    ]


def test_raises_that_cuts_pay_for_pass_whole() -> None:
    plan = [a_budget(1000, 1200, ad_set="s1"), a_budget(1000, 800, ad_set="s2")]
    assert moves(plan, growing_by(0)) == [200, -200]


def test_when_a_cut_is_refused_the_raises_shrink_by_the_same_share() -> None:
    # given a cut of 400 below the floor of one, and one of 100 that passes
    plan = [
        a_budget(1000, 1200, ad_set="s1"),
        a_budget(2000, 2300, ad_set="s2"),
        a_budget(1000, 900, ad_set="s3"),
        a_budget(2000, 1600, ad_set="s4"),
    ]
    floored = replace(LIMITS, floors={"s4": 2000})
    assert moves(plan, growing_by(0, floored)) == [40, 60, -100, 0]
    lowered = passed(judge(plan, growing_by(0, floored))[0])
    assert [(clip.guard, clip.before, clip.after) for clip in lowered.clipped_by] == [(Guard.FUNDING, 1200, 1040)]


def test_what_the_decisions_let_the_total_grow_by_pays_too_and_what_was_queued_before_counts() -> None:
    plan = [a_budget(1000, 1200, ad_set="s1"), a_budget(1000, 950, ad_set="s2")]
    assert moves(plan, growing_by(150)) == [200, -50]
    assert moves(plan, growing_by(149)) == [199, -50]
    assert moves(plan, growing_by(-20)) == [30, -50]
    assert moves(plan, growing_by(-50)) == [0, -50]
    assert moves(plan, growing_by(-90)) == [0, -50]


def test_an_unpaid_raise_waits_and_says_how_much_could_be_paid() -> None:
    answer = waited(judge([a_budget(1000, 1200)], growing_by(0))[0])
    assert (answer.guard, answer.value, answer.limit, answer.until) == (Guard.FUNDING, 200, 0, None)


def test_a_pause_needs_no_funds() -> None:
    unpaid, pause = judge([a_budget(1000, 1200), a_kill()], growing_by(0))
    assert waited(unpaid).guard is Guard.FUNDING
    assert passed(pause).target == "PAUSED"


def test_a_budget_whose_last_ad_goes_on_pays_for_nothing() -> None:
    # given two ad sets of which all ads are to be paused, one of them with an ad that may not be
    plan = [a_budget(1000, 1200, ad_set="s3"), a_kill("a1", ad_set="s1"), a_kill("a2", ad_set="s2")]
    context = replace(growing_by(150, stopping={"s1": 90, "s2": 60}), active_ads={AdSetId("s1"): 1, AdSetId("s2"): 1})
    assert moves(plan, context) == [0, 0, 0]
    may_stop = replace(context, active_ads={AdSetId("s1"): 2, AdSetId("s2"): 1})
    assert moves(plan, may_stop) == [90, 0, 0]
    assert moves(plan, replace(context, limits=replace(LIMITS, kill_last_ad=True))) == [150, 0, 0]


def test_what_was_queued_before_counts_unless_it_came_to_nothing() -> None:
    # given a day that grows by what stops with two ad sets' ads, of which a part was queued
    up, first, second = a_budget(1000, 1200, ad_set="s3"), a_kill("a1", ad_set="s1"), a_kill("a2", ad_set="s2")

    def funds(*, surely: bool = False, **became: Queued) -> Funds:
        ids = {"up": up.decision_id, "first": first.decision_id, "second": second.decision_id}
        stopping = {"s1": 120, "s2": 80}
        return funds_of([up, first, second], stopping, {ids[k]: q for k, q in became.items()}, surely=surely)

    assert funds() == Funds(growth=200, stopping={"s1": 120, "s2": 80})
    assert funds(up=Queued(move=150, stands=True, waits=False), first=DONE).growth == 50
    assert funds(up=Queued(move=150, stands=False, waits=False)).growth == 200
    assert funds(first=replace(DONE, stands=False)) == Funds(growth=80, stopping={"s2": 80})
    # what waits for approval is taken, and frees nothing yet
    assert funds(first=WAITING) == funds(up=Queued(move=0, stands=True, waits=True)) == funds()
    assert funds(surely=True, first=WAITING) == Funds(growth=80, stopping={"s2": 80})
    assert funds(surely=True, up=Queued(move=-30, stands=True, waits=True)).growth == 200
    assert funds(surely=True, up=Queued(move=1, stands=True, waits=True)).growth == 199
    # a day that shrinks owes nothing
    assert funds_of([a_budget(1000, 900)], {}, {}, surely=False).growth == 0


def test_a_lowered_raise_that_velocity_forbids_waits() -> None:
    # given that 1500 was in force an hour ago, so that nothing below 1200 may be sent
    values = {"s1": [ValueInForce(value=1500, until=NOW - timedelta(hours=1))]}
    plan = [a_budget(1000, 1200, ad_set="s1"), a_budget(1000, 900, ad_set="s2")]
    assert moves(plan, replace(growing_by(100), values=values)) == [200, -100]
    answer = waited(judge(plan, replace(growing_by(0), values=values))[0])
    assert (answer.guard, answer.limit) == (Guard.FUNDING, 100)


def test_it_can_be_turned_off_and_limits_nothing_where_the_growth_is_not_known() -> None:
    plan = [a_budget(1000, 1200)]
    assert moves(plan, growing_by(0, replace(LIMITS, funding=False))) == [200]
    assert moves(plan, growing_by(None)) == [200]


@given(
    st.lists(st.tuples(st.integers(10, 10_000), st.integers(-20, 20)), min_size=1, max_size=8), st.integers(-500, 500)
)
def test_no_plan_grows_by_more_than_it_may(budgets: list[tuple[int, int]], growth: int) -> None:
    plan = [
        a_budget(current, current + current * percent // 100, ad_set=f"s{place}", campaign=f"c{place}")
        for place, (current, percent) in enumerate(budgets)
    ]
    found = moves(plan, growing_by(growth))
    free = moves(plan, growing_by(None))
    assert sum(found) <= growth or not any(move > 0 for move in found)
    assert [move for move in found if move < 0] == [move for move in free if move < 0]
    assert all(0 <= ours <= theirs for ours, theirs in zip(found, free, strict=True) if theirs >= 0)
