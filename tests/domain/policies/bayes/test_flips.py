"""What is said to flip a verdict flips it: found again by judging and deciding anew on simulated accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from adctl.domain.policies.bayes.policy import BayesPolicy, Weighed
from adctl.domain.policies.flips import flip, with_spend
from adctl.domain.policies.protocol import VERDICTS, AdHistory, Codes, Floats, PolicyResult, Verdict
from adctl.domain.simulation.baselines import EqualSplit
from adctl.domain.simulation.runs import prepare, run_policy
from adctl.domain.simulation.worlds import world_named
from tests.domain.policies.bayes import golden

# Bars that both sides of are populated.
POLICY = BayesPolicy(kill_roas=0.8, kill_certainty=0.9, scale_roas=1.5, scale_certainty=0.75)
WORLDS = ("base", "junk-leads", "small", "thriving")
SEEDS = (41, 42, 43)
DAYS = (4, 12, 28)
# In logs: as near to the turning point as nine decimals of a chance can tell.
STEP = 1e-6


class Watched:
    """An equal split, remembering what it was shown on some days: whoever should be stopped is still there."""

    name, version = "watched", "1"

    def __init__(self) -> None:
        self.parameters: Mapping[str, int | float | str | bool] = {}
        self.day = 0
        self.seen: list[AdHistory] = []

    def decide(self, history: AdHistory) -> PolicyResult:
        self.day += 1
        if self.day in DAYS:
            self.seen.append(history)
        return EqualSplit().decide(history)


@cache
def histories(world: str) -> tuple[AdHistory, ...]:
    found: list[AdHistory] = []
    for seed in SEEDS:
        watched = Watched()
        run_policy(prepare(world_named(world), seed=seed, days=DAYS[-1] + 1), watched, name="watched", seed=seed)
        found += watched.seen
    return tuple(found)


@cache
def weighings(world: str) -> tuple[Weighed, ...]:
    return tuple(POLICY.weigh(history) for history in histories(world))


def verdicts(weighed: Weighed, mean: Floats) -> Codes:
    return weighed.judge(replace(weighed.view.posterior, mean=mean)).verdict


@pytest.mark.parametrize("world", WORLDS)
def test_a_step_beyond_the_roas_it_flips_at_a_verdict_is_another_and_a_step_before_it_is_not(world: str) -> None:
    told = 0
    for weighed in weighings(world):
        mean = weighed.view.posterior.mean
        found = weighed.judge(weighed.view.posterior)
        flips = np.log(found.flips_at)
        has = np.isfinite(flips)
        away = np.where(found.verdict == VERDICTS.index(Verdict.KILL), 1.0, np.sign(flips - mean))
        beyond = verdicts(weighed, np.where(has, flips + away * STEP, mean))
        before = verdicts(weighed, np.where(has & (np.abs(flips - mean) > STEP), flips - away * STEP, mean))
        assert (beyond != found.verdict)[has].all()
        assert (before == found.verdict).all()
        told += int(has.sum())
    assert told


@pytest.mark.parametrize("world", WORLDS)
def test_between_an_ad_and_the_roas_it_flips_at_and_wherever_none_is_named_the_verdict_is_the_same(world: str) -> None:
    for weighed in weighings(world):
        mean = weighed.view.posterior.mean
        found = weighed.judge(weighed.view.posterior)
        flips = np.log(found.flips_at)
        for part in np.linspace(-0.99, 0.99, 23):
            # On both sides as far as the nearest flip; up and down any distance where there is none.
            other = mean + part * np.where(np.isfinite(flips), np.abs(flips - mean), 20.0)
            assert (verdicts(weighed, other) == found.verdict).all()


def test_the_roas_and_the_spend_that_flip_a_verdict_lie_on_the_same_side() -> None:
    history, _ = golden.read()
    told = set()
    for ad, one in enumerate(POLICY.decide(history).verdicts):
        roas, bar = (float(one.evidence[key] or np.nan) for key in ("roas", "flips_at_roas"))
        found = flip(POLICY.decide, history, ad) if np.isfinite(bar) else None
        if found is not None:
            spent = int(history.row_spend[history.row_ad == ad].sum())
            assert (found.spend < spent) == (bar > roas)
            told.add((one.verdict, bar > roas))
    assert {up for _, up in told} == {True, False}
    assert (Verdict.KEEP, True) in told


def test_the_accounts_show_every_common_verdict() -> None:
    judged = [one.judge(one.view.posterior).verdict for world in WORLDS for one in weighings(world)]
    seen = {VERDICTS[code] for code in np.concatenate(judged).tolist()}
    assert seen >= {Verdict.KEEP, Verdict.KILL, Verdict.SCALE, Verdict.WAIT}


def test_the_spend_that_flips_a_verdict_does_so_to_the_minor_unit_when_decided_again() -> None:
    history, _ = golden.read()
    decided = POLICY.decide(history).verdicts
    told = 0
    for verdict in Verdict:
        of_it = [ad for ad, one in enumerate(decided) if one.verdict is verdict and history.active[ad]]
        for ad in of_it[:1]:
            found = flip(POLICY.decide, history, ad)
            if found is None:
                continue
            spent = int(history.row_spend[history.row_ad == ad].sum())
            nearer = found.spend + (1 if found.spend < spent else -1)
            assert POLICY.decide(with_spend(history, ad, found.spend)).verdicts[ad].verdict is found.verdict
            assert POLICY.decide(with_spend(history, ad, nearer)).verdicts[ad].verdict is verdict
            told += 1
    assert told
