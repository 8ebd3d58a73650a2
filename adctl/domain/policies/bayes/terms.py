"""Each ad's posterior, given what the account's ads have in common: the terms of its log ROAS and what is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.campaigns import Campaigns
from adctl.domain.policies.bayes.delays import Delays
from adctl.domain.policies.bayes.exposure import ROOM_AD_SD, Response, Wear
from adctl.domain.policies.bayes.leads import LeadModel, Leads, Neighbours, lead_posterior
from adctl.domain.policies.bayes.posterior import DECIMALS, Posterior, posterior, rounded
from adctl.domain.policies.bayes.stages import StageModel, Stages, Tallies, stage_posterior
from adctl.domain.policies.bayes.values import ValueModel, Values, Won, value_posterior
from adctl.domain.policies.protocol import DealCounts, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The account's numbers. They change slowly: those of some days ago may be used again to save time."""

    steps: tuple[str, ...]
    response: Response
    delays: Delays
    leads: LeadModel
    stages: StageModel
    values: ValueModel


@dataclass(frozen=True, slots=True, kw_only=True)
class AdColumns:
    """What is told of each of n ads: `budget` major units a day, `spend` and effective `exposure` in all, `leads`,
    the log click yield, won deals, deals on their steps, and what similar ads say."""

    campaign: Ints
    budget: Floats
    spend: Floats
    wear: Wear
    exposure: Floats
    leads: Floats
    clicks: Floats
    won: Won
    tallies: Tallies
    kin: Neighbours | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of each ad's log ROAS, shape n, `steps` (n, T), rounded; all ads have `account` in common, the variance
    `common`, and `neighbours` where nobody has any.

    `usual` are the leads to be expected of such an ad before its own came, `wins` those that open deals are still
    expected to bring, and `days` the mean time until their next steps, NaN where none are open; `next_sd` is the
    posterior's spread expected after one more cycle at today's budget.
    """

    account: float
    campaign: Floats
    clicks: Floats
    own: Floats
    neighbours: Floats | float
    steps: Floats
    value: Floats
    wear: Floats
    common: float
    posterior: Posterior
    usual: Floats
    wins: Floats
    days: Floats
    next_sd: Floats


def terms_of(fitted: Fitted, campaigns: Campaigns, ads: AdColumns, cycle_days: float) -> Terms:
    leads = lead_posterior(fitted.leads, campaigns, ads.campaign, ads.leads, ads.exposure, ads.clicks, ads.kin)
    stages = stage_posterior(fitted.stages, ads.tallies, ads.clicks)
    values = value_posterior(fitted.values, ads.won)
    response = fitted.response
    wear, left = -ads.wear.rate * ads.spend, response.part(ads.budget)
    # How much the day's loss to saturation would change with the log of the room: between 0 (none) and 1.
    steep = np.minimum(ads.budget / response.room / 2, 1.0)
    shape_variance = ads.wear.variance * ads.spend**2 + (response.log_room_variance + ROOM_AD_SD**2) * steep**2
    common = leads.common_variance + stages.common_variance + values.common_variance
    found = posterior(
        leads.mean + stages.mean.sum(axis=1) + values.mean + wear,
        np.log(left),
        leads.own_variance
        + stages.own_variance.sum(axis=1)
        + stages.quality_variance
        + values.own_variance
        + shape_variance,
        common,
    )
    coming = np.exp(leads.mean + wear) * left * ads.budget * cycle_days
    chances = np.exp(stages.mean)
    return Terms(
        account=round(leads.account, DECIMALS),
        campaign=rounded(leads.campaign),
        clicks=rounded(leads.clicks),
        own=rounded(leads.own),
        neighbours=rounded(leads.neighbours) if isinstance(leads.neighbours, np.ndarray) else leads.neighbours,
        steps=rounded(stages.mean),
        value=rounded(values.mean),
        wear=rounded(wear),
        common=common,
        posterior=found,
        usual=rounded(leads.usual),
        wins=rounded(_wins(chances, ads.tallies.still)),
        days=rounded(_days_until(ads.tallies)),
        next_sd=rounded(_next_sd(found, leads, stages, chances, values, ads.tallies.waiting, coming)),
    )


def _wins(chances: Floats, still: Floats) -> Floats:
    """A deal that is to pass its step may then fail a later one."""
    wins = still[:, 0]
    for step in range(1, still.shape[1]):
        wins = wins * chances[:, step] + still[:, step]
    return wins


def _days_until(tallies: Tallies) -> Floats:
    passing = tallies.still.sum(axis=1)
    return np.where(passing > 1e-9, tallies.days_left / np.maximum(passing, 1e-9), np.nan)


def _next_sd(
    found: Posterior, leads: Leads, stages: Stages, chances: Floats, values: Values, waiting: DealCounts, coming: Floats
) -> Floats:
    """The posterior's spread that one more cycle at today's budget is expected to leave, shape n.

    Each term's variance shrinks as its count grows: by the leads to come, by their part that comes on to each step,
    and by half of the open deals, which will have told by then.
    """
    kept = leads.shape / (leads.shape + coming)
    variance = leads.own_variance * kept + values.own_variance + stages.quality_variance
    seen = stages.successes + stages.failures
    arriving = coming
    for step in range(seen.shape[1]):
        more = 0.5 * (arriving + waiting[:, step])
        variance = variance + stages.own_variance[:, step] * seen[:, step] / (seen[:, step] + more)
        arriving = more * chances[:, step]
    common = found.sd**2 - found.own_sd**2
    return np.minimum(np.sqrt(variance + common), found.sd)
