"""What an account's ads have in common, learned from its whole history, and what is inferred of each ad given that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from adctl.domain.policies.bayes.delays import Delays, fit_delays
from adctl.domain.policies.bayes.exposure import (
    Response,
    Wear,
    exposure_of,
    fit_response,
    forgetting,
    mature_exposure,
    wear_of,
)
from adctl.domain.policies.bayes.funnel import Funnel, funnel_of
from adctl.domain.policies.bayes.leads import Neighbours, campaigns_of, click_yield, fit_leads
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.pieces import by_pieces, some
from adctl.domain.policies.bayes.posterior import Posterior, rounded
from adctl.domain.policies.bayes.rows import Rows, Sums, rows_of
from adctl.domain.policies.bayes.stages import Tallies, Tallying, fit_stages
from adctl.domain.policies.bayes.terms import AdColumns, Fitted, Terms, terms_of
from adctl.domain.policies.bayes.totals import totals
from adctl.domain.policies.bayes.values import Won, fit_values, won_of
from adctl.domain.policies.protocol import AdHistory, DealCounts, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the history says of each ad, as far as it is used once its return is inferred. `budget` is major units a
    day, `won` the won deals whose worth is known. `mature` is, by days ago, the chance that a win has come that will,
    `mature_spend` that part of the spend in minor units."""

    rows: Rows
    sums: Sums
    funnel: Funnel
    budget: Floats
    wear: Wear
    mature: Floats
    mature_spend: Ints
    leads: Floats
    won: DealCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that is inferred of an account on a day. `came` (n, T + 1) and `waiting` (n, T) are those of the
    tallies, whose other columns need not be kept."""

    fitted: Fitted
    told: Told
    came: DealCounts
    waiting: DealCounts
    terms: Terms

    @property
    def posterior(self) -> Posterior:
        return self.terms.posterior


def view_of(history: AdHistory, parameters: BayesParameters, fitted: Fitted | None) -> View:
    """Learns the account's numbers unless they are given and fit the history's funnel; then each ad's."""
    rows, funnel = rows_of(history), funnel_of(history)
    budget = history.budget / history.minor_per_major
    if fitted is not None and fitted.steps != funnel.steps:
        fitted = None
    response = fitted.response if fitted else fit_response(rows, parameters.room_shares, budget)
    groups = int(history.campaign.max()) + 1 if len(history.campaign) else 0
    least = parameters.shift_transitions
    delays = fitted.delays if fitted else fit_delays(funnel, history.campaign, groups, least)
    deals = _counted(funnel, delays, history.campaign, parameters.half_life)
    told, ads = _told(history, parameters, rows, funnel, deals, budget, response, delays)
    if fitted is None:
        fitted = _fit(ads, funnel.steps, parameters.campaign_leads, response, delays)
    return _view(told, ads, fitted, parameters)


def _told(
    history: AdHistory,
    parameters: BayesParameters,
    rows: Rows,
    funnel: Funnel,
    deals: _Counted,
    budget: Floats,
    response: Response,
    delays: Delays,
) -> tuple[Told, AdColumns]:
    """What is used later, too, and what each ad's return is inferred from."""
    wear = wear_of(rows, response, history.fatigue.flagged if history.fatigue else None)
    mature = _mature(delays, rows.oldest, timed=funnel.timed)
    exposure = exposure_of(rows, response, wear, parameters.half_life, mature)
    leads = deals.leads if len(funnel.ad) else _leads(rows, parameters.half_life)
    told = Told(
        rows=rows,
        sums=rows.sums,
        funnel=funnel,
        budget=budget,
        wear=wear,
        mature=mature,
        mature_spend=exposure.mature_spend,
        leads=leads,
        won=deals.won.count,
    )
    ads = AdColumns(
        campaign=history.campaign,
        budget=budget,
        spend=rows.sums.spend / rows.minor_per_major,
        wear=wear,
        exposure=exposure.total,
        leads=leads,
        clicks=click_yield(rows.sums.clicks, exposure.total),
        won=deals.won,
        tallies=deals.tallies,
        kin=_neighbours(history, rows.sums, exposure.total),
    )
    return told, ads


def _leads(rows: Rows, half_life: float) -> Floats:
    """The platform's own leads, which count only where no deal is credited to any ad."""
    if half_life == 0:
        return rows.sums.leads.astype(np.float64)
    found = np.empty(len(rows.fed))
    for block in rows.blocks():
        found[block.place] = block.total(block.leads * forgetting(block.days_ago, half_life))
    return rows.spread(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """What the deals of each ad come to."""

    leads: Floats
    tallies: Tallies
    won: Won


def _counted(funnel: Funnel, delays: Delays, campaign: Ints, half_life: float) -> _Counted:
    tallying = Tallying(delays, campaign)

    def of(ads: slice) -> _Counted:
        deals = funnel.of(ads)
        tallies = tallying.of(deals, ads)
        if half_life == 0:
            leads = tallies.entered[:, 0].astype(np.float64)
        else:
            leads = rounded(totals(deals.ad, forgetting(deals.begun(0), half_life), deals.ads))
        return _Counted(leads=leads, tallies=tallies, won=won_of(deals))

    return by_pieces(funnel.ads, of)


def _fit(ads: AdColumns, steps: tuple[str, ...], campaign_leads: float, response: Response, delays: Delays) -> Fitted:
    leads = fit_leads(ads.leads, ads.exposure, ads.clicks, ads.campaign, campaign_leads)
    stages = fit_stages(ads.tallies, delays.doubt, ads.clicks)
    pays = -leads.log_rate - float(np.log(stages.chance).sum())
    return Fitted(
        steps=steps,
        response=response,
        delays=delays,
        leads=leads,
        stages=stages,
        values=fit_values(ads.won, pays),
    )


def _view(told: Told, ads: AdColumns, fitted: Fitted, parameters: BayesParameters) -> View:
    campaigns = campaigns_of(fitted.leads, ads.leads, ads.exposure, ads.clicks, ads.campaign)
    return View(
        fitted=fitted,
        told=told,
        came=ads.tallies.came,
        waiting=ads.tallies.waiting,
        terms=by_pieces(
            told.funnel.ads, lambda part: terms_of(fitted, campaigns, some(ads, part), parameters.cycle_days)
        ),
    )


def _neighbours(history: AdHistory, sums: Sums, exposure: Floats) -> Neighbours | None:
    if history.kin is None:
        return None
    return Neighbours(leads=history.kin.leads, clicks=click_yield(sums.clicks, exposure, history.kin.clicks))


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
