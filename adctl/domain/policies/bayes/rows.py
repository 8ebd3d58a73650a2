"""The daily rows in the order of ads and days, read some thousand at a time, and what they sum to per ad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Floats, Ints

# Rows that stay in the cache: several times as fast as passes over whole columns.
_BLOCK = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows of some ads that follow each other. `ads` are those that have rows here, `starts` the first row of each,
    `number` how many it has. `spend` is major units."""

    ads: Ints
    starts: Ints
    number: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Floats

    def before(self) -> Floats:
        """What each row's ad spent in its earlier rows."""
        total = np.cumsum(self.spend) - self.spend
        # Never below 0: the running total of another ad is taken away, which leaves a rounding error.
        return np.maximum(total - np.repeat(total[self.starts], self.number), 0.0)

    def total(self, values: Ints | Floats) -> Ints | Floats:
        """What the rows of each of the `ads` sum to."""
        return np.add.reduceat(values, self.starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Daily rows of n ads, by ad, the oldest first. `spend` is major units; `starts` is the first row of each ad that
    has any."""

    ads: int
    ad: Ints
    starts: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Floats

    def blocks(self) -> Iterator[Block]:
        """All rows once, every ad's in one block."""
        first = 0
        while first < len(self.starts):
            last = max(int(np.searchsorted(self.starts, self.starts[first] + _BLOCK)), first + 1)
            end = int(self.starts[last]) if last < len(self.starts) else len(self.ad)
            yield self._block(slice(int(self.starts[first]), end), self.starts[first:last] - self.starts[first])
            first = last

    def of(self, ads: Ints) -> Block:
        """The rows of these ads, which ascend."""
        first, last = np.searchsorted(self.ad, ads, side="left"), np.searchsorted(self.ad, ads, side="right")
        number = last - first
        starts = np.cumsum(number) - number
        return self._block(np.arange(int(number.sum())) + np.repeat(first - starts, number), starts[number > 0])

    def _block(self, part: slice | Ints, starts: Ints) -> Block:
        ad = self.ad[part]
        return Block(
            ads=ad[starts],
            starts=starts,
            number=np.diff(np.append(starts, len(ad))),
            days_ago=self.days_ago[part],
            impressions=self.impressions[part],
            clicks=self.clicks[part],
            leads=self.leads[part],
            spend=self.spend[part],
        )


def starts_of(ad: Ints) -> Ints:
    """The first row of each ad in rows that are sorted by it."""
    return np.flatnonzero(np.concatenate([[True], ad[1:] != ad[:-1]])) if len(ad) else np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Each ad's whole past, shape n. Money is major units; counts are doubles, which hold them exactly.

    `recent` was spent on the last days, `before` before the last row, on `days` money was spent at all.
    """

    impressions: Floats
    clicks: Floats
    leads: Floats
    spend: Floats
    recent: Floats
    before: Floats
    days: Ints


def rows_of(history: AdHistory) -> Rows:
    """The history's rows, sorted unless they are already; a spend or count restated below zero counts as none."""
    order = _order(history.row_ad, history.row_days_ago)
    ad, spend = history.row_ad, _counted(history.row_spend) / history.minor_per_major
    counts = (_counted(column) for column in (history.row_impressions, history.row_clicks, history.row_leads))
    columns = [history.row_days_ago, *counts]
    if order is not None:
        ad, spend = ad[order], spend[order]
        columns = [column[order] for column in columns]
    days_ago, impressions, clicks, leads = columns
    return Rows(
        ads=len(history.ad_ids),
        ad=ad,
        starts=starts_of(ad),
        days_ago=days_ago,
        impressions=impressions,
        clicks=clicks,
        leads=leads,
        spend=spend,
    )


def _counted(column: Ints) -> Ints:
    """No count below zero; looking first is a third of the time of a copy."""
    return column if not len(column) or column.min() >= 0 else np.maximum(column, 0)


def sums_of(rows: Rows, recent_days: int) -> Sums:
    """`recent` are the rows of fewer than `recent_days` days ago."""
    sums = Sums(
        **{key: np.zeros(rows.ads) for key in ("impressions", "clicks", "leads", "spend", "recent", "before")},
        days=np.zeros(rows.ads, dtype=np.int64),
    )
    for block in rows.blocks():
        for key in ("impressions", "clicks", "leads", "spend"):
            getattr(sums, key)[block.ads] = block.total(getattr(block, key))
        sums.recent[block.ads] = block.total(np.where(block.days_ago < recent_days, block.spend, 0.0))
        sums.before[block.ads] = sums.spend[block.ads] - block.spend[block.starts + block.number - 1]
        sums.days[block.ads] = block.total((block.spend > 0).astype(np.int64))
    return sums


def _order(ad: Ints, days_ago: Ints) -> Ints | None:
    """What sorts the rows by ad and falling age, None when they are sorted."""
    if not len(ad):
        return None
    if _is_sorted(ad, days_ago):
        return None
    width = int(days_ago.max()) + 1
    return np.argsort(ad * width + (width - 1 - days_ago), kind="stable")


def _is_sorted(ad: Ints, days_ago: Ints) -> bool:
    for first in range(0, len(ad) - 1, _BLOCK):
        part = slice(first, first + _BLOCK + 1)
        step, younger = np.diff(ad[part]), np.diff(days_ago[part]) <= 0
        if not ((step > 0) | ((step == 0) & younger)).all():
            return False
    return True
