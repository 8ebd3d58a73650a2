"""Changes as rows of a report: the same columns wherever changes are told of."""

from __future__ import annotations

from collections.abc import Mapping

from adctl.domain.changes import Change, State, Value
from adctl.domain.money import show
from adctl.domain.report import Cell, Column

COLUMNS = (
    Column(key="entity", label="entity"),
    Column(key="field", label="field"),
    Column(key="before", label="before"),
    Column(key="after", label="after"),
    Column(key="state", label="state"),
    Column(key="reason", label="why"),
)


def change_row(change: Change, state: State, reason: str | None, currency: str) -> Mapping[str, Cell]:
    """A row for COLUMNS; JSON also has the id and the raw values."""
    return {
        "entity": f"{change.kind} {change.entity_id}",
        "field": change.field.value,
        "before": value_shown(change.expected, currency),
        "after": value_shown(change.target, currency),
        "state": state.value,
        "reason": reason,
        "expected": change.expected,
        "target": change.target,
        "change_id": str(change.change_id),
    }


def value_shown(value: Value, currency: str) -> str:
    """A budget (minor units) or a status as a person reads it."""
    return show(value, currency) if isinstance(value, int) else value
