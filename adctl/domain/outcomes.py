"""What became of the money: per ad, what was spent on each day and what the deals that it brought are worth by now."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Floats, Ints

# A verdict's outcome is what the money of this many days after it brought.
HORIZON_DAYS = 7
# Deals need this long after the money until they count: two typical sales cycles of the worlds, settable.
MATURITY_DAYS = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """An outcome is what the money of `horizon` days after a decision brought, once it is `maturity` days old."""

    horizon: int = HORIZON_DAYS
    maturity: int = MATURITY_DAYS

    def due(self, decided: date) -> date:
        """When the outcome of what was decided of a day has matured."""
        return decided + timedelta(days=self.horizon + max(self.maturity, 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dated:
    """Amounts of ads (indexes) by how long ago they were, the newest first: those of the days less than k days ago end
    before place `ends[k]`. A table of days and ads would be mostly empty and not fit into memory."""

    ad: Ints
    amount: Ints | Floats
    ends: Ints

    def between(self, newest: int, before: int, ads: int) -> Floats:
        """Each ad's sum over the days at least `newest` and less than `before` days ago."""
        days = slice(self.ends[newest], self.ends[before])
        # Of no amounts at all numpy makes whole numbers.
        return np.bincount(self.ad[days], weights=self.amount[days], minlength=ads).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What is known of the `days` days up to `day`, which is the last.

    `spend` and `value` are minor units. A deal's value belongs to the day it was created on, which is the day of the
    lead; it is the value of its stage now, its amount once won, nothing once lost. `deals` counts those with a value.
    """

    day: date
    days: int
    ad_ids: tuple[str, ...]
    spend: Dated
    value: Dated
    deals: Dated

    @property
    def since(self) -> date:
        """The first day that is known."""
        return self.day - timedelta(days=self.days)

    def after(self, decided: date, horizon: int) -> tuple[Floats, Floats]:
        """Spend and value of each ad over the `horizon` days that followed the day `decided`."""
        spend, value, _ = self.between(decided + timedelta(days=1), decided + timedelta(days=horizon))
        return spend, value

    def between(self, first: date, last: date) -> tuple[Floats, Floats, Floats]:
        """Spend, value and deals of each ad from one day to another, both included, as far as they are known."""
        newest, before = (min(max((self.day - one).days, 0), self.days) for one in (last, first - timedelta(days=1)))
        spend, value, deals = (
            dated.between(newest, before, len(self.ad_ids)) for dated in (self.spend, self.value, self.deals)
        )
        return spend, value, deals

    def matured(self, decided: date, *, horizon: int, maturity: int) -> bool:
        """True when the money of the horizon has had `maturity` days to bring deals, within what is known."""
        ago = (self.day - decided).days
        return max(maturity, 1) <= ago - horizon and ago <= self.days

    def tells(self, decided: date, *, horizon: int, maturity: int) -> bool:
        """True when it has matured and there is an outcome: no money after it, as in a gap of what was read, says
        nothing of any budget."""
        return self.matured(decided, horizon=horizon, maturity=maturity) and bool(self.after(decided, horizon)[0].any())


def outcomes(history: AdHistory, *, days: int, left_out: Set[str] = frozenset()) -> Outcomes:
    """The outcomes of the last `days` days as the history tells them; ads in `left_out` have none."""
    kept = np.array([ad not in left_out for ad in history.ad_ids], dtype=np.bool_)

    def dated(ad: Ints, ago: Ints, amount: Ints) -> Dated:
        mine = np.flatnonzero((ago >= 0) & (ago < days) & kept[ad] & (amount != 0))
        mine = mine[np.argsort(ago[mine], kind="stable")]
        return Dated(ad=ad[mine], amount=amount[mine], ends=np.searchsorted(ago[mine], np.arange(days + 1)))

    return Outcomes(
        day=history.day,
        days=days,
        ad_ids=history.ad_ids,
        spend=dated(history.row_ad, history.row_days_ago, history.row_spend),
        value=dated(history.deal_ad, history.deal_days_ago, history.deal_value),
        deals=dated(history.deal_ad, history.deal_days_ago, (history.deal_value > 0).astype(np.int64)),
    )
