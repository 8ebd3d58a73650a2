"""An account's ads as trials of the past: what each did when it was new, and what was known of the older ones then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from adctl.domain.embedding.embedder import Vectors
from adctl.domain.neighbours import Counts, Flags, Floats, Ints, usual_rate

# A new ad's rate is what it did in its first two weeks; results are complete a week later.
FRESH_DAYS: Final = 14
LAG_DAYS: Final = 7
_RECENT_ADS: Final = 200
_RATE_STRENGTH: Final = 10.0
_LEAST_OLDER: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """n ads and their m daily rows in any order. Days are whole numbers; `born` is an ad's first day.

    `vectors` (n, dims) are the creatives' unit vectors. Events are leads or clicks, exposure is money or impressions.
    """

    vectors: Vectors
    campaign: Ints
    born: Ints
    row_ad: Ints
    row_day: Ints
    row_events: Floats
    row_exposure: Floats
    today: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known on one day: the ads that are born then, and the older ones with what they had brought by then.

    `rate` is the usual one of the recent ads and `overall` that of all older ads, in events per unit of exposure.
    """

    targets: Ints
    older: Ints
    known: Counts
    rate: float
    overall: float


def outcomes(trials: Trials) -> tuple[Floats, Floats]:
    """Events and exposure of each ad's first two weeks, shape n."""
    fresh = trials.row_day < trials.born[trials.row_ad] + FRESH_DAYS
    return (
        _sums(trials.row_ad[fresh], trials.row_events[fresh], len(trials.born)),
        _sums(trials.row_ad[fresh], trials.row_exposure[fresh], len(trials.born)),
    )


def past_moments(trials: Trials) -> Iterator[Moment]:
    """The days on which ads were born whose first weeks are complete, the earliest first; nothing later is known."""
    _, exposure = outcomes(trials)
    complete = (trials.born + FRESH_DAYS + LAG_DAYS <= trials.today) & (exposure > 0)
    for day in np.unique(trials.born[complete]):
        moment = moment_of(trials, int(day), np.flatnonzero(complete & (trials.born == day)))
        if len(moment.older) >= _LEAST_OLDER:
            yield moment


def moment_of(trials: Trials, day: int, targets: Ints) -> Moment:
    """What was known of older ads on `day`: rows that were complete by then, of ads that were born before."""
    rows = trials.row_day <= day - LAG_DAYS
    n = len(trials.born)
    events = _sums(trials.row_ad[rows], trials.row_events[rows], n)
    exposure = _sums(trials.row_ad[rows], trials.row_exposure[rows], n)
    older = np.flatnonzero((trials.born < day) & (exposure > 0))
    recent = older[np.argsort(-trials.born[older], kind="stable")][:_RECENT_ADS]
    all_events, all_exposure = float(events[older].sum()), float(exposure[older].sum())
    rate = usual_rate(events[recent], exposure[recent], all_events, all_exposure, _RATE_STRENGTH)
    return Moment(
        targets=targets,
        older=older,
        known=Counts(events=events[older], expected=exposure[older] * rate),
        rate=rate,
        overall=(all_events + 0.5) / max(all_exposure, 1e-12),
    )


def allowed(trials: Trials, moment: Moment) -> Flags:
    """Which older ads may speak for which target, shape (t, c): those of other campaigns only."""
    return np.not_equal.outer(trials.campaign[moment.targets], trials.campaign[moment.older])


def _sums(ad: Ints, values: Floats, n: int) -> Floats:
    return np.bincount(ad, weights=values, minlength=n).astype(np.float64)
