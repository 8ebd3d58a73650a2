"""What an account's ads have in common, learned from its whole history, and each ad's posterior given that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from adctl.domain.policies.bayes.delays import Delays, fit_delays
from adctl.domain.policies.bayes.exposure import (
    ROOM_AD_SD,
    Response,
    Wear,
    exposure_of,
    fit_response,
    forgetting,
    mature_exposure,
    wear_of,
)
from adctl.domain.policies.bayes.funnel import Funnel, funnel_of
from adctl.domain.policies.bayes.leads import LeadModel, Leads, Neighbours, click_yield, fit_leads, lead_posterior
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.pieces import by_pieces, some
from adctl.domain.policies.bayes.posterior import Posterior, posterior
from adctl.domain.policies.bayes.rows import Rows, Sums, rows_of, sums_of
from adctl.domain.policies.bayes.stages import StageModel, Stages, Tallies, fit_stages, stage_posterior, tally
from adctl.domain.policies.bayes.totals import add_totals
from adctl.domain.policies.bayes.values import ValueModel, Values, Won, fit_values, value_posterior, won_of
from adctl.domain.policies.protocol import AdHistory, Floats


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
class Told:
    """What the history says of each ad before its return is inferred. `budget` is major units a day, `exposure`
    effective ones in all, `clicks` the log click yield. `mature` is, by days ago, the chance that a win has come that
    will, `mature_spend` that part of the spend in major units."""

    rows: Rows
    sums: Sums
    funnel: Funnel
    budget: Floats
    wear: Wear
    mature: Floats
    mature_spend: Floats
    exposure: Floats
    leads: Floats
    clicks: Floats
    won: Won


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that is inferred of an account on a day."""

    fitted: Fitted
    told: Told
    tallies: Tallies
    leads: Leads
    stages: Stages
    values: Values
    wear: Floats
    saturation: Floats
    posterior: Posterior


def view_of(history: AdHistory, parameters: BayesParameters, fitted: Fitted | None) -> View:
    """Learns the account's numbers unless they are given and fit the history's funnel; then each ad's."""
    rows, funnel = rows_of(history), funnel_of(history)
    sums = sums_of(rows, parameters.cut_days)
    budget = history.budget / history.minor_per_major
    if fitted is not None and fitted.steps != funnel.steps:
        fitted = None
    usual = float(np.median(budget[budget > 0])) if (budget > 0).any() else 1.0
    response = fitted.response if fitted else fit_response(rows, sums, parameters.room_shares, usual)
    groups = int(history.campaign.max()) + 1 if len(history.campaign) else 0
    least = parameters.shift_transitions
    delays = fitted.delays if fitted else fit_delays(funnel, history.campaign, groups, least)
    told = _told(history, parameters, rows, sums, funnel, response, delays)
    tallies = tally(funnel, delays, history.campaign)
    if fitted is None:
        fitted = _fit(history, parameters, told, tallies, response, delays)
    return _view(history, parameters, told, tallies, fitted)


def _told(
    history: AdHistory,
    parameters: BayesParameters,
    rows: Rows,
    sums: Sums,
    funnel: Funnel,
    response: Response,
    delays: Delays,
) -> Told:
    wear = wear_of(rows, sums, response, history.fatigue.flagged if history.fatigue else None)
    mature = _mature(delays, rows.oldest, timed=funnel.timed)
    exposure = exposure_of(rows, response, wear, parameters.half_life, mature)
    return Told(
        rows=rows,
        sums=sums,
        funnel=funnel,
        budget=history.budget / history.minor_per_major,
        wear=wear,
        mature=mature,
        mature_spend=exposure.mature_spend,
        exposure=exposure.total,
        leads=_leads(rows, sums, funnel, parameters.half_life),
        clicks=click_yield(sums.clicks, exposure.total),
        won=won_of(funnel),
    )


def _leads(rows: Rows, sums: Sums, funnel: Funnel, half_life: float) -> Floats:
    """Credited deals; the platform's own leads only where no deal is credited to any ad."""
    if len(funnel.ad):
        return _came(funnel, half_life)
    if half_life == 0:
        return sums.leads
    found = np.zeros(rows.ads)
    for block in rows.blocks():
        found[block.ads] = block.total(block.leads * forgetting(block.days_ago, half_life))
    return found


def _came(funnel: Funnel, half_life: float) -> Floats:
    if half_life == 0:
        return np.bincount(funnel.ad, minlength=funnel.ads).astype(np.float64)
    found = np.zeros(funnel.ads)
    for deals in funnel.blocks():
        add_totals(found[None], 0, deals.ad, forgetting(deals.begun(0), half_life))
    return found


def _fit(
    history: AdHistory,
    parameters: BayesParameters,
    told: Told,
    tallies: Tallies,
    response: Response,
    delays: Delays,
) -> Fitted:
    leads = fit_leads(told.leads, told.exposure, told.clicks, history.campaign, parameters.campaign_leads)
    stages = fit_stages(tallies, delays.doubt, told.clicks)
    # Until deals are won, an account that breaks even is as good a guess as any.
    value = -leads.log_rate - float(np.log(stages.chance).sum())
    return Fitted(
        steps=told.funnel.steps,
        response=response,
        delays=delays,
        leads=leads,
        stages=stages,
        values=fit_values(told.won, value),
    )


def _view(history: AdHistory, parameters: BayesParameters, told: Told, tallies: Tallies, fitted: Fitted) -> View:
    leads = lead_posterior(
        fitted.leads,
        told.leads,
        told.exposure,
        told.clicks,
        history.campaign,
        parameters.campaign_leads,
        _neighbours(history, told),
    )
    stages = by_pieces(
        told.funnel.ads,
        lambda part: stage_posterior(fitted.stages, some(tallies, told.funnel.ads, part), told.clicks[part]),
    )
    values = value_posterior(fitted.values, told.won)
    response, spent = fitted.response, told.sums.spend
    wear, saturation = -told.wear.rate * spent, np.log(response.part(told.budget))
    # How much the day's loss to saturation would change with the log of the room: between 0 (none) and 1.
    steep = np.minimum(told.budget / response.room / 2, 1.0)
    shape_variance = told.wear.variance * spent**2 + (response.log_room_variance + ROOM_AD_SD**2) * steep**2
    return View(
        fitted=fitted,
        told=told,
        tallies=tallies,
        leads=leads,
        stages=stages,
        values=values,
        wear=wear,
        saturation=saturation,
        posterior=posterior(
            leads.mean + stages.mean.sum(axis=1) + values.mean + wear,
            saturation,
            leads.own_variance
            + stages.own_variance.sum(axis=1)
            + stages.quality_variance
            + values.own_variance
            + shape_variance,
            leads.common_variance + stages.common_variance + values.common_variance,
        ),
    )


def _neighbours(history: AdHistory, told: Told) -> Neighbours | None:
    if history.kin is None:
        return None
    return Neighbours(leads=history.kin.leads, clicks=click_yield(told.sums.clicks, told.exposure, history.kin.clicks))


def next_sd(view: View, cycle_days: float) -> Floats:
    """The posterior's spread that one more cycle at today's budget is expected to leave, shape n.

    Each term's variance shrinks as its count grows: by the leads to come, by their part that comes on to each step,
    and by half of the open deals, which will have told by then.
    """
    coming = np.exp(view.leads.mean + view.wear) * view.fitted.response.fresh(view.told.budget) * cycle_days
    kept = view.leads.shape / (view.leads.shape + coming)
    variance = view.leads.own_variance * kept + view.values.own_variance + view.stages.quality_variance
    seen = view.stages.successes + view.stages.failures
    arriving = coming
    for step in range(seen.shape[1]):
        more = 0.5 * (arriving + view.tallies.waiting[:, step])
        variance = variance + view.stages.own_variance[:, step] * seen[:, step] / (seen[:, step] + more)
        arriving = more * np.exp(view.stages.mean[:, step])
    common = view.posterior.sd**2 - view.posterior.own_sd**2
    return np.minimum(np.sqrt(variance + common), view.posterior.sd)


def matured_exposure(view: View, half_life: float) -> Floats:
    """Per ad, the part of its effective exposure from which a win should have come by now, shape n."""
    told = view.told
    return mature_exposure(told.rows, view.fitted.response, told.wear, half_life, told.mature)


def _mature(delays: Delays, oldest: int, *, timed: bool) -> Floats:
    """By days ago up to the `oldest`, the chance that a win has come that will."""
    days = np.arange(oldest + 1) + 0.5
    if not timed:
        return np.ones(len(days))
    means = np.exp(delays.log_median + delays.spread**2 / 2)
    variance = float((means**2 * np.expm1(delays.spread**2)).sum())
    mean = float(means.sum())
    # The lognormal of the same mean and variance as the sum of all steps' delays.
    spread = float(np.sqrt(np.log1p(variance / mean**2)))
    return np.asarray(ndtr((np.log(days) - np.log(mean) + spread**2 / 2) / spread), dtype=np.float64)
