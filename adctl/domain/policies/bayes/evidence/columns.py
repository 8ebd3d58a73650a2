"""The evidence of all verdicts as columns: what was seen, what is expected, the posterior, what would change it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from adctl.domain.policies.bayes.budget import Shares
from adctl.domain.policies.bayes.evidence.ledger import ledger_columns
from adctl.domain.policies.bayes.fitting import View
from adctl.domain.policies.bayes.posterior import DECIMALS, Z90, rounded
from adctl.domain.policies.bayes.verdicts import Judgement
from adctl.domain.policies.protocol import AdHistory, Fact, Flags, Floats, Ints

Column = Ints | Floats | Flags | tuple[str, ...] | Fact


def evidence_columns(
    history: AdHistory, view: View, judgement: Judgement, shares: Shares, next_sd: Floats
) -> Mapping[str, Column]:
    """Money is minor units, ROAS ratios, times days. Columns that begin with log_ are the ledger.

    Rounded, so that what is stored is the same on every processor.
    """
    money = float(history.minor_per_major)
    low, middle, high = (view.posterior.quantile(z) for z in (-Z90, 0.0, Z90))
    columns: dict[str, Column] = {
        **_seen(history, view, money),
        **_expected(view),
        "roas": middle,
        "roas_low": low,
        "roas_high": high,
        "sd": view.posterior.sd,
        "sd_after_waiting": next_sd,
        "p_below_kill": judgement.below_kill,
        "p_above_scale": 1.0 - judgement.below_scale,
        "p_wrong": judgement.wrong,
        "wrong_roas": judgement.bar,
        "wrong_above": judgement.wrong_above,
        "loss_if_wrong": np.rint(judgement.loss * money),
        "waiting_costs": np.rint(judgement.costs * money),
        "waiting_buys": np.rint(judgement.buys * money),
        "flips_at_roas": judgement.flips_at,
        "marginal_roas": shares.level,
        **(history.fatigue.evidence() if history.fatigue else {}),
        **_kin(history),
        **ledger_columns(view, with_kin=history.kin is not None),
    }
    return {key: _rounded(column) for key, column in columns.items()}


def _rounded(column: Column) -> Column:
    if isinstance(column, np.ndarray):
        return rounded(column.astype(np.float64, copy=False)) if column.dtype.kind == "f" else column
    return round(column, DECIMALS) if isinstance(column, float) else column


def _seen(history: AdHistory, view: View, money: float) -> dict[str, Column]:
    told, tallies = view.told, view.tallies
    columns: dict[str, Column] = {
        "spend": np.rint(told.sums.spend * money).astype(np.int64),
        "mature_spend": np.rint(told.mature_spend * money).astype(np.int64),
        "share": history.budget,
        "impressions": told.sums.impressions.astype(np.int64),
        "clicks": told.sums.clicks.astype(np.int64),
        "leads": told.sums.leads.astype(np.int64),
        "deals": told.leads,
        "deals_ignored": told.funnel.ignored,
        "won_deals": told.won.count.astype(np.int64),
    }
    for place, step in enumerate(view.fitted.steps):
        columns[f"came_{step}"] = tallies.entered[:, place]
        columns[f"passed_{step}"] = tallies.progressed[:, place]
        columns[f"waiting_{step}"] = tallies.waiting[:, place]
    return columns


def _kin(history: AdHistory) -> dict[str, Column]:
    """Pseudo-counts of similar ads, whatever their weight makes of them."""
    if history.kin is None:
        return {}
    return {"kin_leads": history.kin.leads.events, "kin_usual": history.kin.leads.expected}


def _expected(view: View) -> dict[str, Column]:
    """Wins still expected from open deals, and the mean days until they come (NaN where none are open)."""
    wins, passing = np.zeros(len(view.wear)), np.zeros(len(view.wear))
    # A deal that is to pass its step may then fail a later one.
    for step in range(len(view.fitted.steps)):
        still = view.tallies.still[:, step]
        wins = wins * np.exp(view.stages.mean[:, step]) + still if step else still
        passing = passing + still
    days = np.where(passing > 1e-9, view.tallies.days_left / np.maximum(passing, 1e-9), np.nan)
    return {
        "wins_expected": wins,
        "wins_expected_in_days": days,
        "leads_usual": view.told.exposure * np.exp(view.leads.mean - view.leads.own),
        "elasticity": view.fitted.leads.elasticity,
    }
