"""Whether neighbours help on this account: log-loss of new ads' results by what was known when they were new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import gammaln

from adctl.domain.neighbour_trials import Moment, Trials, allowed, outcomes, past_moments
from adctl.domain.neighbours import Counts, Floats, Ints, NeighbourRule, neighbour_counts, no_counts

_STRENGTHS: Final = np.exp(np.linspace(np.log(0.3), np.log(100.0), 40))
_WEIGHTS: Final = (0.01, 0.02, 0.05)
_NOISES: Final = (0.2, 0.3, 0.4)
# Fewer new ads, of fewer campaigns, or with fewer events in all cannot tell help from luck.
LEAST_ADS: Final = 40
LEAST_CAMPAIGNS: Final = 8
LEAST_EVENTS: Final = 40
_DRAWS: Final = 2000
_PLACEBOS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean difference of log-loss in nats per ad with its 95 % interval; below 0 is better."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What neighbours are worth for one kind of event.

    `recent` is the recent ads' mean against the mean of all; `neighbours` what they add to that; `placebo` what they
    add when the older ads' results are dealt out among these at random (which corrects a level that is off, whoever
    is similar to whom); `own` is neighbours against placebo. `rule` and `strength` were chosen on the earlier half of
    the ads, the differences are those of the later half: `ads` of `campaigns`, with `events` in all.
    """

    ads: int
    campaigns: int
    events: int
    recent: Interval
    neighbours: Interval
    placebo: Interval
    own: Interval
    strength: float
    rule: NeighbourRule

    @property
    def enough(self) -> bool:
        return self.ads >= LEAST_ADS and self.campaigns >= LEAST_CAMPAIGNS and self.events >= LEAST_EVENTS

    @property
    def helps(self) -> bool:
        """True when enough was seen, and what neighbours add and their own part of it both exclude 0."""
        return self.enough and self.neighbours.high < 0 and self.own.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The judged ads in the order of their birth: results, what was expected of them, and where they stand."""

    ad: Ints
    events: Floats
    expected: Floats
    expected_overall: Floats


def evaluate(trials: Trials, seed: int) -> Evaluation:
    """Tunes on the earlier half of the new ads, judges on the later; the same trials and seed give the same answer."""
    moments = tuple(past_moments(trials))
    case = _case(trials, moments)
    half = len(case.ad) // 2
    strength = _strength(case.events[:half], case.expected[:half])
    rules = [replace(NeighbourRule(), weight=w, noise=noise) for w in _WEIGHTS for noise in _NOISES]
    candidates = _counts(trials, moments, rules, strength, None)
    losses = [float(_loss(case, strength, counts)[:half].sum()) for counts in candidates]
    best = int(np.argmin(losses)) if half else rules.index(NeighbourRule())
    rng = np.random.Generator(np.random.PCG64(seed))
    dealt = [_loss(case, strength, c) for c in _counts(trials, moments, [rules[best]] * _PLACEBOS, strength, rng)]
    placebo, helped = np.mean(dealt, axis=0), _loss(case, strength, candidates[best])
    nothing = no_counts(len(case.ad))
    base = _loss(case, strength, nothing)
    overall = _loss(replace(case, expected=case.expected_overall), strength, nothing)
    group = np.unique(trials.campaign[case.ad[half:]], return_inverse=True)[1]

    def difference(one: Floats, other: Floats) -> Interval:
        return _interval((one - other)[half:], group, rng)

    return Evaluation(
        ads=len(case.ad) - half,
        campaigns=int(group.max()) + 1 if len(group) else 0,
        events=int(case.events[half:].sum()),
        recent=difference(base, overall),
        neighbours=difference(helped, base),
        placebo=difference(placebo, base),
        own=difference(helped, placebo),
        strength=strength,
        rule=rules[best],
    )


def _case(trials: Trials, moments: Sequence[Moment]) -> _Case:
    events, exposure = outcomes(trials)
    ad = np.concatenate([m.targets for m in moments]) if moments else np.empty(0, np.int64)
    each = [np.full(len(m.targets), rate) for m in moments for rate in (m.rate,)]
    overall = [np.full(len(m.targets), m.overall) for m in moments]
    return _Case(
        ad=ad,
        events=events[ad],
        expected=exposure[ad] * (np.concatenate(each) if each else np.empty(0)),
        expected_overall=exposure[ad] * (np.concatenate(overall) if overall else np.empty(0)),
    )


def _counts(
    trials: Trials,
    moments: Sequence[Moment],
    rules: Sequence[NeighbourRule],
    strength: float,
    shuffled: np.random.Generator | None,
) -> list[Counts]:
    """The pseudo-counts of all judged ads under each rule; `shuffled` deals the candidates' results out at random."""
    found: list[list[Counts]] = [[] for _ in rules]
    for moment in moments:
        cosines = trials.vectors[moment.targets] @ trials.vectors[moment.older].T
        may = allowed(trials, moment)
        for place, rule in enumerate(rules):
            known = moment.known if shuffled is None else _dealt_out(moment.known, shuffled)
            found[place].append(neighbour_counts(cosines, may, known, rule, strength))
    return [
        Counts(
            events=np.concatenate([np.empty(0), *(c.events for c in counts)]),
            expected=np.concatenate([np.empty(0), *(c.expected for c in counts)]),
        )
        for counts in found
    ]


def _dealt_out(known: Counts, rng: np.random.Generator) -> Counts:
    order = rng.permutation(len(known.events))
    return Counts(events=known.events[order], expected=known.expected[order])


def _loss(case: _Case, strength: float, counts: Counts) -> Floats:
    """−log P(events) when each ad's factor on what is expected is Gamma(strength + events', strength + expected')."""
    return -_log_probability(case.events, case.expected, strength + counts.events, strength + counts.expected)


def _log_probability(events: Floats, expected: Floats, shape: Floats | float, rate: Floats | float) -> Floats:
    """Negative binomial: Poisson(expected·factor), factor ~ Gamma(shape, rate)."""
    mean = np.maximum(expected, 1e-12)
    total = np.log(rate + mean)
    return np.asarray(
        gammaln(shape + events)
        - gammaln(shape)
        - gammaln(events + 1)
        + shape * (np.log(rate) - total)
        + events * (np.log(mean) - total),
        dtype=np.float64,
    )


def _strength(events: Floats, expected: Floats) -> float:
    """The prior's shape under which the results are likeliest."""
    likelihood = [float(_log_probability(events, expected, s, s).sum()) for s in _STRENGTHS]
    return float(_STRENGTHS[int(np.argmax(likelihood))])


def _interval(differences: Floats, group: Ints, rng: np.random.Generator) -> Interval:
    """Bootstrap over campaigns, whose ads share more than chance."""
    if not len(differences):
        return Interval(mean=0.0, low=0.0, high=0.0)
    sums, sizes = np.bincount(group, weights=differences), np.bincount(group)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_DRAWS)
    means = (drawn @ sums) / np.maximum(drawn @ sizes, 1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(mean=float(differences.mean()), low=float(low), high=float(high))
