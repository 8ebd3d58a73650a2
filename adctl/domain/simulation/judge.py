"""Scores: what one run was worth, and what the runs of many seeds say of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adctl.domain.calibration import Band, bands
from adctl.domain.policies.protocol import Floats
from adctl.domain.simulation.intervals import Interval, mean_interval
from adctl.domain.simulation.runs import Look, Run

GOOD_ROAS = 1.5
LOSER_ROAS = 0.5
COVERAGE_DAYS = (7, 14, 28)
# A loser is stopped when this part of the budget it started with is left, or it is at the executor's floor.
_LEFT = 0.1
_FLOOR = 100
# Losers that start later than this before the end are not waited for long enough.
_LEAST_WATCHED = 0.5
# More than the ads of any world, so that ads of different runs have different numbers.
_ADS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One run, condensed. Money is minor units; `daily_value` (days,) is the expected value bought on each day.

    `share` is the value as a part of the oracle's on the same world and seed. `loser_spend` is the part of the money
    that went to ads whose true ROAS, at that day's budget, was below 0.5. `good_killed` counts the ads stopped while
    theirs was 1.5 or more at an even part of the budget, of `good` that start so. `days_to_stop` has an entry per
    loser: the days until it lost 90 % of its first budget, infinite if it never did. `oracle_loser_spend` and
    `oracle_days_to_stop` are those of an oracle that stops no ad in the ignorance zone: while all money must be spent,
    nobody can do with less.
    """

    world: str
    seed: int
    policy: str
    share: float
    spent: float
    daily_value: Floats
    loser_spend: float
    oracle_loser_spend: float
    good: int
    good_killed: int
    days_to_stop: tuple[float, ...]
    oracle_days_to_stop: tuple[float, ...]
    looks: tuple[Look, ...]


def score(run: Run, oracle: Run, bound: Run, *, daily_budget: int) -> Score:
    """`bound` is the oracle under the ignorance zone."""
    return Score(
        world=run.world,
        seed=run.seed,
        policy=run.policy,
        share=run.total_value / oracle.total_value,
        spent=run.total_spend / (daily_budget * len(run.spend)),
        daily_value=run.value.sum(axis=1),
        loser_spend=_on_losers(run),
        oracle_loser_spend=_on_losers(bound),
        good=int((run.usual_roas >= GOOD_ROAS).sum()),
        good_killed=int((run.stopped_roas >= GOOD_ROAS).sum()),
        days_to_stop=_days_to_stop(run),
        oracle_days_to_stop=_days_to_stop(bound),
        looks=run.looks,
    )


def _on_losers(run: Run) -> float:
    return float(run.spend[run.roas < LOSER_ROAS].sum() / run.total_spend)


def _days_to_stop(run: Run) -> tuple[float, ...]:
    days = len(run.spend)
    losers = np.flatnonzero((run.usual_roas < LOSER_ROAS) & (run.start <= days * (1 - _LEAST_WATCHED)))
    left = np.maximum(run.entry * _LEFT, _FLOOR)
    waited = []
    for ad in losers:
        starved = np.flatnonzero(run.spend[run.start[ad] :, ad] <= left[ad])
        waited.append(float(starved[0]) if len(starved) else np.inf)
    return tuple(waited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many of `looks` 90 % intervals held the truth."""

    looks: int
    covered: int

    @property
    def rate(self) -> float | None:
        return self.covered / self.looks if self.looks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One policy in one world over all seeds. `versus` holds paired differences of `share` to other policies.

    Rates are over all ads of all seeds; None where there was nothing to count. Days to stop are medians.
    """

    world: str
    policy: str
    seeds: int
    share: Interval
    spent: float
    versus: Mapping[str, Interval]
    good_killed: float | None
    loser_spend: float
    oracle_loser_spend: float
    days_to_stop: float | None
    oracle_days_to_stop: float | None
    coverage: Mapping[int, Coverage]


def standings(scores: Sequence[Score]) -> tuple[Standing, ...]:
    """By world and policy, in the order in which they first come. Every policy must have run on the same seeds."""
    grouped: dict[str, dict[str, list[Score]]] = {}
    for one in sorted(scores, key=lambda one: one.seed):
        grouped.setdefault(one.world, {}).setdefault(one.policy, []).append(one)
    order = list(dict.fromkeys((one.world, one.policy) for one in scores))
    return tuple(_standing(grouped[world], policy) for world, policy in order)


def best_rule(rivals: Sequence[Standing]) -> str | None:
    """The rules policy that does best on the mean among the standings of one world."""
    rules = [one for one in rivals if one.policy.startswith("rules")]
    return max(rules, key=lambda one: one.share.mean).policy if rules else None


def _standing(world: Mapping[str, Sequence[Score]], policy: str) -> Standing:
    own = world[policy]
    shares = {name: np.array([one.share for one in theirs]) for name, theirs in world.items()}
    good = sum(one.good for one in own)
    return Standing(
        world=own[0].world,
        policy=policy,
        seeds=len(own),
        share=mean_interval(shares[policy]),
        spent=float(np.mean([one.spent for one in own])),
        versus={name: mean_interval(shares[policy] - theirs) for name, theirs in shares.items() if name != policy},
        good_killed=sum(one.good_killed for one in own) / good if good else None,
        loser_spend=float(np.mean([one.loser_spend for one in own])),
        oracle_loser_spend=float(np.mean([one.oracle_loser_spend for one in own])),
        days_to_stop=_median([days for one in own for days in one.days_to_stop]),
        oracle_days_to_stop=_median([days for one in own for days in one.oracle_days_to_stop]),
        coverage={day: _coverage(own, day) for day in COVERAGE_DAYS},
    )


def _median(days: Sequence[float]) -> float | None:
    """None where there is none, or where most never end."""
    middle = float(np.median(days)) if days else np.inf
    return middle if np.isfinite(middle) else None


def _coverage(scores: Sequence[Score], day: int) -> Coverage:
    told = [look.covered for one in scores for look in one.looks if look.day == day and look.covered is not None]
    return Coverage(looks=len(told), covered=sum(told))


def reliability(scores: Sequence[Score]) -> Mapping[str, tuple[Band, ...]]:
    """By policy, over all worlds and seeds: the weekly verdicts by their stated chance of being wrong."""
    found: dict[str, tuple[Band, ...]] = {}
    for policy in dict.fromkeys(one.policy for one in scores):
        told = [
            (look.p_wrong, look.wrong, place * _ADS + look.ad)
            for place, one in enumerate(scores)
            if one.policy == policy
            for look in one.looks
            if look.p_wrong is not None and look.wrong is not None
        ]
        said, wrong, ad = (np.array([row[column] for row in told]) for column in range(3))
        found[policy] = bands(said, wrong.astype(np.bool_), ad.astype(np.int64)) if told else ()
    return found


def value_over_time(scores: Sequence[Score], oracle: Mapping[tuple[str, int], Floats]) -> Mapping[str, Floats]:
    """Per policy the mean over worlds and seeds of each day's value as a part of the oracle's on that day, (days,).

    `oracle` is the oracle's daily value by world and seed.
    """
    curves: dict[str, list[Floats]] = {}
    for one in scores:
        curves.setdefault(one.policy, []).append(one.daily_value / oracle[one.world, one.seed])
    return {policy: np.mean(rows, axis=0) for policy, rows in curves.items()}
