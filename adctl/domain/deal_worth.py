"""What many deals are worth by their current stage, as columns: the same rule as for one deal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adctl.domain.deals import Outcome
from adctl.domain.policies.protocol import Flags, Ints
from adctl.domain.revenue import StageValue

# An amount that nobody filled in.
NO_AMOUNT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Shape k. `value` and `cash` are minor units, 0 where the deal cannot be valued: `unmapped` when its stage has no
    value, `foreign` when it is won with an amount in another currency."""

    value: Ints
    cash: Ints
    unmapped: Flags
    foreign: Flags


def worth(stage: Ints, amount: Ints, other_currency: Flags, values: Sequence[StageValue | None]) -> Worth:
    """`stage` indexes `values`, the value in force of each stage, None for a stage without one.

    Won: the amount, or the stage's value when nobody filled it in; lost: 0; open: the stage's value.
    """
    price = np.array([0 if value is None else value.value for value in values], dtype=np.int64)
    known = np.array([value is not None for value in values], dtype=np.bool_)
    wins = np.array([value is not None and value.outcome is Outcome.WON for value in values], dtype=np.bool_)
    loses = np.array([value is not None and value.outcome is Outcome.LOST for value in values], dtype=np.bool_)
    paid = wins[stage] & (amount != NO_AMOUNT)
    foreign = paid & other_currency
    cash = np.where(paid & ~foreign, amount, 0)
    value = np.where(paid, cash, np.where(loses[stage], 0, price[stage]))
    return Worth(value=value, cash=cash, unmapped=~known[stage], foreign=foreign)
