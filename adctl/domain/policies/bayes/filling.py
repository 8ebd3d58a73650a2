"""Water-filling: shares of a total at which the marginal returns of concave responses meet, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.normal import excess
from adctl.domain.policies.protocol import Floats

# Ads whose shares stay in the cache, and ads that tell roughly where the level is.
_PIECE = 8_192
_SAMPLE = 8_192
# A sample has a sixteenth of the ads at least, so that its level is so close that two steps are enough.
_FEWER = 16
# Newton's steps double the digits that are right: one as small as this leaves the level right to 1e-6.
_CLOSE = 3e-4
_DECIMALS = 9
# How far (in logs) the level is looked for from that of a sample, at first and at last.
_REACH = 0.01
_FARTHEST = 10.0


def fill(
    total: float, height: Floats, room: Floats, lower: Floats, upper: Floats, least: float
) -> tuple[Floats, float]:
    """Shares that maximise Σ exp(height)·room·(1 − e^(−share/room)), and the log of the marginal return they meet at.

    The shares lie in `lower`..`upper` and sum to `total`, or to less where every upper bound is reached or the
    marginal return would fall below exp(`least`), or to Σ lower where that is more. Exact: each share is piecewise
    linear in the level, so one sort of the bends and a running sum find it; of very many ads, only of those bends
    that lie near the level of a sample.
    """
    low, high = _near(total, height, room, lower, upper) or _ends(height, room, lower, upper)
    bends, turns, slope = _bends(low, high, height, room, lower, upper)
    levels = np.concatenate([[low], bends, [high]])
    slopes = slope + np.concatenate([[0.0], np.cumsum(turns)])
    # What is spent when the level stands at each of them; it falls from Σ upper to Σ lower.
    fall = np.concatenate([[0.0], np.cumsum(slopes * np.diff(levels))])
    spent = _spent(low, height, room, lower, upper) - fall
    place = int(np.searchsorted(-spent, -total, side="left"))
    if place == 0:
        level = low
    elif place == len(levels):
        level = high
    else:
        level = float(levels[place - 1] + (spent[place - 1] - total) / max(slopes[place - 1], 1e-300))
    level = max(level, least)
    return _clipped(level, height, room, lower, upper), level


def _clipped(level: float, height: Floats, room: Floats, lower: Floats, upper: Floats) -> Floats:
    """The shares whose marginal returns meet at the level."""
    shares = np.empty(len(height))
    for part in _parts(len(shares)):
        np.clip(room[part] * (height[part] - level), lower[part], upper[part], out=shares[part])
    return shares


def _spent(level: float, height: Floats, room: Floats, lower: Floats, upper: Floats) -> float:
    """What those shares sum to."""
    return sum(
        float(np.clip(room[part] * (height[part] - level), lower[part], upper[part]).sum())
        for part in _parts(len(height))
    )


def _ends(height: Floats, room: Floats, lower: Floats, upper: Floats) -> tuple[float, float]:
    """The levels between which any share changes."""
    parts = tuple(_parts(len(height)))
    return (
        min(float((height[part] - upper[part] / room[part]).min()) for part in parts),
        max(float((height[part] - lower[part] / room[part]).max()) for part in parts),
    )


def _bends(
    low: float, high: float, height: Floats, room: Floats, lower: Floats, upper: Floats
) -> tuple[Floats, Floats, float]:
    """The levels within `low`..`high` at which a share reaches a bound, in their order, by how much the slope of what
    is spent turns at each, and the slope at `low`."""
    levels, turns, slope = [], [], 0.0
    for part in _parts(len(height)):
        bends = np.concatenate([height[part] - upper[part] / room[part], height[part] - lower[part] / room[part]])
        turn = np.concatenate([room[part], -room[part]])
        under = bends < low
        inside = np.flatnonzero(~under & (bends <= high))
        slope += float(turn[under].sum())
        levels.append(bends[inside])
        turns.append(turn[inside])
    level, turn = np.concatenate(levels), np.concatenate(turns)
    order = np.argsort(level, kind="stable")
    return level[order], turn[order], slope


def _parts(ads: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, ads, _PIECE))


def _near(total: float, height: Floats, room: Floats, lower: Floats, upper: Floats) -> tuple[float, float] | None:
    """Levels, close to each other, between which that of very many ads lies; None for fewer ads, or where none does."""
    most, every = float(upper.sum()), len(height) // _SAMPLE
    if every < 2 or not float(lower.sum()) < total < most:
        return None
    some = slice(None, None, every)
    part = float(upper[some].sum()) / most
    level = fill(total * part, height[some], room[some], lower[some], upper[some], -np.inf)[1]
    reach = _REACH
    while reach < _FARTHEST:
        spent = [_spent(end, height, room, lower, upper) for end in (level - reach, level + reach)]
        if spent[0] > total > spent[1]:
            return level - reach, level + reach
        reach *= 8
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertain:
    """Responses whose height is Normal(`height`, `sd`²), and the bounds of their shares; shape n."""

    height: Floats
    sd: Floats
    room: Floats
    lower: Floats
    upper: Floats

    def some(self, part: slice) -> Uncertain:
        return Uncertain(
            height=self.height[part],
            sd=self.sd[part],
            room=self.room[part],
            lower=self.lower[part],
            upper=self.upper[part],
        )

    def shares(self, level: float, into: tuple[Floats, Floats]) -> None:
        """E clip(room·(height − level), lower, upper), and by how much each falls per unit of the level."""
        shares, falls = into
        for part in _parts(len(shares)):
            shares[part], falls[part] = self.some(part)._shares(level)

    def _shares(self, level: float) -> tuple[Floats, Floats]:
        above = self.height - level
        most, mostly = excess(above - self.lower / self.room, self.sd)
        over, rarely = excess(above - self.upper / self.room, self.sd)
        return self.lower + self.room * (most - over), self.room * (mostly - rarely)


def fill_on_average(total: float, those: Uncertain, least: float) -> tuple[Floats, float]:
    """What `fill` gives on average over the heights, where no single ad moves the level.

    For accounts of very many ads: one closed form instead of many draws. By Newton's steps from the level of a sample,
    by halving wherever they leave what is known.
    """
    low, high = _ends(those.height, those.room, those.lower, those.upper)
    low, high = max(low - 1.0, least), high + 8 * float(those.sd.max()) + 1.0
    level, every = (low + high) / 2, min(len(those.height) // _SAMPLE, _FEWER)
    if total >= those.upper.sum():
        level = high = low
    elif every > 1:
        some = those.some(slice(None, None, every))
        level = fill_on_average(total * float(some.upper.sum() / those.upper.sum()), some, least)[1]
    shares, falls = np.empty(len(those.height)), np.empty(len(those.height))
    those.shares(level, (shares, falls))
    while high - low > 10.0**-_DECIMALS:
        over = float(shares.sum()) - total
        low, high = (level, high) if over > 0 else (low, level)
        step = over / max(float(falls.sum()), 1e-300)
        if abs(step) < _CLOSE:
            falls *= step
            shares -= falls
            return shares, level + step
        level = level + step if low < level + step < high else (low + high) / 2
        those.shares(level, (shares, falls))
    return shares, level
