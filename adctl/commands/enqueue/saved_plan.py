"""A plan saved to a file, and whether the account still becomes just what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from uuid import UUID

from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import value_shown
from adctl.domain.changes import NewChange, Value
from adctl.domain.counted import counted
from adctl.domain.decisions import Decision
from adctl.domain.guards.answers import Answer, Pass
from adctl.domain.report import Cell, Column, Report, Table
from adctl.domain.saved_plans import PlannedChange, SavedPlan
from adctl.errors import InputRejectedError, UsageError


def save(out: Path | None, profile: AccountProfile, today: date, passed: Sequence[NewChange]) -> None:
    """Writes the plan to `out`, where one is asked for. Raises UsageError for a file that cannot be written."""
    if out is None:
        return
    planned = tuple(PlannedChange.of(change) for change in passed)
    saved = SavedPlan(account=profile.account, currency=profile.currency, day=today, changes=planned)
    try:
        out.write_text(saved.written(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}", fix="name a file in a folder you may write to") from error


def refuse_other_day(plan: SavedPlan, profile: AccountProfile, today: date) -> None:
    """Raises InputRejectedError for the plan of another account or day."""
    here = (profile.account, profile.currency, today)
    if (plan.account, plan.currency, plan.day) != here:
        raise InputRejectedError(
            f"the plan is for account {plan.account!r} ({plan.currency}) on {plan.day}, not for {here[0]!r} on {today}",
            fix="make it anew: adctl enqueue --dry-run --out FILE",
        )


def drifts_of(
    plan: SavedPlan, queued: Mapping[UUID, Value], found: Sequence[Decision], answers: Sequence[Answer]
) -> list[Mapping[str, Cell]]:
    """A row for everything that would no longer become just what the plan says."""
    now = {d.decision_id: (d, a) for d, a in zip(found, answers, strict=True)}
    rows: list[Mapping[str, Cell]] = []
    for one in plan.changes:
        decision, answer = now.get(one.decision_id, (None, None))
        match answer:
            case None if one.decision_id in queued:
                became = queued[one.decision_id]
                told = "" if became == one.target else f"queued → {value_shown(became, plan.currency)}"
            case None:
                told = "no such decision any more"
            case Pass() if decision is not None and (decision.current, answer.target) == (one.expected, one.target):
                told = ""
            case Pass():
                told = f"→ {value_shown(answer.target, plan.currency)}"
            case _:
                told = f"{answer.guard}: {answer.reason}"
        if told:
            planned = (
                f"{one.field} {value_shown(one.expected, plan.currency)} → {value_shown(one.target, plan.currency)}"
            )
            row = {"entity": f"{one.kind} {one.entity_id}", "planned": planned, "now": told}
            rows.append({**row, "expected": one.expected, "target": one.target})
    return rows


def drifted(profile: AccountProfile, drifts: Sequence[Mapping[str, Cell]], *, dry_run: bool) -> Report:
    """The report of a plan that is not applied, with a row for each drift."""
    return Report(
        command="enqueue",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=f"The plan no longer holds for {counted(len(drifts), 'change')}; nothing was queued.",
        tables=(
            Table(
                key="drifted",
                title="Drifted since the plan",
                columns=(
                    Column(key="entity", label="entity"),
                    Column(key="planned", label="planned"),
                    Column(key="now", label="now"),
                ),
                rows=tuple(drifts),
            ),
        ),
        exit_code=InputRejectedError.exit_code,
    )


def only_planned(
    plan: SavedPlan, found: Sequence[Decision], answers: Sequence[Answer]
) -> tuple[list[Decision], list[Answer]]:
    """The decisions that the plan names, with their answers."""
    planned = {one.decision_id for one in plan.changes}
    kept = [(d, a) for d, a in zip(found, answers, strict=True) if d.decision_id in planned]
    return [d for d, _ in kept], [a for _, a in kept]
