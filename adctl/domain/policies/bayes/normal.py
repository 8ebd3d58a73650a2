"""The standard normal distribution at very many places: read off at the nearest node of a table, from there by Taylor.

Half the time of scipy's functions, or less.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from adctl.domain.policies.protocol import Floats

# Beyond, the density is no normal double any more.
_FARTHEST = 37.0
_NODES_PER_UNIT = 256


def below(z: Floats) -> Floats:
    """P(a standard normal is below each `z`) to 4e-16, far below 0 to 1e-7 of itself; 0 for what is no number."""
    node, beyond, chance, density = _nearest(z)
    # With a = node·beyond and b = beyond² the integral of the density over `beyond` is
    # density·beyond·(1 − a/2 + (a² − b)/6 − a(a² − 3b)/24).
    node *= beyond
    square = beyond * beyond
    second = node * node
    third = second - 3 * square
    third *= node
    third /= -24
    second -= square
    second /= 6
    third += second
    node /= -2
    third += node
    third += 1
    third *= beyond
    third *= density
    third += chance
    return third


def excess(mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """E max(mean + sd·z, 0) of a standard normal z to 1e-12·sd, and P(mean + sd·z > 0) to 1e-6."""
    z = mean / sd
    node, beyond, chance, density = _nearest(z)
    found = node * chance
    found += density
    density *= beyond
    node *= beyond
    found += beyond * (chance + density * (0.5 - node / 6))
    chance += density
    # Beyond the table nothing is uncertain.
    found += np.maximum(z - _FARTHEST, 0.0)
    found *= sd
    return found, chance


def _nearest(z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The node nearest to each `z` and how far beyond it that lies, P(below the node) and the density there."""
    beyond = np.fmax(z, -_FARTHEST)
    np.fmin(beyond, _FARTHEST, out=beyond)
    node = beyond * _NODES_PER_UNIT
    np.rint(node, out=node)
    place = (node + _FARTHEST * _NODES_PER_UNIT).astype(np.int64)
    # Exact, for there is a power of two of nodes per unit.
    node /= _NODES_PER_UNIT
    beyond -= node
    chance, density = (column.take(place, mode="clip") for column in _TABLE)
    return node, beyond, chance, density


def _table() -> tuple[Floats, Floats]:
    """P(z < node) and the density at each node, of a standard normal z; E max(node + z, 0) is made of these."""
    number = round(2 * _FARTHEST * _NODES_PER_UNIT) + 1
    node: Floats = np.linspace(-_FARTHEST, _FARTHEST, number)
    return ndtr(node), np.exp(-0.5 * node**2) / np.sqrt(2 * np.pi)


_TABLE = _table()
