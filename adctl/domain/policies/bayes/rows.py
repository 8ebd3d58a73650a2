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
# Rows of which a column or two stay in the cache: several times as fast as passes over whole columns.
_BLOCK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The rows of some ads that follow each other. `ads` are those that have rows here, `place` says where they stand
    among all that have any, `starts` is the first row of each, `number` how many it has. `spend` is minor units."""

    minor_per_major: int
    place: slice | Ints
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
class Sums:
    """Each ad's whole past, shape n. Money is minor units; `before` was spent before the last row."""

    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Ints
    before: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Daily rows of n ads, by ad, the oldest first, and their sums. `spend` is minor units, `most` the largest of a
    row; `fed` are the ads that have any rows, `starts` the first row of each and, at last, the number of all rows."""

    ads: int
    minor_per_major: int
    sums: Sums
    most: int
    fed: Ints
    starts: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    leads: Ints
    spend: Ints

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

    def spread(self, found: Floats) -> Floats:
        """What was found of the ads that have rows, for all ads: 0 for the others."""
        return _spread(found, self.fed, self.ads)

    def of(self, ads: Ints) -> Block:
        """The rows of these ads, which ascend; all of them have rows."""
        place = self._places(ads)
        number = self.starts[place + 1] - self.starts[place]
        starts = np.cumsum(number) - number
        rows = np.arange(int(number.sum())) + np.repeat(self.starts[place] - starts, number)
        return self._block(place, rows, starts, number)

    def recent(self, ads: Ints, days: int) -> Floats:
        """What these ads, which ascend, spent in their rows of fewer than so many `days` ago, major units."""
        found = np.zeros(len(ads), dtype=np.int64)
        place = self._places(ads)
        (those,) = np.equal(self.fed.take(place, mode="clip"), ads).nonzero() if len(self.fed) else (ads[:0],)
        first, row = self.starts[place[those]], self.starts[place[those] + 1] - 1
        # From the last row of each back to its first old one: few rows are recent, so few are looked at.
        while len(those):
            kept = (row >= first) & (self.days_ago[row] < days)
            those, first, row = those[kept], first[kept], row[kept]
            found[those] += self.spend[row]
            row -= 1
        return found / self.minor_per_major

    def _places(self, ads: Ints) -> Ints:
        """Where these ads, which ascend, stand among those that have rows, or would stand."""
        return ads if len(self.fed) == self.ads else np.searchsorted(self.fed, ads)

    def _block(self, fed: slice | Ints, part: slice | Ints, starts: Ints, number: Ints) -> Block:
        return Block(
            minor_per_major=self.minor_per_major,
            place=fed,
            ads=self.fed[fed],
            starts=starts,
            number=number,
            days_ago=self.days_ago[part],
            impressions=self.impressions[part],
            clicks=self.clicks[part],
            leads=self.leads[part],
            spend=self.spend[part],
        )


def rows_of(history: AdHistory) -> Rows:
    """The history's rows, sorted unless they are already; a spend or count restated below zero counts as none."""
    ad, days_ago = history.row_ad, history.row_days_ago
    counts = [history.row_impressions, history.row_clicks, history.row_leads, history.row_spend]
    reading = _Reading(len(history.ad_ids))
    if not reading.read(ad, days_ago, counts):
        order = np.argsort(ad * _LONGEST - days_ago, kind="stable")
        ad, days_ago, counts = ad[order], days_ago[order], [column[order] for column in counts]
        reading = _Reading(len(history.ad_ids))
        reading.read(ad, days_ago, counts)
    impressions, clicks, leads, spend = (
        np.maximum(column, 0) if below else column for column, below in zip(counts, reading.below, strict=True)
    )
    return Rows(
        ads=len(history.ad_ids),
        minor_per_major=history.minor_per_major,
        sums=reading.sums(),
        most=reading.most,
        fed=reading.fed,
        starts=reading.starts,
        days_ago=days_ago,
        impressions=impressions,
        clicks=clicks,
        leads=leads,
        spend=spend,
    )


class _Reading:
    """What one pass over the rows finds: the ads that have some, where the rows of each begin, what they sum to, which
    counts have values `below` zero, and the `most` that a row spent."""

    def __init__(self, ads: int) -> None:
        self.below = [False] * 4
        self.most = 0
        self._ads = ads
        self._sums = np.zeros((5, ads), dtype=np.int64)
        self._fed, self._starts = np.empty(ads, dtype=np.int64), np.zeros(ads + 1, dtype=np.int64)
        self._read = 0

    @property
    def fed(self) -> Ints:
        return self._fed[: self._read]

    @property
    def starts(self) -> Ints:
        """Of the rows of each ad that is fed and, at last, the number of all rows."""
        return self._starts[: self._read + 1]

    def read(self, ad: Ints, days_ago: Ints, counts: Sequence[Ints]) -> bool:
        """False for rows that are not sorted by ad and falling age."""
        first, size, last = 0, _BLOCK, -1
        while first < len(ad):
            part = slice(first, first + size)
            starts = _starts(ad[part], days_ago[part])
            if starts is None or ad[first] <= last:
                return False
            if part.stop < len(ad):
                # The last ad's rows may go on: it is read with the next ones.
                if len(starts) == 1:
                    size *= 2
                    continue
                part, starts = slice(first, first + int(starts[-1])), starts[:-1]
            self._add(first, ad[part][starts], starts, [column[part] for column in counts])
            first, last = min(part.stop, len(ad)), int(self.fed[-1])
        self._starts[self._read] = len(ad)
        return True

    def _add(self, first: int, ads: Ints, starts: Ints, counts: list[Ints]) -> None:
        part = slice(self._read, self._read + len(ads))
        *sums, before = self._sums[:, part]
        for place, found in enumerate(sums):
            bits = int(np.bitwise_or.reduce(counts[place]))
            if bits < 0:
                self.below[place] = True
                counts[place] = np.maximum(counts[place], 0)
            # Often nobody reports leads: then nothing is to be summed.
            if bits:
                np.add.reduceat(counts[place], starts, out=found)
        spend, last = counts[-1], np.append(starts[1:], len(counts[-1])) - 1
        np.subtract(sums[-1], spend[last], out=before)
        self.most = max(self.most, int(spend.max()))
        self._fed[part] = ads
        np.add(starts, first, out=self._starts[part])
        self._read = part.stop

    def sums(self) -> Sums:
        impressions, clicks, leads, spend, before = (
            _spread(column[: self._read], self.fed, self._ads) for column in self._sums
        )
        return Sums(impressions=impressions, clicks=clicks, leads=leads, spend=spend, before=before)


def _starts(ad: Ints, days_ago: Ints) -> Ints | None:
    """Where the rows of each ad begin; None for rows that are not sorted by ad and falling age."""
    begin, younger = np.ones(len(ad), dtype=np.bool_), np.zeros(len(ad), dtype=np.bool_)
    np.not_equal(ad[1:], ad[:-1], out=begin[1:])
    np.greater(days_ago[1:], days_ago[:-1], out=younger[1:])
    # True only where a row is older than the one before it, of the same ad.
    if np.greater(younger, begin, out=younger).any():
        return None
    (starts,) = begin.nonzero()
    ads = ad[starts]
    return starts if (ads[1:] > ads[:-1]).all() else None


def _spread(found: NDArray[_Number], fed: Ints, ads: int) -> NDArray[_Number]:
    """What was found of the ads that were `fed`, for all of them: 0 for the others."""
    if len(fed) == ads:
        return found
    whole = np.zeros(ads, dtype=found.dtype)
    whole[fed] = found
    return whole
