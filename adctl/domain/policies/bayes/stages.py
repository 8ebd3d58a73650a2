"""P(progress) of each ad at each step: Beta posteriors in which open deals count by their age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, ndtr

from adctl.domain.policies.bayes.delays import BINS, MIDDLES, Delays, log_bin
from adctl.domain.policies.bayes.funnel import Deals, Funnel
from adctl.domain.policies.bayes.pieces import by_pieces, chosen
from adctl.domain.policies.bayes.special import log_beta_moments
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import DealCounts, Floats, Ints

_LOG_SIZES = np.log(25.0) + 0.7 * np.linspace(-2.5, 2.5, 11)
_SIZE_PRIOR = -0.5 * np.linspace(-2.5, 2.5, 11) ** 2
# Ads that the account's numbers are learned from; more change nothing but the time it takes.
_SAMPLE = 4_000
# Those that the chances themselves are: their deals leave next to nothing unsure.
_POOLED = 100_000
_POOL_PRIOR = (1.0, 1.25)
_USUAL_SIZE = 25.0
# The prior of the variance of an ad's quality (log odds), as strong as a standard deviation of 0.1 of that variance.
_QUALITY_PRIOR = 0.05
_QUALITY_WEIGHT = 100.0
_LEAST_QUALITY = 0.005
# The prior of what clicks tell of quality: log odds per log of the click yield.
_CLICK_SD = 0.3
# Chances closer to each other than this are the same: the deal's age says nothing either way.
_SAME = 1e-12
# From so many campaigns on their shifts are told apart by no more than these decimals when deals are counted: far finer
# than they are known, and they share tables that stay in the cache.
_CAMPAIGNS = 500
_SHIFT_DECIMALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """Per ad and step, shape (n, T): fractional successes and failures, open deals, deals still expected to pass;
    `came` (n, T + 1) so far to each step and at last to the end; `days_left` (n) sums over open deals the days until
    they pass, times the chance of that.

    Each step lies in one stretch of memory: what all ads' chances are multiplied by is then read along the ads."""

    came: DealCounts
    waiting: DealCounts
    successes: Floats
    failures: Floats
    still: Floats
    days_left: Floats

    @property
    def entered(self) -> DealCounts:
        """Deals that came to each step, shape (n, T)."""
        return self.came[:, :-1]

    @property
    def progressed(self) -> DealCounts:
        """Deals that passed each step, shape (n, T)."""
        return self.came[:, 1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """The account's P(progress) per step (shape T), the variance of its log, and how alike ads are (a Beta's size).

    `quality_variance` is that of an ad's quality, which lifts or lowers the odds of all its steps together; an ad's
    log click yield moves it by `click_odds`: many clicks can mean poor leads.
    """

    chance: Floats
    log_variance: Floats
    size: Floats
    quality_variance: float
    click_odds: float
    click_odds_variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Posterior of log P(progress): `mean` and `own_variance` (n, T); beside them an ad's quality adds
    `quality_variance` (n) to their sum, and the account's chances `common_variance`."""

    mean: Floats
    own_variance: Floats
    quality_variance: Floats
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


class Tallying:
    """Counts deals at each step by what their delays say, of all ads or of some at a time."""

    def __init__(self, delays: Delays, campaign: Ints) -> None:
        """`campaign` is each ad's."""
        self._shifts, self._kind = _kinds(delays, campaign)
        self._steps, self._never_marked = len(delays.progress), delays.never_marked
        self._tables, self._passed = _tables(delays, self._shifts), _passed(delays, self._shifts)

    def of(self, deals: Deals, ads: slice) -> Tallies:
        """`deals` are those of some ads that follow each other."""
        n, steps, kind = deals.ads, self._steps, self._kind[ads]
        came = np.bincount(deals.reached * n + deals.ad, minlength=(steps + 1) * n).reshape(steps + 1, n)
        # Who came to a step is who is there or came farther.
        for farther in range(steps, 0, -1):
            came[farther - 1] += came[farther]
        still_open = np.flatnonzero(deals.open)
        ad, step = (column.take(still_open, mode="clip") for column in (deals.ad, deals.reached))
        cell = (kind.take(ad, mode="clip") * steps + step) * BINS + log_bin(deals.waited(still_open))
        place = step * n + ad
        waiting = np.bincount(place, minlength=steps * n).reshape(steps, n)
        successes, failures, still = (
            totals(place, table.take(cell, mode="clip"), steps * n).reshape(steps, n) for table in self._tables[:3]
        )
        if self._never_marked:
            successes, failures = np.zeros((steps, n)), self._exposed(deals, kind) - came[1:]
        else:
            failures += came[:-1] - came[1:] - waiting
        successes += came[1:]
        return Tallies(
            came=came.astype(np.int32).T,
            waiting=waiting.astype(np.int32).T,
            successes=np.maximum(successes, 0.0, out=successes).T,
            failures=np.maximum(failures, 0.0, out=failures).T,
            still=still.T,
            days_left=totals(ad, self._tables[3].take(cell, mode="clip"), n),
        )

    def _exposed(self, deals: Deals, kind: Ints) -> Floats:
        """For a CRM that never marks losses: over all that came to a step, the chance to have passed it by now, shape
        (T, n)."""
        exposed = np.empty((self._steps, deals.ads))
        for step in range(self._steps):
            came = deals.reached >= step
            ad = deals.ad[came]
            cell = (kind[ad] * self._steps + step) * BINS + log_bin(deals.begun(step)[came])
            exposed[step] = totals(ad, self._passed[cell], deals.ads)
        return exposed


def tally(funnel: Funnel, delays: Delays, campaign: Ints) -> Tallies:
    """Counts the deals of each ad at each step; `campaign` is each ad's."""
    tallying = Tallying(delays, campaign)
    return by_pieces(funnel.ads, lambda ads: tallying.of(funnel.of(ads), ads))


def fit_stages(tallies: Tallies, doubt: Floats, clicks: Floats) -> StageModel:
    """Each step's chance over ads, weighted by what each ad says about the others; size and quality by likelihood.

    `doubt` is the variance that the delays add to the log of each chance, `clicks` (n) the log click yield.
    """
    some = chosen(len(tallies.successes), _POOLED)
    # Copied, for they are read many times: what lies here and there costs a cache line each time.
    k, m, clicks = (column[some].copy(order="K") for column in (tallies.successes, tallies.failures, clicks))
    every = chosen(len(k), _SAMPLE)
    size = np.full(k.shape[1], _USUAL_SIZE)
    chance, _ = _pool(k, m, size)
    fewer = k[every], m[every]
    slope, slope_variance = _click_odds(*fewer, chance, size, clicks[every])
    quality = _quality_variance(*fewer, chance, size, slope * clicks[every])
    for _ in range(2):
        hint = _hint(*fewer, chance, size, quality, slope * clicks[every])
        size = _sizes(*fewer, _lifted(chance, hint.others))
        chance = _pool_given(k, m, size, _hint(k, m, chance, size, quality, slope * clicks).others, chance)
    information = _pool(k, m, size)[1]
    return StageModel(
        chance=chance,
        log_variance=(1 - chance) / (chance * information) + doubt,
        size=size,
        quality_variance=quality,
        click_odds=slope,
        click_odds_variance=slope_variance,
    )


def stage_posterior(model: StageModel, tallies: Tallies, clicks: Floats) -> Stages:
    """Beta posteriors whose prior mean is lifted by what clicks and the ad's other steps tell of its quality."""
    k, m = tallies.successes, tallies.failures
    hint = _hint(k, m, model.chance, model.size, model.quality_variance, model.click_odds * clicks)
    chance = _lifted(model.chance, hint.others)
    yes, no = model.size * chance + k, model.size * (1 - chance) + m
    mean, own_variance = log_beta_moments(yes, no)
    # A change of quality moves the log of each chance by 1 − chance, as far as the ad's own deals leave it open.
    moved = ((1 - chance) * model.size / (yes + no)).sum(axis=1)
    leaned = hint.variance / model.quality_variance * clicks
    return Stages(
        mean=mean,
        own_variance=own_variance,
        quality_variance=moved**2 * (hint.variance + leaned**2 * model.click_odds_variance),
        common_variance=float(model.log_variance.sum()),
        successes=yes,
        failures=no,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hint:
    """An ad's quality (log odds): for each step what the other steps say (n, T), and its variance given all (n)."""

    others: Floats
    variance: Floats


def _hint(k: Floats, m: Floats, chance: Floats, size: Floats, quality: float, prior: Floats) -> _Hint:
    """One Newton step from the account's chances; each step is as precise as its deals and the ad's own spread let.

    `prior` (n) is the quality expected before any deal.
    """
    seen, weight = _working(k, m, chance, size)
    said = weight * seen
    precision = weight.sum(axis=1) + 1 / quality
    told = said.sum(axis=1) + prior / quality
    return _Hint(others=(told[:, None] - said) / (precision[:, None] - weight), variance=1 / precision)


def _working(k: Floats, m: Floats, chance: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Each step's log odds beside the account's, to first order and within ±2, and its precision."""
    information = np.maximum((k + m) * chance * (1 - chance), 1e-9)
    seen = np.clip((k - (k + m) * chance) / information, -2.0, 2.0)
    own = 1 / (chance * (1 - chance) * (size + 1))
    return seen, 1 / (1 / information + own)


def _click_odds(k: Floats, m: Floats, chance: Floats, size: Floats, clicks: Floats) -> tuple[float, float]:
    """What a unit of the log click yield adds to an ad's log odds at all steps, and its variance, shrunk to none."""
    seen, weight = _working(k, m, chance, size)
    precision = weight.sum(axis=1)
    quality = (weight * seen).sum(axis=1) / precision
    sure = 1 / (1 / precision + _QUALITY_PRIOR)
    apart = clicks - (sure * clicks).sum() / max(float(sure.sum()), 1e-300)
    information = float((sure * apart**2).sum()) + 1 / _CLICK_SD**2
    return float((sure * apart * quality).sum()) / information, 1 / information


def _quality_variance(k: Floats, m: Floats, chance: Floats, size: Floats, expected: Floats) -> float:
    """What two steps of one ad have in common, over all pairs; a prior keeps it sensible while little is known."""
    seen, weight = _working(k, m, chance, size)
    said = (seen - expected[:, None]) * weight
    pairs = (said.sum(axis=1) ** 2 - (said**2).sum(axis=1)) / 2
    weights = (weight.sum(axis=1) ** 2 - (weight**2).sum(axis=1)) / 2
    found = (float(pairs.sum()) + _QUALITY_PRIOR * _QUALITY_WEIGHT) / (float(weights.sum()) + _QUALITY_WEIGHT)
    return max(found, _LEAST_QUALITY)


def _lifted(chance: Floats, log_odds: Floats) -> Floats:
    """The chances with log odds added, shape (n, T)."""
    odds = chance / (1 - chance) * np.exp(log_odds)
    return np.asarray(odds / (1 + odds), dtype=np.float64)


def _kinds(delays: Delays, campaign: Ints) -> tuple[Floats, Ints]:
    """The campaigns' shifts, each once, and which of them is each ad's."""
    shift = delays.shift if len(delays.shift) < _CAMPAIGNS else np.round(delays.shift, _SHIFT_DECIMALS)
    shifts, kind = np.unique(shift, return_inverse=True)
    return shifts, kind[campaign]


def _tables(delays: Delays, shifts: Floats) -> Floats:
    """The success and the failure that an open deal counts for, its chance to pass the step yet, and that times the
    days it will take, each by shift, step and log-bin of waiting; shape (4, cells)."""
    shift = shifts[:, None, None]
    z = (MIDDLES - delays.log_median[:, None] - shift) / delays.spread[:, None]
    lost = ndtr((MIDDLES - delays.lost_log_median[:, None] - shift) / delays.lost_spread[:, None])
    later, unmarked = ndtr(-z), 1 - delays.marked[:, None] * lost
    chance = delays.progress[:, None]
    success, failure = fractions(chance, later, unmarked)
    still = chance * later / np.maximum(chance * later + (1 - chance) * unmarked, 1e-300)
    return np.stack([success, failure, still, still * _days_left(delays, z, later, shift)]).reshape(4, -1)


def _days_left(delays: Delays, z: Floats, later: Floats, shift: Floats) -> Floats:
    """Days until the step is passed, given that it will be, and the mean days of the steps after it."""
    spread = delays.spread[:, None]
    mean = np.exp(delays.log_median[:, None] + shift + spread**2 / 2)
    rest = mean * ndtr(spread - z) / np.maximum(later, 1e-12) - np.exp(MIDDLES)
    after = np.cumsum(mean[:, ::-1], axis=1)[:, ::-1] - mean
    return np.asarray(np.clip(rest, 0.0, 1000.0) + after, dtype=np.float64)


def _passed(delays: Delays, shifts: Floats) -> Floats:
    """The chance to have passed a step by now, given that one does, by shift, step and log-bin of waiting."""
    z = (MIDDLES - delays.log_median[:, None] - shifts[:, None, None]) / delays.spread[:, None]
    return np.asarray(ndtr(z).reshape(-1), dtype=np.float64)


def _pool(k: Floats, m: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The account's chance and how many deals it rests on; an ad of n deals weighs n·size / (n + size)."""
    weight = size / (size + k + m)
    yes, both = (weight * k).sum(axis=0) + _POOL_PRIOR[0], (weight * (k + m)).sum(axis=0) + sum(_POOL_PRIOR)
    return np.clip(yes / both, 1e-4, 1 - 1e-4), both


def _pool_given(k: Floats, m: Floats, size: Floats, hint: Floats, chance: Floats) -> Floats:
    """The account's chances when the ads that have deals at a step are known to be better or worse than usual."""
    weight = size / (size + k + m)
    short = (weight * (k - (k + m) * _lifted(chance, hint))).sum(axis=0)
    slope = (weight * (k + m)).sum(axis=0) * chance * (1 - chance) + 0.5
    return np.clip(_lifted(chance, np.clip(short / slope, -1.0, 1.0)), 1e-4, 1 - 1e-4)


def _sizes(k: Floats, m: Floats, chance: Floats) -> Floats:
    """Posterior means (of the log) of each step's Beta size by beta-binomial likelihood; `chance` is (n, T)."""
    size = np.exp(_LOG_SIZES)[:, None]
    sizes = np.empty(k.shape[1])
    for step in range(len(sizes)):
        told = k[:, step] + m[:, step] > 0
        yes, no = size * chance[told, step], size * (1 - chance[told, step])
        fit = (betaln(yes + k[told, step], no + m[told, step]) - betaln(yes, no)).sum(axis=1) + _SIZE_PRIOR
        weight = np.exp(fit - fit.max())
        sizes[step] = np.exp((weight * _LOG_SIZES).sum() / weight.sum())
    return sizes
