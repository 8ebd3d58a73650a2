"""Shares of a total are whole, within their bounds, and lose nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.allocation import LARGEST_TOTAL, allocate, split_budget, split_budgets
from adctl.domain.policies.protocol import Ints

_weights = st.floats(min_value=0, max_value=1e6, allow_subnormal=False)


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


@st.composite
def _bounded(draw: st.DrawFn) -> tuple[int, list[float], list[int], list[int]]:
    rows = draw(st.lists(st.tuples(_weights, st.integers(0, 10**7), st.integers(0, 10**7)), max_size=30))
    lower = [low for _, low, _ in rows]
    upper = [low + room for _, low, room in rows]
    return draw(st.integers(sum(lower), sum(upper))), [weight for weight, _, _ in rows], lower, upper


@given(_bounded())
@settings(max_examples=300, deadline=None)
def test_every_total_within_the_bounds_is_shared_exactly(case: tuple[int, list[float], list[int], list[int]]) -> None:
    total, weights, lower, upper = case

    shares = allocate(total, np.array(weights, dtype=float), ints(*lower), ints(*upper))

    assert shares.sum() == total
    assert (shares >= lower).all()
    assert (shares <= upper).all()


@given(_bounded())
@settings(max_examples=200, deadline=None)
def test_whoever_is_off_both_bounds_is_proportional_to_within_one_unit(
    case: tuple[int, list[float], list[int], list[int]],
) -> None:
    total, weights, lower, upper = case

    shares = allocate(total, np.array(weights, dtype=float), ints(*lower), ints(*upper))

    inner = [
        (int(share), weight)
        for share, weight, low, high in zip(shares, weights, lower, upper, strict=True)
        if low + 1 < share < high - 1 and weight > max(weights) * 1e-9
    ]
    for share, weight in inner:
        for other, other_weight in inner:
            # Equal scale up to one unit on each side.
            assert Fraction(share - 1) / Fraction(weight) <= Fraction(other + 1) / Fraction(other_weight)


@given(
    st.lists(st.tuples(st.integers(0, 4), _weights), min_size=1, max_size=40),
    st.lists(st.integers(0, LARGEST_TOTAL), min_size=5, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_every_group_sums_to_its_own_total(members: list[tuple[int, float]], totals: list[int]) -> None:
    group = ints(*(index for index, _ in members))

    shares = split_budgets(ints(*totals), group, np.array([weight for _, weight in members]))

    assert (shares >= 0).all()
    for index in set(group.tolist()):
        assert shares[group == index].sum() == totals[index]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.integers(0, LARGEST_TOTAL))
@settings(max_examples=200, deadline=None)
def test_a_split_is_never_a_unit_off_the_exact_proportion(weights: list[int], total: int) -> None:
    shares = split_budget(total, np.array(weights, dtype=float))

    parts = weights if any(weights) else [1] * len(weights)
    for share, part in zip(shares.tolist(), parts, strict=True):
        # The slack is the precision of a double at the largest total.
        assert abs(Fraction(total * part, sum(parts)) - share) <= 1 + Fraction(1, 100)


def test_the_leftover_goes_to_the_largest_remainder() -> None:
    # given 10 in the proportion 5 : 3 : 1, which is 5.56, 3.33 and 1.11
    shares = split_budget(10, np.array([5.0, 3.0, 1.0]))

    assert shares.tolist() == [6, 3, 1]


def test_ties_go_to_the_lower_index() -> None:
    assert split_budget(10, np.array([1.0, 1.0, 1.0])).tolist() == [4, 3, 3]
    assert allocate(10, np.array([1.0, 1.0, 1.0]), ints(0, 0, 0), ints(9, 9, 9)).tolist() == [4, 3, 3]


def test_what_a_cap_holds_back_goes_to_the_others() -> None:
    # given weights that want 75 : 25 and a cap of 50 on the first
    shares = allocate(100, np.array([3.0, 1.0]), ints(0, 0), ints(50, 80))

    assert shares.tolist() == [50, 50]


def test_a_floor_is_paid_by_the_others_in_proportion() -> None:
    shares = allocate(100, np.array([2.0, 1.0, 0.01]), ints(0, 0, 10), ints(100, 100, 100))

    assert shares.tolist() == [60, 30, 10]


def test_a_weight_of_zero_gets_money_only_when_the_others_are_full() -> None:
    weights, lower, upper = np.array([0.0, 1.0]), ints(5, 0), ints(50, 60)

    assert allocate(65, weights, lower, upper).tolist() == [5, 60]
    assert allocate(70, weights, lower, upper).tolist() == [10, 60]


def test_weights_of_all_zero_share_equally() -> None:
    assert split_budget(9, np.zeros(3)).tolist() == [3, 3, 3]
    assert allocate(9, np.zeros(3), ints(0, 0, 0), ints(9, 9, 9)).tolist() == [3, 3, 3]


def test_weights_at_the_ends_of_a_double_still_share_exactly() -> None:
    shares = allocate(LARGEST_TOTAL, np.array([1e-300, 1e300, 1.0]), ints(0, 0, 0), ints(*[LARGEST_TOTAL] * 3))

    assert shares.tolist() == [0, LARGEST_TOTAL, 0]
    assert split_budget(7, np.array([1e308, 1e308])).tolist() == [4, 3]


def test_nobody_shares_nothing() -> None:
    assert allocate(0, np.zeros(0), ints(), ints()).tolist() == []
    assert split_budget(0, np.zeros(0)).tolist() == []
    with pytest.raises(ValueError, match="5 to share among nobody"):
        split_budget(5, np.zeros(0))


@pytest.mark.parametrize("total", [9, 31])
def test_a_total_outside_the_bounds_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match=f"{total} cannot be shared: the bounds allow 10 to 30"):
        allocate(total, np.ones(2), ints(5, 5), ints(15, 15))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        split_budget(10, np.array([1.0, weight]))
    with pytest.raises(ValueError, match="finite and not negative"):
        allocate(10, np.array([1.0, weight]), ints(0, 0), ints(10, 10))


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and its upper bound"):
        allocate(10, np.ones(2), ints(6, 6), ints(5, 20))


@pytest.mark.parametrize("total", [-1, LARGEST_TOTAL + 1])
def test_a_total_that_is_no_budget_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="a total must lie between"):
        split_budget(total, np.ones(2))


def test_a_total_too_large_for_exact_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="a total must lie between"):
        allocate(LARGEST_TOTAL + 1, np.ones(2), ints(0, 0), ints(LARGEST_TOTAL, LARGEST_TOTAL))
