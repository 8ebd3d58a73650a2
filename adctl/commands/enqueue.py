"""Pass the day's decisions through the guards, and queue what may be sent as absolute targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, decisions, exposure, guard_answers, guard_context, queue
from adctl.domain import money
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Approval, NewChange, Value, priced
from adctl.domain.decisions import Decision
from adctl.domain.entities import Field
from adctl.domain.guards.answers import Answer, Pass, Refuse, Wait
from adctl.domain.guards.funds import Queued, funds_of
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.guards.moves import is_kill
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.saved_plans import PlannedChange, SavedPlan
from adctl.errors import InputRejectedError, UsageError

_DAY = timedelta(hours=24)
# Meta may spend this much of a daily budget on one day.
_OVERSPEND = 1.25
_NO_APPROVAL = Approval()
_WHAT_WAITS = (
    "adctl changes list --state proposed names what waits for approval; raises wait with the cuts and pauses that pay "
    "for them."
)


def run(
    engine: Engine,
    profile: AccountProfile,
    limits: Limits,
    *,
    run_id: UUID,
    as_of: date | None = None,
    expire: timedelta = _DAY,
    spare_learning: bool = True,
    approval: Approval = _NO_APPROVAL,
    plan: SavedPlan | None = None,
    out: Path | None = None,
    dry_run: bool = False,
) -> Report:
    """Judges the champion's decisions of the account day `as_of` (today when not given) and queues those that pass.

    A decision is queued once. Unclaimed changes of older decisions about the same fields are cancelled.
    `spare_learning` holds back what would begin Meta's learning phase again; what `approval` asks for is queued as
    proposed, with the raises that it pays for. A dry run writes nothing but the file `out`. With such a `plan` just
    that is queued, or nothing (65) when anything of it has drifted.
    """
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        today = profile.day(now, as_of)
        queued = queue.queued_decisions(connection, profile.account)
        planned = None if plan is None else [one.decision_id for one in plan.changes]
        of_day = decisions.changing(connection, profile.account, today, besides=planned or ())
        found = [d for d in of_day if d.decision_id not in queued]
        context = guard_context.load(connection, profile, limits, today, spare_learning=spare_learning)
        paying = _paying(connection, profile, of_day, today)
        answers = judge(found, replace(context, funds=funds_of(of_day, *paying, surely=False)))
        if plan is not None:
            _refuse_other_day(plan, profile, today)
            if drifts := _drifts(plan, queued, found, answers):
                return _drifted(profile, drifts, dry_run=dry_run)
            found, answers = _only(plan, found, answers)
        total = exposure.daily_budget(connection, profile.account)
        passed = _changes(found, answers, approval)
        if limits.funding:
            passed = _with_what_pays(passed, of_day, *paying)
        added = replaced = 0
        if not dry_run:
            guard_answers.record(connection, profile.account, found, answers, now)
            replaced = queue.supersede(connection, profile.account, today, only=planned)
            added = queue.enqueue(connection, profile.account, run_id, passed, expire=expire)
    _save(out, profile, today, passed)
    done = (added, replaced, sum(change.needs_approval for change in passed))
    return _report(profile, today, found, answers, total, done, dry_run=dry_run)


def _save(out: Path | None, profile: AccountProfile, today: date, passed: Sequence[NewChange]) -> None:
    if out is None:
        return
    planned = tuple(PlannedChange.of(change) for change in passed)
    saved = SavedPlan(account=profile.account, currency=profile.currency, day=today, changes=planned)
    try:
        out.write_text(saved.written(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}", fix="name a file in a folder you may write to") from error


def _refuse_other_day(plan: SavedPlan, profile: AccountProfile, today: date) -> None:
    here = (profile.account, profile.currency, today)
    if (plan.account, plan.currency, plan.day) != here:
        raise InputRejectedError(
            f"the plan is for account {plan.account!r} ({plan.currency}) on {plan.day}, not for {here[0]!r} on {today}",
            fix="make it anew: adctl enqueue --dry-run --out FILE",
        )


def _drifts(
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
                told = "" if became == one.target else f"queued → {_said(became, plan.currency)}"
            case None:
                told = "no such decision any more"
            case Pass() if decision is not None and (decision.current, answer.target) == (one.expected, one.target):
                told = ""
            case Pass():
                told = f"→ {_said(answer.target, plan.currency)}"
            case _:
                told = f"{answer.guard}: {answer.reason}"
        if told:
            planned = f"{one.field} {_said(one.expected, plan.currency)} → {_said(one.target, plan.currency)}"
            row = {"entity": f"{one.kind} {one.entity_id}", "planned": planned, "now": told}
            rows.append({**row, "expected": one.expected, "target": one.target})
    return rows


def _drifted(profile: AccountProfile, drifts: Sequence[Mapping[str, Cell]], *, dry_run: bool) -> Report:
    return Report(
        command="enqueue",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=f"The plan no longer holds for {len(drifts)} changes; nothing was queued.",
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


def _only(plan: SavedPlan, found: Sequence[Decision], answers: Sequence[Answer]) -> tuple[list[Decision], list[Answer]]:
    planned = {one.decision_id for one in plan.changes}
    kept = [(d, a) for d, a in zip(found, answers, strict=True) if d.decision_id in planned]
    return [d for d, _ in kept], [a for _, a in kept]


def _paying(
    connection: Connection, profile: AccountProfile, of_day: Sequence[Decision], today: date
) -> tuple[Mapping[str, int], Mapping[UUID, Queued]]:
    """The budgets that are to stop with their ads, and what became of the day's decisions."""
    ids = [decision.decision_id for decision in of_day]
    return decisions.stopping(connection, profile.account, today), queue.became_of(connection, profile.account, ids)


def _with_what_pays(
    passed: Sequence[NewChange], of_day: Sequence[Decision], stopping: Mapping[str, int], became: Mapping[UUID, Queued]
) -> Sequence[NewChange]:
    """The same, where raises wait for approval, too, that take more than what needs none frees."""
    sure = {change.decision_id: change.difference for change in passed if not change.needs_approval}
    pauses = (d for d in of_day if is_kill(d) and d.decision_id not in became and d.decision_id not in sure)
    growth = funds_of(of_day, stopping, became, surely=True).less(pauses).growth
    taken = sum(max(move, 0) for move in sure.values())
    freed = sum(max(-move, 0) for move in sure.values())
    if taken <= max(growth + freed, 0):
        return passed
    return [replace(change, needs_approval=True) if change.difference > 0 else change for change in passed]


def _changes(found: Sequence[Decision], answers: Sequence[Answer], approval: Approval) -> Sequence[NewChange]:
    return [_change(d, a, approval) for d, a in zip(found, answers, strict=True) if isinstance(a, Pass)]


def _change(decision: Decision, answer: Pass, approval: Approval) -> NewChange:
    return NewChange(
        change_id=decision.decision_id,
        decision_id=decision.decision_id,
        decision_day=decision.day,
        kind=decision.entity_kind,
        entity_id=decision.entity_id,
        campaign_id=decision.campaign_id,
        ad_set_id=decision.ad_set_id,
        field=decision.field,
        expected=decision.current,
        target=answer.target,
        wanted=decision.target if isinstance(decision.target, int) else None,
        reason=decision.reason,
        clipped_by=tuple(
            {"guard": clip.guard.value, "before": clip.before, "after": clip.after} for clip in answer.clipped_by
        ),
        fuzz_ppm=answer.fuzz_ppm,
        jitter_ms=answer.jitter_ms,
        needs_approval=approval.is_needed(decision.current, answer.target),
    )


def _report(
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
        "wanted": f"{_said(decision.current, currency)} → {_said(decision.target, currency)}",
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


def _said(value: int | str, currency: str) -> str:
    return money.show(value, currency) if isinstance(value, int) else value


def _summary(planned: int, added: int, replaced: int, *, dry_run: bool) -> str:
    if dry_run:
        return f"{planned} changes would be queued." if planned else "No changes."
    told = [f"{added} changes queued."] if added else []
    told += [f"{replaced} older ones cancelled."] if replaced else []
    return " ".join(told) or "No changes."
