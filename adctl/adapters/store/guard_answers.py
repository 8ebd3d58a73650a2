"""What the guards last said of each decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.staging import merge
from adctl.domain.decisions import Decision
from adctl.domain.guards.answers import Answer, Guard, Pass, Wait
from adctl.domain.ids import Account

_VALUES = ("answer", "guard", "reason", "until")


def record(
    connection: Connection, account: Account, decisions: Sequence[Decision], answers: Sequence[Answer], at: datetime
) -> int:
    """Keeps the newest answer to each decision; returns how many are new or other than before.

    That nothing changes is no answer worth a row: the decision itself says so.
    """
    rows = (
        (account, decision.day, decision.decision_id, *_told(answer), at)
        for decision, answer in zip(decisions, answers, strict=True)
        if isinstance(answer, Pass) or answer.guard is not Guard.UNCHANGED
    )
    return merge(connection, "guard_answers", ("account", "day", "decision_id"), _VALUES, rows, stamps=("answered_at",))


def _told(answer: Answer) -> tuple[str, str | None, str | None, datetime | None]:
    if isinstance(answer, Pass):
        return "pass", None, None, None
    if isinstance(answer, Wait):
        return "wait", answer.guard.value, answer.reason, answer.until
    return "refuse", answer.guard.value, answer.reason, None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`answer` is pass, wait or refuse; the guard and its reason are there unless it passed."""

    answer: str
    guard: str | None
    reason: str | None
    until: datetime | None
    answered_at: datetime


def of_decision(connection: Connection, account: Account, decision: Decision) -> Answered | None:
    """The newest answer, None where no guard was asked or nothing was to change."""
    row = connection.execute(
        text(
            """
            select answer, guard, reason, until, answered_at from guard_answers
            where account = :account and day = :day and decision_id = :decision_id
            """
        ),
        {"account": account, "day": decision.day, "decision_id": decision.decision_id},
    ).one_or_none()
    return None if row is None else Answered(**row._mapping)
