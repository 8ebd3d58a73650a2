"""Effective exposure: saturation, wear, forgetting, and learning them from one ad's own days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.policies.bayes.exposure import Response, exposure_of, fit_response, forgetting, wear_of
from adctl.domain.policies.bayes.rows import Block, Rows, rows_of
from adctl.domain.policies.protocol import Floats, Ints
from tests.domain.policies.bayes.stories import Story, told


def response(room: float = 1e12, wear: float = 0.0) -> Response:
    return Response(room=room, wear=wear, wear_variance=0.0, log_room_variance=0.0, dispersion=1.0)


def clicked(room: float, wear: float, *, ads: int = 60, days: int = 30, seed: int = 1) -> Rows:
    """Rows of ads whose daily spend wanders between 10 and 300 and whose clicks follow the law."""
    rng = np.random.Generator(np.random.PCG64(seed))
    spend: Floats = np.clip(60 * np.exp(0.8 * rng.standard_normal((ads, days))), 10, 300)
    before = np.cumsum(spend, axis=1) - spend
    mean = rng.uniform(0.5, 2, (ads, 1)) * -room * np.expm1(-spend / room) * np.exp(-wear * before)
    clicks = rng.poisson(mean).astype(np.int64).reshape(-1)
    return ordered(ads, days, clicks, np.rint(spend.reshape(-1) * 100).astype(np.int64))


def ordered(ads: int, days: int, clicks: Ints, spend: Ints) -> Rows:
    """Rows of ads that ran for as many days each."""
    history = told(*(Story(ad_id=f"ad{place:03d}", days=days) for place in range(ads)))
    return rows_of(replace(history, row_clicks=clicks, row_spend=spend))


def whole(rows: Rows) -> Block:
    (block,) = rows.blocks()
    return block


def test_without_saturation_and_wear_exposure_is_plain_spend() -> None:
    rows = clicked(1e9, 0.0)

    found = exposure_of(rows, response(), wear_of(rows, response()), 0.0, np.full(30, 0.25))

    assert np.allclose(found.total, rows.sums.spend / 100)
    assert np.allclose(found.mature_spend, rows.sums.spend / 4, rtol=0, atol=0.5)


def test_exposure_is_saturated_worn_and_forgotten() -> None:
    rows = clicked(1e9, 0.0, ads=2, days=4)
    law = response(room=100.0, wear=0.001)
    worn, block = wear_of(rows, law), whole(rows)

    found = exposure_of(rows, law, worn, 7.0, np.ones(4)).total

    fresh = 100 * (1 - np.exp(-rows.spend / 10_000))
    left = fresh * np.exp(-worn.rate.repeat(4) * block.before() / 100) * 0.5 ** (rows.days_ago / 7)
    assert np.allclose(found, left.reshape(2, 4).sum(axis=1))


def test_what_is_a_half_life_old_counts_half() -> None:
    assert forgetting(np.array([0, 7, 14]), 7.0).tolist() == [1.0, 0.5, 0.25]
    assert forgetting(np.array([0, 700]), 0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("room", "wear"), [(150.0, 0.0), (400.0, 0.0003), (300.0, 0.001)])
def test_saturation_and_wear_are_found_from_clicks(room: float, wear: float) -> None:
    rows = clicked(room, wear)

    found = fit_response(rows, 5.0, np.array([60.0]))

    assert found.room == pytest.approx(room, rel=0.15)
    assert found.wear == pytest.approx(wear, abs=0.00005)


def test_ads_that_wear_faster_are_told_from_those_that_do_not() -> None:
    # given one account of two kinds of ads
    slow, fast = clicked(300.0, 0.0002, ads=30), clicked(300.0, 0.0012, ads=30, seed=2)
    both = ordered(60, 30, np.concatenate([slow.clicks, fast.clicks]), np.concatenate([slow.spend, fast.spend]))

    rate = wear_of(both, fit_response(both, 5.0, np.array([60.0]))).rate

    assert rate[:30].mean() < 0.0005 < rate[30:].mean()


def test_an_account_that_spent_nothing_keeps_the_priors() -> None:
    rows = clicked(1e9, 0.0, ads=0)

    found = fit_response(rows, 5.0, np.array([60.0]))

    assert found.room == pytest.approx(300.0)
    assert found.wear == 0.0


def test_rows_are_put_in_order_and_know_what_was_spent_before() -> None:
    history = told(Story(ad_id="a", days=3, spend=100), Story(ad_id="b", days=2, spend=700))

    rows = rows_of(history)

    assert whole(rows).before().tolist() == [0, 100, 200, 0, 700]


def test_rows_know_what_was_spent_on_the_last_days() -> None:
    history = told(*(Story(ad_id=ad, days=days, spend=100) for ad, days in (("a", 5), ("b", 0), ("c", 1))))
    rows = rows_of(replace(history, row_spend=np.array([100, 200, 300, 400, 500, 600])))

    assert rows.recent(np.arange(3), 3).tolist() == [12.0, 0.0, 6.0]
    assert rows.recent(np.array([2]), 0).tolist() == [0.0]
    assert rows_of(told(Story(ad_id="a", days=0))).recent(np.array([0]), 3).tolist() == [0.0]


def test_a_flagged_ad_is_believed_to_wear_where_the_others_do_not() -> None:
    spend, days = 100.0, 21
    before: Floats = np.arange(days, dtype=np.float64) * spend
    clicks = np.rint(60 * np.exp(-0.0004 * before)).astype(np.int64)
    rows = ordered(1, days, clicks, np.full(days, 10_000))

    unflagged = wear_of(rows, response(), np.array([False]))
    flagged = wear_of(rows, response(), np.array([True]))

    assert unflagged.rate.tolist() == [0.0]
    assert 0.0001 < flagged.rate[0] <= 0.0004
    assert flagged.variance[0] > 0
