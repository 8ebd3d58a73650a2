"""Sums of weights per group."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from adctl.domain.policies.protocol import Flags, Floats, Ints

_Number = TypeVar("_Number", np.int64, np.float64)


def totals(group: Ints, weights: Ints | Floats | Flags, groups: int) -> Floats:
    """What the weights of each group (0..groups − 1) sum to; a group without members has 0."""
    return np.asarray(np.bincount(group, weights=weights, minlength=groups), dtype=np.float64)


def add_totals(found: NDArray[_Number], kind: Ints | int, group: Ints, weights: Floats | None = None) -> None:
    """Adds what the weights of each kind and group sum to, or how many members each has; `found` is (kinds, groups).

    The groups ascend. Quick where those of the first and the last member lie close together.
    """
    if not len(group):
        return
    low, high = int(group[0]), int(group[-1]) + 1
    kinds, width = len(found), high - low
    place = kind * width + (group - low)
    found[:, low:high] += np.bincount(place, weights=weights, minlength=kinds * width).reshape(kinds, width)
