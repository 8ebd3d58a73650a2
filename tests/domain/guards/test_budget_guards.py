"""No budget leaves the bounds, whatever was wanted and whatever was in force."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.guards.answers import Answer, Clip, Guard, Pass
from adctl.domain.guards.budget import velocity_band
from adctl.domain.guards.context import GuardContext, Raise, ValueInForce
from adctl.domain.guards.draws import fuzz_ppm, fuzzed, jitter_ms
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import stable_uuid
from adctl.errors import ConfigurationError
from tests.domain.guards.guard_builders import HOUR, LIMITS, NOW, a_budget, a_context, one, passed, refused, waited

SHARES = ("step", "velocity", "kill_share", "fuzz")
COUNTS = ("campaign_rate", "ad_set_rate", "cap", "learning_loss", "decision_days")


def with_values(*values: ValueInForce, limits: Limits = LIMITS) -> GuardContext:
    return replace(a_context(limits), values={"s1": values})


def ended(value: int, ago: timedelta) -> ValueInForce:
    return ValueInForce(value=value, until=NOW - ago)


@pytest.mark.parametrize(("wanted", "sent"), [(799, 800), (800, 800), (1_200, 1_200), (1_201, 1_200)])
def test_exactly_a_fifth_passes_and_one_unit_more_is_clipped(wanted: int, sent: int) -> None:
    answer = passed(one(a_budget(1_000, wanted), a_context()))

    assert answer.target == sent
    assert answer.clipped_by == (() if wanted == sent else (Clip(guard=Guard.VELOCITY, before=wanted, after=sent),))


@pytest.mark.parametrize(
    ("current", "low", "high"), [(999, 800, 1_198), (1_001, 801, 1_201), (1, 1, 1), (4, 4, 4), (5, 4, 6)]
)
def test_the_band_is_rounded_inwards(current: int, low: int, high: int) -> None:
    band = velocity_band([current], LIMITS)

    assert (band.low, band.high) == (low, high)


def test_sketch_defect_the_first_change_of_a_window_is_judged_too() -> None:
    # given nothing known of the past
    answer = passed(one(a_budget(1_000, 5_000), a_context()))

    assert answer.target == 1_200


def test_velocity_is_judged_over_every_value_in_force() -> None:
    # given 1,000 an hour ago and 1,150 now
    answer = passed(one(a_budget(1_150, 1_400), with_values(ended(1_000, HOUR))))

    assert answer.target == 1_200


def test_a_value_leaves_the_window_exactly_six_hours_after_its_end() -> None:
    just = ended(1_000, 6 * HOUR - timedelta(microseconds=1))
    gone = ended(1_000, 6 * HOUR)

    assert passed(one(a_budget(1_150, 1_380), with_values(just))).target == 1_200
    assert passed(one(a_budget(1_150, 1_380), with_values(gone))).target == 1_380


def test_a_value_that_may_still_be_in_force_counts() -> None:
    answer = passed(one(a_budget(1_000, 1_200), with_values(ValueInForce(value=900, until=None))))

    assert answer.target == 1_080


def test_a_raise_is_never_clipped_into_a_cut() -> None:
    # given 1,000 two hours ago and, by hand, 1,500 now: both allow 1,200 only, which is less than 1,500
    answer = waited(one(a_budget(1_500, 1_800), with_values(ended(1_000, 2 * HOUR))))

    assert (answer.guard, answer.value, answer.limit) == (Guard.VELOCITY, 1_800, "1200..1200")
    assert answer.until == NOW + 4 * HOUR


def test_values_too_far_apart_wait_for_the_one_that_blocks() -> None:
    # given 500 three hours ago, 900 one hour ago and 1,000 now
    context = with_values(ended(500, 3 * HOUR), ended(900, HOUR))

    answer = waited(one(a_budget(1_000, 1_100), context))

    assert (answer.guard, answer.limit, answer.until) == (Guard.VELOCITY, "800..600", NOW + 3 * HOUR)
    assert "5.00 USD to 10.00 USD were in force within 6:00:00" in answer.reason
    assert passed(one(a_budget(1_000, 1_100), replace(context, now=NOW + 3 * HOUR))).target == 1_080


def test_a_band_of_one_integer_still_passes_that_integer() -> None:
    # given 1,500 an hour ago and 1,000 now: 1,200 is within a fifth of both
    answer = passed(one(a_budget(1_000, 1_300), with_values(ended(1_500, HOUR))))

    assert answer.target == 1_200


def test_a_wish_at_one_end_of_an_impossible_band_waits_too() -> None:
    # given 500 and 1,000, which allow 800 at least and 600 at most
    answer = waited(one(a_budget(1_000, 600), with_values(ended(500, HOUR))))

    assert (answer.guard, answer.until) == (Guard.VELOCITY, NOW + 5 * HOUR)


def test_a_value_of_unknown_fate_waits_without_a_time() -> None:
    answer = waited(one(a_budget(1_500, 1_800), with_values(ValueInForce(value=1_000, until=None))))

    assert answer.until is None


def test_a_budget_too_small_for_any_step_is_refused() -> None:
    answer = refused(one(a_budget(4, 6), a_context()))

    assert (answer.guard, answer.value, answer.limit) == (Guard.VELOCITY, 6, "4..4")
    assert answer.reason == "20 % of 0.04 USD is less than 0.01 USD"


@pytest.mark.parametrize(("wanted", "sent"), [(1_500, 1_500), (1_501, 1_500), (500, 500), (499, 500)])
def test_a_step_is_at_most_half(wanted: int, sent: int) -> None:
    limits = replace(LIMITS, step=Fraction(1, 2), velocity=Fraction(1))

    answer = passed(one(a_budget(1_000, wanted), a_context(limits)))

    assert answer.target == sent
    assert [clip.guard for clip in answer.clipped_by] == ([] if wanted == sent else [Guard.STEP])


@pytest.mark.parametrize(("wanted", "sent"), [(950, 950), (949, 950)])
def test_the_floor_holds(wanted: int, sent: int) -> None:
    answer = passed(one(a_budget(1_000, wanted), a_context(replace(LIMITS, floor=950))))

    assert answer.target == sent
    assert [clip.guard for clip in answer.clipped_by] == ([] if wanted == sent else [Guard.FLOOR])


@pytest.mark.parametrize(("wanted", "sent"), [(1_100, 1_100), (1_101, 1_100)])
def test_the_ceiling_holds(wanted: int, sent: int) -> None:
    answer = passed(one(a_budget(1_000, wanted), a_context(replace(LIMITS, ceiling=1_100))))

    assert answer.target == sent
    assert [clip.guard for clip in answer.clipped_by] == ([] if wanted == sent else [Guard.CEILING])


def test_an_entitys_own_floor_and_ceiling_narrow_the_accounts() -> None:
    limits = replace(LIMITS, floor=900, ceiling=1_150, floors={"s1": 950}, ceilings={"s1": 1_050})

    assert passed(one(a_budget(1_000, 800), a_context(limits))).target == 950
    assert passed(one(a_budget(1_000, 1_200), a_context(limits))).target == 1_050
    assert passed(one(a_budget(1_000, 1_200, ad_set="s2"), a_context(limits))).target == 1_150


def test_an_entitys_ceiling_never_widens_the_accounts() -> None:
    limits = replace(LIMITS, floor=900, ceiling=1_150, floors={"s1": 1}, ceilings={"s1": 9_999})

    assert passed(one(a_budget(1_000, 800), a_context(limits))).target == 900
    assert passed(one(a_budget(1_000, 1_200), a_context(limits))).target == 1_150


def test_a_floor_out_of_velocitys_reach_is_refused_not_jumped_to() -> None:
    answer = refused(one(a_budget(50, 60), a_context(replace(LIMITS, floor=100))))

    assert (answer.guard, answer.value, answer.limit) == (Guard.FLOOR, 60, "at least 100")
    assert (
        "floor allows at least 1.00 USD, the others step 0.00 USD..1.00 USD, velocity 0.40 USD..0.60 USD: "
        in answer.reason
    )


def test_a_ceiling_below_the_current_budget_leaves_nothing_of_a_raise() -> None:
    answer = refused(one(a_budget(1_000, 1_100), a_context(replace(LIMITS, ceiling=950))))

    assert (answer.guard, answer.value, answer.limit) == (Guard.CEILING, 1_100, "0..950")


def test_sketch_defect_velocity_is_judged_after_the_fuzz() -> None:
    # given a wish exactly at the limit, and ids of which many are fuzzed upwards
    limits = replace(LIMITS, fuzz=Fraction(3, 100))
    answers = [passed(one(a_budget(100_000, 120_000, run=str(run)), a_context(limits))) for run in range(200)]

    assert all(int(answer.target) <= 120_000 for answer in answers)
    clipped = [answer for answer in answers if answer.clipped_by]
    assert 60 < len(clipped) < 140
    assert all(answer.fuzz_ppm > 0 for answer in clipped)


def test_fuzz_never_turns_a_raise_into_a_cut() -> None:
    limits = replace(LIMITS, fuzz=Fraction(3, 100))

    answers = [passed(one(a_budget(1_000, 1_005, run=str(run)), a_context(limits))) for run in range(100)]

    assert all(int(answer.target) > 1_000 for answer in answers)
    assert {answer.target for answer in answers if answer.fuzz_ppm == 0} == {1_005}


def test_fuzz_and_jitter_come_from_the_changes_own_id() -> None:
    ids = [stable_uuid("change", str(number)) for number in range(2_000)]

    fuzz = [fuzz_ppm(change, Fraction(3, 100)) for change in ids]
    jitter = [jitter_ms(change, (3_000, 18_000)) for change in ids]

    assert fuzz == [fuzz_ppm(change, Fraction(3, 100)) for change in ids]
    assert -30_000 <= min(fuzz) < -29_000 < 29_000 < max(fuzz) <= 30_000
    assert abs(sum(fuzz) / len(fuzz)) < 1_500
    assert 3_000 <= min(jitter) < 3_200 < 17_800 < max(jitter) <= 18_000
    assert abs(sum(jitter) / len(jitter) - 10_500) < 400


def test_the_draws_of_one_id_are_those_that_were_recorded() -> None:
    """A stored change must stay reproducible: `why` draws again."""
    change = stable_uuid("change", "1")

    assert (fuzz_ppm(change, Fraction(3, 100)), jitter_ms(change, (3_000, 18_000))) == (-4705, 15325)


def test_draws_turned_off_are_nothing() -> None:
    change = stable_uuid("change", "1")

    assert fuzz_ppm(change, Fraction(0)) == 0
    assert jitter_ms(change, (0, 0)) == 0


def test_a_fuzzed_amount_is_rounded_towards_what_it_was() -> None:
    assert [fuzzed(1_000_000, ppm) for ppm in (30_000, 0, -30_000)] == [1_030_000, 1_000_000, 970_000]
    assert [fuzzed(33, ppm) for ppm in (29_999, 30_304, -29_999, -30_304)] == [33, 34, 33, 32]


@given(st.integers(0, 10**12), st.integers(-30_000, 30_000))
@settings(max_examples=200, deadline=None)
def test_a_fuzzed_amount_stays_within_its_share(amount: int, ppm: int) -> None:
    assert abs(fuzzed(amount, ppm) - amount) * 1_000_000 <= amount * abs(ppm)


_values = st.lists(
    st.tuples(st.integers(1, 10**6), st.none() | st.integers(0, 12)).map(
        lambda pair: ValueInForce(value=pair[0], until=None if pair[1] is None else NOW - pair[1] * HOUR)
    ),
    max_size=4,
)


@given(
    current=st.integers(1, 10**6),
    wanted=st.integers(1, 2 * 10**6),
    values=_values,
    velocity=st.integers(0, 100),
    step=st.integers(0, 100),
    floor=st.integers(1, 1_000),
    room=st.none() | st.integers(0, 10**6),
    fuzz=st.integers(0, 3),
)
@settings(max_examples=400, deadline=None)
def test_whatever_passes_is_within_every_limit_at_once(
    current: int,
    wanted: int,
    values: list[ValueInForce],
    velocity: int,
    step: int,
    floor: int,
    room: int | None,
    fuzz: int,
) -> None:
    limits = replace(
        LIMITS,
        velocity=Fraction(velocity, 100),
        step=Fraction(step, 100),
        floor=floor,
        ceiling=None if room is None else floor + room,
        fuzz=Fraction(fuzz, 100),
    )

    answer = one(a_budget(current, wanted), with_values(*values, limits=limits))

    if isinstance(answer, Pass):
        target = int(answer.target)
        in_force = [v.value for v in values if v.until is None or NOW - v.until < 6 * HOUR]
        for value in [current, *in_force]:
            assert (100 - velocity) * value <= 100 * target <= (100 + velocity) * value
        assert (100 - step) * current <= 100 * target <= (100 + step) * current
        assert floor <= target <= (limits.ceiling or target)
        assert (target > current) == (wanted > current)
        assert target != current


def raising(*amounts: int, cap: int = 1_000, before: tuple[Raise, ...] = ()) -> list[Answer]:
    context = replace(a_context(replace(LIMITS, cap=cap)), raises=before)
    return judge([a_budget(10_000, 10_000 + up, ad_set=f"x{at}") for at, up in enumerate(amounts)], context)


def test_raises_up_to_exactly_the_cap_pass() -> None:
    answers = raising(600, 400)

    assert [passed(answer).target for answer in answers] == [10_600, 10_400]


def test_one_unit_above_the_cap_waits_for_the_raises_of_the_day() -> None:
    first, second = raising(600, 401)

    passed(first)
    answer = waited(second)
    assert (answer.guard, answer.value, answer.limit) == (Guard.CAP, 1_001, 1_000)
    assert answer.until == NOW + 24 * HOUR


def test_the_cap_waits_for_as_many_old_raises_as_it_needs() -> None:
    before = (Raise(at=NOW - 2 * HOUR, amount=300), Raise(at=NOW - 20 * HOUR, amount=200), Raise(at=NOW, amount=400))

    assert waited(raising(250, before=before)[0]).until == NOW + 4 * HOUR
    assert waited(raising(300, before=before)[0]).until == NOW + 4 * HOUR
    assert waited(raising(301, before=before)[0]).until == NOW + 22 * HOUR
    passed(raising(100, before=before)[0])


def test_a_raise_leaves_the_caps_window_exactly_a_day_later() -> None:
    old = Raise(at=NOW - 24 * HOUR, amount=1_000)
    recent = Raise(at=NOW - 24 * HOUR + timedelta(microseconds=1), amount=1_000)

    passed(raising(1_000, before=(old,))[0])
    assert waited(raising(1_000, before=(recent,))[0]).guard is Guard.CAP
    assert waited(raising(1, before=(recent,))[0]).guard is Guard.CAP


def test_raises_of_one_unit_use_up_the_cap_too() -> None:
    first, second = raising(1, 1, cap=1)

    passed(first)
    assert waited(second).guard is Guard.CAP


def test_a_raise_greater_than_the_cap_is_refused() -> None:
    answer = refused(raising(1_001)[0])

    assert (answer.guard, answer.value, answer.limit) == (Guard.CAP, 1_001, 1_000)


def test_the_cap_counts_what_is_sent_not_what_was_wanted() -> None:
    # given a wish of 9,000 more that velocity clips to 2,000 more
    answer = passed(raising(9_000, cap=2_000)[0])

    assert answer.target == 12_000


def test_cuts_neither_use_the_cap_nor_wait_for_it() -> None:
    answers = raising(-1_000, 1_000, -500)

    assert [passed(answer).target for answer in answers] == [9_000, 11_000, 9_500]


@pytest.mark.parametrize("target", [900, 1_100])
def test_without_a_cap_nothing_is_sent(target: int) -> None:
    answer = refused(one(a_budget(1_000, target), a_context(replace(LIMITS, cap=None))))

    assert (answer.guard, answer.value) == (Guard.CAP, "not set")


def test_a_cap_of_zero_lets_cuts_through_and_no_raise() -> None:
    context = a_context(replace(LIMITS, cap=0))

    passed(one(a_budget(1_000, 900), context))
    assert refused(one(a_budget(1_000, 1_001), context)).guard is Guard.CAP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({name: Fraction(-1)}, f"limit {name} is -1") for name in SHARES),
        *(({name: -1}, f"limit {name} is -1") for name in COUNTS),
        ({"velocity": 0.2}, r"limit velocity is 0\.2 \(give an exact fraction"),
        ({"step": Fraction(3, 2)}, "limit step is 3/2"),
        ({"floor": 0}, "limit floor is 0"),
        ({"floor": 100, "ceiling": 99}, "limit ceiling is 99"),
        ({"confidence": -0.01}, r"limit confidence is -0\.01"),
        ({"confidence": 1.01}, r"limit confidence is 1\.01"),
        ({"jitter_ms": (-1, 0)}, "limit jitter_ms is"),
        ({"confidence": 1.5}, r"limit confidence is 1\.5"),
        ({"jitter_ms": (5, 4)}, "limit jitter_ms is"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(LIMITS, **change)


@pytest.mark.parametrize(
    "change",
    [
        *({name: Fraction(end)} for name in SHARES for end in (0, 1)),
        *({name: 0} for name in COUNTS),
        {"floor": 100, "ceiling": 100},
        {"confidence": 0.0},
        {"confidence": 1.0},
        {"jitter_ms": (0, 0)},
        {"jitter_ms": (5, 5)},
    ],
)
def test_limits_at_the_end_of_their_range_are_taken(change: dict[str, Any]) -> None:
    assert asdict(replace(LIMITS, **change)).items() >= change.items()


def test_the_defaults_are_the_plans() -> None:
    assert asdict(Limits()) == {
        "step": Fraction(1, 2),
        "velocity": Fraction(1, 5),
        "velocity_window": 6 * HOUR,
        "campaign_rate": 15,
        "ad_set_rate": 3,
        "floor": 1,
        "ceiling": None,
        "floors": {},
        "ceilings": {},
        "cap": None,
        "kill_share": Fraction(1, 5),
        "kill_last_ad": False,
        "insights_age": 26 * HOUR,
        "crm_age": 26 * HOUR,
        "decision_days": 1,
        "learning_loss": None,
        "confidence": 0.70,
        "fuzz": Fraction(3, 100),
        "jitter_ms": (3_000, 18_000),
        "quiet_hours": None,
        "hands_off": 72 * HOUR,
        "funding": True,
        "implausible_factor": 5,
        "implausible_crm_factor": 5,
    }
