"""Sums of weights per group."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.protocol import Flags, Floats, Ints


def totals(group: Ints, weights: Ints | Floats | Flags, groups: int) -> Floats:
    """What the weights of each group (0..groups − 1) sum to; a group without members has 0."""
    return np.asarray(np.bincount(group, weights=weights, minlength=groups), dtype=np.float64)
