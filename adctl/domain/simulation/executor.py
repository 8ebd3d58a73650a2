"""The one executor of all policies: from wishes to the budgets that are in force on the next day."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from adctl.domain.allocation import allocate, split_budget
from adctl.domain.policies.protocol import Flags, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants per ad: an absolute daily budget in minor units, and whether to stop the ad for good."""

    budget: Floats
    kill: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """`total` is the account's daily budget and `floor` the least an ad that runs may have, in minor units.

    An ad's budget rises by at most `ramp` a day, as the guards' velocity of 20 % lets through what is decided once a
    day; downwards and to a stop it is free. Wishes are read as shares of the total: the account's budget is fixed,
    nobody gains by asking for less. What the ramp keeps from one ad goes to the others in proportion to their wishes;
    an ad that was to be cut is then cut less, never raised. What nobody may take stays unspent on that day. The last
    ad that runs is not stopped.
    """

    total: int
    floor: int = 100
    ramp: Fraction = Fraction(1, 5)

    def next_budgets(self, current: Ints, wish: Wish, running: Flags, new: Flags) -> Ints:
        """The budgets of the next day, shape n. `running` are the ads that go on, `new` those that start.

        Each new ad gets an equal share of the total; the others share the rest.
        """
        entry = self._entry(int(running.sum()), int(new.sum()))
        budgets = np.zeros(len(current), dtype=np.int64)
        budgets[running] = self._shares(current[running], wish.budget[running], self.total - int(entry.sum()))
        budgets[new] = entry
        return budgets

    def stopped(self, current: Ints, wish: Wish, running: Flags) -> Flags:
        """The running ads that are stopped now: those that the wish kills, but never all that run."""
        stopped = running & wish.kill
        if running.any() and not (running & ~stopped).any():
            stopped[np.argmax(np.where(running, current, -1))] = False
        return stopped

    def _entry(self, running: int, new: int) -> Ints:
        if not new:
            return np.zeros(0, dtype=np.int64)
        part = self.total if not running else self.total * new // (running + new)
        return split_budget(part, np.ones(new))

    def _shares(self, current: Ints, wanted: Floats, total: int) -> Ints:
        if not len(current):
            return current.copy()
        asked = float(wanted.sum())
        target = wanted * (total / asked) if asked > 0 else np.full(len(wanted), total / len(wanted))
        ramped = current * (self.ramp.numerator + self.ramp.denominator) // self.ramp.denominator
        upper = np.where(target < current, current, ramped)
        # Where the account cannot pay every floor, the floors shrink to an even part.
        lower = np.full(len(current), min(self.floor, total // len(current)), dtype=np.int64)
        upper = np.maximum(upper, lower)
        return allocate(min(total, int(upper.sum())), np.maximum(target, 0.0), lower, upper)
