"""Each guard stops what it must, says with which number, and when it would pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from adctl.domain.decisions import Decision
from adctl.domain.entities import EntityKind, Field
from adctl.domain.guards.answers import Guard, Pass
from adctl.domain.guards.context import Freshness
from adctl.domain.guards.judge import judge
from adctl.domain.guards.moves import is_raise
from adctl.domain.ids import AdSetId, CampaignId
from tests.domain.guards.guard_builders import (
    HOUR,
    LIMITS,
    NOW,
    TODAY,
    a_budget,
    a_context,
    a_kill,
    one,
    passed,
    refused,
    waited,
)
from tests.domain.guards.wall_clocks import CLOCKS_THAT_ARE_SET

MINUTE = timedelta(minutes=1)
RAISE, CUT, KILL = a_budget(1_000, 1_100), a_budget(1_000, 900), a_kill()
ACTIVATE = replace(KILL, current="PAUSED", target="ACTIVE")


def test_a_pause_passes_with_its_own_jitter_and_no_fuzz() -> None:
    answer = passed(one(KILL, a_context()))

    assert (answer.target, answer.clipped_by, answer.fuzz_ppm) == ("PAUSED", (), 0)
    assert 3_000 <= answer.jitter_ms <= 18_000


def test_judging_twice_gives_the_same_answers() -> None:
    decisions = [a_budget(1_000, 1_100 + n, ad_set=f"x{n}") for n in range(20)]
    context = a_context(replace(LIMITS, fuzz=Fraction(3, 100)))

    assert judge(decisions, context) == judge(decisions, context)


def test_what_is_kept_is_not_sent() -> None:
    assert refused(one(a_budget(1_000, 1_000), a_context())).guard is Guard.UNCHANGED
    assert refused(one(replace(KILL, target="ACTIVE"), a_context())).guard is Guard.UNCHANGED


@pytest.mark.parametrize(("day", "old"), [(date(2026, 3, 1), False), (date(2026, 2, 28), True)])
def test_a_decision_grows_stale(day: date, old: bool) -> None:
    answer = one(replace(CUT, day=day), a_context())

    if old:
        assert (refused(answer).guard, refused(answer).value, refused(answer).limit) == (Guard.STALE, 2, 1)
    else:
        passed(answer)


def test_a_decision_about_a_value_that_has_changed_is_refused() -> None:
    context = replace(a_context(), now_in_force={("s1", Field.DAILY_BUDGET): 1_050})

    answer = refused(one(CUT, context))

    assert (answer.guard, answer.value, answer.limit) == (Guard.STALE, 1_050, 1_000)
    assert answer.reason == "it was 10.00 USD when decided and is 10.50 USD now: decide again"
    passed(one(replace(CUT, current=1_050), context))


def test_a_field_with_a_change_in_flight_waits() -> None:
    context = replace(a_context(), in_flight=frozenset({("s1", Field.DAILY_BUDGET)}))

    answer = waited(one(CUT, context))
    assert (answer.guard, answer.value, answer.limit) == (Guard.DUPLICATE, 2, 1)
    passed(one(a_budget(1_000, 900, ad_set="s2"), context))
    passed(one(KILL, context))


@pytest.mark.parametrize(("confidence", "sure"), [(0.70, True), (0.699, False)])
def test_confidence_below_the_bar_is_refused(confidence: float, sure: bool) -> None:
    answer = one(replace(RAISE, confidence=confidence), a_context())

    if sure:
        passed(answer)
    else:
        assert refused(answer).guard is Guard.CONFIDENCE
        assert (refused(answer).value, refused(answer).limit) == (0.699, 0.70)


def test_a_persons_edit_is_left_alone_for_three_days() -> None:
    edited = NOW - 72 * HOUR + MINUTE
    context = replace(a_context(), edited={"s1": edited})

    answer = waited(one(CUT, context))

    assert (answer.guard, answer.limit, answer.until) == (Guard.HANDS_OFF, "72.0 h", NOW + MINUTE)
    passed(one(CUT, replace(context, now=NOW + MINUTE)))
    passed(one(a_budget(1_000, 900, ad_set="s2"), context))


@pytest.mark.parametrize(
    ("hour", "minute", "until"),
    [
        (21, 59, None),
        (22, 0, datetime(2026, 3, 3, 7, 0, tzinfo=UTC)),
        (23, 59, datetime(2026, 3, 3, 7, 0, tzinfo=UTC)),
        (0, 30, datetime(2026, 3, 2, 7, 0, tzinfo=UTC)),
        (6, 59, datetime(2026, 3, 2, 7, 0, tzinfo=UTC)),
        (7, 0, None),
    ],
)
def test_quiet_hours_pass_midnight(hour: int, minute: int, until: datetime | None) -> None:
    context = replace(
        a_context(replace(LIMITS, quiet_hours=(time(22), time(7)))), now=NOW.replace(hour=hour, minute=minute)
    )

    answer = one(CUT, context)

    if until is None:
        passed(answer)
    else:
        assert (waited(answer).guard, waited(answer).limit) == (Guard.QUIET_HOURS, "22:00-07:00")
        assert waited(answer).until == until


def test_quiet_hours_are_the_accounts_own() -> None:
    # given 12:00 UTC, which is 21:00 in Tokyo
    context = replace(a_context(replace(LIMITS, quiet_hours=(time(20), time(23)))), timezone=ZoneInfo("Asia/Tokyo"))

    answer = waited(one(CUT, context))

    assert (answer.value, answer.until) == ("21:00", NOW + 2 * HOUR)
    passed(one(CUT, replace(context, timezone=UTC)))


def test_quiet_hours_within_a_day_begin_and_end_on_the_minute() -> None:
    context = a_context(replace(LIMITS, quiet_hours=(time(12), time(13))))

    assert waited(one(CUT, context)).until == NOW + HOUR
    passed(one(CUT, replace(context, now=NOW + HOUR)))


@pytest.mark.parametrize(("quiet", "zone", "now", "until"), CLOCKS_THAT_ARE_SET)
def test_quiet_hours_end_as_the_clock_on_the_wall_says_when_it_is_set(
    quiet: str, zone: str, now: str, until: str | None
) -> None:
    begins, ends = (time.fromisoformat(part) for part in quiet.split("-"))
    context = replace(
        a_context(replace(LIMITS, quiet_hours=(begins, ends))),
        now=datetime.fromisoformat(f"{now}+00:00"),
        timezone=ZoneInfo(zone),
    )
    answer = one(replace(CUT, day=context.today), context)
    if until is None:
        passed(answer)
    else:
        assert waited(answer).until == datetime.fromisoformat(f"{until}+00:00")


def test_quiet_hours_that_end_as_they_begin_are_none() -> None:
    passed(one(CUT, a_context(replace(LIMITS, quiet_hours=(time(9), time(9))))))


def test_a_learning_ad_set_is_left_alone() -> None:
    context = replace(a_context(), learning=frozenset({"s1"}))

    assert (waited(one(CUT, context)).guard, waited(one(CUT, context)).limit) == (Guard.LEARNING, "never")
    assert waited(one(KILL, context)).guard is Guard.LEARNING
    passed(one(a_budget(1_000, 900, ad_set="s2"), context))


@pytest.mark.parametrize(("bound", "crossed"), [(200, True), (201, False)])
def test_a_learning_ad_set_that_loses_enough_is_touched(bound: int, crossed: bool) -> None:
    # given evidence of 300 spent and 100 brought back
    context = replace(a_context(replace(LIMITS, learning_loss=bound)), learning=frozenset({"s1"}))

    assert isinstance(one(CUT, context), Pass) is crossed
    if not crossed:
        assert (waited(one(CUT, context)).value, waited(one(CUT, context)).limit) == (200, 201)


@pytest.mark.parametrize(
    ("evidence", "loss"),
    [
        ({"spend": 500, "roas": 0.25}, 375),
        ({"spend": 500, "roas": 0.25, "pipeline": None}, 375),
        ({"spend": 500, "roas": 0.25, "pipeline": 100}, 400),
    ],
)
def test_a_loss_is_by_what_was_brought_or_else_by_the_return(evidence: dict[str, float | None], loss: int) -> None:
    context = replace(a_context(replace(LIMITS, learning_loss=501)), learning=frozenset({"s1"}))

    assert waited(one(replace(CUT, evidence=evidence), context)).value == loss


@pytest.mark.parametrize("evidence", [{}, {"spend": 500}, {"pipeline": 500}])
def test_a_loss_that_is_not_known_crosses_no_bound(evidence: dict[str, int]) -> None:
    context = replace(a_context(replace(LIMITS, learning_loss=1)), learning=frozenset({"s1"}))

    assert waited(one(replace(CUT, evidence=evidence), context)).value == 0


def test_a_campaign_that_pays_a_learning_ad_set_is_left_alone() -> None:
    campaign = replace(CUT, entity_kind=EntityKind.CAMPAIGN, entity_id="c1", ad_set_id=None)

    assert waited(one(campaign, replace(a_context(), learning=frozenset({"c1"})))).guard is Guard.LEARNING
    passed(one(campaign, replace(a_context(), learning=frozenset({"s1"}))))


@pytest.mark.parametrize("decision", [RAISE, KILL, ACTIVATE])
@pytest.mark.parametrize(
    ("facts", "value"),
    [
        (Freshness(insights_at=None, crm_at=NOW), "never read"),
        (Freshness(insights_at=NOW, crm_at=None), "never read"),
        (Freshness(insights_at=NOW - 26 * HOUR - MINUTE, crm_at=NOW), "26.0 h"),
        (Freshness(insights_at=NOW, crm_at=NOW - 30 * HOUR), "30.0 h"),
        (Freshness(insights_at=NOW, crm_at=NOW, doubts=("spend fell by 80 %",)), "spend fell by 80 %"),
    ],
)
def test_no_raise_and_no_kill_on_doubtful_data(decision: Decision, facts: Freshness, value: str) -> None:
    answer = waited(one(decision, replace(a_context(), freshness=facts)))

    assert (answer.guard, answer.value, answer.until) == (Guard.FRESHNESS, value, None)
    passed(one(CUT, replace(a_context(), freshness=facts)))


def test_data_exactly_at_its_age_limit_is_fresh() -> None:
    edge = Freshness(insights_at=NOW - 26 * HOUR, crm_at=NOW - 26 * HOUR)

    passed(one(RAISE, replace(a_context(), freshness=edge)))


def test_the_third_change_of_an_ad_set_passes_and_the_fourth_waits() -> None:
    two = [NOW - 50 * MINUTE, NOW - 10 * MINUTE]
    context = replace(a_context(), ad_set_actions={AdSetId("s1"): two})

    third, fourth = judge([CUT, a_budget(1_000, 950, run="again")], context)

    passed(third)
    answer = waited(fourth)
    assert (answer.guard, answer.value, answer.limit) == (Guard.AD_SET_RATE, 4, 3)
    assert answer.until == NOW + 10 * MINUTE


def test_an_action_leaves_the_window_exactly_an_hour_later() -> None:
    three = [NOW - HOUR, NOW - 30 * MINUTE, NOW]
    context = replace(a_context(), ad_set_actions={AdSetId("s1"): three})

    passed(one(CUT, context))
    answer = waited(one(CUT, replace(context, now=NOW - timedelta(microseconds=1))))
    assert answer.until == NOW


def test_an_ad_sets_rate_is_its_own() -> None:
    context = replace(a_context(), ad_set_actions={AdSetId("s1"): [NOW] * 3})

    assert waited(one(CUT, context)).guard is Guard.AD_SET_RATE
    passed(one(a_budget(1_000, 900, ad_set="s2"), context))
    passed(one(KILL, context))


def test_a_campaigns_own_budget_has_the_campaigns_rate_only() -> None:
    campaign = replace(CUT, entity_kind=EntityKind.CAMPAIGN, entity_id="c1", ad_set_id=None)

    assert all(isinstance(answer, Pass) for answer in judge([campaign] * 4, a_context()))


def test_the_fifteenth_action_of_a_campaign_passes_and_the_sixteenth_waits() -> None:
    before = [NOW - (59 - n) * MINUTE for n in range(14)]
    context = replace(a_context(), campaign_actions={CampaignId("c1"): before})

    fifteenth, sixteenth, other = judge(
        [KILL, a_budget(1_000, 900), a_budget(1_000, 900, ad_set="s2", campaign="c2")], context
    )

    passed(fifteenth)
    answer = waited(sixteenth)
    assert (answer.guard, answer.value, answer.limit) == (Guard.CAMPAIGN_RATE, 16, 15)
    assert answer.until == NOW + MINUTE
    passed(other)


def test_sketch_defect_a_batch_is_held_to_the_same_limits_as_single_changes() -> None:
    batch = [a_budget(1_000, 900, ad_set=f"x{n}") for n in range(17)]

    answers = judge(batch, a_context())

    assert [isinstance(answer, Pass) for answer in answers] == [True] * 15 + [False] * 2
    assert waited(answers[-1]).until == NOW + HOUR


def test_a_rate_of_zero_sends_nothing() -> None:
    answer = waited(one(CUT, a_context(replace(LIMITS, campaign_rate=0))))

    assert (answer.guard, answer.until) == (Guard.CAMPAIGN_RATE, None)


def test_what_was_stopped_uses_up_no_rate() -> None:
    batch = [replace(CUT, confidence=0.1)] * 20 + [CUT]

    assert isinstance(judge(batch, a_context())[-1], Pass)


def test_a_run_pauses_at_most_a_fifth_of_the_active_ads() -> None:
    # given 20 active ads
    kills = [a_kill(f"a{n}", ad_set="s1" if n % 2 else "s2") for n in range(6)]

    answers = judge(kills, a_context(replace(LIMITS, kill_share=Fraction(1, 5))))

    assert [isinstance(answer, Pass) for answer in answers] == [True] * 4 + [False] * 2
    answer = waited(answers[4])
    assert (answer.guard, answer.value, answer.limit, answer.until) == (Guard.KILLS, 5, 4, None)


def test_a_fifth_of_too_few_ads_is_none() -> None:
    context = replace(a_context(replace(LIMITS, kill_share=Fraction(1, 5))), active_ads={AdSetId("s1"): 4})

    answer = refused(one(KILL, context))

    assert (answer.guard, answer.value, answer.limit) == (Guard.KILLS, 1, 0)
    assert answer.reason == "at most 20 % of 4 active ads are paused in a run and in 24 hours, which is 0"


def test_a_repeated_run_gets_no_second_share_of_kills() -> None:
    earlier = [NOW - timedelta(hours=24), NOW - timedelta(hours=23), NOW - timedelta(hours=2)]
    limits = replace(LIMITS, kill_share=Fraction(1, 5))
    context = replace(a_context(limits), active_ads={AdSetId("s1"): 10}, kills=earlier)

    answer = waited(one(KILL, context))

    assert (answer.guard, answer.value, answer.limit) == (Guard.KILLS, 3, 2)
    assert answer.until == NOW + timedelta(hours=1)


def test_the_last_active_ad_of_an_ad_set_is_never_paused() -> None:
    context = replace(a_context(), active_ads={AdSetId("s1"): 2, AdSetId("s2"): 50})

    first, second = judge([a_kill("a1"), a_kill("a2")], context)

    passed(first)
    assert (refused(second).guard, refused(second).value, refused(second).limit) == (Guard.LAST_AD, 1, 2)


def test_an_ad_that_the_queue_is_to_pause_is_active_no_more_for_the_others_of_its_ad_set() -> None:
    context = replace(
        a_context(), active_ads={AdSetId("s1"): 3, AdSetId("s2"): 2}, pausing={AdSetId("s1"): frozenset({"a1"})}
    )

    again, second, third, elsewhere, last = judge(
        [a_kill("a1"), a_kill("a2"), a_kill("a3"), a_kill("b1", ad_set="s2"), a_kill("b2", ad_set="s2")], context
    )

    for answer in (again, second, elsewhere):
        passed(answer)
    assert (refused(third).guard, refused(third).value) == (Guard.LAST_AD, 1)
    assert (refused(last).guard, refused(last).value) == (Guard.LAST_AD, 1)


def test_the_last_active_ad_is_paused_when_told_so() -> None:
    context = a_context(replace(LIMITS, kill_last_ad=True))

    passed(one(KILL, replace(context, active_ads={AdSetId("s1"): 1})))


def test_an_ad_set_nobody_has_counted_may_have_one_ad_only() -> None:
    answer = refused(one(a_kill(ad_set="unknown"), a_context()))

    assert (answer.guard, answer.value) == (Guard.LAST_AD, 0)


def test_an_ad_whose_ad_set_is_not_known_is_never_paused() -> None:
    answer = refused(one(replace(KILL, ad_set_id=None), a_context()))

    assert (answer.guard, answer.value) == (Guard.LAST_AD, 0)


def test_an_ad_that_only_a_file_has_named_is_not_paused() -> None:
    answer = refused(one(replace(KILL, current="UNKNOWN"), a_context()))

    assert (answer.guard, answer.value) == (Guard.STALE, "UNKNOWN")


def test_a_budget_that_stays_is_no_raise() -> None:
    assert [is_raise(a_budget(1_000, target)) for target in (999, 1_000, 1_001)] == [False, False, True]


def test_an_activation_is_no_kill() -> None:
    context = replace(a_context(), active_ads={AdSetId("s1"): 0})

    assert passed(one(ACTIVATE, context)).target == "ACTIVE"


def test_the_sketchs_own_day_is_todays() -> None:
    assert passed(one(replace(CUT, day=TODAY), a_context())).target == 900
