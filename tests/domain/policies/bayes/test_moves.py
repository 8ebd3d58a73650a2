"""What is believed of a budget that feeds several ads: against a count of draws of its own, and decided again."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.decisions import budget_verdict
from adctl.domain.policies.bayes.moves import joint_return, judge_move
from adctl.domain.policies.bayes.policy import BayesPolicy, Weighed
from adctl.domain.policies.flips import flip, with_spend
from adctl.domain.policies.protocol import AdHistory, Evidence, Floats, Ints, PolicyResult, Verdict, as_columns
from tests.domain.policies.bayes import golden

POLICY = BayesPolicy()


def groups(history: AdHistory) -> list[Ints]:
    """Budgets that feed five ads each, and one that feeds one."""
    fed = np.flatnonzero(history.budget > 0)
    return [fed[start : start + 5] for start in range(0, min(len(fed), 20), 5)] + [fed[:1]]


def brought(weighed: Weighed, ads: Ints, budget: Ints, deviates: Floats) -> Floats:
    """What the ads' money brings in each draw, minor units a day."""
    view, room = weighed.view.posterior, weighed.room[ads] * weighed.history.minor_per_major
    first = np.exp(view.first[ads] + view.own_sd[ads] * deviates)
    return np.asarray((first * room * (1 - np.exp(-budget / room))).sum(axis=1), dtype=np.float64)


def test_a_budgets_chance_to_be_wrong_and_its_loss_are_those_of_the_sum_over_its_ads() -> None:
    history, _ = golden.read()
    weighed, columns = POLICY.weigh(history), as_columns(POLICY.decide(history).verdicts)
    rng, told = np.random.Generator(np.random.PCG64(99)), 0
    for ads in groups(history):
        after = budget_verdict(columns, ads)[1]
        move = judge_move(weighed, ads, after)
        if move is None:
            continue
        deviates = rng.standard_normal((100_000, len(ads)))
        before = history.budget[ads]
        more = brought(weighed, ads, after, deviates) - brought(weighed, ads, before, deviates)
        gain = more - weighed.shares.level * (after.sum() - before.sum())
        assert move.wrong == pytest.approx(float((gain < 0).mean()), abs=0.03)
        expected = float(np.maximum(-gain, 0).mean()) * POLICY.horizon_days
        assert move.wrong * move.loss == pytest.approx(expected, rel=0.1, abs=0.02 * before.sum())
        told += 1
    assert told


def test_of_one_ad_whose_money_moves_a_little_it_is_what_its_confidence_leaves() -> None:
    history, _ = golden.read()
    weighed = POLICY.weigh(history)
    for ad in np.flatnonzero(history.budget > 0)[:5]:
        more = judge_move(weighed, np.array([ad]), history.budget[[ad]] + 1)
        less = judge_move(weighed, np.array([ad]), history.budget[[ad]] - 1)
        assert more is not None
        assert less is not None
        assert more.wrong + less.wrong == pytest.approx(1.0, abs=0.02)
        view = weighed.view.posterior
        room = weighed.room[ad] * history.minor_per_major
        last = (view.first[ad] - history.budget[ad] / room - np.log(weighed.shares.level)) / view.own_sd[ad]
        assert more.wrong == pytest.approx(
            float(np.mean(np.random.default_rng(1).standard_normal(200_000) > last)), abs=0.03
        )


def test_where_nothing_moves_nothing_can_be_wrong() -> None:
    history, _ = golden.read()
    ads = np.flatnonzero(history.budget > 0)[:3]
    assert judge_move(POLICY.weigh(history), ads, history.budget[ads]) is None


def test_the_joint_return_of_one_ad_is_its_own_and_of_several_lies_between_them() -> None:
    history, _ = golden.read()
    weighed = POLICY.weigh(history)
    roas = np.exp(weighed.view.posterior.mean)
    for ads in groups(history):
        joint = joint_return(weighed, ads)
        assert joint.low < joint.median < joint.high
        if len(ads) == 1:
            wide = np.exp(1.6449 * weighed.view.posterior.sd[ads[0]])
            told, own = [joint.low, joint.median, joint.high], roas[ads[0]]
            assert told == pytest.approx([own / wide, own, own * wide], rel=0.06)
        else:
            assert roas[ads].min() < joint.median < roas[ads].max() * 1.3


def test_the_spend_that_flips_a_budget_does_so_to_the_minor_unit_when_decided_again() -> None:
    history, _ = golden.read()
    told: set[Verdict] = set()
    for ads in groups(history):

        def read(result: PolicyResult, ads: Ints = ads) -> tuple[Verdict, Evidence]:
            return budget_verdict(as_columns(result.verdicts), ads)[0], {}

        now = read(POLICY.decide(history))[0]
        if now in told:
            continue
        found = flip(POLICY.decide, history, ads, read)
        if found is None:
            continue
        spent = int(history.row_spend[np.isin(history.row_ad, ads)].sum())
        nearer = found.spend + (1 if found.spend < spent else -1)
        assert read(POLICY.decide(with_spend(history, ads, found.spend)))[0] is found.verdict is not now
        assert read(POLICY.decide(with_spend(history, ads, nearer)))[0] is now
        told.add(now)
    assert told >= {Verdict.SCALE, Verdict.CUT}
