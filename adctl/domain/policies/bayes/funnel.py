"""Where each deal stands in the funnel: how far it came, whether it is lost, and how long it has been there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Flags, Floats, Ints

# A deal may be a day older than its ad: days are whole, and an ad known from files begins with their first day.
_EARLY_DAYS = 1.0
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """k deals of n ads on T steps. `begun` (T+1 columns of shape k) is how many days ago each step was first reached,
    the lead itself first, NaN where it was not; `reached` (k) counts the steps taken, T is the end.

    `open` deals are neither at the end nor lost and have been where they are for `waited` days (NaN when unknown);
    `lost` deals were marked so after `lost_after` days in their last step. `worth` is what a deal at the end brought,
    major units, 0 where nobody knows. `timed` tells whether waiting means anything: without the stages' history a
    deal is what it is worth today. `ignored` (n) counts deals that are older than their ad.
    """

    ads: int
    steps: tuple[str, ...]
    ad: Ints
    begun: tuple[Floats, ...]
    reached: Ints
    lost: Flags
    open: Flags
    waited: Floats
    lost_after: Floats
    worth: Floats
    timed: bool
    ignored: Ints

    @property
    def length(self) -> int:
        return len(self.steps)


def funnel_of(history: AdHistory) -> Funnel:
    """The deals on the account's own stages; without any stage on one step, from lead to a value above 0."""
    early = _early(history)
    ads = len(history.ad_ids)
    ignored = np.bincount(history.deal_ad[early], minlength=ads) if early.any() else np.zeros(ads, dtype=np.int64)
    keep = slice(None) if not early.any() else ~early
    ad, age = history.deal_ad[keep], history.deal_days_ago[keep]
    value, cash = history.deal_value[keep], history.deal_cash[keep]
    if not history.stages or history.deal_entered.shape != (len(history.deal_ad), len(history.stages)):
        return _untimed(ads, ad, age, value, history.minor_per_major, ignored)
    entered, lost = history.deal_entered[keep], history.deal_lost[keep]
    columns = [np.ascontiguousarray(entered[:, stage]) for stage in range(entered.shape[1])]
    steps = history.stages
    if _begins_with(columns[0], age) and len(columns) > 1:
        steps = steps[1:]
    else:
        created = age.astype(np.float64) + 0.5
        columns.insert(0, np.where(columns[0] > created, columns[0], created))
    reached = np.zeros(len(ad), dtype=np.int64)
    for column in columns[1:]:
        reached += np.isfinite(column)
    return _standing(ads, steps, ad, columns, reached, lost, _worth(value, cash, history.minor_per_major), ignored)


def _early(history: AdHistory) -> Flags:
    most = history.age_hours / _HOURS_PER_DAY + _EARLY_DAYS
    return history.deal_days_ago > np.where(np.isfinite(most), most, np.inf)[history.deal_ad]


def _begins_with(first: Floats, age: Ints) -> bool:
    """Whether every deal reached the first stage on the day it was created: that stage is the lead, not a step."""
    return bool((first >= age - 1e-6).all())


def _worth(value: Ints, cash: Ints, minor_per_major: int) -> Floats:
    """The won amount, or the stage's value where nobody filled the amount in."""
    return np.maximum(np.where(cash > 0, cash, value), 0) / minor_per_major


def _standing(
    ads: int,
    steps: tuple[str, ...],
    ad: Ints,
    columns: list[Floats],
    reached: Ints,
    lost: Floats,
    worth: Floats,
    ignored: Ints,
) -> Funnel:
    at_end = reached == len(steps)
    gone = np.isfinite(lost) & ~at_end
    waited = columns[0].copy()
    for step, column in enumerate(columns[1:], start=1):
        np.copyto(waited, column, where=reached >= step)
    return Funnel(
        ads=ads,
        steps=steps,
        ad=ad,
        begun=tuple(columns),
        reached=reached,
        lost=gone,
        open=~(at_end | gone),
        waited=waited,
        lost_after=waited - lost,
        worth=worth,
        timed=True,
        ignored=ignored,
    )


def _untimed(ads: int, ad: Ints, age: Ints, value: Ints, minor_per_major: int, ignored: Ints) -> Funnel:
    created = age.astype(np.float64) + 0.5
    worth = np.maximum(value, 0) / minor_per_major
    reached = (value > 0).astype(np.int64)
    return Funnel(
        ads=ads,
        steps=("valued",),
        ad=ad,
        begun=(created, np.where(value > 0, created, np.nan)),
        reached=reached,
        lost=value <= 0,
        open=np.zeros(len(ad), dtype=np.bool_),
        waited=created,
        lost_after=np.zeros(len(ad)),
        worth=worth,
        timed=False,
        ignored=ignored,
    )
