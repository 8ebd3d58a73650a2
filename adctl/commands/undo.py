"""Take changes back: a plan with a look at Meta, through the same guards and the same door as every change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, change_records, guard_context, queue
from adctl.adapters.store.change_records import Record
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import COLUMNS, change_row, value_shown
from adctl.domain.changes import Approval, NewChange, State, Value, priced
from adctl.domain.counted import counted
from adctl.domain.decisions import Decision
from adctl.domain.guards.answers import Answer, Pass, Refuse, Wait
from adctl.domain.guards.context import Freshness, GuardContext
from adctl.domain.guards.judge import judge
from adctl.domain.guards.limits import Limits
from adctl.domain.ids import AdSetId, CampaignId, stable_uuid
from adctl.domain.policies.protocol import Verdict
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Cell, Fact, Kind, Report, Table
from adctl.errors import UsageError

_LOST = "What was spent stays spent, and Meta's learning phase may begin again."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What can be taken back, and why the rest cannot; `done` was taken back before."""

    records: Sequence[Record]
    refused: Mapping[UUID, str]
    done: Mapping[UUID, str]


def run(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    limits: Limits,
    *,
    run_id: UUID,
    change: str | None = None,
    of_run: UUID | None = None,
    approval: Approval,
    expire: timedelta,
    dry_run: bool = False,
) -> Report:
    """Queues the opposite of one change, or of every change that a run queued or sent; again it changes nothing.

    Only what Meta holds just as the change left it is taken back. It rests on no figures, so confidence, freshness,
    learning phase and lease do not apply; rate (with the place kept for it), velocity, cap, floor and ceiling do.
    Raises UsageError when nothing of that id was ever sent.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        found = _chosen(connection, profile, change, of_run)
        plan = _sorted_out(connection, found)
    drifted = {
        record.change.change_id: drift for record in plan.records if (drift := _drift(record, platform, profile))
    }
    plan = replace(
        plan,
        records=[record for record in plan.records if record.change.change_id not in drifted],
        refused={**plan.refused, **drifted},
    )
    with transaction(engine, read_only=dry_run) as connection:
        now = accounts.now(connection)
        today = now.astimezone(ZoneInfo(profile.timezone)).date()
        wishes = [_wish(connection, record, today) for record in plan.records]
        answers = judge(wishes, _context(connection, profile, limits, today))
        passed = [
            _new_change(record, wish, answer, approval)
            for record, wish, answer in zip(plan.records, wishes, answers, strict=True)
            if isinstance(answer, Pass)
        ]
        added = 0
        if passed and not dry_run:
            added = queue.undo(connection, profile.account, run_id, passed, expire=expire)
    judged = {record.change.change_id: answer for record, answer in zip(plan.records, answers, strict=True)}
    return _report(profile, found, plan, judged, added, dry_run=dry_run)


def _chosen(
    connection: Connection, profile: AccountProfile, change: str | None, of_run: UUID | None
) -> tuple[Record, ...]:
    if of_run is None:
        return (change_records.one(connection, profile.account, change or ""),)
    found = change_records.by_run(connection, profile.account, of_run)
    if not found:
        raise UsageError(f"run {of_run} queued and sent nothing", fix="adctl status --json names runs by their id")
    return found


def _sorted_out(connection: Connection, found: Sequence[Record]) -> _Plan:
    records, refused, done = [], {}, {}
    for record in found:
        change = record.change
        undo = change_records.live_undo(connection, change)
        if undo is not None:
            done[change.change_id] = f"change {str(undo.change.change_id)[:8]} takes it back: {undo.change.state}"
        elif change.state is not State.COMPLETED or not attempts.may_have_changed(connection, change):
            refused[change.change_id] = f"is {change.state} and was not carried out by us: nothing to take back"
        else:
            records.append(record)
    return _Plan(records=records, refused=refused, done=done)


def _drift(record: Record, platform: AdsPlatform, profile: AccountProfile) -> str:
    """Why Meta, read now, does not hold what the change left there; empty when it does."""
    change = record.change
    state = platform.read(change.kind, change.entity_id)
    observed: Value | None = None if state is None else change.observed(state)
    if observed == change.target:
        return ""
    shown = "nothing" if observed is None else value_shown(observed, profile.currency)
    return f"Meta holds {shown}: it was changed since"


def _context(connection: Connection, profile: AccountProfile, limits: Limits, today: date) -> GuardContext:
    own = replace(limits, ad_set_rate=limits.ad_set_rate + 1, fuzz=limits.fuzz * 0)
    context = guard_context.load(connection, profile, own, today, spare_learning=False)
    return replace(
        context,
        freshness=Freshness(insights_at=context.now, crm_at=context.now),
        # What stands at Meta was read just now, by the check for drift.
        now_in_force={},
        edited={},
    )


def _wish(connection: Connection, record: Record, today: date) -> Decision:
    """The undo as the guards judge it; an undo after one that came to nothing is a new one."""
    change, tries = record.change, change_records.undos_begun(connection, record.change)
    return Decision(
        decision_id=stable_uuid("undo", str(change.change_id), str(tries)),
        account=change.account,
        day=today,
        entity_kind=change.kind,
        entity_id=change.entity_id,
        campaign_id=CampaignId(change.campaign_id),
        ad_set_id=None if record.ad_set_id is None else AdSetId(record.ad_set_id),
        field=change.field,
        current=change.target,
        target=change.expected,
        verdict=Verdict.KEEP,
        confidence=1.0,
        reason=f"takes change {str(change.change_id)[:8]} back",
        evidence={},
        policy="undo",
        policy_version="",
        parameter_hash="",
    )


def _new_change(record: Record, wish: Decision, answer: Pass, approval: Approval) -> NewChange:
    return NewChange(
        change_id=wish.decision_id,
        decision_id=None,
        decision_day=None,
        kind=wish.entity_kind,
        entity_id=wish.entity_id,
        campaign_id=wish.campaign_id,
        ad_set_id=wish.ad_set_id,
        field=wish.field,
        expected=wish.current,
        target=answer.target,
        wanted=wish.target if isinstance(wish.target, int) else None,
        reason=wish.reason,
        clipped_by=tuple(
            {"guard": clip.guard.value, "before": clip.before, "after": clip.after} for clip in answer.clipped_by
        ),
        fuzz_ppm=answer.fuzz_ppm,
        jitter_ms=answer.jitter_ms,
        needs_approval=approval.is_needed(wish.current, answer.target),
        compensates=record.change.change_id,
    )


def _report(
    profile: AccountProfile,
    found: Sequence[Record],
    plan: _Plan,
    answers: Mapping[UUID, Answer],
    added: int,
    *,
    dry_run: bool,
) -> Report:
    planned = sum(isinstance(answer, Pass) for answer in answers.values())
    rows = [_row(record, plan, answers.get(record.change.change_id), profile.currency) for record in found]
    held = len(answers) - planned + len(plan.refused)
    # A worker claimed a change of the field between the look and the queue.
    overtaken = 0 if dry_run else planned - added
    told = (
        f"{counted(planned, 'change')} would be taken back."
        if dry_run
        else f"{counted(added, 'change')} queued, to take back as many."
    )
    return Report(
        command="undo",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=told if (planned if dry_run else added) else "No changes.",
        facts=(
            Fact(key="planned", label="planned", value=planned, kind=Kind.COUNT),
            Fact(key="queued", label="queued", value=added, kind=Kind.COUNT),
            Fact(key="held_back", label="cannot be taken back", value=held, kind=Kind.COUNT),
        ),
        tables=(Table(key="changes", title="Undo", columns=COLUMNS, rows=tuple(rows)),),
        notes=(
            *((_LOST,) if planned else ()),
            *(
                (f"{overtaken} were not queued: a change of the same field is in flight; ask again.",)
                if overtaken
                else ()
            ),
        ),
        exit_code=3 if held or overtaken else 0,
    )


def _row(record: Record, plan: _Plan, answer: Answer | None, currency: str) -> Mapping[str, Cell]:
    """The opposite of the change, with what the guards say of it."""
    change = record.change
    key = change.change_id
    back = replace(change, expected=change.target, target=change.expected)
    match answer:
        case Pass() if answer.target != change.expected:
            rest = f"only to {value_shown(answer.target, currency)}: {', '.join(c.guard for c in answer.clipped_by)}"
            return change_row(replace(back, target=answer.target), State.PENDING, rest, currency)
        case Pass():
            return change_row(back, State.PENDING, "as it was", currency)
        case Wait():
            until = "" if answer.until is None else f", passes at {answer.until:%Y-%m-%d %H:%M} UTC"
            value, limit = (priced(answer.guard, figure, currency) for figure in (answer.value, answer.limit))
            why = f"{answer.guard}: {value}, limit {limit}{until}"
        case Refuse():
            why = f"{answer.guard}: {answer.reason}"
        case None:
            why = plan.refused.get(key) or plan.done[key]
    return change_row(back, change.state, why, currency)
