"""Water-filling: marginal returns meet, bounds hold, the total is used up to the last unit that is worth it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.policies.bayes.filling import Uncertain, fill, fill_on_average
from adctl.domain.policies.protocol import Floats


def column(*values: float) -> Floats:
    return np.array(values)


WIDE = column(0.0, 0.0), column(1e9, 1e9)


def test_two_ads_share_as_worked_out_by_hand() -> None:
    # 100(0 − λ) + 100(ln 2 − λ) = 100, so λ = (ln 2 − 1)/2.
    shares, level = fill(100.0, np.log(column(1.0, 2.0)), column(100.0, 100.0), *WIDE, -np.inf)

    assert level == pytest.approx((np.log(2) - 1) / 2)
    assert shares == pytest.approx([100 * -level, 100 * (np.log(2) - level)])
    assert shares.sum() == pytest.approx(100.0)


def test_an_ad_whose_first_unit_returns_less_than_the_level_gets_its_floor() -> None:
    shares, _ = fill(50.0, column(-5.0, 0.0), column(100.0, 100.0), column(1.0, 1.0), column(1e9, 1e9), -np.inf)

    assert shares == pytest.approx([1.0, 49.0])


def test_no_money_goes_where_its_return_is_below_the_margin() -> None:
    # At margin 1 the ad of return 2 is filled up to 100·ln 2 and the rest stays.
    shares, level = fill(1_000.0, np.log(column(0.9, 2.0)), column(100.0, 100.0), *WIDE, 0.0)

    assert shares == pytest.approx([0.0, 100 * np.log(2)])
    assert level == 0.0


def test_where_all_are_at_their_caps_the_rest_stays() -> None:
    shares, _ = fill(1_000.0, column(0.0, 0.5), column(100.0, 100.0), column(1.0, 1.0), column(30.0, 40.0), -np.inf)

    assert shares == pytest.approx([30.0, 40.0])


def test_floors_are_paid_even_where_the_total_is_smaller() -> None:
    shares, _ = fill(1.0, column(0.0, 0.5), column(100.0, 100.0), column(2.0, 3.0), column(30.0, 40.0), -np.inf)

    assert shares == pytest.approx([2.0, 3.0])


_ADS = st.lists(
    st.tuples(st.floats(-6, 3), st.floats(1, 1e4), st.floats(0, 50), st.floats(0, 500)), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(ads=_ADS, part=st.floats(0, 1.2))
def test_shares_keep_bounds_and_total_and_marginal_returns_meet(
    ads: list[tuple[float, float, float, float]], part: float
) -> None:
    height, room, lower, width = np.array(ads).T
    upper = lower + width
    total = float(lower.sum() + part * width.sum())

    shares, level = fill(total, height, room, lower, upper, -np.inf)

    assert (shares >= lower).all()
    assert (shares <= upper).all()
    assert shares.sum() == pytest.approx(min(total, float(upper.sum())), rel=1e-9, abs=1e-6)
    last = height - shares / room
    between = (shares > lower + 1e-6) & (shares < upper - 1e-6)
    assert np.allclose(last[between], level, atol=1e-6)
    free = upper > lower
    assert (last[free & (shares >= upper)] >= level - 1e-6).all()
    assert (last[free & (shares <= lower)] <= level + 1e-6).all()


def test_very_many_ads_share_by_the_level_at_which_their_marginal_returns_meet() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    n = 40_000
    height, room = rng.standard_normal(n), rng.uniform(50, 400, n)
    lower, upper = np.full(n, 1.0), rng.uniform(2, 200, n)

    for part in (0.02, 0.5, 0.98, 1.1):
        total = part * float(upper.sum())
        shares, level = fill(total, height, room, lower, upper, -np.inf)

        assert shares.sum() == pytest.approx(min(total, float(upper.sum())), rel=1e-12)
        assert np.array_equal(shares, np.clip(room * (height - level), lower, upper))


def test_the_closed_form_for_many_ads_is_the_average_of_draws() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    n = 3_000
    height, sd = 0.5 * rng.standard_normal(n), rng.uniform(0.05, 0.6, n)
    room, lower, upper = rng.uniform(50, 400, n), np.full(n, 1.0), rng.uniform(20, 200, n)
    total = 0.5 * float(upper.sum())

    found, _ = fill_on_average(total, Uncertain(height=height, sd=sd, room=room, lower=lower, upper=upper), -np.inf)

    draws = [fill(total, height + sd * rng.standard_normal(n), room, lower, upper, -np.inf)[0] for _ in range(200)]
    assert found.sum() == pytest.approx(total, rel=1e-4)
    assert np.abs(found - np.mean(draws, axis=0)).mean() < 0.03 * float(found.mean())
