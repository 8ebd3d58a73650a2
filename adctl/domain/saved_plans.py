"""A plan of changes as a file: what was shown is what is applied, or nothing is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from adctl.domain.changes import NewChange, Value
from adctl.domain.entities import EntityKind, Field
from adctl.errors import InputRejectedError

_VERSION = 1
_FIX = "make the plan anew: adctl enqueue --dry-run --out FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """What one decision is to become; budgets in minor units."""

    decision_id: UUID
    kind: EntityKind
    entity_id: str
    field: Field
    expected: Value
    target: Value

    @classmethod
    def of(cls, change: NewChange) -> PlannedChange:
        """The plan's line for a change that rests on a decision."""
        assert change.decision_id is not None
        return cls(
            decision_id=change.decision_id,
            kind=change.kind,
            entity_id=change.entity_id,
            field=change.field,
            expected=change.expected,
            target=change.target,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """The changes of one account and account day."""

    account: str
    currency: str
    day: date
    changes: Sequence[PlannedChange]

    def written(self) -> str:
        """The file's text, with the digest of all that it says."""
        body = {
            "adctl_plan": _VERSION,
            "account": self.account,
            "currency": self.currency,
            "day": self.day.isoformat(),
            "changes": [
                {
                    "decision_id": str(one.decision_id),
                    "entity_kind": one.kind.value,
                    "entity_id": one.entity_id,
                    "field": one.field.value,
                    "expected": one.expected,
                    "target": one.target,
                }
                for one in self.changes
            ],
        }
        return json.dumps({**body, "digest": _digest(body)}, indent=2) + "\n"


def read_plan(text: str, source: str = "") -> SavedPlan:
    """The plan in a file's text; `source` names the file.

    Raises InputRejectedError for one that is damaged, edited or of another version.
    """
    try:
        body = json.loads(text)
        digest = body.pop("digest")
        if digest != _digest(body) or body["adctl_plan"] != _VERSION:
            raise InputRejectedError("the plan was edited, or is of another version", source=source, fix=_FIX)
        return SavedPlan(
            account=body["account"],
            currency=body["currency"],
            day=date.fromisoformat(body["day"]),
            changes=tuple(
                PlannedChange(
                    decision_id=UUID(one["decision_id"]),
                    kind=EntityKind(one["entity_kind"]),
                    entity_id=one["entity_id"],
                    field=Field(one["field"]),
                    expected=one["expected"],
                    target=one["target"],
                )
                for one in body["changes"]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputRejectedError("this is no plan that adctl wrote", source=source, fix=_FIX) from error


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
