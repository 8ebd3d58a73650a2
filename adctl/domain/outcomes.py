"""What became of the money: per ad, what was spent on each day and what the deals that it brought are worth by now."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import gammaincinv

from adctl.domain.policies.protocol import AdHistory, Floats, Ints

# A verdict's outcome is what the money of this many days after it brought.
HORIZON_DAYS = 7
# Deals need this long after the money until they count: two typical sales cycles of the worlds, settable.
MATURITY_DAYS = 28
_TAILS = (0.05, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """Columns per ad, rows summed up by days before `day`: entry k is the sum of the days less than k days ago.

    `spend` and `value` are minor units. A deal's value belongs to the day it was created on, which is the day of the
    lead; it is the value of its stage now, its amount once won, nothing once lost. `deals` counts those with a value.
    """

    day: date
    ad_ids: tuple[str, ...]
    spend: Floats
    value: Floats
    deals: Floats

    @property
    def days(self) -> int:
        return len(self.spend) - 1

    def after(self, decided: date, horizon: int) -> tuple[Floats, Floats]:
        """Spend and value of each ad over the `horizon` days that followed the day `decided`."""
        first = (self.day - decided).days
        return self.spend[first] - self.spend[first - horizon], self.value[first] - self.value[first - horizon]

    def matured(self, decided: date, *, horizon: int, maturity: int) -> bool:
        """True when the money of the horizon has had `maturity` days to bring deals, within what is known."""
        ago = (self.day - decided).days
        return max(maturity, 1) <= ago - horizon and ago <= self.days

    def first_matured_on(self, decided: date, *, horizon: int, maturity: int) -> date:
        return decided + timedelta(days=horizon + max(maturity, 1))


def outcomes(history: AdHistory, *, days: int, left_out: Set[str] = frozenset()) -> Outcomes:
    """The outcomes of the last `days` days as the history tells them; ads in `left_out` have none."""
    n, kept = len(history.ad_ids), np.array([ad not in left_out for ad in history.ad_ids], dtype=np.bool_)

    def summed(ad: Ints, ago: Ints, amount: Ints) -> Floats:
        mine = (ago >= 0) & (ago < days) & kept[ad]
        table = np.zeros((days + 1, n))
        np.add.at(table, (ago[mine] + 1, ad[mine]), amount[mine])
        return np.cumsum(table, axis=0)

    return Outcomes(
        day=history.day,
        ad_ids=history.ad_ids,
        spend=summed(history.row_ad, history.row_days_ago, history.row_spend),
        value=summed(history.deal_ad, history.deal_days_ago, history.deal_value),
        deals=summed(history.deal_ad, history.deal_days_ago, (history.deal_value > 0).astype(np.int64)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """The return of each ad on all its mature money, and the 90 % interval that so few deals leave; NaN without any."""

    roas: Floats
    low: Floats
    high: Floats


def truth(found: Outcomes, *, maturity: int) -> Truth:
    """From money that is at least `maturity` days old. The interval is that of a Poisson count of deals of one size;
    an ad without a deal may still be worth what three deals of the account's mean value would have been.
    """
    first = min(max(maturity, 1), found.days)
    spend, value, deals = (table[-1] - table[first] for table in (found.spend, found.value, found.deals))
    spent, unit = spend > 0, np.where(spend > 0, spend, 1.0)
    usual = value.sum() / max(deals.sum(), 1.0)
    size = np.where(deals > 0, value / np.maximum(deals, 1.0), usual) / unit
    low = np.where(deals > 0, gammaincinv(np.maximum(deals, 1.0), _TAILS[0]), 0.0)
    return Truth(
        roas=np.where(spent, value / unit, np.nan),
        low=np.where(spent, low * size, np.nan),
        high=np.where(spent, gammaincinv(deals + 1, _TAILS[1]) * size, np.nan),
    )
