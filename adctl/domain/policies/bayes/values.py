"""What a won deal brings: lognormal, pooled over the account, each ad's mean shrunk to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.funnel import Deals
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import DealCounts, Floats

# How ads differ in the mean log value of their deals.
_AD_VARIANCE = 0.2**2
# The variance of one deal's log has an inverse-gamma prior: its mean, and as many degrees of freedom. A smaller mean
# would take the first few small deals for what all bring, and kill an account of which few large ones carry the value.
_PRIOR_VARIANCE = 1.0
_PRIOR_FREEDOM = 5.0
# Until deals are won, that they somewhat more than pay is as good a guess as any: by how much, and how far the log of
# the expected deal may lie from it.
_WORTH_ABOVE = 0.5
_WORTH_SD = 1.0
# The variances that are weighed against each other: steps so fine that a sum over them is an integral.
_VARIANCES: Floats = np.exp(np.linspace(np.log(0.02), np.log(20.0), 160))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueModel:
    """The log of the account's expected deal (major units) and its variance; the expected variance of one deal's log
    among those of its ad."""

    worth: float
    worth_variance: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Posterior of the log of an ad's expected deal, shape n."""

    mean: Floats
    own_variance: Floats
    common_variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """Won deals whose worth is known, per ad: how many, the sum of their logs and of the logs' squares."""

    count: DealCounts
    total: Floats
    square: Floats


def won_of(deals: Deals) -> Won:
    won = np.flatnonzero(deals.won)
    ad, worth = deals.ad.take(won, mode="clip"), deals.worth(won)
    known = worth > 0
    ad, logs = ad[known], np.log(worth[known])
    return Won(
        count=np.bincount(ad, minlength=deals.ads).astype(np.int32),
        total=totals(ad, logs, deals.ads),
        square=totals(ad, logs**2, deals.ads),
    )


def fit_values(won: Won, pays: float) -> ValueModel:
    """`pays` is the log of a deal that pays for what it takes to win it: near it a deal lies until deals tell.

    How unequal deals are is weighed, not settled: where a few are alike and small, large ones may yet come, and the
    more so the less the few pay for.
    """
    usual, per_deal = pays + _WORTH_ABOVE, _VARIANCES / 2
    # Of the inverse gamma's density on an even grid of logs, but for a constant.
    likely = -_PRIOR_FREEDOM / 2 * np.log(_VARIANCES) - (_PRIOR_FREEDOM / 2 - 1) * _PRIOR_VARIANCE / _VARIANCES
    mean, precision = np.full(len(_VARIANCES), usual), np.full(len(_VARIANCES), _WORTH_SD**-2)
    deals = int(won.count.sum())
    if deals:
        centre, weight = _centre(won)
        around = max(float(won.square.sum()) - float(won.total.sum()) ** 2 / deals, 0.0)
        spread = _VARIANCES + _AD_VARIANCE
        likely -= ((deals - 1) * np.log(spread) + around / spread) / 2
        expected = 1 / weight + _WORTH_SD**2
        likely -= (np.log(expected) + (centre + per_deal - usual) ** 2 / expected) / 2
        mean = (weight * (centre + per_deal) + precision * usual) / (weight + precision)
        precision = weight + precision
    likely = np.exp(likely - likely.max())
    likely /= likely.sum()
    worth = float((likely * mean).sum())
    return ValueModel(
        worth=worth,
        worth_variance=float((likely * (1 / precision + (mean - worth) ** 2)).sum()),
        variance=float((likely * _VARIANCES).sum()),
    )


def _centre(won: Won) -> tuple[Floats, Floats]:
    """The mean log of the account's deals and its precision, for each of the variances."""
    # Ads of as many deals weigh alike.
    ads, totals_of = np.bincount(won.count), np.bincount(won.count, weights=won.total)
    deals = np.flatnonzero(ads[1:]) + 1
    weight = 1 / (_VARIANCES[:, None] + _AD_VARIANCE * deals)
    precision = (weight * (deals * ads[deals])).sum(axis=1)
    return (weight * totals_of[deals]).sum(axis=1) / precision, precision


def value_posterior(model: ValueModel, won: Won) -> Values:
    precision = won.count / model.variance + 1 / _AD_VARIANCE
    mean = (won.total / model.variance + (model.worth - model.variance / 2) / _AD_VARIANCE) / precision
    return Values(mean=mean + model.variance / 2, own_variance=1 / precision, common_variance=model.worth_variance)
