"""What a won deal brings: lognormal, pooled over the account, each ad's mean shrunk to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.funnel import Deals
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import Floats, Ints

# How ads differ in the mean log value of their deals.
_AD_SD = 0.2
# The variance of one deal's log has an inverse-gamma prior: its mean, and as many degrees of freedom. A smaller mean
# would take the first few small deals for what all bring, and kill an account of which few large ones carry the value.
_PRIOR_VARIANCE = 1.0
_PRIOR_FREEDOM = 5.0
# How far the account's mean may lie from where the prior puts it (in logs).
_MEAN_SD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueModel:
    """Mean of the log of a won deal (major units) over ads, its variance; the expected variance of one deal's log, and
    how uncertain that is."""

    mean: float
    mean_variance: float
    variance: float
    variance_variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Posterior of the log of an ad's expected deal, shape n."""

    mean: Floats
    own_variance: Floats
    common_variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """Won deals whose worth is known, per ad: how many, the sum of their logs and of the logs' squares."""

    count: Ints
    total: Floats
    square: Floats


def won_of(deals: Deals) -> Won:
    won = np.flatnonzero(deals.won)
    ad, worth = deals.ad[won], deals.worth(won)
    known = worth > 0
    ad, logs = ad[known], np.log(worth[known])
    return Won(
        count=np.bincount(ad, minlength=deals.ads),
        total=totals(ad, logs, deals.ads),
        square=totals(ad, logs**2, deals.ads),
    )


def fit_values(won: Won, prior_mean: float) -> ValueModel:
    """`prior_mean` is where the account's mean log value lies until deals tell; they soon outweigh it."""
    deals = float(won.count.sum())
    within = 0.0
    if deals:
        centre = float(won.total.sum()) / deals
        within = max(float(won.square.sum()) - deals * centre**2 - deals * _AD_SD**2, 0.0)
    # Half the degrees of freedom are the inverse gamma's shape; the mean of the deals took one.
    freedom = _PRIOR_FREEDOM + max(deals - 1, 0.0)
    variance = ((_PRIOR_FREEDOM - 2) * _PRIOR_VARIANCE + within) / (freedom - 2)
    # One over the variance of an ad's mean, 0 where it has no deal.
    weight = won.count / (variance + _AD_SD**2 * won.count)
    means = won.total / np.maximum(won.count, 1.0)
    precision = float(weight.sum()) + 1 / _MEAN_SD**2
    mean = (float((weight * means).sum()) + prior_mean / _MEAN_SD**2) / precision
    return ValueModel(
        mean=mean,
        mean_variance=1 / precision,
        variance=variance,
        variance_variance=2 * variance**2 / (freedom - 4),
    )


def value_posterior(model: ValueModel, won: Won) -> Values:
    precision = won.count / model.variance + 1 / _AD_SD**2
    mean = (won.total / model.variance + model.mean / _AD_SD**2) / precision
    return Values(
        mean=mean + model.variance / 2,
        own_variance=1 / precision,
        common_variance=model.mean_variance + model.variance_variance / 4,
    )
