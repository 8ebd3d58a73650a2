"""Shares of whole minor units: exact totals, proportional to weights, within bounds."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.protocol import Floats, Ints

# Beyond it a double no longer tells two neighbouring shares apart safely; ten thousand million major units a day.
LARGEST_TOTAL = 10**12
# A weight this small beside the largest is no preference but noise, and would stretch the scale factor without end.
_NEGLIGIBLE = 1e-12
# Keeps a share that is whole in truth from being rounded up past it: its remainder is then the largest, so the unit
# comes back to it.
_SHY = 1 - 1e-12


def allocate(total: int, weights: Floats, lower: Ints, upper: Ints) -> Ints:
    """Integers within `lower`..`upper` that sum to `total` exactly, as proportional to `weights` as the bounds allow.

    All arrays have one shape. The leftover units go to the largest remainders, ties to the lower index.
    Weights that are negligible beside the largest get money only when the others are at their upper bound.
    Raises ValueError when no such integers exist or a weight is negative or not finite.
    """
    _check_weights(weights)
    _check_bounds(total, lower, upper)
    if not len(weights):
        return lower.copy()
    heavy = weights > weights.max() * _NEGLIGIBLE
    if not heavy.any():
        return _proportional(total, np.ones(len(weights)), lower, upper)
    shares = np.where(heavy, upper, lower)
    spare = total - int(shares.sum())
    if spare >= 0:
        light = ~heavy
        shares[light] = allocate(int(lower[light].sum()) + spare, np.ones(light.sum()), lower[light], upper[light])
    else:
        shares[heavy] = _proportional(
            int(upper[heavy].sum()) + spare, weights[heavy] / weights.max(), lower[heavy], upper[heavy]
        )
    return shares


def round_shares(total: int, wanted: Floats, upper: Ints) -> Ints:
    """Whole units within `upper` that sum to `total`, each `wanted` rounded down or up; the largest remainders go up.

    `wanted` lies in 0..`upper` and sums to `total` but for less than half a unit; ties go to the lower index.
    """
    # Nothing is below 0, so that to cut off the decimals is to round down.
    shares = wanted.astype(np.int64)
    np.minimum(shares, upper, out=shares)
    left = total - int(shares.sum())
    if left > 0:
        over = shares - wanted
        over[shares >= upper] = np.inf
        shares[_smallest(over, left)] += 1
    return shares


def _smallest(values: Floats, number: int) -> Ints:
    """Where the so many smallest values stand, of equal ones those that come first."""
    bar = np.partition(values, number - 1)[number - 1]
    below, at = np.flatnonzero(values < bar), np.flatnonzero(values == bar)
    return np.concatenate([below, at[: number - len(below)]])


def split_budget(total: int, weights: Floats) -> Ints:
    """`total` in integers proportional to `weights` (equal when all are 0), exactly; ties go to the lower index.

    Raises ValueError for a negative or too large total, a bad weight, or no weights at all with something to share.
    """
    if total and not len(weights):
        raise ValueError(f"{total} to share among nobody")
    return split_budgets(np.array([total], dtype=np.int64), np.zeros(len(weights), dtype=np.int64), weights)


def split_budgets(totals: Ints, group: Ints, weights: Floats) -> Ints:
    """Each group's total in integers proportional to the weights of its members, in one pass over all groups.

    `totals` has shape (groups,), `group` indexes it and has the shape of `weights`. Every group that has members
    sums to its total exactly; a group whose weights are all 0 is shared equally. Raises ValueError for a negative or
    too large total and for a weight that is negative or not finite.
    """
    _check_weights(weights)
    if len(totals) and (totals.min() < 0 or totals.max() > LARGEST_TOTAL):
        raise ValueError(f"a total must lie between 0 and {LARGEST_TOTAL}")
    if not len(weights):
        return np.zeros(0, dtype=np.int64)
    wanted = totals[group] * _fractions(group, weights, len(totals))
    shares = np.floor(wanted * _SHY).astype(np.int64)
    left = totals - np.bincount(group, weights=shares, minlength=len(totals)).astype(np.int64)
    return shares + (_rank(group, wanted - shares) < left[group])


def _fractions(group: Ints, weights: Floats, groups: int) -> Floats:
    """Each member's part of its group, equal parts where a group's weights are all 0."""
    largest = np.zeros(groups)
    np.maximum.at(largest, group, weights)
    # Divided by the group's largest first, so that neither tiny nor huge weights leave the range of a double.
    scaled = np.where(largest[group] > 0, weights / np.where(largest > 0, largest, 1.0)[group], 1.0)
    return scaled / np.bincount(group, weights=scaled, minlength=groups)[group]


def _rank(group: Ints, remainder: Floats) -> Ints:
    """Each member's place within its group, 0 for the largest remainder, ties by index."""
    order = np.lexsort((-remainder, group))
    sizes = np.bincount(group)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - starts[group[order]]
    return rank


def _proportional(total: int, weights: Floats, lower: Ints, upper: Ints) -> Ints:
    """`allocate` for weights that are all positive."""
    wanted = np.clip(_scale(total, weights, lower, upper) * weights, lower, upper)
    shares = np.floor(wanted).astype(np.int64)
    # Never below zero: the wanted sum is at most the total, and LARGEST_TOTAL keeps its rounding error far below 1.
    while left := total - int(shares.sum()):
        below = np.flatnonzero(shares < upper)
        first = np.argsort((shares - wanted)[below], kind="stable")
        shares[below[first[:left]]] += 1
    return shares


def _scale(total: int, weights: Floats, lower: Ints, upper: Ints) -> float:
    """The largest double whose clipped products with the weights sum to no more than `total`.

    Positive doubles are ordered like their bit patterns, so halving the patterns ends after at most 63 steps.
    """
    low, high = 0, _bits(float((upper / weights).max()) + 1.0)
    while high - low > 1:
        middle = (low + high) // 2
        if np.clip(_double(middle) * weights, lower, upper).sum() <= total:
            low = middle
        else:
            high = middle
    return _double(low)


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _double(bits: int) -> float:
    return float(np.int64(bits).view(np.float64))


def _check_weights(weights: Floats) -> None:
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")


def _check_bounds(total: int, lower: Ints, upper: Ints) -> None:
    if (lower < 0).any() or (lower > upper).any():
        raise ValueError("each lower bound must lie between 0 and its upper bound")
    least, most = int(lower.sum()), int(upper.sum())
    if not least <= total <= most:
        raise ValueError(f"{total} cannot be shared: the bounds allow {least} to {most}")
    if total > LARGEST_TOTAL:
        raise ValueError(f"a total must lie between 0 and {LARGEST_TOTAL}")
