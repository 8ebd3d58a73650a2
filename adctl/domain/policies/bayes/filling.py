"""Water-filling: shares of a total at which the marginal returns of concave responses meet, within bounds."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from adctl.domain.policies.protocol import Floats

_STEPS = 60


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


def fill_on_average(
    total: float, height: Floats, sd: Floats, room: Floats, lower: Floats, upper: Floats, least: float
) -> tuple[Floats, float]:
    """What `fill` gives on average over heights that are Normal(height, sd²), where no single ad moves the level.

    For accounts of very many ads: one closed form instead of many draws. The level is found by halving.
    """
    low, high = float((height - upper / room).min()) - 1.0, float((height + 8 * sd - lower / room).max()) + 1.0
    low = max(low, least)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if high - low < 1e-7:
            break
        if _mean_share(height - middle, sd, room, lower, upper).sum() > total:
            low = middle
        else:
            high = middle
    return _mean_share(height - high, sd, room, lower, upper), high


def _mean_share(above: Floats, sd: Floats, room: Floats, lower: Floats, upper: Floats) -> Floats:
    """E clip(room·(above + sd·z), lower, upper) of a standard normal z."""
    return lower + room * (_excess(above - lower / room, sd) - _excess(above - upper / room, sd))


def _excess(mean: Floats, sd: Floats) -> Floats:
    """E max(mean + sd·z, 0)."""
    z = mean / sd
    return np.asarray(mean * ndtr(z) + sd * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), dtype=np.float64)
