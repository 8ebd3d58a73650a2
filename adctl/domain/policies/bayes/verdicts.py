"""Verdicts: what to do with each ad, how likely that is wrong, what it would cost, what waiting buys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Posterior
from adctl.domain.policies.protocol import VERDICTS, Codes, Flags, Floats, Ints, Verdict

_CODE = {verdict: code for code, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What, beside the posterior, a verdict rests on; shape n. Money is major units a day.

    `protected` ads are in the ignorance zone; `starved` ones have spent less than the platform's minimum for days, or
    should and cannot, for their budget feeds others; `next_sd` is the posterior's spread expected after one more cycle
    at today's budget.
    """

    active: Flags
    protected: Flags
    starved: Flags
    budget: Floats
    next_sd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Shape n. `wrong` is the probability that the truth asks for another verdict, `bar` the ROAS that decides that
    and `wrong_above` on which side of it; `loss` is what is lost over the horizon if so (expected, major units).
    Waiting one cycle `costs` and `buys` major units. `flips_at` is the median ROAS at which, with the same
    uncertainty, the verdict would be another."""

    verdict: Codes
    wrong: Floats
    bar: Floats
    wrong_above: Flags
    loss: Floats
    costs: Floats
    buys: Floats
    flips_at: Floats


def killable(view: Posterior, standing: Standing, parameters: BayesParameters, refused: Flags) -> Flags:
    """Which ads are to be killed; `refused` are those that the e-process gate holds back."""
    sure = view.below(parameters.kill_roas) >= parameters.kill_certainty
    return standing.active & ~standing.protected & ~refused & sure


def judge(
    view: Posterior,
    standing: Standing,
    parameters: BayesParameters,
    killed: Flags,
    before: Ints,
    after: Ints,
    minimum: int,
) -> Judgement:
    """`before` and `after` are budgets in minor units, `minimum` the least that the platform spends sensibly."""
    costs, buys = waiting(view, standing, parameters)
    verdict = _verdicts(view, standing, parameters, killed, after > before, after <= minimum, (costs, buys))
    bar = np.where(verdict == _CODE[Verdict.SCALE], parameters.scale_roas, parameters.kill_roas)
    above = (verdict == _CODE[Verdict.KILL]) | (verdict == _CODE[Verdict.CUT])
    below = np.where(bar == parameters.scale_roas, view.below(parameters.scale_roas), view.below(parameters.kill_roas))
    short = np.where(bar == parameters.scale_roas, *(view.shortfall(r) for r in _bars(parameters)))
    over = view.surplus(parameters.kill_roas)
    wrong = np.where(above, 1.0 - below, below)
    loss = np.where(above, over, short) / np.maximum(wrong, 1e-9) * standing.budget * parameters.horizon_days
    return Judgement(
        verdict=verdict,
        wrong=wrong,
        bar=bar,
        wrong_above=above,
        loss=np.where(standing.active, loss, 0.0),
        costs=costs,
        buys=buys,
        flips_at=_flips_at(view, parameters, verdict),
    )


def waiting(view: Posterior, standing: Standing, parameters: BayesParameters) -> tuple[Floats, Floats]:
    """What one more cycle costs and buys, major units, against stopping an ad that returns less than the kill ROAS.

    It costs the shortfall of the expected return on the money of a cycle. It buys, over the horizon, the mean
    surplus that the ad turns out to have, seen from today: its expected ROAS then is lognormal about today's, the
    wider the more the cycle is expected to teach.
    """
    expected, bar = view.expected, parameters.kill_roas
    learned = np.sqrt(np.maximum(view.sd**2 - standing.next_sd**2, 1e-18))
    seen = Posterior(mean=np.log(expected) - learned**2 / 2, first=view.first, sd=learned, own_sd=learned)
    costs = np.maximum(bar - expected, 0.0) * standing.budget * parameters.cycle_days
    gain = np.maximum(seen.surplus(bar) - np.maximum(expected - bar, 0.0), 0.0)
    return costs, gain * standing.budget * parameters.horizon_days


def _bars(parameters: BayesParameters) -> tuple[float, float]:
    return parameters.scale_roas, parameters.kill_roas


def _verdicts(
    view: Posterior,
    standing: Standing,
    parameters: BayesParameters,
    killed: Flags,
    raised: Flags,
    tiny: Flags,
    wait: tuple[Floats, Floats],
) -> Codes:
    """The first that holds: not active is KEEP; KILL; SCALE; CUT; WAIT (too early, or more is worth knowing); KEEP."""
    costs, buys = wait
    sure = view.below(parameters.scale_roas) <= 1.0 - parameters.scale_certainty
    teaches = standing.next_sd < (1.0 - parameters.wait_shrinks) * view.sd
    doubtful = (view.expected < parameters.kill_roas) & teaches & (costs < buys)
    choices = (
        (~standing.active, Verdict.KEEP),
        (killed, Verdict.KILL),
        (sure & raised & ~standing.protected, Verdict.SCALE),
        (standing.starved & tiny & ~standing.protected, Verdict.CUT),
        (standing.protected | doubtful, Verdict.WAIT),
    )
    return np.select(
        [flags for flags, _ in choices], [_CODE[verdict] for _, verdict in choices], _CODE[Verdict.KEEP]
    ).astype(np.int8)


def _flips_at(view: Posterior, parameters: BayesParameters, verdict: Codes) -> Floats:
    """KILL turns at its certainty's quantile, SCALE at its own; KEEP, WAIT and CUT at the nearer of both."""
    kill = np.log(parameters.kill_roas) - ndtri(parameters.kill_certainty) * view.sd
    scale = np.log(parameters.scale_roas) + ndtri(parameters.scale_certainty) * view.sd
    nearer = np.where(np.abs(view.mean - kill) <= np.abs(scale - view.mean), kill, scale)
    decides = np.select([verdict == _CODE[Verdict.KILL], verdict == _CODE[Verdict.SCALE]], [kill, scale], nearer)
    return np.asarray(np.exp(decides), dtype=np.float64)
