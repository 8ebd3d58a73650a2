"""Where each deal stands in the funnel: how far it came, whether it is lost, and how long it has been there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Flags, Floats, Ints

# A deal may be a day older than its ad: days are whole, and an ad known from files begins with their first day.
_EARLY_DAYS = 1.0
_HOURS_PER_DAY = 24.0
# Deals that stay in the cache: several times as fast as passes over whole columns.
_BLOCK = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Deals:
    """k deals on T steps, and where they stand; `ad` indexes the `ads` they are of. `entered` (k, stages) is how many
    days ago each stage was reached, NaN where it was not; `led` tells whether the first stage is the lead itself and no
    step.

    `reached` counts the steps taken, T is the end. `open` deals are neither at the end nor lost, `lost` ones were
    marked so `marked` days ago.
    """

    minor_per_major: int
    led: bool
    ads: int
    ad: Ints
    age: Ints
    value: Ints
    cash: Ints
    entered: Floats
    marked: Floats
    reached: Ints
    lost: Flags
    open: Flags

    def begun(self, step: int) -> Floats:
        """How many days ago a step was first reached, the lead itself as step 0, NaN where it was not."""
        if self.led or step:
            return self.entered[:, step if self.led else step - 1]
        first: Floats = np.fmax(self.entered[:, 0], self.age + 0.5)
        return first

    def waited(self, chosen: Ints) -> Floats:
        """How many days some of the deals (indexes) have been where they are."""
        reached = self.reached.take(chosen, mode="clip")
        place = chosen * self.entered.shape[1]
        place += reached if self.led else np.maximum(reached - 1, 0)
        found: Floats = self.entered.reshape(-1).take(place, mode="clip")
        if self.led:
            return found
        return np.where(reached == 0, np.fmax(found, self.age[chosen] + 0.5), found)

    @property
    def won(self) -> Flags:
        """Who came to the end."""
        return ~(self.lost | self.open)

    def worth(self, chosen: Ints) -> Floats:
        """What each of some won deals brought: the won amount, or the stage's value where nobody filled that in, major
        units, 0 where nobody knows."""
        value, cash = (column.take(chosen, mode="clip") for column in (self.value, self.cash))
        return np.asarray(np.maximum(np.where(cash > 0, cash, value), 0) / self.minor_per_major, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """The deals of n ads on T steps, in the order of the ads; `ad` and the columns after it have an entry per deal, as
    those of `Deals`.

    `timed` tells whether waiting means anything: without the stages' history a deal is what it is worth today.
    `ignored` (n) counts deals that are older than their ad.
    """

    ads: int
    steps: tuple[str, ...]
    led: bool
    timed: bool
    minor_per_major: int
    ignored: Ints
    ad: Ints
    age: Ints
    value: Ints
    cash: Ints
    entered: Floats
    marked: Floats

    @property
    def length(self) -> int:
        return len(self.steps)

    def of(self, ads: slice) -> Deals:
        """The deals of some ads that follow each other, which they then index."""
        first, last = np.searchsorted(self.ad, (ads.start, ads.stop))
        deals = self.some(slice(int(first), int(last)))
        return replace(deals, ads=ads.stop - ads.start, ad=deals.ad - ads.start)

    def some(self, part: slice | Ints) -> Deals:
        """Some of the deals."""
        # What is chosen here and there is read more than once, but for the amounts: copied, it lies together.
        ad, age = (np.ascontiguousarray(column[part]) for column in (self.ad, self.age))
        entered, marked = (np.ascontiguousarray(column[part]) for column in (self.entered, self.marked))
        taken = np.zeros(len(entered), dtype=np.int8)
        for stage in range(1 if self.led else 0, entered.shape[1]):
            taken += np.isfinite(entered[:, stage]).view(np.int8)
        at_end, lost = taken == self.length, np.isfinite(marked)
        return Deals(
            minor_per_major=self.minor_per_major,
            led=self.led,
            ads=self.ads,
            ad=ad,
            age=age,
            value=self.value[part],
            cash=self.cash[part],
            entered=entered,
            marked=marked,
            reached=taken.astype(np.int64),
            lost=lost & ~at_end,
            open=~(lost | at_end),
        )


def funnel_of(history: AdHistory) -> Funnel:
    """The deals on the account's own stages; without any stage on one step, from lead to a value above 0."""
    early = _early(history)
    ads, keep = len(history.ad_ids), _kept(history.deal_ad, early)
    age, value, cash = history.deal_days_ago[keep], history.deal_value[keep], history.deal_cash[keep]
    timed = bool(history.stages) and history.deal_entered.shape == (len(early), len(history.stages))
    if timed:
        entered, marked = history.deal_entered[keep], history.deal_lost[keep]
    else:
        created = age + 0.5
        entered, marked = np.where(value > 0, created, np.nan)[:, None], np.where(value > 0, np.nan, created)
        cash = np.zeros_like(cash)
    led = timed and len(history.stages) > 1 and _begins_with(entered[:, 0], age)
    return Funnel(
        ads=ads,
        steps=(history.stages[1:] if led else history.stages) if timed else ("valued",),
        led=led,
        timed=timed,
        minor_per_major=history.minor_per_major,
        ignored=np.bincount(history.deal_ad[early], minlength=ads),
        ad=history.deal_ad[keep],
        age=age,
        value=value,
        cash=cash,
        entered=entered,
        marked=marked,
    )


def _early(history: AdHistory) -> Flags:
    most = history.age_hours / _HOURS_PER_DAY + _EARLY_DAYS
    most = np.where(np.isfinite(most), most, np.inf)
    early = np.empty(len(history.deal_ad), dtype=np.bool_)
    for part in _parts(len(early)):
        np.greater(history.deal_days_ago[part], most.take(history.deal_ad[part], mode="clip"), out=early[part])
    return early


def _kept(ad: Ints, early: Flags) -> Ints | slice:
    """The deals that count, in the order of their ads."""
    if early.any():
        kept = np.flatnonzero(~early)
        return kept[np.argsort(ad[kept], kind="stable")]
    return slice(None) if (ad[1:] >= ad[:-1]).all() else np.argsort(ad, kind="stable")


def _begins_with(first: Floats, age: Ints) -> bool:
    """Whether every deal reached the first stage on the day it was created: that stage is the lead, not a step."""
    return all(bool((first[part] >= age[part] - 1e-6).all()) for part in _parts(len(age)))


def _parts(deals: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, deals, _BLOCK))
