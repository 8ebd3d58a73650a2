"""The report of a plan: what would change, and what the guards hold back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import value_shown
from adctl.domain.changes import priced
from adctl.domain.counted import counted
from adctl.domain.decisions import Decision
from adctl.domain.entities import Field
from adctl.domain.guards.answers import Answer, Pass, Refuse, Wait
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table

# Meta may spend this much of a daily budget on one day.
_OVERSPEND = 1.25
_WHAT_WAITS = (
    "adctl changes list --state proposed names what waits for approval; raises wait with the cuts and pauses that pay "
    "for them."
)


def report_of(
    profile: AccountProfile,
    today: date,
    found: Sequence[Decision],
    answers: Sequence[Answer],
    total: int,
    written: tuple[int, int, int],
    *,
    dry_run: bool,
) -> Report:
    """`written` is how many changes were added, how many older ones they cancelled, and how many need approval."""
    added, replaced, proposed = written
    judged = [(d, a) for d, a in zip(found, answers, strict=True) if d.current != d.target]
    plan = [(d, a) for d, a in judged if isinstance(a, Pass)]
    moved = sum(a.target - d.current for d, a in plan if isinstance(a.target, int) and isinstance(d.current, int))
    return Report(
        command="enqueue",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=_summary(len(plan), added, replaced, dry_run=dry_run),
        facts=(
            Fact(key="day", label="day", value=today),
            Fact(key="planned", label="planned", value=len(plan), kind=Kind.COUNT),
            Fact(key="queued", label="queued", value=added, kind=Kind.COUNT),
            Fact(key="replaced", label="older ones cancelled", value=replaced, kind=Kind.COUNT),
            Fact(key="proposed", label="of them to be approved", value=proposed, kind=Kind.COUNT),
            Fact(key="held_back", label="held back", value=len(judged) - len(plan), kind=Kind.COUNT),
            Fact(key="budget_now", label="daily budget now", value=total, kind=Kind.MONEY),
            Fact(key="budget_moved", label="change by this plan", value=moved, kind=Kind.MONEY),
            Fact(
                key="worst_case",
                label="worst case of a day",
                value=round((total + moved) * _OVERSPEND),
                kind=Kind.MONEY,
            ),
        ),
        tables=(_budget_plan(plan), _status_plan(plan), _held_back(judged, profile.currency)),
        notes=(_WHAT_WAITS,) if proposed and added else (),
    )


def _budget_plan(plan: Sequence[tuple[Decision, Pass]]) -> Table:
    return Table(
        key="budgets",
        title="Plan: budgets",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="before", label="before", kind=Kind.MONEY),
            Column(key="wanted", label="wanted", kind=Kind.MONEY),
            Column(key="after", label="after", kind=Kind.MONEY),
            Column(key="change", label="change", kind=Kind.PERCENT),
            Column(key="clipped_by", label="clipped by"),
            Column(key="reason", label="why"),
        ),
        rows=tuple(
            {
                "entity": f"{d.entity_kind} {d.entity_id}",
                "before": d.current,
                "wanted": d.target,
                "after": a.target,
                "change": int(a.target) / int(d.current) - 1,
                "clipped_by": ", ".join(clip.guard.value for clip in a.clipped_by),
                "reason": d.reason,
                "fuzz_ppm": a.fuzz_ppm,
                "jitter_ms": a.jitter_ms,
                "decision_id": str(d.decision_id),
            }
            for d, a in plan
            if d.field is Field.DAILY_BUDGET
        ),
        empty="No changes.",
    )


def _status_plan(plan: Sequence[tuple[Decision, Pass]]) -> Table:
    return Table(
        key="statuses",
        title="Plan: ads",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="before", label="before"),
            Column(key="after", label="after"),
            Column(key="reason", label="why"),
        ),
        rows=tuple(
            {
                "entity": f"{d.entity_kind} {d.entity_id}",
                "before": d.current,
                "after": a.target,
                "reason": d.reason,
                "decision_id": str(d.decision_id),
            }
            for d, a in plan
            if d.field is Field.STATUS
        ),
        empty="No changes.",
    )


def _held_back(judged: Sequence[tuple[Decision, Answer]], currency: str) -> Table:
    return Table(
        key="held_back",
        title="Held back",
        columns=(
            Column(key="entity", label="entity"),
            Column(key="wanted", label="wanted"),
            Column(key="guard", label="guard"),
            Column(key="value", label="value"),
            Column(key="limit", label="limit"),
            Column(key="until", label="passes at", kind=Kind.TIME),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_held_row(d, a, currency) for d, a in judged if isinstance(a, Wait | Refuse)),
        empty="Nothing is held back.",
        shown=20,
    )


def _held_row(decision: Decision, answer: Wait | Refuse, currency: str) -> Mapping[str, Cell]:
    return {
        "entity": f"{decision.entity_kind} {decision.entity_id}",
        "wanted": f"{value_shown(decision.current, currency)} → {value_shown(decision.target, currency)}",
        "field": decision.field.value,
        "before": decision.current,
        "target": decision.target,
        "guard": answer.guard.value,
        "value": priced(answer.guard, answer.value, currency),
        "limit": priced(answer.guard, answer.limit, currency),
        "guard_value": answer.value,
        "guard_limit": answer.limit,
        "until": answer.until if isinstance(answer, Wait) else None,
        "reason": answer.reason,
        "decision_id": str(decision.decision_id),
    }


def _summary(planned: int, added: int, replaced: int, *, dry_run: bool) -> str:
    if dry_run:
        return f"{counted(planned, 'change')} would be queued." if planned else "No changes."
    told = [f"{counted(added, 'change')} queued."] if added else []
    told += [f"{replaced} older ones cancelled."] if replaced else []
    return " ".join(told) or "No changes."
