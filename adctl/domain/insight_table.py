"""Many insights in little memory: columns of machine numbers instead of Python objects."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import Final, overload

import numpy as np

from adctl.domain.ids import AdId, AdSetId, CampaignId
from adctl.domain.insights import Insight

_TEXTS: Final = ("ad_id", "ad_set_id", "campaign_id", "windows")
_DAYS: Final = ("first_day", "day")
_FIGURES: Final = ("impressions", "clicks", "link_clicks", "spend", "leads", "purchases", "purchase_value")
_FREE: Final = -1


class InsightTable(Sequence[Insight]):
    """One insight per ad and period, in the order in which they came; each is made when it is asked for.

    A row takes some 100 bytes, whatever it holds: ids and windows that occur again are kept once. `lines` are the
    lines of the file that the rows were first met on, `parts` how many of its rows each of them sums up. `reach` is
    not kept.
    """

    def __init__(self) -> None:
        self.lines = array("q")
        self.parts = array("i")
        self._codes: dict[str, int] = {}
        self._words: list[str] = []
        self._small = {name: array("i") for name in (*_TEXTS, *_DAYS)}
        self._figures = {name: array("q") for name in _FIGURES}
        # Row numbers by the hash of their key, each at the first free place from there on; at most half are taken.
        self._places = array("i", [_FREE]) * 1024

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, row: int) -> Insight: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Insight]: ...
    def __getitem__(self, row: int | slice) -> Insight | Sequence[Insight]:
        if isinstance(row, slice):
            return tuple(self[at] for at in range(*row.indices(len(self))))
        small, figures = self._small, self._figures
        return Insight(
            ad_id=AdId(self._words[small["ad_id"][row]]),
            ad_set_id=AdSetId(self._words[small["ad_set_id"][row]]),
            campaign_id=CampaignId(self._words[small["campaign_id"][row]]),
            first_day=date.fromordinal(small["first_day"][row]),
            day=date.fromordinal(small["day"][row]),
            windows=self._words[small["windows"][row]],
            **{name: figures[name][row] for name in _FIGURES},
        )

    def find(self, insight: Insight) -> int | None:
        """The row of the same ad and period."""
        code = self._codes.get(insight.ad_id)
        if code is None:
            return None
        row = self._places[self._place((code, insight.first_day.toordinal(), insight.day.toordinal()))]
        return None if row == _FREE else row

    def append(self, insight: Insight, *, line: int, parts: int = 1) -> None:
        """A new row; the caller has made sure that there is none of the same ad and period."""
        if 2 * len(self) >= len(self._places):
            self._places = array("i", [_FREE]) * (2 * len(self._places))
            for row in range(len(self)):
                self._places[self._place(self._key(row))] = row
        for name in _TEXTS:
            self._small[name].append(self._code(getattr(insight, name)))
        for name in _DAYS:
            self._small[name].append(getattr(insight, name).toordinal())
        for name in _FIGURES:
            self._figures[name].append(getattr(insight, name))
        self.lines.append(line)
        self.parts.append(parts)
        row = len(self) - 1
        self._places[self._place(self._key(row))] = row

    def add_to(self, row: int, insight: Insight) -> None:
        """Adds another part of the row's ad and period to its figures."""
        for name in _FIGURES:
            self._figures[name][row] += getattr(insight, name)
        self.parts[row] += 1

    def total(self, figure: str) -> int:
        """The sum of one of the figures over all rows."""
        return sum(self._figures[figure])

    def ad_ids(self) -> Iterator[str]:
        """The ad of each row."""
        return (self._words[code] for code in self._small["ad_id"])

    def without(self, ads: Collection[str]) -> InsightTable:
        """The rows of all other ads."""
        left = InsightTable()
        for insight, line, parts in zip(self, self.lines, self.parts, strict=True):
            if insight.ad_id not in ads:
                left.append(insight, line=line, parts=parts)
        return left

    def overlap(self) -> tuple[int, int] | None:
        """Two rows of one ad that share a day, the first such by id and day; None when no day stands twice."""
        if self._small["first_day"] == self._small["day"]:
            # Single days, each of which an ad has once.
            return None
        ids, code_of_row = np.unique(np.array(self._small["ad_id"]), return_inverse=True)
        rank = np.argsort(np.argsort([self._words[code] for code in ids]))[code_of_row]
        first, last = np.array(self._small["first_day"]), np.array(self._small["day"])
        order = np.lexsort((first, rank))
        one, other = order[:-1], order[1:]
        found = np.flatnonzero((rank[one] == rank[other]) & (first[other] <= last[one]))
        return (int(one[found[0]]), int(other[found[0]])) if len(found) else None

    def _code(self, word: str) -> int:
        code = self._codes.setdefault(word, len(self._words))
        if code == len(self._words):
            self._words.append(word)
        return code

    def _key(self, row: int) -> tuple[int, int, int]:
        return self._small["ad_id"][row], self._small["first_day"][row], self._small["day"][row]

    def _place(self, key: tuple[int, int, int]) -> int:
        """Where the key's row is, or would be."""
        last = len(self._places) - 1
        place = hash(key) & last
        while self._places[place] != _FREE and self._key(self._places[place]) != key:
            place = (place + 1) & last
        return place
