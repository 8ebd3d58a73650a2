"""What each stage of a pipeline is worth, learned from the deals that went through it, open ones by their age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from adctl.domain.policies.bayes.delays import fit_delays
from adctl.domain.policies.bayes.funnel import funnel_of
from adctl.domain.policies.bayes.posterior import Z90
from adctl.domain.policies.bayes.special import log_beta_moments
from adctl.domain.policies.bayes.stages import Tallies, tally
from adctl.domain.policies.protocol import AdHistory, Floats, Ints

# Fewer won deals with an amount say too little of what a deal brings.
LEAST_WON = 5
_PRIOR = 0.5
_NOBODY = np.zeros(1, dtype=np.int64)
_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedStage:
    """A deal that comes to `stage` is worth `value` minor units (expected), with 90 % between `low` and `high`; it is
    won with probability `chance`. `deals` came to the stage.
    """

    stage: str
    value: int
    low: int
    high: int
    chance: float
    deals: int


def learn_stages(
    stages: tuple[str, ...], entered: Floats, lost: Floats, age: Floats, cash: Ints, minor_per_major: int
) -> tuple[LearnedStage, ...]:
    """The values of the stages of one pipeline in its order, the last one won; nothing when too few deals were won.

    `entered` (k, stages) and `lost`, `age` (k) are days ago, NaN for never; `cash` is the won amount, 0 when unknown.
    The value of a stage is that of a won deal times P(progress) of every step that is still to come. A CRM that never
    marks losses is recognised, and its deals are counted by how long they have had. What two deals have in common is
    not known here, so the intervals are those of deals that are alike.
    """
    funnel = funnel_of(_history(stages, entered, lost, age, cash, minor_per_major))
    deals = funnel.some(slice(None))
    worth = cash[deals.won & (cash > 0)] / minor_per_major
    if len(worth) < LEAST_WON:
        return ()
    delays = fit_delays(funnel, _NOBODY, 1, len(funnel.ad) + 1)
    tallies = tally(funnel, delays, _NOBODY)
    mean, variance = _chances(tallies, delays.doubt)
    price, price_variance = _price(np.log(worth))
    # The first stage is no step where every deal begins in it.
    taken = [place + 1 - (len(stages) - funnel.length) for place in range(len(stages))]
    return tuple(
        _learned(
            stage,
            int((deals.reached >= steps).sum()),
            (float(mean[steps:].sum()), float(variance[steps:].sum())),
            (price, price_variance),
            minor_per_major,
        )
        for stage, steps in zip(stages, taken, strict=True)
    )


def _history(
    stages: tuple[str, ...], entered: Floats, lost: Floats, age: Floats, cash: Ints, minor_per_major: int
) -> AdHistory:
    """The deals as those of one ad that has no end of time."""
    return AdHistory(
        account="",
        day=date.min,
        currency="",
        minor_per_major=minor_per_major,
        ad_ids=("all",),
        campaign=_NOBODY,
        active=np.ones(1, dtype=np.bool_),
        age_hours=np.full(1, np.nan),
        budget=_NOBODY,
        row_ad=_NOTHING,
        row_days_ago=_NOTHING,
        row_impressions=_NOTHING,
        row_clicks=_NOTHING,
        row_spend=_NOTHING,
        row_leads=_NOTHING,
        deal_ad=np.zeros(len(age), dtype=np.int64),
        deal_days_ago=np.floor(age).astype(np.int64),
        deal_value=cash,
        deal_cash=cash,
        stages=stages,
        deal_entered=entered,
        deal_lost=lost,
    )


def _chances(tallies: Tallies, doubt: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the log of P(progress) per step, shape (steps,)."""
    yes, no = tallies.successes[0] + _PRIOR, tallies.failures[0] + _PRIOR
    mean, variance = log_beta_moments(yes, no)
    return mean, variance + doubt


def _price(logs: Floats) -> tuple[float, float]:
    """Mean and variance of the log of the expected amount, major units, amounts being lognormal: at most the largest,
    as few of them with one mistyped would else stand for more than anybody ever paid."""
    deals = len(logs)
    variance = float(logs.var(ddof=1))
    return min(float(logs.mean()) + variance / 2, float(logs.max())), variance / deals + variance**2 / (2 * (deals - 1))


def _learned(
    stage: str, deals: int, to_win: tuple[float, float], price: tuple[float, float], minor_per_major: int
) -> LearnedStage:
    middle, spread = price[0] + to_win[0], float(np.sqrt(to_win[1] + price[1]))
    low, value, high = (minor_per_major * float(np.exp(middle + z * spread)) for z in (-Z90, 0.0, Z90))
    return LearnedStage(
        stage=stage,
        value=round(value),
        low=round(low),
        high=round(high),
        chance=float(np.exp(to_win[0])),
        deals=deals,
    )
