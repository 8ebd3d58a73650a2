"""The evidence of all verdicts as columns: what was seen, what is expected, the posterior, what would change it."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.bayes.budget import Shares
from adctl.domain.policies.bayes.evidence.ledger import ledger_columns
from adctl.domain.policies.bayes.fitting import View
from adctl.domain.policies.bayes.pieces import some
from adctl.domain.policies.bayes.posterior import DECIMALS, Z90, rounded
from adctl.domain.policies.bayes.verdicts import Judgement
from adctl.domain.policies.protocol import AdHistory, DealCounts, Fact, Flags, Floats, Ints

Column = Ints | DealCounts | Floats | Flags | tuple[str, ...] | Fact


def known_columns(history: AdHistory, view: View, shares: Shares) -> dict[str, Column]:
    """Evidence that stands before any verdict, of all ads. Money is minor units; columns that begin with log_ are the
    ledger."""
    told, terms = view.told, view.terms
    columns: dict[str, Column] = {
        "share": history.budget,
        "impressions": told.sums.impressions,
        "clicks": told.sums.clicks,
        "leads": told.sums.leads,
        "deals": told.leads,
        "deals_ignored": told.funnel.ignored,
        "won_deals": told.won,
    }
    for place, step in enumerate(view.fitted.steps):
        columns[f"came_{step}"] = view.came[:, place]
        columns[f"passed_{step}"] = view.came[:, place + 1]
        columns[f"waiting_{step}"] = view.waiting[:, place]
    return {
        **columns,
        "leads_usual": terms.usual,
        "elasticity": round(view.fitted.leads.elasticity, DECIMALS),
        "sd": terms.posterior.sd,
        "sd_after_waiting": terms.next_sd,
        "wins_expected": terms.wins,
        "wins_expected_in_days": terms.days,
        "marginal_roas": round(shares.level, DECIMALS),
        **(history.fatigue.evidence() if history.fatigue else {}),
        **_kin(history),
        **ledger_columns(terms, view.fitted.steps, with_kin=history.kin is not None),
        "spend": told.sums.spend,
        "mature_spend": told.mature_spend,
    }


def said_columns(history: AdHistory, view: View, judgement: Judgement, part: slice) -> dict[str, Ints | Floats | Flags]:
    """Evidence that is made with the verdicts on some of the ads. Money is minor units, ROAS ratios, times days.

    Rounded, so that what is stored is the same on every processor.
    """
    money = float(history.minor_per_major)
    posterior = some(view.posterior, part)
    low, middle, high = (posterior.quantile(z) for z in (-Z90, 0.0, Z90))
    columns = {
        "roas": middle,
        "roas_low": low,
        "roas_high": high,
        "p_below_kill": judgement.below_kill,
        "p_above_scale": 1.0 - judgement.below_scale,
        "p_wrong": judgement.wrong,
        "wrong_roas": judgement.bar,
        "wrong_above": judgement.wrong_above,
        "loss_if_wrong": np.rint(judgement.loss * money),
        "waiting_costs": np.rint(judgement.costs * money),
        "waiting_buys": np.rint(judgement.buys * money),
        "flips_at_roas": judgement.flips_at,
    }
    return {key: rounded(column) if column.dtype.kind == "f" else column for key, column in columns.items()}


def _kin(history: AdHistory) -> dict[str, Column]:
    """Pseudo-counts of similar ads, whatever their weight makes of them."""
    if history.kin is None:
        return {}
    return {"kin_leads": rounded(history.kin.leads.events), "kin_usual": rounded(history.kin.leads.expected)}
