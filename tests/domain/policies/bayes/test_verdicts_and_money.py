"""What a verdict is called and what becomes of the ad's money tell one story, on every day of simulated worlds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory, AdVerdict, PolicyResult, Verdict
from adctl.domain.simulation.runs import prepare, run_policy
from adctl.domain.simulation.worlds import world_named


@dataclass(slots=True, kw_only=True)
class Watched:
    """The policy, with every contradiction in what it says."""

    inner: BayesPolicy
    shared: bool = False
    found: list[str] = field(default_factory=list)
    seen: set[tuple[Verdict, int]] = field(default_factory=set)
    name: str = "watched"
    version: str = "1"

    @property
    def parameters(self) -> dict[str, int | float | str | bool]:
        return {}

    def decide(self, history: AdHistory) -> PolicyResult:
        if self.shared:
            history = replace(history, shared=history.active & (np.arange(len(history.active)) % 2 == 0))
        result = self.inner.decide(history)
        for one in result.verdicts:
            side = int(np.sign(one.budget - one.current_budget))
            self.seen.add((one.verdict, side))
            self.found += [f"{history.day} {one.ad_id} {why}: {one.reason}" for why in contradictions(one, side)]
        return result


def contradictions(one: AdVerdict, side: int) -> Iterator[str]:
    """`side` is 1 where the ad is given more money, -1 where it is given less."""
    moves = f"{one.verdict}, {one.current_budget} to {one.budget}"
    match one.verdict:
        case Verdict.SCALE if side <= 0:
            yield moves
        case Verdict.KILL if one.budget:
            yield moves
        case Verdict.CUT if side > 0:
            yield moves
        case Verdict.KEEP | Verdict.WAIT:
            said = ("less money" in one.reason, "more money" in one.reason)
            if said != (side < 0, side > 0):
                yield moves


@pytest.mark.parametrize(
    ("world", "budget", "policy", "shared"),
    [
        ("fatigue", 90_000, BayesPolicy(), True),
        ("small", 3_000, BayesPolicy(), False),
        # The total cannot pay the minimum for all.
        ("base", 90_000, BayesPolicy(platform_minimum=80.0), False),
        ("saturation", 90_000, BayesPolicy(max_share=0.1, margin_roas=1.0), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdict_and_money_never_contradict_each_other(
    world: str, budget: int, policy: BayesPolicy, shared: bool
) -> None:
    played = replace(world_named(world), ads=20, daily_budget=budget)
    watched = Watched(inner=policy, shared=shared)
    run_policy(prepare(played, seed=5, days=45), watched, name="watched", seed=5)
    assert watched.found == []
    assert watched.seen >= {(Verdict.KEEP, -1), (Verdict.KEEP, 1), (Verdict.WAIT, -1)}
