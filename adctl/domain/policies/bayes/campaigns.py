"""How a campaign's ads are alike: each campaign's factor on its ads' leads, and how far campaigns and ads differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

from adctl.domain.policies.bayes.pieces import chosen
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.protocol import Floats, Ints

# Ads of a campaign differ by a Gamma factor of about this shape, campaigns by another, whose shape counts leads. These
# are the grids of the logs of both, and their priors: ads always differ by more than a fourth (of themselves), however
# alike a thousand of them look.
USUAL_SHAPE = 2.5
LOG_SHAPES: Floats = np.log(USUAL_SHAPE) + 0.8 * np.linspace(-2.0, 2.0, 11)
SHAPE_PRIOR: Floats = -0.5 * np.linspace(-2.0, 2.0, 11) ** 2
_LEADS_SD = 0.7
_LEADS_STEPS: Floats = np.linspace(-3.0, 3.0, 13)
# A campaign's factor is integrated over so many of its own standard deviations about what its leads say it is; steps
# of one are exact for all but the shape of a bell.
_REACH: Floats = np.linspace(-4.0, 4.0, 9)
# Campaigns enough to tell how they differ; beyond, campaigns are left out before ads of them are.
_CAMPAIGNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaigns:
    """Each campaign's factor on what its ads were expected to bring, its log and the variance of that; shape of the
    campaigns."""

    factor: Floats
    log_factor: Floats
    variance: Floats


def campaign_factors(leads: Floats, expected: Floats, campaign: Ints, shape: float, sure_leads: float) -> Campaigns:
    """What the leads (n) of each campaign's ads say of it; an ad counts as much as it says about the others.

    `shape` is that of ads; `sure_leads`, that of campaigns, are the leads that a factor is shrunk to 1 by.
    """
    groups = int(campaign.max()) + 1 if len(campaign) else 0
    factor: Floats = np.ones(groups)
    seen: Floats = np.zeros(groups)
    for _ in range(2):
        weight = factor.take(campaign, mode="clip")
        weight *= expected
        weight += shape
        np.divide(shape, weight, out=weight)
        seen = totals(campaign, weight * expected, groups)
        factor = (totals(campaign, weight * leads, groups) + sure_leads) / (seen + sure_leads)
    return Campaigns(factor=factor, log_factor=np.log(factor), variance=1.0 / (seen * factor + sure_leads))


def fit_campaign_leads(leads: Floats, expected: Floats, campaign: Ints, usual_leads: float) -> float:
    """The leads that a campaign's own rate is shrunk by, the fewer the more campaigns differ: exp of its log's mean.

    By the marginal likelihood over each campaign's factor and over how ads differ; `expected` (n) is above 0,
    `usual_leads` the centre of the prior.
    """
    order = np.argsort(campaign, kind="stable")
    _, starts, place = np.unique(campaign[order], return_index=True, return_inverse=True)
    leads, expected = leads[order], expected[order]
    about = campaign_factors(leads, expected, place, USUAL_SHAPE, usual_leads)
    log_factor = about.log_factor + np.sqrt(about.variance) * _REACH[:, None]
    mean = expected * np.exp(log_factor)[:, place]
    likely = leads * np.log(mean)
    log_leads = np.log(usual_leads) + _LEADS_SD * _LEADS_STEPS
    # By shape of campaigns, step of the integral, and campaign.
    sure = np.exp(log_leads)[:, None, None]
    prior = sure * (log_leads[:, None, None] + log_factor - np.exp(log_factor)) - gammaln(sure)
    fits = np.empty((len(LOG_SHAPES), len(log_leads)))
    for row, shape in enumerate(np.exp(LOG_SHAPES).tolist()):
        fit = gammaln(shape + leads) - gammaln(shape) + shape * np.log(shape) + likely
        fit -= (shape + leads) * np.log(shape + mean)
        fits[row] = logsumexp(np.add.reduceat(fit, starts, axis=1) + prior, axis=1).sum(axis=1)
    fits += SHAPE_PRIOR[:, None] - 0.5 * _LEADS_STEPS**2
    weight = np.exp(fits - fits.max())
    weight /= weight.sum()
    return float(np.exp((weight.sum(axis=0) * log_leads).sum()))


def sampled(campaign: Ints, ads: int) -> Ints | slice:
    """About so many of all ads (indexes), of whole campaigns as long as those are many: an ad that is left alone tells
    nothing of how a campaign's ads are alike."""
    step = max(len(campaign) // ads, 1)
    if step == 1:
        return slice(None)
    campaigns = int(campaign.max()) + 1
    kept = np.zeros(campaigns, dtype=np.bool_)
    kept[chosen(campaigns, campaigns // max(min(step, campaigns // _CAMPAIGNS), 1))] = True
    whole: Ints = np.flatnonzero(kept[campaign])
    return whole[chosen(len(whole), ads)]
