"""One world and seed, run through by the oracle and every contender: the unit of work of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.catalogue import MakePolicy, make_policy
from adctl.domain.policies.protocol import Floats
from adctl.domain.simulation.contenders import contender
from adctl.domain.simulation.judge import Score, score
from adctl.domain.simulation.market import MINOR_PER_MAJOR
from adctl.domain.simulation.runs import Zone, prepare, run_oracle, run_policy
from adctl.domain.simulation.worlds import world_named

_BAYES = BayesParameters()
_ZONE = Zone(min_age=_BAYES.min_age, min_spend=_BAYES.min_spend * MINOR_PER_MAJOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Which world and seed for how many days, and the specs of the policies."""

    world: str
    seed: int
    days: int
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatResult:
    """A score per policy; `oracle_value` is the oracle's expected value of each day, minor units, shape (days,)."""

    heat: Heat
    scores: tuple[Score, ...]
    oracle_value: Floats


def run_heat(heat: Heat, make: MakePolicy = make_policy) -> HeatResult:
    """The same heat gives the same result in any process. Raises ConfigurationError for an unknown world or policy."""
    world = world_named(heat.world)
    fates = prepare(world, seed=heat.seed, days=heat.days)
    oracle = run_oracle(fates, seed=heat.seed)
    bound = run_oracle(fates, seed=heat.seed, zone=_ZONE)
    runs = [run_policy(fates, contender(spec, make), name=spec, seed=heat.seed) for spec in heat.policies]
    return HeatResult(
        heat=heat,
        scores=tuple(score(run, oracle, bound, daily_budget=world.daily_budget) for run in runs),
        oracle_value=oracle.value.sum(axis=1),
    )


def heats(worlds: Sequence[str], policies: Sequence[str], seeds: Sequence[int], *, days: int) -> tuple[Heat, ...]:
    """Every world with every seed; worlds that are done early show early."""
    return tuple(
        Heat(world=world, seed=seed, days=days, policies=tuple(dict.fromkeys(policies)))
        for world in dict.fromkeys(worlds)
        for seed in seeds
    )
