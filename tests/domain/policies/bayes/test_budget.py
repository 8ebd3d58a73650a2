"""Sharing out: what the draws give an ad is kept, and the expected return counts, not the median."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.bayes.budget import share_out
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Posterior
from adctl.domain.policies.protocol import Floats, Ints
from tests.domain.policies.bayes.stories import Story, told

# A day's money so small beside the room that no ad is ever full.
ROOM = 20.0
SURE = 10


def shares(returns: Floats, sd: Floats, *, temperature: float, days: int = 1, minimum: float = 0.01) -> Ints:
    """Ads of 100 minor units each, of those median returns."""
    view = Posterior(mean=np.log(returns), saturation=np.zeros(len(returns)), sd=sd, own_sd=sd)
    history = told(*(Story(ad_id=f"ad{place:02}", days=days, budget=100) for place in range(len(returns))))
    parameters = BayesParameters(
        platform_minimum=minimum, temperature_young=temperature, temperature_old=temperature, draws=400
    )
    room = np.full(len(returns), ROOM)
    nobody = np.zeros(len(returns), dtype=np.bool_)
    return share_out(history, parameters, "seed", view, room, nobody).budget


def test_an_ad_with_a_small_chance_of_much_money_keeps_part_of_what_it_has() -> None:
    # One in eleven draws says that it beats the others; then it would get a multiple of what it has.
    returns = np.array([*[2.0] * SURE, 0.5])
    doubtful = np.array([*[0.01] * SURE, 1.0])

    *_, kept = shares(returns, doubtful, temperature=1.0)
    *_, untried = shares(returns, doubtful, temperature=0.01)

    assert 40 <= kept <= 120
    assert untried == 1


def test_a_share_little_above_the_minimum_is_the_minimum() -> None:
    returns = np.array([*[2.0] * SURE, 0.5])
    doubtful = np.array([*[0.01] * SURE, 0.7])

    # The draws give it about 10 above the least that it may have.
    *_, doubled = shares(returns, doubtful, temperature=1.0, minimum=0.1)
    *_, hardly_more = shares(returns, doubtful, temperature=1.0, minimum=0.3)

    assert doubled > 15
    assert hardly_more == 30


def test_of_two_ads_of_one_median_return_the_less_certain_is_expected_to_return_more() -> None:
    # The best ad may take no more than a fifth above its 100; the others share what that leaves of 300.
    best, sure, doubtful = shares(np.array([9.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.6]), temperature=0.01)

    assert (best, sure, doubtful) == (120, 60, 120)
