"""Verdicts: what to do with each ad, how likely that is wrong, what it would cost, what waiting buys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.bounds import Standing, bounds_of, kill_bound
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Posterior, rounded
from adctl.domain.policies.protocol import VERDICTS, Codes, Flags, Floats, Ints, Verdict

_KILL, _CUT, _SCALE = (VERDICTS.index(one) for one in (Verdict.KILL, Verdict.CUT, Verdict.SCALE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Shape n. `below_kill` is P(no budget returns the kill ROAS), `below_scale` P(ROAS < scale ROAS). `wrong` is the
    probability that the truth asks for another verdict, `bar` the ROAS at today's budget that decides that and
    `wrong_above` on which side of it; `loss` is what is lost over
    the horizon if so (expected, major units). Waiting one cycle `costs` and `buys` major units. `flips_at` is the
    nearest median ROAS beyond which, its share of the money and its uncertainty as they are, the ad's verdict would be
    another; NaN where no ROAS changes it."""

    verdict: Codes
    below_kill: Floats
    below_scale: Floats
    wrong: Floats
    bar: Floats
    wrong_above: Flags
    loss: Floats
    costs: Floats
    buys: Floats
    flips_at: Floats


def killable(view: Posterior, standing: Standing, parameters: BayesParameters) -> Flags:
    """Which ads are to be killed."""
    return np.asarray(view.mean <= kill_bound(view, standing, parameters), dtype=np.bool_)


def judge(
    view: Posterior, standing: Standing, parameters: BayesParameters, before: Ints, after: Ints, minimum: int
) -> Judgement:
    """`before` and `after` are budgets in minor units, `minimum` the least that the platform spends sensibly."""
    scale = parameters.scale_roas
    # What returns the kill ROAS on its first unit returns this at today's budget.
    kill = parameters.kill_roas * np.exp(view.saturation)
    bounds = bounds_of(view, standing, parameters, after > before, after <= minimum)
    verdict = bounds.verdicts(view.mean)
    scaled, above = verdict == _SCALE, (verdict == _KILL) | (verdict == _CUT)
    expected, below_scale = view.expected, view.below(scale)
    below_kill, short = view.short(kill, np.log(parameters.kill_roas) + view.saturation, expected)
    below_kill = rounded(below_kill)
    amiss = np.where(above, np.maximum(short + expected - kill, 0.0), short)
    amiss[scaled] = view.some(scaled).shortfall(scale)
    wrong = np.where(above, 1.0 - below_kill, np.where(scaled, below_scale, below_kill))
    loss = amiss / np.maximum(wrong, 1e-9) * standing.budget * parameters.horizon_days
    costs, buys = _waiting(view, expected, standing, parameters)
    return Judgement(
        verdict=verdict,
        below_kill=below_kill,
        below_scale=below_scale,
        wrong=wrong,
        bar=np.where(scaled, scale, kill),
        wrong_above=above,
        loss=np.where(standing.active, loss, 0.0),
        costs=costs,
        buys=buys,
        flips_at=np.exp(bounds.flips_at(view.mean)),
    )


def _waiting(
    view: Posterior, expected: Floats, standing: Standing, parameters: BayesParameters
) -> tuple[Floats, Floats]:
    """What one more cycle costs and buys, major units, against stopping an ad that returns less than the kill ROAS.

    It costs the shortfall of the expected return on the money of a cycle. It buys, over the horizon, the mean
    surplus that the ad turns out to have, seen from today: its expected ROAS then is lognormal about today's, the
    wider the more the cycle is expected to teach.
    """
    bar = parameters.kill_roas
    learned = np.sqrt(np.maximum(view.sd**2 - standing.next_sd**2, 1e-18))
    seen = Posterior(mean=view.log_expected - learned**2 / 2, saturation=view.saturation, sd=learned, own_sd=learned)
    costs = np.maximum(bar - expected, 0.0) * standing.budget * parameters.cycle_days
    gain = np.maximum(seen.surplus(bar, expected) - np.maximum(expected - bar, 0.0), 0.0)
    return costs, gain * standing.budget * parameters.horizon_days
