"""Leads per effective unit of spend: Gamma-Poisson per ad, shrunk to its campaign and its clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from adctl.domain.neighbours import Counts
from adctl.domain.policies.bayes.campaigns import (
    LOG_SHAPES,
    SHAPE_PRIOR,
    USUAL_SHAPE,
    Campaigns,
    campaign_factors,
    fit_campaign_leads,
    sampled,
)
from adctl.domain.policies.bayes.pieces import chosen
from adctl.domain.policies.bayes.special import log_gamma_moments
from adctl.domain.policies.protocol import Floats, Ints

_ELASTICITIES = np.linspace(-2.1, 2.1, 13)
# The fine grid about what the coarse one found, and the least half-width that leaves no peak between two nodes.
_FINE = np.linspace(-3.0, 3.0, 13)
_LEAST_SD = 0.12
_ELASTICITY_SD = 0.7
# Clicks that an ad's click yield is shrunk by: the spread of click rates between ads is about a quarter (in logs).
_SURE_CLICKS = 15.0
# Ads that the account's numbers are learned from; more change nothing but the time it takes.
_SAMPLE = 4_000
# Those that its rate is: their leads leave next to nothing unsure.
_POOLED = 100_000
_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadModel:
    """What the account's ads have in common: the usual rate, its spread (a Gamma's shape), that of campaigns (the leads
    that a campaign's own rate is shrunk by), what clicks are worth."""

    log_rate: float
    log_rate_variance: float
    shape: float
    campaign_leads: float
    elasticity: float
    elasticity_variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leads:
    """Posterior of log leads per effective major unit, shape n, and the parts that its mean is the sum of; `usual` are
    the leads to be expected of such an ad before its own came."""

    mean: Floats
    own_variance: Floats
    common_variance: float
    account: float
    campaign: Floats
    clicks: Floats
    own: Floats
    neighbours: Floats | float
    shape: Floats
    usual: Floats


def click_yield(clicks: Ints | Floats, exposure: Floats, kin: Counts | None = None) -> Floats:
    """Log of clicks per effective unit of spend (click rate over price) relative to the account's, shrunk to 0.

    What similar, older ads say of an ad's clicks (`kin`) counts beside its own.
    """
    total = exposure.sum()
    if total <= 0 or clicks.sum() <= 0:
        return np.zeros(len(clicks))
    found, expected = clicks + _SURE_CLICKS, exposure * float(clicks.sum() / total)
    if kin is not None:
        found += kin.events
        expected += kin.expected
    expected += _SURE_CLICKS
    found /= expected
    return np.log(found, out=found)


def fit_leads(leads: Floats, exposure: Floats, clicks: Floats, campaign: Ints, campaign_leads: float) -> LeadModel:
    """What clicks are worth and how far ads and campaigns differ by marginal likelihood on grids; the rate by its own
    score equation.

    `leads`, `exposure` and `clicks` (log click yield) have shape n. `campaign_leads` are those that a campaign's own
    rate is shrunk by until the account tells how its campaigns differ.
    """
    those = sampled(campaign, _SAMPLE)
    y, e, x, c = leads[those], exposure[those], clicks[those], campaign[those]
    fed = e > 0
    y, e, x, c = y[fed], e[fed], x[fed], c[fed]
    shape, sure, elasticity, variance = USUAL_SHAPE, campaign_leads, 0.0, _ELASTICITY_SD**2
    if len(y):
        factor = campaign_factors(y, e * _rate(y, e, shape)[0], c, shape, sure).factor[c]
        _, elasticity, variance = _grid(y, e * factor, x, _ELASTICITIES)
        lifted = e * np.exp(elasticity * x)
        expected = lifted * _rate(y, lifted, shape)[0]
        sure = fit_campaign_leads(y, expected, c, sure)
        factor = campaign_factors(y, expected, c, shape, sure).factor[c]
        fine = elasticity + max(float(np.sqrt(variance)), _LEAST_SD) * _FINE
        shape, elasticity, variance = _grid(y, e * factor, x, fine)
    some = chosen(len(leads), _POOLED)
    rate, rate_variance = _rate(leads[some], exposure[some] * np.exp(elasticity * clicks[some]), shape)
    return LeadModel(
        log_rate=float(np.log(rate)),
        log_rate_variance=rate_variance,
        shape=shape,
        campaign_leads=sure,
        elasticity=elasticity,
        elasticity_variance=variance,
    )


def campaigns_of(model: LeadModel, leads: Floats, exposure: Floats, clicks: Floats, campaign: Ints) -> Campaigns:
    """What each campaign's ads (n) say of it."""
    return campaign_factors(leads, _expected(model, exposure, clicks), campaign, model.shape, model.campaign_leads)


def lead_posterior(
    model: LeadModel,
    campaigns: Campaigns,
    campaign: Ints,
    leads: Floats,
    exposure: Floats,
    clicks: Floats,
    kin: Neighbours | None = None,
) -> Leads:
    """Each ad's Gamma posterior; `campaign` is each ad's.

    What neighbours say stands beside the prior as leads that came and leads that the account would have expected; their
    part of the mean is what it gains by them, and fades as the ad's own leads come.
    """
    lifted = model.elasticity * clicks
    factor, log_factor, doubt = (
        column.take(campaign, mode="clip") for column in (campaigns.factor, campaigns.log_factor, campaigns.variance)
    )
    expected = _expected(model, exposure, clicks)
    expected *= factor
    own, variance, shape, pull = _own(model.shape, leads, expected)
    neighbours: Floats | float = 0.0
    usual = expected
    if kin is not None:
        more = model.elasticity * (kin.clicks - clicks)
        expected = expected * np.exp(more)
        # Counted in the account's usual rate, which the campaign and the clicks have moved.
        beside = Counts(events=kin.leads.events, expected=kin.leads.expected * np.exp(log_factor + lifted + more))
        informed, variance, shape, pull = _own(model.shape, leads, expected, beside)
        neighbours = informed - own + more
        usual = usual * np.exp(neighbours)
        clicks = kin.clicks
    prior_variance = doubt + model.elasticity_variance * clicks**2
    mean = model.log_rate + log_factor + lifted + own + neighbours
    return Leads(
        mean=mean,
        own_variance=variance + pull**2 * prior_variance,
        common_variance=model.log_rate_variance,
        account=model.log_rate,
        campaign=log_factor,
        clicks=lifted,
        own=own,
        neighbours=neighbours,
        shape=shape,
        usual=usual,
    )


def _expected(model: LeadModel, exposure: Floats, clicks: Floats) -> Floats:
    """The leads to be expected of an ad by its clicks alone."""
    return exposure * np.exp(model.log_rate + model.elasticity * clicks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What similar, older ads say: leads beside the prior, and the log click yield with their clicks counted in."""

    leads: Counts
    clicks: Floats


def _own(
    prior: float, leads: Floats, expected: Floats, beside: Counts | None = None
) -> tuple[Floats, Floats, Floats, Floats]:
    """What an ad's own count adds to its prior mean (the log mean of its Gamma factor), that log's variance, the
    factor's shape, and the prior's pull."""
    shape, rate = prior + leads, prior + expected
    if beside is not None:
        shape, rate = shape + beside.events, rate + beside.expected
    mean, variance = log_gamma_moments(shape)
    return mean - np.log(rate), variance, shape, prior / rate


def _rate(y: Floats, e: Floats, shape: float) -> tuple[float, float]:
    """The rate that solves the negative binomial score, and the variance of its log; half a lead is added."""
    if e.sum() <= 0:
        return 1.0, 2.0
    rate = float((y.sum() + 0.5) / e.sum())
    information = 0.5
    for _ in range(_ROUNDS):
        weight = shape / (shape + rate * e)
        rate = float(((weight * y).sum() + 0.5) / (weight * e).sum())
        information = float((weight * rate * e).sum()) + 0.5
    return rate, 1.0 / information


def _grid(y: Floats, e: Floats, x: Floats, elasticities: Floats) -> tuple[float, float, float]:
    """Posterior means of shape and elasticity and the latter's variance; the rate is fitted at each elasticity."""
    shapes = np.exp(LOG_SHAPES)[:, None]
    fits = np.empty((len(shapes), len(elasticities)))
    constant = gammaln(shapes + y).sum(axis=1) - len(y) * gammaln(shapes[:, 0])
    for place, elasticity in enumerate(elasticities):
        lifted = e * np.exp(elasticity * x)
        log_mean = np.log(lifted * _rate(y, lifted, USUAL_SHAPE)[0])
        both = np.log(shapes + np.exp(log_mean))
        fits[:, place] = ((shapes * (np.log(shapes) - both)) + y * (log_mean - both)).sum(axis=1)
    log_weight = fits + (constant + SHAPE_PRIOR)[:, None] - 0.5 * (elasticities / _ELASTICITY_SD) ** 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    shape = float(np.exp((weight.sum(axis=1) * LOG_SHAPES).sum()))
    each = weight.sum(axis=0)
    mean = float((each * elasticities).sum())
    return shape, mean, float((each * (elasticities - mean) ** 2).sum())
