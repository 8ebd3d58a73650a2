"""Water-filling: shares of a total at which the marginal returns of concave responses meet, within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from adctl.domain.policies.protocol import Floats

# Ads whose shares stay in the cache, and ads that tell roughly where the level is.
_PIECE = 8_192
_SAMPLE = 8_192
# Newton's steps double the digits that are right: after one as small as this, no further one changes the decimals.
_CLOSE = 1e-5
_DECIMALS = 9


def fill(
    total: float, height: Floats, room: Floats, lower: Floats, upper: Floats, least: float
) -> tuple[Floats, float]:
    """Shares that maximise Σ exp(height)·room·(1 − e^(−share/room)), and the log of the marginal return they meet at.

    The shares lie in `lower`..`upper` and sum to `total`, or to less where every upper bound is reached or the
    marginal return would fall below exp(`least`), or to Σ lower where that is more. Exact: each share is piecewise
    linear in the level, so one sort of the 2n bends and a running sum find it.
    """
    bends = np.concatenate([height - upper / room, height - lower / room])
    turns = np.concatenate([room, -room])
    order = np.argsort(bends, kind="stable")
    bends, slope = bends[order], np.cumsum(turns[order])
    # What is spent when the level stands at each bend; it falls from Σ upper to Σ lower.
    fall = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(bends))])
    spent = upper.sum() - fall
    place = int(np.searchsorted(-spent, -total, side="left"))
    if place == 0:
        level = float(bends[0])
    elif place == len(bends):
        level = float(bends[-1])
    else:
        level = float(bends[place - 1] + (spent[place - 1] - total) / max(slope[place - 1], 1e-300))
    level = max(level, least)
    return np.clip(room * (height - level), lower, upper), level


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

    def shares(self, level: float) -> tuple[Floats, float]:
        """E clip(room·(height − level), lower, upper), and by how much their sum falls per unit of the level."""
        shares, fall = np.empty(len(self.height)), 0.0
        for start in range(0, len(shares), _PIECE):
            part = slice(start, start + _PIECE)
            shares[part], slopes = self.some(part)._shares(level)
            fall += float(slopes.sum())
        return shares, fall

    def _shares(self, level: float) -> tuple[Floats, Floats]:
        above = self.height - level
        most, mostly = _excess(above - self.lower / self.room, self.sd)
        over, rarely = _excess(above - self.upper / self.room, self.sd)
        return self.lower + self.room * (most - over), self.room * (mostly - rarely)


def fill_on_average(total: float, those: Uncertain, least: float) -> tuple[Floats, float]:
    """What `fill` gives on average over the heights, where no single ad moves the level.

    For accounts of very many ads: one closed form instead of many draws.
    """
    level = _level(total, those, least)
    return those.shares(level)[0], level


def _level(total: float, those: Uncertain, least: float) -> float:
    """By Newton's steps from the level of a sample, by halving wherever they leave what is known."""
    low = max(float((those.height - those.upper / those.room).min()) - 1.0, least)
    high = float((those.height + 8 * those.sd - those.lower / those.room).max()) + 1.0
    level, every = (low + high) / 2, len(those.height) // _SAMPLE
    if total >= those.upper.sum():
        level = high = low
    elif every > 1:
        some = those.some(slice(None, None, every))
        level = _level(total * float(some.upper.sum() / those.upper.sum()), some, least)
    while high - low > 10.0**-_DECIMALS:
        shares, fall = those.shares(level)
        over = float(shares.sum()) - total
        low, high = (level, high) if over > 0 else (low, level)
        step = over / max(fall, 1e-300)
        level = level + step if low < level + step < high else (low + high) / 2
        if abs(step) < _CLOSE:
            break
    # Sums may differ in their last digits from one processor to another.
    return round(level, _DECIMALS)


def _excess(mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """E max(mean + sd·z, 0) of a standard normal z, and P(mean + sd·z > 0)."""
    z = mean / sd
    chance = ndtr(z)
    return mean * chance + sd * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), chance
