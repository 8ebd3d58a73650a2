"""P(progress) of each ad at each step: Beta posteriors in which open deals count by their age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, ndtr

from adctl.domain.policies.bayes.delays import BINS, MIDDLES, Delays, log_bin
from adctl.domain.policies.bayes.funnel import Funnel
from adctl.domain.policies.bayes.special import log_gamma_moments
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import Floats, Ints

_LOG_SIZES = np.log(25.0) + 0.7 * np.linspace(-2.5, 2.5, 11)
_SIZE_PRIOR = -0.5 * np.linspace(-2.5, 2.5, 11) ** 2
# Ads that the account's numbers are learned from; more change nothing but the time it takes.
_SAMPLE = 4_000
_POOL_PRIOR = (0.5, 0.5)
# Chances closer to each other than this are the same: the deal's age says nothing either way.
_SAME = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """Per ad and step, shape (n, T): deals that came so far, fractional successes and failures, open deals, deals
    still expected to pass; `passed_days` (n) sums over open deals the days until that, times its chance."""

    entered: Ints
    progressed: Ints
    waiting: Ints
    successes: Floats
    failures: Floats
    still: Floats
    days_left: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """The account's P(progress) per step (shape T), the variance of its log, and how alike ads are (a Beta's size)."""

    chance: Floats
    log_variance: Floats
    size: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Posterior of log P(progress): `mean` and `own_variance` (n, T), `common_variance` of their sum."""

    mean: Floats
    own_variance: Floats
    common_variance: float
    successes: Floats
    failures: Floats


def fractions(chance: Floats, later: Floats, unmarked: Floats) -> tuple[Floats, Floats]:
    """What an open deal counts for: (successes, failures), so that a Beta's log density has the same score and
    curvature at `chance` as ln(p·later + (1 − p)·unmarked).

    `later` is P(it takes longer than it has | it will progress), `unmarked` P(it is not marked lost yet | it will
    not). The ends are exact: later = 0 is a failure, unmarked = 0 a success, later = unmarked nothing.
    """
    weight = chance * later + (1 - chance) * unmarked
    edge = (later - unmarked) / np.maximum(weight, 1e-300)
    success = chance**2 * edge * (1 + (1 - chance) * edge)
    failure = (1 - chance) ** 2 * edge * (chance * edge - 1)
    same = np.abs(later - unmarked) < _SAME
    success = np.select([same, later <= 0, unmarked <= 0], [0.0, 0.0, 1.0], success)
    return success, np.select([same, later <= 0, unmarked <= 0], [0.0, 1.0, 0.0], failure)


def tally(funnel: Funnel, delays: Delays, campaign: Ints) -> Tallies:
    """Counts the deals of each ad at each step; `campaign` is each ad's."""
    n, steps = funnel.ads, funnel.length
    shape = (n, steps + 1)
    furthest = np.bincount(funnel.ad * (steps + 1) + funnel.reached, minlength=n * (steps + 1)).reshape(shape)
    came = np.cumsum(furthest[:, ::-1], axis=1)[:, ::-1]
    ad, step = funnel.ad[funnel.open], funnel.reached[funnel.open]
    tables = _tables(delays)
    cell = (campaign[ad] * steps + step) * BINS + log_bin(funnel.waited[funnel.open])
    place = ad * steps + step

    def total(table: Floats) -> Floats:
        return totals(place, table[cell], n * steps).reshape(n, steps)

    entered, progressed = came[:, :-1], came[:, 1:]
    waiting = np.bincount(place, minlength=n * steps).reshape(n, steps)
    successes = progressed + total(tables.success)
    failures = (entered - progressed - waiting) + total(tables.failure)
    if delays.never_marked:
        successes = progressed.astype(np.float64)
        failures = np.maximum(_exposed(funnel, delays, campaign) - progressed, 0.0)
    return Tallies(
        entered=entered,
        progressed=progressed,
        waiting=waiting,
        successes=np.maximum(successes, 0.0),
        failures=np.maximum(failures, 0.0),
        still=total(tables.still),
        days_left=totals(ad, tables.days[cell], n),
    )


def fit_stages(tallies: Tallies) -> StageModel:
    """Each step's chance over ads, weighted by what each ad says about the others, and the size by likelihood."""
    k, m = tallies.successes, tallies.failures
    step = max(len(k) // _SAMPLE, 1)
    size = np.full(k.shape[1], 25.0)
    chance, _ = _pool(k, m, size)
    size = _sizes(k[::step], m[::step], chance)
    chance, information = _pool(k, m, size)
    return StageModel(chance=chance, log_variance=(1 - chance) / (chance * information), size=size)


def stage_posterior(model: StageModel, tallies: Tallies) -> Stages:
    yes = model.size * model.chance + tallies.successes
    no = model.size * (1 - model.chance) + tallies.failures
    first, first_variance = log_gamma_moments(yes)
    both, both_variance = log_gamma_moments(yes + no)
    return Stages(
        mean=first - both,
        own_variance=first_variance - both_variance,
        common_variance=float(model.log_variance.sum()),
        successes=yes,
        failures=no,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """By campaign, step and log-bin of waiting, flat."""

    success: Floats
    failure: Floats
    still: Floats
    days: Floats


def _tables(delays: Delays) -> _Tables:
    """What an open deal counts for, its chance to pass the step yet, and that times the days it will take."""
    shift = delays.shift[:, None, None]
    z = (MIDDLES - delays.log_median[:, None] - shift) / delays.spread[:, None]
    lost = ndtr((MIDDLES - delays.lost_log_median[:, None] - shift) / delays.lost_spread[:, None])
    later, unmarked = ndtr(-z), 1 - delays.marked[:, None] * lost
    chance = delays.progress[:, None]
    success, failure = fractions(chance, later, unmarked)
    still = chance * later / np.maximum(chance * later + (1 - chance) * unmarked, 1e-300)
    days = still * _days_left(delays, z, later, shift)
    return _Tables(
        success=success.reshape(-1), failure=failure.reshape(-1), still=still.reshape(-1), days=days.reshape(-1)
    )


def _days_left(delays: Delays, z: Floats, later: Floats, shift: Floats) -> Floats:
    """Days until the step is passed, given that it will be, and the mean days of the steps after it."""
    spread = delays.spread[:, None]
    mean = np.exp(delays.log_median[:, None] + shift + spread**2 / 2)
    rest = mean * ndtr(spread - z) / np.maximum(later, 1e-12) - np.exp(MIDDLES)
    after = np.cumsum(mean[:, ::-1], axis=1)[:, ::-1] - mean
    return np.asarray(np.clip(rest, 0.0, 1000.0) + after, dtype=np.float64)


def _exposed(funnel: Funnel, delays: Delays, campaign: Ints) -> Floats:
    """For a CRM that never marks losses: over all that came to a step, the chance to have passed it by now."""
    exposed = np.empty((funnel.ads, funnel.length))
    shift = delays.shift[:, None]
    for step in range(funnel.length):
        came = funnel.reached >= step
        ad = funnel.ad[came]
        passed = ndtr((MIDDLES - delays.log_median[step] - shift) / delays.spread[step])
        cell = campaign[ad] * BINS + log_bin(funnel.begun[step][came])
        exposed[:, step] = totals(ad, passed.reshape(-1)[cell], funnel.ads)
    return exposed


def _pool(k: Floats, m: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The account's chance and how many deals it rests on; an ad of n deals weighs n·size / (n + size)."""
    weight = size / (size + k + m)
    yes, both = (weight * k).sum(axis=0) + _POOL_PRIOR[0], (weight * (k + m)).sum(axis=0) + sum(_POOL_PRIOR)
    return np.clip(yes / both, 1e-4, 1 - 1e-4), both


def _sizes(k: Floats, m: Floats, chance: Floats) -> Floats:
    """Posterior means (of the log) of each step's Beta size by beta-binomial likelihood."""
    size = np.exp(_LOG_SIZES)[:, None]
    sizes = np.empty(len(chance))
    for step, p in enumerate(chance):
        yes, no = size * p, size * (1 - p)
        told = k[:, step] + m[:, step] > 0
        fit = (betaln(yes + k[told, step], no + m[told, step]) - betaln(yes, no)).sum(axis=1) + _SIZE_PRIOR
        weight = np.exp(fit - fit.max())
        sizes[step] = np.exp((weight * _LOG_SIZES).sum() / weight.sum())
    return sizes
