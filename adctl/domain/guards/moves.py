"""Which way a decision moves money."""

from __future__ import annotations

from adctl.domain.decisions import Decision
from adctl.domain.entities import Field


def is_kill(decision: Decision) -> bool:
    return decision.field is Field.STATUS and decision.target == "PAUSED"


def is_raise(decision: Decision) -> bool:
    """More budget, or an ad that starts to spend again."""
    if decision.field is Field.STATUS:
        return decision.target == "ACTIVE"
    return amount(decision.target) > amount(decision.current)


def amount(value: int | str) -> int:
    """The minor units of a budget decision. Raises TypeError for a status."""
    if isinstance(value, int):
        return value
    raise TypeError(f"{value!r} is a status, not a budget")
