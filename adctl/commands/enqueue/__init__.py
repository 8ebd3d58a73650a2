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
from adctl.commands.enqueue.plan_report import report_of
from adctl.commands.enqueue.saved_plan import drifted, drifts_of, only_planned, refuse_other_day, save
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Approval, NewChange
from adctl.domain.decisions import Decision
from adctl.domain.guards.answers import Answer, Pass
from adctl.domain.guards.funds import Queued, funds_of
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.guards.moves import is_kill
from adctl.domain.report import Report
from adctl.domain.saved_plans import SavedPlan

_DAY = timedelta(hours=24)
_NO_APPROVAL = Approval()


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
            refuse_other_day(plan, profile, today)
            if drifts := drifts_of(plan, queued, found, answers):
                return drifted(profile, drifts, dry_run=dry_run)
            found, answers = only_planned(plan, found, answers)
        total = exposure.daily_budget(connection, profile.account)
        passed = _changes(found, answers, approval)
        if limits.funding:
            passed = _with_what_pays(passed, of_day, *paying)
        added = replaced = 0
        if not dry_run:
            guard_answers.record(connection, profile.account, found, answers, now)
            replaced = queue.supersede(connection, profile.account, today, only=planned)
            added = queue.enqueue(connection, profile.account, run_id, passed, expire=expire)
    save(out, profile, today, passed)
    done = (added, replaced, sum(change.needs_approval for change in passed))
    return report_of(profile, today, found, answers, total, done, dry_run=dry_run)


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
