"""The daily rows in the order of ads and days, read some thousand at a time, and what they sum to per ad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from adctl.domain.policies.protocol import AdHistory, Floats, Ints

_Number = TypeVar("_Number", np.int64, np.float64)
# More days than any row is old, so that a row's ad and age make one number to sort by.
_LONGEST = 1 << 20
# Rows that stay in the cache: several times as fast as passes over whole columns.
_BLOCK = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows of some ads that follow each other. `ads` are those that have rows here, `starts` the first row of each,
    `number` how many it has. `spend` is minor units."""

    minor_per_major: int
    ads: Ints
    starts: Ints
    number: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Ints

    def before(self) -> Ints:
        """What each row's ad spent in its earlier rows, minor units."""
        total = np.cumsum(self.spend)
        total -= self.spend
        total -= self.each(total[self.starts])
        return total

    def each(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """One value of each of the `ads`, in all of its rows."""
        return np.repeat(values, self.number)

    def total(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """What the rows of each of the `ads` sum to."""
        return np.asarray(np.add.reduceat(values, self.starts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Daily rows of n ads, by ad, the oldest first. `spend` is minor units; `fed` are the ads that have any rows,
    `starts` the first row of each and, at last, the number of all rows."""

    ads: int
    minor_per_major: int
    fed: Ints
    starts: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Ints

    @property
    def most(self) -> int:
        """The largest spend of a row, minor units."""
        return int(self.spend.max(initial=0))

    @property
    def oldest(self) -> int:
        """The age of the oldest row in days, −1 without any."""
        return int(self.days_ago[self.starts[:-1]].max(initial=-1))

    def blocks(self) -> Iterator[Block]:
        """All rows once, every ad's in one block."""
        first = 0
        while first < len(self.fed):
            start = int(self.starts[first])
            last = max(int(np.searchsorted(self.starts, start + _BLOCK)), first + 1)
            last = min(last, len(self.fed))
            starts = self.starts[first : last + 1]
            yield self._block(
                slice(first, last), slice(start, int(starts[-1])), starts[:-1] - start, starts[1:] - starts[:-1]
            )
            first = last

    def of(self, ads: Ints) -> Block:
        """The rows of these ads, which ascend; all of them have rows."""
        place = np.searchsorted(self.fed, ads)
        number = self.starts[place + 1] - self.starts[place]
        starts = np.cumsum(number) - number
        rows = np.arange(int(number.sum())) + np.repeat(self.starts[place] - starts, number)
        return self._block(place, rows, starts, number)

    def _block(self, fed: slice | Ints, part: slice | Ints, starts: Ints, number: Ints) -> Block:
        return Block(
            minor_per_major=self.minor_per_major,
            ads=self.fed[fed],
            starts=starts,
            number=number,
            days_ago=self.days_ago[part],
            impressions=self.impressions[part],
            clicks=self.clicks[part],
            leads=self.leads[part],
            spend=self.spend[part],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Each ad's whole past, shape n. Money is major units; counts are doubles, which hold them exactly.

    `recent` was spent on the last days, `before` before the last row.
    """

    impressions: Floats
    clicks: Floats
    leads: Floats
    spend: Floats
    recent: Floats
    before: Floats


def rows_of(history: AdHistory) -> Rows:
    """The history's rows, sorted unless they are already; a spend or count restated below zero counts as none."""
    ad, days_ago = history.row_ad, history.row_days_ago
    counts = [history.row_impressions, history.row_clicks, history.row_leads, history.row_spend]
    looked = _look(ad, days_ago, counts)
    if looked is None:
        order = np.argsort(ad * _LONGEST - days_ago, kind="stable")
        ad, days_ago, counts = ad[order], days_ago[order], [column[order] for column in counts]
        looked = _look(ad, days_ago, counts)
        assert looked is not None
    fed, starts, below = looked
    impressions, clicks, leads, spend = (
        np.maximum(column, 0) if less else column for column, less in zip(counts, below, strict=True)
    )
    return Rows(
        ads=len(history.ad_ids),
        minor_per_major=history.minor_per_major,
        fed=fed,
        starts=starts,
        days_ago=days_ago,
        impressions=impressions,
        clicks=clicks,
        leads=leads,
        spend=spend,
    )


def sums_of(rows: Rows, recent_days: int) -> Sums:
    """`recent` are the rows of fewer than `recent_days` days ago."""
    keys = ("impressions", "clicks", "leads", "spend")
    sums = Sums(**{key: np.zeros(rows.ads) for key in (*keys, "recent", "before")})
    for block in rows.blocks():
        for key in keys:
            getattr(sums, key)[block.ads] = block.total(getattr(block, key))
        sums.recent[block.ads] = block.total(np.where(block.days_ago < recent_days, block.spend, 0))
        sums.before[block.ads] = sums.spend[block.ads] - block.spend[block.starts + block.number - 1]
    for money in (sums.spend, sums.recent, sums.before):
        money /= rows.minor_per_major
    return sums


def _look(ad: Ints, days_ago: Ints, counts: Sequence[Ints]) -> tuple[Ints, Ints, list[bool]] | None:
    """The ads that have rows, where the rows of each begin and all end, and which counts have values below zero; None
    for rows that are not sorted by ad and falling age."""
    fed, starts, below = [], [], [False] * len(counts)
    last_ad, last_day = -1, _LONGEST
    for first in range(0, len(ad), _BLOCK):
        part = slice(first, first + _BLOCK)
        place, ago = ad[part], days_ago[part]
        begin, younger = np.empty(len(place), dtype=np.bool_), np.empty(len(place), dtype=np.bool_)
        begin[0], younger[0] = place[0] != last_ad, ago[0] > last_day
        np.not_equal(place[1:], place[:-1], out=begin[1:])
        np.greater(ago[1:], ago[:-1], out=younger[1:])
        # True only where a row is older than the one before it, of the same ad.
        if np.greater(younger, begin, out=younger).any():
            return None
        begins = np.flatnonzero(begin)
        fed.append(place[begins])
        starts.append(begins + first)
        below = [less or bool(column[part].min() < 0) for less, column in zip(below, counts, strict=True)]
        last_ad, last_day = place[-1], ago[-1]
    ads = np.concatenate([np.empty(0, dtype=np.int64), *fed])
    if (ads[1:] <= ads[:-1]).any():
        return None
    starts.append(np.array([len(ad)]))
    return ads, np.concatenate(starts), below
