"""While most deals are open, slow wins and no wins look alike: the chance is averaged over what may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from adctl.domain.policies.bayes.cure import Cure, Step, cure_posterior
from adctl.domain.policies.bayes.delays import MIDDLES

FLAT = (1.0, 1.0)


def step(*, progressed: float, lost: float, waiting: float, waited: float, chance: float = 0.5) -> Step:
    """So many deals progressed in 4 days at the median; so many are open and have waited `waited` days."""
    bins = np.zeros(len(MIDDLES))
    bins[int(np.argmin(np.abs(MIDDLES - np.log(waited))))] = waiting
    return Step(
        logs=MIDDLES,
        progressed=progressed,
        lost=lost,
        times=float(np.log(4.0)),
        scatter=0.64,
        waiting=bins,
        chance=chance,
        centre=float(np.log(4.0)),
        spread=0.8,
        marked=0.7,
        lost_by=ndtr((MIDDLES - np.log(5.0)) / 1.0),
        prior=float(np.log(4.0)),
        prior_weight=4.0,
        usual=0.8,
        usual_weight=20.0,
    )


def found(one: Step) -> Cure:
    return cure_posterior(one, FLAT, (1.4, 0.6))


def test_when_every_deal_has_told_the_chance_is_the_betas_and_the_delays_leave_no_doubt() -> None:
    told = found(step(progressed=60, lost=40, waiting=0, waited=1, chance=0.6))

    # exp(E ln p) of Beta(61, 41): exp(ψ(61) − ψ(102)) = 0.595.
    assert told.chance == pytest.approx(0.595, abs=0.005)
    assert told.doubt < 1e-6
    assert told.centre == pytest.approx(np.log(4.0), abs=0.01)


def test_deals_that_have_just_come_say_nothing_of_the_chance() -> None:
    few = found(step(progressed=12, lost=8, waiting=0, waited=0.1, chance=0.6))
    many = found(step(progressed=12, lost=8, waiting=400, waited=0.1, chance=0.6))

    assert many.chance == pytest.approx(few.chance, rel=0.02)


def test_deals_that_have_waited_long_are_losses_and_those_half_way_leave_doubt() -> None:
    late = found(step(progressed=12, lost=8, waiting=60, waited=60.0, chance=0.3))
    half = found(step(progressed=12, lost=8, waiting=60, waited=4.0, chance=0.4))
    told = found(step(progressed=12, lost=8, waiting=0, waited=4.0, chance=0.6))

    assert late.chance < min(half.chance, told.chance)
    assert half.doubt > 5 * late.doubt
    assert late.chance == pytest.approx(12 / 80, rel=0.2)


def test_what_is_known_of_many_deals_does_not_depend_on_the_priors() -> None:
    one = step(progressed=6_000, lost=4_000, waiting=3_000, waited=8.0, chance=0.5)

    assert found(one).chance == pytest.approx(found(replace(one, prior=2.5, usual=1.5)).chance, rel=0.01)
