"""The hidden truth of the simulated ads: their traits, and the return on ad spend these make true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One entry per ad; money in major units.

    `room` is the daily spend that leaves 1/e of the response's slope, `wear` the loss of response per unit ever spent.
    """

    cpm: FloatArray
    ctr: FloatArray
    link_share: float
    lead_rate: FloatArray
    deal_rate: float
    win_rate: FloatArray
    deal_value: FloatArray
    deal_value_sigma: float
    room: FloatArray
    wear: FloatArray
    appeal: FloatArray

    def fresh_roas(self) -> FloatArray:
        """Expected revenue per unit of spend of an unworn ad at its first unit of the day."""
        leads = 1000 / self.cpm * self.ctr * self.link_share * self.lead_rate
        return leads * self.deal_rate * self.win_rate * self.deal_value


@dataclass(frozen=True, slots=True, kw_only=True)
class AdTruth:
    """What is true of one ad now; `daily_spend` is what its budget would buy today, in major units."""

    ad_id: str
    ad_set_id: str
    campaign_id: str
    hook: str
    roas: float
    marginal_roas: float
    daily_spend: float
    spent: float
    ctr: float
    lead_rate: float
    win_rate: float
    deal_value: float


def draw_traits(
    rng: np.random.Generator,
    *,
    hook: IntArray,
    campaign: IntArray,
    spend: FloatArray,
    win_rate: float,
    deal_value: float,
) -> Traits:
    """Draws every ad's traits and scales lead rates so that true ROAS runs from clear losers to clear winners.

    `hook` and `campaign` number what ads share (neighbours resemble each other); `spend` is each ad's usual daily spend
    and `deal_value` the mean won deal, both in major units.
    """
    n = len(hook)
    level = spend.mean() / 60
    hook_effect = rng.normal(0, 0.35, size=int(hook.max()) + 1)
    campaign_effect = rng.normal(0, 0.15, size=int(campaign.max()) + 1)
    raw = Traits(
        cpm=level * 11 * np.exp(rng.normal(0, 0.2, n)),
        ctr=np.minimum(0.018 * np.exp(rng.normal(0, 0.26, n)), 0.2),
        link_share=0.75,
        lead_rate=0.023 * np.exp(rng.normal(0, 0.6, n) + hook_effect[hook]),
        deal_rate=0.6,
        win_rate=np.clip(win_rate * np.exp(rng.normal(0, 0.3, n) + campaign_effect[campaign]), 0.01, 0.8),
        deal_value=deal_value * np.exp(rng.normal(0, 0.2, n)),
        deal_value_sigma=0.5,
        room=spend * rng.uniform(3, 8, n),
        wear=rng.lognormal(np.log(1e-4), 0.5, n) / level,
        appeal=np.exp(rng.normal(0, 0.35, n)),
    )
    return replace(raw, lead_rate=np.minimum(raw.lead_rate * _correction(raw, spend), 0.9))


def response(traits: Traits, spend: FloatArray, spent: FloatArray) -> FloatArray:
    """Mean response over a day's `spend` after `spent` in earlier days, relative to a fresh first unit (0-1]."""
    load = np.maximum(spend / traits.room, 1e-9)
    return np.exp(-traits.wear * spent) * -np.expm1(-load) / load


def marginal_response(traits: Traits, spend: FloatArray, spent: FloatArray) -> FloatArray:
    """Response of the next unit of spend, relative to a fresh first unit (0-1]."""
    return np.exp(-spend / traits.room - traits.wear * spent)


def _correction(raw: Traits, spend: FloatArray) -> FloatArray:
    """Factors that move each ad's ROAS to the lognormal quantile of its rank: median 1.25, log-sd 0.9."""
    drawn = raw.fresh_roas() * response(raw, spend, np.zeros_like(spend))
    n = len(drawn)
    normal = NormalDist(np.log(1.25), 0.9)
    quantiles = np.exp([normal.inv_cdf((i + 0.5) / n) for i in range(n)])
    wanted = np.empty(n)
    wanted[np.argsort(drawn)] = quantiles
    return np.asarray(wanted / drawn, dtype=np.float64)
