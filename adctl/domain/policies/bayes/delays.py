"""How long each step takes: lognormal delays to progress and to being marked lost, by mixture-cure likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr, ndtr

from adctl.domain.policies.bayes.cure import Step, cure_posterior
from adctl.domain.policies.bayes.funnel import Deals, Funnel
from adctl.domain.policies.bayes.pieces import chosen
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import Floats, Ints

# Log-bins of days: fine against the spread of any delay, few enough that fitting costs nothing at any size.
BINS = 48
_FIRST = np.log(0.1)
_WIDTH = (np.log(400.0) - _FIRST) / BINS
MIDDLES: Floats = _FIRST + (np.arange(BINS) + 0.5) * _WIDTH

_PRIOR_MEDIANS = (2.0, 4.0, 6.0)
_PRIOR_SD = 1.2
# Transitions that the priors of a delay count for.
_PRIOR_WEIGHT = 4.0
# Transitions that what the steps' spreads have in common counts for.
_SPREAD_WEIGHT = 20.0
# The priors of P(progress) and of the share of losses that are ever marked, as successes and failures.
_PROGRESS_PRIOR = (2.0, 2.5)
_MARKED_PRIOR = (1.4, 0.6)
# Losses that what the steps' marked shares have in common counts for: marking is a habit of the whole sales team.
_MARKED_WEIGHT = 10.0
_ROUNDS = 40
# Deals that the delays are learned from; more change nothing but the time it takes.
_SAMPLE = 400_000
# Log likelihoods are rounded to this many decimals.
_DECIMALS = 9
_SHIFTS: Floats = np.linspace(-1.8, 1.8, 37)
_SHIFT_SDS = (0.05, 0.15, 0.3, 0.5, 0.8)
# A CRM never marks losses when of the deals that went stale, at least so many, fewer than this share were marked.
_STALE_DAYS = 45.0
_STALE_DEALS = 20
_NEVER_MARKED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Per step (shape T): P(progress), the lognormals of the days to progress and to be marked lost, and the share of
    losses that are ever marked; `doubt` is the variance that not knowing these adds to the log of P(progress).

    `shift` is added to the logs of a campaign's delays; `never_marked` says that losses cannot be told from waiting.
    """

    progress: Floats
    log_median: Floats
    spread: Floats
    lost_log_median: Floats
    lost_spread: Floats
    marked: Floats
    shift: Floats
    doubt: Floats
    never_marked: bool

    def shift_of(self, campaign: Ints) -> Floats:
        """The shift of each campaign index given, 0 for one that was not there when the delays were learned."""
        known = np.append(self.shift, 0.0)
        return known[np.minimum(campaign, len(self.shift))]


def log_bin(days: Floats) -> Ints:
    """The bin of each number of days; what is shorter or longer than all bins falls in the first or the last."""
    place = np.maximum(days, 0.1)
    np.log(place, out=place)
    place -= _FIRST
    place /= _WIDTH
    return np.minimum(place, BINS - 1, out=place).astype(np.int64)


def default_delays(steps: int, campaigns: int) -> Delays:
    """The priors themselves, which stand until deals say otherwise."""
    medians = np.log([_PRIOR_MEDIANS[min(step, 2)] for step in range(steps)])
    return Delays(
        progress=np.full(steps, 0.5),
        log_median=medians,
        spread=np.full(steps, _PRIOR_SD),
        lost_log_median=medians.copy(),
        lost_spread=np.full(steps, _PRIOR_SD),
        marked=np.full(steps, _MARKED_PRIOR[0] / sum(_MARKED_PRIOR)),
        shift=np.zeros(campaigns),
        doubt=np.zeros(steps),
        never_marked=False,
    )


def fit_delays(funnel: Funnel, campaign: Ints, campaigns: int, least_transitions: int) -> Delays:
    """Pooled delays from some of very many deals, then each campaign's shift; `campaign` is each ad's."""
    start = default_delays(funnel.length, campaigns)
    if not funnel.timed or not len(funnel.ad):
        return start
    deals = funnel.some(chosen(len(funnel.ad), _SAMPLE))
    left = [_left(deals, step) for step in range(funnel.length)]
    counts = _counts(deals, left)
    pooled = _averaged(_pooled(start, counts), counts)
    shift = _shifts(pooled, left, campaign[deals.ad], campaigns, least_transitions)
    return Delays(
        progress=pooled.progress,
        log_median=pooled.log_median,
        spread=pooled.spread,
        lost_log_median=pooled.lost_log_median,
        lost_spread=pooled.lost_spread,
        marked=pooled.marked,
        shift=shift,
        doubt=pooled.doubt,
        never_marked=_never_marked(deals),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Deals by step and log-bin (T, BINS): days to progress, days to be marked lost, days waited so far."""

    progressed: Floats
    lost: Floats
    waiting: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leavers:
    """Deals (indexes) that left a step one way, how many days ago they came to it, and after how many they left."""

    deals: Ints
    since: Floats
    days: Floats


def _left(deals: Deals, step: int) -> tuple[_Leavers, _Leavers]:
    """Those that progressed from a step and those that were marked lost on it."""
    begun = deals.begun(step)
    passed, gone = np.flatnonzero(deals.reached > step), np.flatnonzero(deals.lost & (deals.reached == step))
    since, stayed = begun[passed], begun[gone]
    return (
        _Leavers(deals=passed, since=since, days=since - deals.begun(step + 1)[passed]),
        _Leavers(deals=gone, since=stayed, days=stayed - deals.marked[gone]),
    )


def _counts(deals: Deals, left: Sequence[tuple[_Leavers, _Leavers]]) -> _Counts:
    waiting = np.flatnonzero(deals.open)
    place = deals.reached[waiting] * BINS + log_bin(deals.waited(waiting))
    return _Counts(
        progressed=np.stack([_by_bin(passed.days) for passed, _ in left]),
        lost=np.stack([_by_bin(gone.days) for _, gone in left]),
        waiting=np.bincount(place, minlength=len(left) * BINS).reshape(-1, BINS).astype(np.float64),
    )


def _by_bin(days: Floats) -> Floats:
    return np.bincount(log_bin(days), minlength=BINS).astype(np.float64)


def _pooled(start: Delays, counts: _Counts) -> Delays:
    """Expectation-maximisation: open deals are split into will progress, will be marked lost, will stay unmarked."""
    progress, marked = start.progress[:, None], start.marked[:, None]
    centre, spread = start.log_median[:, None], start.spread[:, None]
    lost_centre, lost_spread = centre, spread
    prior = centre
    waiting = counts.waiting
    for _ in range(_ROUNDS):
        later, mean, square = _beyond(centre, spread)
        lost_later, lost_mean, lost_square = _beyond(lost_centre, lost_spread)
        will = progress * later
        fails = (1 - progress) * marked * lost_later
        silent = (1 - progress) * (1 - marked)
        scale = waiting / (will + fails + silent)
        will, fails, silent = scale * will, scale * fails, scale * silent
        yes, no = (counts.progressed + will).sum(1, keepdims=True), (counts.lost + fails).sum(1, keepdims=True)
        never = silent.sum(1, keepdims=True)
        progress = (yes + _PROGRESS_PRIOR[0]) / (yes + no + never + sum(_PROGRESS_PRIOR))
        habit = (no.sum() + _MARKED_PRIOR[0]) / ((no + never).sum() + sum(_MARKED_PRIOR))
        marked = (no + _MARKED_WEIGHT * habit) / (no + never + _MARKED_WEIGHT)
        centre, spread = _lognormal(counts.progressed, will, mean, square, prior)
        lost_centre, lost_spread = _lognormal(counts.lost, fails, lost_mean, lost_square, prior)
    return Delays(
        progress=progress[:, 0],
        log_median=centre[:, 0],
        spread=spread[:, 0],
        lost_log_median=lost_centre[:, 0],
        lost_spread=lost_spread[:, 0],
        marked=marked[:, 0],
        shift=start.shift,
        doubt=start.doubt,
        never_marked=False,
    )


def _averaged(peak: Delays, counts: _Counts) -> Delays:
    """The pooled delays at their posterior means instead of their likelihood's peak, which promises too much."""
    seen = counts.progressed.sum(axis=1)
    times = (counts.progressed @ MIDDLES) / np.maximum(seen, 1.0)
    scatter = (counts.progressed * (MIDDLES - times[:, None]) ** 2).sum(axis=1) / np.maximum(seen, 1.0)
    sure = np.minimum(seen, _SPREAD_WEIGHT)
    usual = ((sure * peak.spread**2).sum() + _PRIOR_WEIGHT * _PRIOR_SD**2) / (sure.sum() + _PRIOR_WEIGHT)
    # Each step's marked share in proportion to its losses, as the peak has it.
    losses = (seen + counts.lost.sum(axis=1)) * (1 - peak.progress) + 1e-9
    habit = float((losses * peak.marked).sum() / losses.sum())
    marked_prior = _MARKED_WEIGHT * habit, _MARKED_WEIGHT * (1 - habit)
    lost_by = ndtr((MIDDLES - peak.lost_log_median[:, None]) / peak.lost_spread[:, None])
    found = [
        cure_posterior(
            Step(
                logs=MIDDLES,
                progressed=float(seen[step]),
                lost=float(counts.lost[step].sum()),
                times=float(times[step]),
                scatter=float(scatter[step]),
                waiting=counts.waiting[step],
                chance=float(peak.progress[step]),
                centre=float(peak.log_median[step]),
                spread=float(peak.spread[step]),
                marked=float(peak.marked[step]),
                lost_by=lost_by[step],
                prior=float(np.log(_PRIOR_MEDIANS[min(step, 2)])),
                prior_weight=_PRIOR_WEIGHT,
                usual=float(np.sqrt(usual)),
                usual_weight=_SPREAD_WEIGHT,
            ),
            _PROGRESS_PRIOR,
            marked_prior,
        )
        for step in range(len(seen))
    ]
    return replace(
        peak,
        progress=np.array([one.chance for one in found]),
        log_median=np.array([one.centre for one in found]),
        spread=np.array([one.spread for one in found]),
        marked=np.array([one.marked for one in found]),
        doubt=np.array([one.doubt for one in found]),
    )


def _beyond(centre: Floats, spread: Floats) -> tuple[Floats, Floats, Floats]:
    """P(log days > bin), and the mean and mean square of log days given that."""
    z = (MIDDLES - centre) / spread
    later = np.maximum(ndtr(-z), 1e-300)
    hazard = np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * later)
    mean = centre + spread * hazard
    return later, mean, spread**2 * (1 + z * hazard) + 2 * centre * mean - centre**2


def _lognormal(seen: Floats, will: Floats, mean: Floats, square: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Centre and spread of the logs of what was seen and what is still to come, with the prior's weight.

    The steps' spreads are drawn to what they have in common: long delays are the last to be seen, and a spread that
    is taken too wide promises wins that never come.
    """
    number = (seen + will).sum(1, keepdims=True)
    weight = number + _PRIOR_WEIGHT
    first = (seen * MIDDLES + will * mean).sum(1, keepdims=True) + _PRIOR_WEIGHT * prior
    second = (seen * MIDDLES**2 + will * square).sum(1, keepdims=True) + _PRIOR_WEIGHT * prior**2
    centre = first / weight
    own = np.maximum(second - weight * centre**2, 0.0)
    sure = np.minimum(seen.sum(1, keepdims=True), _SPREAD_WEIGHT)
    usual = ((sure * own / np.maximum(number, 1.0)).sum() + _PRIOR_WEIGHT * _PRIOR_SD**2) / (sure.sum() + _PRIOR_WEIGHT)
    variance = (own + _SPREAD_WEIGHT * usual) / (number + _SPREAD_WEIGHT)
    return centre, np.sqrt(np.maximum(variance, 0.05**2))


def _shifts(
    delays: Delays,
    left: Sequence[tuple[_Leavers, _Leavers]],
    campaign: Ints,
    campaigns: int,
    least_transitions: int,
) -> Floats:
    """Posterior mean of each campaign's shift, from the times of what has happened, given that it has by now: by the
    log likelihood Σ ln f(days) − ln F(since).

    Conditional on having happened within the days there were, a time says nothing of how likely it was to happen:
    a slow campaign is not mistaken for a poor one. The spread of shifts is learned; fewer transitions than
    `least_transitions` give no shift.
    """
    tilt, bend, number = np.zeros(campaigns), np.zeros(campaigns), np.zeros(campaigns)
    happened = np.zeros((campaigns, len(_SHIFTS)))
    for step, (passed, gone) in enumerate(left):
        for done, centre, spread in (
            (passed, delays.log_median[step], delays.spread[step]),
            (gone, delays.lost_log_median[step], delays.lost_spread[step]),
        ):
            of = campaign[done.deals]
            count = np.bincount(of, minlength=campaigns)
            number += count
            # Σ ln f(days) is a parabola in the shift.
            tilt += totals(of, np.log(np.maximum(done.days, 0.1)) - centre, campaigns) / spread**2
            bend += count / spread**2
            happened += _happened(of, done.since, campaigns, centre, spread)
    fits = tilt[:, None] * _SHIFTS - 0.5 * bend[:, None] * _SHIFTS**2 - happened
    fits[number < least_transitions] = 0.0
    return _shrunk(fits)


def _happened(campaign: Ints, since: Floats, campaigns: int, centre: float, spread: float) -> Floats:
    """Σ ln F(since) of each campaign's transitions by shift: how likely they were to have happened by now."""
    possible = log_ndtr((MIDDLES[:, None] - centre - _SHIFTS) / spread)
    chances = np.bincount(campaign * BINS + log_bin(since), minlength=campaigns * BINS).reshape(campaigns, BINS)
    # Rounded, so that it does not tell in which order a platform adds.
    return np.asarray(np.round(chances.astype(np.float64) @ possible, _DECIMALS), dtype=np.float64)


def _shrunk(fits: Floats) -> Floats:
    """Posterior means under a normal prior whose spread is averaged over its own likelihood."""
    if not fits.any():
        return np.zeros(len(fits))
    means, weights = [], []
    likelihood = np.exp(fits - fits.max(axis=1, keepdims=True))
    for spread in _SHIFT_SDS:
        prior = np.exp(-0.5 * (_SHIFTS / spread) ** 2)
        mass = likelihood * (prior / prior.sum())
        total = mass.sum(axis=1)
        means.append((mass * _SHIFTS).sum(axis=1) / total)
        weights.append(float(np.log(total).sum()))
    share = np.exp(np.array(weights) - max(weights))
    return np.asarray((share[:, None] * np.array(means)).sum(axis=0) / share.sum(), dtype=np.float64)


def _never_marked(deals: Deals) -> bool:
    stale = (deals.waited(np.arange(len(deals.ad))) > _STALE_DAYS) & ~deals.won
    number = int(stale.sum())
    marked = int((stale & deals.lost).sum())
    return number >= _STALE_DEALS and marked < _NEVER_MARKED * number
