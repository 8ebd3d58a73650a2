"""Verdicts: each at its threshold, in their order, with what is lost if they are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from adctl.domain.policies.bayes.bounds import Standing
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Posterior
from adctl.domain.policies.bayes.verdicts import Judgement, judge, killable
from adctl.domain.policies.protocol import VERDICTS, Floats, Verdict

NOBODY = np.zeros(1, dtype=np.bool_)
SURE = float(ndtri(0.95))


def column(*values: float) -> Floats:
    return np.array(values)


def at(roas: float, sd: float = 0.3, saturation: float = 0.0) -> Posterior:
    """One ad of that median ROAS."""
    mean = column(float(np.log(roas)))
    return Posterior(mean=mean, saturation=column(saturation), sd=column(sd), own_sd=column(sd))


def standing(**changed: object) -> Standing:
    told = Standing(
        active=~NOBODY,
        protected=NOBODY,
        refused=NOBODY,
        starved=NOBODY,
        outdone=column(np.inf),
        budget=column(40.0),
        next_sd=column(0.3),
    )
    return replace(told, **changed)  # type: ignore[arg-type]


def judged(view: Posterior, stands: Standing, *, before: int = 4_000, after: int = 4_000) -> Judgement:
    ours = BayesParameters()
    return judge(view, stands, ours, np.array([before]), np.array([after]), 100)


def verdict(view: Posterior, stands: Standing, *, before: int = 4_000, after: int = 4_000) -> Verdict:
    return VERDICTS[int(judged(view, stands, before=before, after=after).verdict[0])]


@pytest.mark.parametrize(("beyond", "expected"), [(1e-6, Verdict.KILL), (-1e-6, Verdict.KEEP)])
def test_an_ad_is_killed_from_exactly_the_certainty_on(beyond: float, expected: Verdict) -> None:
    # P(ROAS < 0.5) = 0.95 at a median of 0.5·e^(−1.645·0.3).
    assert verdict(at(0.5 * float(np.exp(-(SURE + beyond) * 0.3))), standing()) is expected


def test_an_ad_that_returns_enough_on_less_money_is_not_killed() -> None:
    # 0.2 on all of its money, 0.9 on the first of it.
    full = at(0.2, saturation=float(np.log(0.2 / 0.9)))
    told = judged(full, standing())

    assert verdict(at(0.2), standing()) is Verdict.KILL
    assert VERDICTS[int(told.verdict[0])] is Verdict.KEEP
    # To be worth nothing on any budget it would have to return less than this on today's.
    assert told.bar[0] == pytest.approx(0.5 * 0.2 / 0.9)
    assert told.below_kill[0] == pytest.approx(at(0.9).below(0.5)[0])
    assert told.flips_at[0] == pytest.approx(0.5 * 0.2 / 0.9 * np.exp(-SURE * 0.3))


def test_the_ignorance_zone_protects_the_worst_ad() -> None:
    assert verdict(at(0.01), standing(protected=~NOBODY)) is Verdict.WAIT


def test_the_gate_holds_back_who_would_be_killed() -> None:
    assert not killable(at(0.01), standing(refused=~NOBODY), BayesParameters())[0]
    assert killable(at(0.01), standing(), BayesParameters())[0]


def test_an_ad_scales_when_it_is_sure_to_return_enough_and_its_budget_binds() -> None:
    sure = at(3.0 * float(np.exp(0.85 * 0.3)))

    assert verdict(sure, standing(), after=4_800) is Verdict.SCALE
    assert verdict(sure, standing(), after=4_000) is Verdict.KEEP
    assert verdict(at(3.1), standing(), after=4_800) is Verdict.KEEP


def test_an_ad_left_below_the_platforms_minimum_for_days_is_cut() -> None:
    starved = standing(starved=~NOBODY)

    assert verdict(at(0.9), starved, before=100, after=100) is Verdict.CUT
    assert verdict(at(0.9), starved, before=100, after=150) is Verdict.KEEP
    assert verdict(at(0.9), replace(starved, protected=~NOBODY), before=100, after=100) is Verdict.WAIT


def test_an_ad_without_money_goes_on_while_it_may_earn_more_than_the_others() -> None:
    starved = standing(starved=~NOBODY, outdone=column(float(np.log(0.9))))
    told = judged(at(0.8), starved, before=100, after=100)

    assert VERDICTS[int(told.verdict[0])] is Verdict.CUT
    assert told.flips_at[0] == pytest.approx(0.9)
    assert verdict(at(1.0), starved, before=100, after=100) is Verdict.KEEP
    assert judged(at(1.0), starved, before=100, after=100).flips_at[0] == pytest.approx(0.9)


def test_waiting_is_for_losers_of_whom_more_is_worth_knowing_than_it_costs() -> None:
    teaches = standing(next_sd=column(0.4))
    doubtful = at(0.3, sd=0.8)

    assert verdict(doubtful, teaches) is Verdict.WAIT
    assert verdict(doubtful, standing(next_sd=column(0.79))) is Verdict.KEEP
    assert verdict(at(0.9, sd=0.8), teaches) is Verdict.KEEP
    told = judged(doubtful, teaches)
    # Seven days of 40 at an expected shortfall of 0.5 − 0.3·e^0.32.
    assert told.costs[0] == pytest.approx((0.5 - 0.3 * np.exp(0.32)) * 40 * 7)
    assert told.buys[0] > told.costs[0]


def test_an_ad_that_is_not_active_is_kept_and_loses_nothing() -> None:
    told = judged(at(0.01), standing(active=NOBODY))

    assert VERDICTS[int(told.verdict[0])] is Verdict.KEEP
    assert told.loss[0] == 0.0


def test_a_kill_is_wrong_as_often_as_the_return_is_above_the_bar_and_then_costs_the_surplus() -> None:
    view = at(0.25)
    told = judged(view, standing())

    assert told.wrong[0] == pytest.approx(1 - view.below(0.5)[0])
    assert (told.bar[0], bool(told.wrong_above[0])) == (0.5, True)
    # The mean surplus given that there is one, on 30 days of 40.
    surplus = float(view.surplus(0.5, view.expected)[0])
    assert told.loss[0] == pytest.approx(surplus / float(told.wrong[0]) * 40 * 30)
    assert told.flips_at[0] == pytest.approx(0.5 * np.exp(-SURE * 0.3))
