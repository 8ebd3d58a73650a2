"""Verdicts held against what came true of the money that they were about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import gammaincinv

from adctl.domain.calibration import Band, bands
from adctl.domain.outcomes import Outcomes
from adctl.domain.policies.protocol import Flags, Floats, Ints
from adctl.domain.said import Said

# Money that would bring fewer usual deals than this at the bound cannot tell the two sides of it apart: with three, an
# ad just at the bound brings none in one case of twenty.
LEAST_DEALS = 3.0
_TAILS = (0.05, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`verdicts` are judged, `earlier` of them by money from before the decision. `unclear` ones are judged too, but
    the truth's own interval holds the bound. Not judged are `silent` ones, which stated no chance, those with too
    `little` money after the decision, and those still `waiting` for theirs to mature.
    """

    bands: tuple[Band, ...]
    verdicts: int
    wrong: int
    earlier: int
    unclear: int
    silent: int
    little: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """Of one day's verdicts: which ads (indexes, the last of none), what was stated and on what money it is judged."""

    where: Ints
    said: Said
    spend: Floats
    value: Floats
    deals: Floats
    earlier: Flags


def judged(days: Mapping[date, Said], found: Outcomes, *, horizon: int, maturity: int) -> Judged:
    """The verdicts of one model against the return on the money of the `horizon` days after each, `maturity` days old.

    What led to a verdict is no proof of it. But who is stopped spends no more: a pause without enough money after it is
    judged by the money of the `maturity` days up to it, whose deals were mostly open when it was decided.
    """
    known = [day for day in days if found.matured(day, horizon=horizon, maturity=maturity)]
    usual = _usual(found, maturity)
    seen = [_seen(days[day], day, found, usual, horizon, maturity) for day in known]
    p_wrong, bar, above = (_joined([getattr(one.said, key) for one in seen]) for key in _STATED)
    spend, value, deals, earlier, where = (_joined([getattr(one, key) for one in seen]) for key in _MONEY)
    stated = np.isfinite(p_wrong) & np.isfinite(bar)
    mine = stated & _enough(spend, bar, usual)
    roas = value / np.where(spend > 0, spend, 1.0)
    low, high = _interval(spend, value, deals, usual)
    wrong = (roas > bar) == above.astype(np.bool_)
    return Judged(
        bands=bands(p_wrong[mine], wrong[mine], where[mine].astype(np.int64)),
        verdicts=int(mine.sum()),
        wrong=int(wrong[mine].sum()),
        earlier=int((mine & (earlier > 0)).sum()),
        unclear=int((mine & (low <= bar) & (bar <= high)).sum()),
        silent=int((~stated).sum()),
        little=int((stated & ~mine).sum()),
        waiting=sum(len(said.ad_ids) for day, said in days.items() if day not in known),
    )


_STATED = ("p_wrong", "wrong_roas", "wrong_above")
_MONEY = ("spend", "value", "deals", "earlier", "where")


def _seen(said: Said, day: date, found: Outcomes, usual: float, horizon: int, maturity: int) -> _Seen:
    place = {ad_id: index for index, ad_id in enumerate(found.ad_ids)}
    where = np.array([place.get(ad_id, -1) for ad_id in said.ad_ids], dtype=np.int64)
    after = found.between(day + timedelta(days=1), day + timedelta(days=horizon))
    before = found.between(day - timedelta(days=max(maturity, 1) - 1), day)
    later, sooner = ([np.append(column, 0.0)[where] for column in columns] for columns in (after, before))
    earlier = said.kill & ~_enough(later[0], said.wrong_roas, usual)
    spend, value, deals = (np.where(earlier, old, new) for old, new in zip(sooner, later, strict=True))
    return _Seen(where=where, said=said, spend=spend, value=value, deals=deals, earlier=earlier)


def _usual(found: Outcomes, maturity: int) -> float:
    """What a deal of mature money is worth on average, 0 where there is none."""
    _, value, deals = found.between(found.since + timedelta(days=1), found.day - timedelta(days=max(maturity, 1)))
    return float(value.sum()) / max(float(deals.sum()), 1.0)


def _enough(spend: Floats, bar: Floats, usual: float) -> Flags:
    """By what was spent and asked for, never by what came of it; without any deal to compare with, no money is."""
    return np.asarray((usual > 0) & (spend * bar >= LEAST_DEALS * usual), dtype=np.bool_)


def _interval(spend: Floats, value: Floats, deals: Floats, usual: float) -> tuple[Floats, Floats]:
    """The 90 % interval of the return that so few deals leave: that of a Poisson count of deals of one size; an ad
    without a deal may still be worth what three deals of the account's mean value would have been."""
    size = np.where(deals > 0, value / np.maximum(deals, 1.0), usual) / np.where(spend > 0, spend, 1.0)
    low = np.where(deals > 0, gammaincinv(np.maximum(deals, 1.0), _TAILS[0]), 0.0)
    return low * size, gammaincinv(deals + 1, _TAILS[1]) * size


def _joined(columns: Sequence[Floats | Flags | Ints]) -> Floats:
    return np.concatenate([np.empty(0), *columns])
