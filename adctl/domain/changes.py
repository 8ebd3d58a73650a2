"""A change on its way to Meta: an absolute target, its states, and what to do with what was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from adctl.domain.entities import EntityKind, EntityState, Field
from adctl.domain.ids import Account
from adctl.domain.money import show


class State(StrEnum):
    PROPOSED = "proposed"
    PENDING = "pending"
    CLAIMED = "claimed"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


Value = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChange:
    """A change to be queued. `expected` and `target` are minor units for a budget, a status otherwise.

    `wanted` is the decision's own budget before fuzz and guards; `clipped_by` names each guard that moved it. An undo
    rests on no decision: it `compensates` a change.
    """

    change_id: UUID
    decision_id: UUID | None
    decision_day: date | None
    kind: EntityKind
    entity_id: str
    campaign_id: str
    ad_set_id: str | None
    field: Field
    expected: Value
    target: Value
    wanted: int | None
    reason: str
    clipped_by: tuple[Mapping[str, int | str], ...]
    fuzz_ppm: int
    jitter_ms: int
    needs_approval: bool = False
    compensates: UUID | None = None

    @property
    def difference(self) -> int:
        """What it adds to the daily budgets, minor units; nothing for a status."""
        return _difference(self.expected, self.target)

    @property
    def frees(self) -> bool:
        """True when it cuts a budget or pauses an ad."""
        return self.difference < 0 or self.target == "PAUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Which changes wait for a person's approval: all of them, or those beyond a share or an amount.

    `above_share` is a fraction of the old budget, `above_amount` minor units; pausing an ad counts as all of it.
    """

    manual: bool = False
    above_share: Fraction | None = None
    above_amount: int | None = None

    def is_needed(self, expected: Value, target: Value) -> bool:
        if self.manual:
            return True
        if not (isinstance(expected, int) and isinstance(target, int)):
            return self.above_share is not None and self.above_share < 1
        moved = abs(target - expected)
        beyond_share = self.above_share is not None and moved > self.above_share * expected
        return beyond_share or (self.above_amount is not None and moved > self.above_amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A queued change as `execute` sees it."""

    account: Account
    change_id: UUID
    kind: EntityKind
    entity_id: str
    campaign_id: str
    ad_set_id: str | None
    field: Field
    expected: Value
    target: Value
    jitter_ms: int
    state: State
    state_reason: str | None
    attempts: int
    reason: str
    updated_at: datetime

    @property
    def difference(self) -> int:
        """What it adds to the daily budgets, minor units; nothing for a status."""
        return _difference(self.expected, self.target)

    def observed(self, state: EntityState) -> Value | None:
        """The value of this change's field in what was read, None when the object has no such field."""
        return state.daily_budget if self.field is Field.DAILY_BUDGET else state.status


def _difference(expected: Value, target: Value) -> int:
    return target - expected if isinstance(target, int) and isinstance(expected, int) else 0


class Reading(StrEnum):
    """What a fresh read says about a change."""

    AT_TARGET = "at_target"
    AS_EXPECTED = "as_expected"
    STRANGER = "stranger"
    GONE = "gone"
    UNWRITABLE = "unwritable"


def judge(change: Change, state: EntityState | None) -> Reading:
    """Whether Meta holds the target, the expected old value, or something a person or another tool put there."""
    if state is None or state.effective_status in ("DELETED", "ARCHIVED"):
        return Reading.GONE
    observed = change.observed(state)
    if observed == change.target:
        return Reading.AT_TARGET
    if change.field is Field.DAILY_BUDGET and (observed is None or state.lifetime_budget):
        return Reading.UNWRITABLE
    return Reading.AS_EXPECTED if observed == change.expected else Reading.STRANGER


@dataclass(frozen=True, slots=True, kw_only=True)
class SendVerdict:
    """The database's answer to `authorise_send`: `send` with the attempt's number, `wait` until, or `block`."""

    verdict: str
    guard: str | None
    value: str | None
    allowed: str | None
    until: datetime | None
    attempt: int | None

    def sentence(self, currency: str) -> str:
        """The refusal as an operator reads it: guard, value, limit, and when it would pass."""
        passes = "" if self.until is None else f", passes at {self.until:%Y-%m-%d %H:%M:%S} UTC"
        value, allowed = (priced(self.guard, told, currency) for told in (self.value, self.allowed))
        return f"{self.guard}: {value}, limit {allowed}{passes}"


# Guards that say minor units: one amount, or a span of them with the percentage around it.
_OF_MONEY = frozenset({"step", "velocity", "floor", "ceiling", "cap", "funding", "learning phase"})


def priced(guard: str | None, figure: object, currency: str) -> str:
    """A guard's value or limit as a person reads it."""
    told = f"{figure:.3f}" if isinstance(figure, float) else str(figure)
    if guard not in _OF_MONEY:
        return told
    amounts, around, share = told.partition(" ± ")
    return re.sub(r"\d+", lambda found: show(int(found[0]), currency), amounts) + around + share
