"""The oracle: knows every ad's true marginal return and is bound by the same executor."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.protocol import Flags, Floats, Ints
from adctl.domain.simulation.executor import Executor, Wish
from adctl.domain.simulation.market import Market

_HALVINGS = 60
# An ad whose first unit returns less than this part of the marginal return elsewhere is not worth its floor.
_HOPELESS = 0.5


def oracle_wish(market: Market, executor: Executor, budget: Ints, running: Flags, protected: Flags) -> Wish:
    """Maximises the expected value of the next day within the ramp; stops what will never earn its floor, once it is
    no longer `protected`."""
    truth = market.truth
    first = truth.fresh_roas * truth.freshness(market.spent)
    upper = np.maximum(budget * (1.0 + float(executor.ramp)), executor.floor)
    level = _level(first[running], truth.room[running], upper[running], float(executor.total))
    wanted = np.where(running, np.minimum(_fill(first, truth.room, level), upper), 0.0)
    hopeless = (first < _HOPELESS * level) & (first < first[running].max())
    return Wish(budget=wanted, kill=running & ~protected & hopeless)


def _fill(first: Floats, room: Floats, level: float) -> Floats:
    """The spend at which each ad's marginal return has fallen to `level`."""
    return room * np.log(np.maximum(first / level, 1.0))


def _level(first: Floats, room: Floats, upper: Floats, total: float) -> float:
    """The marginal return at which the money is used up (0 < level), by halving its logarithm."""
    high = float(np.log(first.max()))
    low = high - 40.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if np.minimum(_fill(first, room, float(np.exp(middle))), upper).sum() > total:
            low = middle
        else:
            high = middle
    return float(np.exp(high))
