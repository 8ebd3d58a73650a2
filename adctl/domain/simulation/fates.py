"""What would happen to a world's money, drawn before any policy spends it: the common randomness of all policies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import Floats, Ints
from adctl.domain.simulation.truth import Truth

# Room for the luckiest of ads: standard deviations that a count may lie above its greatest expectation.
_LUCK = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """Potential outcomes. A policy's money decides how many of them are realised, never which.

    `shock` (days, n) is each day's factor on leads, mean 1. `clicks_at` and `views_at` (days, n) are uniforms that
    counts are quantiles of. An ad's potential leads lie at `first[ad]:first[ad + 1]`; lead `arrival` is the expected
    number of leads at which it comes (a Poisson process of rate 1), `reached` (leads, transitions) how many days after
    it the deal progresses, NaN where it never does; `lost` the same for being marked lost; `value` is what it is won
    for, in minor units.
    """

    truth: Truth
    shock: Floats
    clicks_at: Floats
    views_at: Floats
    first: Ints
    arrival: Floats
    reached: Floats
    lost: Floats
    value: Floats


def draw_fates(truth: Truth, *, seed: int) -> Fates:
    """The same truth and seed give the same fates, bit for bit."""
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    shape = truth.days, truth.world.ads
    sd = truth.world.shock_sd
    shock = np.exp(sd * rng.standard_normal(shape) - sd**2 / 2)
    clicks_at, views_at = rng.random(shape), rng.random(shape)
    first = _places(truth, shock)
    ad = np.repeat(np.arange(truth.world.ads), np.diff(first))
    steps = rng.standard_exponential(len(ad))
    total = np.concatenate([[0.0], np.cumsum(steps)])
    reached, lost = _ways(truth, rng, ad)
    sigma = truth.world.value_sigma
    value = truth.value_mean[ad] * np.exp(sigma * rng.standard_normal(len(ad)) - sigma**2 / 2)
    return Fates(
        truth=truth,
        shock=shock,
        clicks_at=clicks_at,
        views_at=views_at,
        first=first,
        arrival=total[1:] - total[first[ad]],
        reached=reached,
        lost=lost,
        value=np.maximum(np.rint(value), 1.0),
    )


def _places(truth: Truth, shock: Floats) -> Ints:
    """Where each ad's potential leads begin; enough of them for all the money of all days."""
    running = np.arange(truth.days)[:, None] >= truth.start
    most = truth.reached(np.full(truth.world.ads, float(truth.world.daily_budget)))
    expected = (shock * running).sum(axis=0) * most * truth.leads_per_unit
    counts = np.ceil(expected + _LUCK * np.sqrt(expected) + _LUCK).astype(np.int64)
    return np.concatenate([[0], np.cumsum(counts)])


def _ways(truth: Truth, rng: np.random.Generator, ad: Ints) -> tuple[Floats, Floats]:
    """When each potential deal progresses and when it is marked lost, in days after its lead."""
    world = truth.world
    shape = len(ad), len(world.progress)
    passed = np.logical_and.accumulate(rng.random(shape) < truth.progress[ad], axis=1)
    delay = np.exp(world.delay_sigma * rng.standard_normal(shape)) * world.delay_median * truth.delay_factor[ad, None]
    reached = np.cumsum(delay, axis=1)
    last = np.where(passed, reached, 0.0).max(axis=1)
    wait = world.lost_median * np.exp(world.lost_sigma * rng.standard_normal(len(ad))) * truth.delay_factor[ad]
    marked = ~passed[:, -1] & (rng.random(len(ad)) < world.marked_lost)
    return np.where(passed, reached, np.nan), np.where(marked, last + wait, np.nan)
