"""What is unsure about a step's delays, averaged over: while most deals are open, slow wins and none look alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr

from adctl.domain.policies.protocol import Floats

# Nodes of the grids in standard deviations, as few as give the moments to a part in hundred.
_CHANCES: Floats = np.linspace(-3.5, 3.5, 15)
_CENTRES: Floats = np.linspace(-4.5, 4.5, 13)
_MARKS: Floats = np.linspace(-2.5, 2.5, 6)
_SPREADS: Floats = np.array([-1.6, 0.0, 1.6])
_LEAST_ODDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step's deals by bin of days (`logs` are the bins' log days), and where its likelihood is greatest.

    `centre`, `spread` are the lognormal of the days to progress, of which those seen have the mean `times` and the
    variance `scatter` in logs; `lost_by` (bins) is P(marked by then | ever marked). `prior` and `usual` are the priors
    of centre and spread, as strong as `prior_weight` and `usual_weight` transitions.
    """

    logs: Floats
    progressed: float
    lost: float
    times: float
    scatter: float
    waiting: Floats
    chance: float
    centre: float
    spread: float
    marked: float
    lost_by: Floats
    prior: float
    prior_weight: float
    usual: float
    usual_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """Posterior means of a step's chance (of its log), centre, spread and share of losses that are ever marked; `doubt`
    is the variance that not knowing the last three adds to the log of the chance."""

    chance: float
    centre: float
    spread: float
    marked: float
    doubt: float


def cure_posterior(step: Step, progress_prior: tuple[float, float], marked_prior: tuple[float, float]) -> Cure:
    """Mixture-cure likelihood on a grid about its peak, of axes spread, chance, centre, marked share."""
    told = step.progressed + step.lost
    chances = expit(logit(step.chance) + _CHANCES * _odds_sd(step.chance, told))
    marks = expit(logit(step.marked) + _MARKS * _odds_sd(step.marked, step.lost))
    centres = step.centre + _CENTRES * step.spread / np.sqrt(step.progressed + step.prior_weight)
    spreads = step.spread * np.exp(_SPREADS / np.sqrt(2 * (step.progressed + step.usual_weight)))
    fit = np.array([_open_fit(step, chances, centres, spread, marks) for spread in spreads])
    fit += _beta(chances, step.progressed + progress_prior[0], step.lost + progress_prior[1])[:, None, None]
    fit += _beta(marks, step.lost + marked_prior[0], marked_prior[1])
    fit += _timing(step, centres, spreads)[:, None, :, None]
    weight = np.exp(fit - fit.max())
    weight /= weight.sum()
    logs = np.log(chances)
    mean = float(weight.sum(axis=(0, 2, 3)) @ logs)
    # Where the delays are known: what the chance still varies by is counted elsewhere, deal by deal.
    column = weight.sum(axis=1)
    means = (weight * logs[:, None, None]).sum(axis=1) / np.maximum(column, 1e-300)
    return Cure(
        chance=float(np.exp(mean)),
        centre=float(weight.sum(axis=(0, 1, 3)) @ centres),
        spread=float(weight.sum(axis=(1, 2, 3)) @ spreads),
        marked=float(weight.sum(axis=(0, 1, 2)) @ marks),
        doubt=float((column * (means - mean) ** 2).sum()),
    )


def _open_fit(step: Step, chances: Floats, centres: Floats, spread: float, marks: Floats) -> Floats:
    """Log likelihood of the open deals: they will progress later, or will not and are not marked lost yet."""
    bins = step.waiting > 0
    later = ndtr((centres[:, None] - step.logs[bins]) / spread)
    unmarked = 1 - marks[:, None] * step.lost_by[bins]
    p = chances[:, None, None, None]
    mixed = p * later[None, :, None, :] + (1 - p) * unmarked[None, None, :, :]
    return np.asarray(np.log(np.maximum(mixed, 1e-300)) @ step.waiting[bins], dtype=np.float64)


def _timing(step: Step, centres: Floats, spreads: Floats) -> Floats:
    """Log density of the times seen and of the priors, shape (spreads, centres)."""
    sd = spreads[:, None]
    seen = (
        step.progressed * ((centres - step.times) ** 2 + step.scatter) + step.prior_weight * (centres - step.prior) ** 2
    )
    wide = step.usual_weight * step.usual**2
    number = step.progressed + step.prior_weight + step.usual_weight
    return np.asarray(-(seen + wide) / (2 * sd**2) - number * np.log(sd), dtype=np.float64)


def _odds_sd(chance: float, told: float) -> float:
    """About how unsure the log odds of a chance are after so many outcomes."""
    return float(1 / np.sqrt((told + 2) * max(chance * (1 - chance), _LEAST_ODDS)))


def _beta(chances: Floats, yes: float, no: float) -> Floats:
    """The log density of a Beta on the scale of log odds, on which the grids are even."""
    return np.asarray(yes * np.log(chances) + no * np.log1p(-chances), dtype=np.float64)
