"""A world under way: money in, impressions, clicks, leads and deals out, and what is known of them on a day."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from scipy.special import pdtr, pdtrik

from adctl.domain.policies.protocol import AdHistory, Flags, Floats, Ints
from adctl.domain.simulation.fates import Fates

FIRST_DAY = date(2026, 1, 1)
_STAGES = ("lead", "qualified", "proposal", "won")
MINOR_PER_MAJOR = 100


class Market:
    """Delivers one day after another. All that a policy may know is in `history`; `spent` and `fates` are the truth's.

    Saturation is an auction that grows dearer: fewer impressions for the money. Wear is a public that no longer
    clicks: a falling CTR. Both lower leads alike.
    """

    def __init__(self, fates: Fates, *, account: str) -> None:
        truth = fates.truth
        self.fates = fates
        self.truth = truth
        self.day = 0
        self.spent = np.zeros(truth.world.ads)
        self._account = account
        self._expected = np.zeros(truth.world.ads)
        self._taken = fates.first[:-1].copy()
        self._rows = _Rows(truth.days * truth.world.ads)
        self._deals = _Deals(len(fates.arrival), len(truth.world.progress))
        self._stage_values = stage_values(fates)
        self._ad_ids = tuple(f"ad{place:04d}" for place in range(truth.world.ads))

    @property
    def started(self) -> Flags:
        """Which ads exist by the end of the day that was delivered last."""
        return self.truth.start < self.day

    def deliver(self, spend: Ints) -> Floats:
        """Spends one day's money, minor units per ad; returns the expected value it bought."""
        truth, fates, day = self.truth, self.fates, self.day
        amount = spend.astype(np.float64)
        value = truth.value(amount, self.spent)
        reach = truth.reached(amount) * 1000 / truth.cpm
        click_mean = reach * truth.ctr * truth.freshness(self.spent)
        lead_mean = click_mean * truth.lead_rate * fates.shock[day]
        leads = self._lead(lead_mean)
        # A Poisson count is the sum of independent ones: the clicks that bring a lead, and those that do not.
        clicks = leads + _quantile(fates.clicks_at[day], click_mean * (1 - truth.lead_rate))
        views = clicks + _quantile(fates.views_at[day], np.maximum(reach - click_mean, 0.0))
        self._rows.add(day, np.flatnonzero(truth.start <= day), views, clicks, spend, leads)
        self.spent += amount
        self.day += 1
        return value

    def _lead(self, mean: Floats) -> Ints:
        """Realises the potential leads that the day's exposure covers; returns how many per ad."""
        fates, before = self.fates, self._taken
        after = before.copy()
        now = self._expected + mean
        for ad in np.flatnonzero(mean > 0):
            stretch = fates.arrival[before[ad] : fates.first[ad + 1]]
            after[ad] += np.searchsorted(stretch, now[ad], side="right")
        counts = after - before
        owner = np.repeat(np.arange(len(counts)), counts)
        lead = np.arange(len(owner)) + np.repeat(before - np.cumsum(counts) + counts, counts)
        # The moment within the day at which the exposure reached the lead.
        moment = self.day + (fates.arrival[lead] - self._expected[owner]) / np.maximum(mean[owner], 1e-300)
        self._deals.add(fates, owner, lead, moment)
        self._taken, self._expected = after, now
        return counts

    def history(self, budget: Ints, active: Flags) -> AdHistory:
        """What is known at the end of the day delivered last of the ads that exist. Shapes are those of all ads."""
        known = np.flatnonzero(self.started)
        deals, rows, world = self._deals, self._rows, self.truth.world
        entered, lost = deals.known(self.day)
        worth, cash = deals.worth(entered, lost, self._stage_values)
        return AdHistory(
            account=self._account,
            day=FIRST_DAY + timedelta(days=self.day - 1),
            currency="USD",
            minor_per_major=MINOR_PER_MAJOR,
            ad_ids=self._ad_ids[: len(known)],
            campaign=self.truth.campaign[known],
            active=active[known],
            age_hours=(self.day - self.truth.start[known]).astype(np.float64) * 24.0,
            budget=np.where(active, budget, 0)[known],
            row_ad=rows.column(0),
            row_days_ago=self.day - 1 - rows.column(1),
            row_impressions=rows.column(2),
            row_clicks=rows.column(3),
            row_spend=rows.column(4),
            row_leads=rows.column(5),
            deal_ad=deals.ad[: deals.count],
            deal_days_ago=np.floor(self.day - deals.at[: deals.count]).astype(np.int64),
            deal_value=worth,
            deal_cash=cash,
            stages=_STAGES[: len(world.progress)] + _STAGES[-1:],
            deal_entered=entered,
            deal_lost=lost,
        )


class _Rows:
    """The daily rows so far: ad, day, impressions, clicks, spend, leads."""

    def __init__(self, most: int) -> None:
        self._table = np.zeros((6, most), dtype=np.int64)
        self._count = 0

    def add(self, day: int, ads: Ints, *columns: Ints) -> None:
        end = self._count + len(ads)
        self._table[0, self._count : end] = ads
        self._table[1, self._count : end] = day
        for place, column in enumerate(columns, start=2):
            self._table[place, self._count : end] = column[ads]
        self._count = end

    def column(self, place: int) -> Ints:
        return self._table[place, : self._count]


class _Deals:
    """The deals so far: ad, moment of the lead (days), moments of progress and loss, amount if won."""

    def __init__(self, most: int, transitions: int) -> None:
        self.count = 0
        self.ad = np.zeros(most, dtype=np.int64)
        self.at = np.zeros(most)
        self._entered = np.full((most, transitions + 1), np.nan)
        self._lost = np.full(most, np.nan)
        self._amount = np.zeros(most)

    def add(self, fates: Fates, ad: Ints, lead: Ints, moment: Floats) -> None:
        new = slice(self.count, self.count + len(ad))
        self.ad[new], self.at[new] = ad, moment
        self._entered[new, 0] = moment
        self._entered[new, 1:] = moment[:, None] + fates.reached[lead]
        self._lost[new] = moment + fates.lost[lead]
        self._amount[new] = fates.value[lead]
        self.count = new.stop

    def known(self, now: int) -> tuple[Floats, Floats]:
        """Days before `now` at which each deal reached each stage and was marked lost, NaN where it has not yet."""
        entered, lost = now - self._entered[: self.count], now - self._lost[: self.count]
        return np.where(entered >= 0, entered, np.nan), np.where(lost >= 0, lost, np.nan)

    def worth(self, entered: Floats, lost: Floats, values: Floats) -> tuple[Ints, Ints]:
        """Synthetic value and cash of each deal in minor units, by its current stage alone."""
        stage = np.isfinite(entered).sum(axis=1) - 1
        won = stage == entered.shape[1] - 1
        cash = np.where(won, self._amount[: self.count], 0.0)
        open_value = np.where(np.isfinite(lost), 0.0, values[np.minimum(stage, len(values) - 1)])
        return np.where(won, cash, open_value).astype(np.int64), cash.astype(np.int64)


def stage_values(fates: Fates) -> Floats:
    """The value configured for a deal at each open stage: the truth of the account times the world's error."""
    world = fates.truth.world
    chances = np.cumprod(world.progress[::-1])[::-1]
    values: Floats = np.rint(world.deal_value * chances * world.stage_value_errors)
    return values


def _quantile(level: Floats, mean: Floats) -> Ints:
    """The Poisson quantile: the least count whose distribution function reaches `level`; 0 for a mean of 0."""
    safe = np.maximum(mean, 1e-12)
    count = np.maximum(np.ceil(pdtrik(level, safe) - 1e-9), 0.0)
    return np.where((mean > 0) & (pdtr(0, safe) < level), count, 0.0).astype(np.int64)
