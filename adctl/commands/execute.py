"""Carry out due changes on Meta: read before the write, authorise, write, read back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, audit, changes, entities
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Change, Reading, SendVerdict, State, Value, judge
from adctl.domain.entities import EntityState, Field
from adctl.domain.ids import AdId
from adctl.domain.money import show
from adctl.domain.ports import AdsPlatform, WriteAnswer, WriteOutcome
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.errors import AdctlError, BusyError

# How long after a guard without a time of its own (a missing row, a halt) the next tick may look again.
_LOOK_AGAIN = timedelta(minutes=5)

_COLUMNS = (
    Column(key="entity", label="entity"),
    Column(key="field", label="field"),
    Column(key="before", label="before"),
    Column(key="after", label="after"),
    Column(key="state", label="state"),
    Column(key="reason", label="why"),
)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run's session and tally."""

    engine: Engine
    session: Connection
    profile: AccountProfile
    platform: AdsPlatform
    worker: str
    settle: float
    stop: Callable[[], bool]
    sleep: Callable[[float], None]
    outcomes: Counter[State] = field(default_factory=Counter)
    lines: list[Mapping[str, Cell]] = field(default_factory=list)
    sent: int = 0
    moved: int = 0


def run(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    limits: Mapping[str, object],
    *,
    worker: str,
    dry_run: bool = False,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Sends what is due, at most `limit` changes, until `stop` says so (asked before each claim).

    A dry run reads Meta and PostgreSQL and writes nothing. Raises BusyError when sending is halted or Meta limits us,
    UnavailableError or DeniedError when Meta cannot be read; what was claimed is given back before.
    """
    if dry_run:
        return _preview(engine, profile, platform)
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        attempts.sync_limits(connection, profile.account, limits)
        changes.prepare(connection)
        expired = changes.expire_old(connection, profile.account)
    with engine.connect() as session:
        this = _Run(
            engine=engine,
            session=session,
            profile=profile,
            platform=platform,
            worker=worker,
            settle=_seconds(limits["settle"]),
            stop=stop,
            sleep=sleep,
        )
        _reconcile(this)
        handled = 0
        while not stop() and (limit is None or handled < limit) and _next(this):
            handled += 1
    return _report(this, expired)


def _next(this: _Run) -> bool:
    with this.session.begin():
        change = changes.claim(this.session, this.profile.account, this.worker)
    if change is None:
        return False
    try:
        _carry_out(this, change)
    finally:
        with this.session.begin():
            changes.release(this.session, change)
    return True


def _carry_out(this: _Run, change: Change) -> None:
    read_at, state = _read_claimed(this, change)
    if judge(change, state) is Reading.AS_EXPECTED and change.jitter_ms:
        this.sleep(change.jitter_ms / 1000)
        # A person may have changed it during the pause, and a long one outlasts the freshness of what was read.
        read_at, state = _read_claimed(this, change)
    match judge(change, state):
        case Reading.AT_TARGET:
            _settle(this, change, State.CLAIMED, State.COMPLETED, reason="was there already", observed=change.target)
        case Reading.STRANGER:
            reason = f"Meta holds {_observed(change, state)}, expected {change.expected}"
            _settle(this, change, State.CLAIMED, State.CONFLICT, reason=reason, observed=_observed(change, state))
        case Reading.GONE:
            _settle(this, change, State.CLAIMED, State.BLOCKED, reason="archived, deleted or not found at Meta")
        case Reading.UNWRITABLE:
            _settle(this, change, State.CLAIMED, State.BLOCKED, reason="holds no daily budget of its own")
        case Reading.AS_EXPECTED:
            _send(this, change, read_at)


def _read_claimed(this: _Run, change: Change) -> tuple[datetime, EntityState | None]:
    """The object as it is now, and the moment before it was read; without an answer the change is given back."""
    read_at = _now(this)
    try:
        return read_at, this.platform.read(change.kind, change.entity_id)
    except AdctlError as error:
        _settle(this, change, State.CLAIMED, State.PENDING, reason=f"could not be read: {error.what}")
        raise


def _send(this: _Run, change: Change, read_at: datetime) -> None:
    # Reconcile takes what is older than `settle` for decided: a process that was frozen since must not send any more.
    not_after = time.monotonic() + this.settle
    with this.session.begin():
        verdict = changes.authorise(this.session, change, this.worker, read_at=read_at, observed=change.expected)
    if verdict.verdict != "send" or verdict.attempt is None:
        _hold_back(this, change, verdict)
        return
    answer = this.platform.write(change.entity_id, change.field, change.target, not_after=not_after)
    this.sent += 1
    with this.session.begin():
        attempts.finish(this.session, change, verdict.attempt, answer.outcome, code=answer.code, detail=answer.detail)
    _after(this, change, answer)


def _hold_back(this: _Run, change: Change, verdict: SendVerdict) -> None:
    if verdict.verdict == "block":
        _settle(this, change, State.CLAIMED, State.BLOCKED, reason=verdict.sentence())
        return
    until = verdict.until or _now(this) + _LOOK_AGAIN
    _settle(this, change, State.CLAIMED, State.PENDING, reason=verdict.sentence(), not_before=until)
    if verdict.guard == "halt":
        raise BusyError("sending is halted", fix="run adctl resume once the reason is gone")


def _after(this: _Run, change: Change, answer: WriteAnswer) -> None:
    why = f"{answer.code} {answer.detail}".strip()
    match answer.outcome:
        case WriteOutcome.ACCEPTED:
            _read_back(this, change)
        case WriteOutcome.REFUSED:
            _settle(this, change, State.EXECUTING, State.FAILED, reason=why)
        case WriteOutcome.DEFERRED:
            until = _now(this) + timedelta(seconds=max(answer.retry_after, 60))
            _settle(this, change, State.EXECUTING, State.PENDING, reason=why, not_before=until)
            raise BusyError(f"Meta limits this account: {why}", fix="the next tick goes on")
        case WriteOutcome.UNKNOWN:
            _settle(this, change, State.EXECUTING, State.UNKNOWN, reason=why)


def _read_back(this: _Run, change: Change) -> None:
    try:
        state = this.platform.read(change.kind, change.entity_id)
    except AdctlError as error:
        _settle(this, change, State.EXECUTING, State.UNKNOWN, reason=f"not read back: {error.what}")
        return
    observed = _observed(change, state)
    if observed == change.target:
        _settle(this, change, State.EXECUTING, State.COMPLETED, reason="read back", observed=observed)
    else:
        _settle(this, change, State.EXECUTING, State.UNKNOWN, reason=f"reads {observed} after the write")


def _reconcile(this: _Run) -> None:
    """Looks at what an earlier run left in flight; only at entities whose owner is gone."""
    with this.session.begin():
        left = [c for c in changes.in_flight(this.session, this.profile.account) if c.state is not State.CONFLICT]
    for change in left:
        with this.session.begin():
            free = changes.try_lock(this.session, change)
        if not free:
            continue
        try:
            _reconcile_one(this, change)
        finally:
            with this.session.begin():
                changes.release(this.session, change)


def _reconcile_one(this: _Run, change: Change) -> None:
    if change.state is State.CLAIMED:
        _settle(this, change, State.CLAIMED, State.PENDING, actor="reconcile", reason="its worker died before sending")
        return
    if change.state is State.EXECUTING and not _settle(
        this, change, State.EXECUTING, State.UNKNOWN, actor="reconcile", reason="its worker died while sending"
    ):
        return
    with this.session.begin():
        settled = attempts.settled(this.session, change)
    if not settled:
        return
    state = this.platform.read(change.kind, change.entity_id)
    observed = _observed(change, state)
    match judge(change, state):
        case Reading.AT_TARGET:
            _settle(this, change, State.UNKNOWN, State.COMPLETED, actor="reconcile", reason="seen", observed=observed)
        case Reading.AS_EXPECTED:
            _settle(this, change, State.UNKNOWN, State.PENDING, actor="reconcile", reason="was not applied")
        case _:
            reason = f"Meta holds {observed}, expected {change.expected} or {change.target}"
            _settle(this, change, State.UNKNOWN, State.CONFLICT, actor="reconcile", reason=reason, observed=observed)


def _settle(
    this: _Run,
    change: Change,
    come_from: State,
    to: State,
    *,
    reason: str,
    actor: str = "execute",
    observed: Value | None = None,
    not_before: datetime | None = None,
) -> bool:
    with this.session.begin():
        done = changes.move(
            this.session,
            change,
            come_from=come_from,
            to=to,
            actor=actor,
            reason=reason,
            observed=observed,
            not_before=not_before,
        )
        if done and to is State.COMPLETED:
            _remember(this, change)
    if done:
        this.outcomes[to] += 1
        this.lines.append(_line(change, to, reason, this.profile.currency))
        if to is State.COMPLETED and isinstance(change.target, int) and isinstance(change.expected, int):
            this.moved += change.target - change.expected
    return done


def _remember(this: _Run, change: Change) -> None:
    at = accounts.now(this.session)
    if change.field is Field.DAILY_BUDGET:
        entities.remember_budget(
            this.session, change.account, change.kind.value, change.entity_id, int(change.target), at
        )
    else:
        entities.remember_status(this.session, change.account, AdId(change.entity_id), str(change.target), at)


def _seconds(span: object) -> float:
    assert isinstance(span, timedelta)
    return span.total_seconds()


def _now(this: _Run) -> datetime:
    with this.session.begin():
        return accounts.now(this.session)


def _observed(change: Change, state: EntityState | None) -> Value | None:
    return None if state is None else change.observed(state)


def _line(change: Change, state: State, reason: str, currency: str) -> Mapping[str, Cell]:
    return {
        "entity": f"{change.kind} {change.entity_id}",
        "field": change.field.value,
        "before": _shown(change.expected, currency),
        "after": _shown(change.target, currency),
        "state": state.value,
        "reason": reason,
        "expected": change.expected,
        "target": change.target,
        "change_id": str(change.change_id),
    }


def _shown(value: Value, currency: str) -> str:
    return show(value, currency) if isinstance(value, int) else value


def _preview(engine: Engine, profile: AccountProfile, platform: AdsPlatform) -> Report:
    with transaction(engine, read_only=True) as connection:
        due = changes.due(connection, profile.account)
    lines = []
    for change in due:
        state = platform.read(change.kind, change.entity_id)
        lines.append(_line(change, change.state, judge(change, state).value.replace("_", " "), profile.currency))
    table = Table(key="due", title="Due now", columns=_COLUMNS, rows=tuple(lines), empty="Nothing is due.")
    return Report(
        command="execute",
        account=profile.account,
        currency=profile.currency,
        dry_run=True,
        summary=f"{len(lines)} changes would be judged and sent." if lines else "No changes.",
        tables=(table,),
    )


def _report(this: _Run, expired: int) -> Report:
    with transaction(this.engine, read_only=True) as connection:
        waiting = changes.counts(connection, this.profile.account)
        head = audit.head(connection, this.profile.account)
    troubled = sum(this.outcomes[s] for s in (State.FAILED, State.CONFLICT, State.UNKNOWN, State.BLOCKED))
    done = this.outcomes[State.COMPLETED]
    summary = f"{done} changes confirmed, {this.sent} sent." if this.lines else "No changes."
    return Report(
        command="execute",
        account=this.profile.account,
        currency=this.profile.currency,
        summary=summary,
        facts=(
            Fact(key="sent", label="sent", value=this.sent, kind=Kind.COUNT),
            Fact(key="confirmed", label="confirmed", value=done, kind=Kind.COUNT),
            Fact(key="waiting", label="waiting", value=waiting.get("pending", 0), kind=Kind.COUNT),
            Fact(key="in_trouble", label="need a look", value=troubled, kind=Kind.COUNT),
            Fact(key="expired", label="expired", value=expired, kind=Kind.COUNT),
            Fact(key="budget_moved", label="daily budget moved", value=this.moved, kind=Kind.MONEY),
            Fact(key="audit_head", label="audit head", value=head),
        ),
        tables=(
            Table(key="changes", title="What happened", columns=_COLUMNS, rows=tuple(this.lines), empty="No changes."),
        ),
        exit_code=3 if troubled else 0,
    )
