"""Find out what became of changes whose worker is gone: the first step of every `execute`, and a command alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Engine

from adctl.adapters.db import autocommitting, transaction
from adctl.adapters.store import accounts, attempts, changes
from adctl.commands.execute.session import Session, note_usage, observed_in, refuse_while_resting
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import COLUMNS, change_row
from adctl.domain.changes import Change, Reading, State, judge
from adctl.domain.counted import counted
from adctl.domain.entities import EntityState
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Fact, Kind, Report, Table
from adctl.errors import AdctlError, BusyError, UnavailableError

STOPPED = "Stopped before every change in flight was looked at: the next run goes on."


def run(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    limits: Mapping[str, object],
    *,
    dry_run: bool,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Looks at every change in flight whose owner is gone, until `stop` says so (asked before each change), and sends
    nothing. A dry run lists them.

    Raises BusyError while Meta wants to be left alone, UnavailableError when it cannot be reached.
    """
    if dry_run:
        return _preview(engine, profile)
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        stricter = attempts.sync_limits(connection, profile.account, limits)
    refuse_while_resting(engine, profile)
    with autocommitting(engine) as connection:
        session = Session(connection=connection, profile=profile, platform=platform)
        try:
            whole = reconcile(session, stop)
        finally:
            note_usage(engine, profile, platform)
    with transaction(engine, read_only=True) as connection:
        left = changes.in_flight(connection, profile.account)
    moves = counted(len(session.lines), "move")
    return Report(
        command="reconcile",
        account=profile.account,
        currency=profile.currency,
        summary=f"{moves}; {len(left)} still in flight." if session.lines else "No changes.",
        facts=(Fact(key="in_flight", label="still in flight", value=len(left), kind=Kind.COUNT),),
        tables=(Table(key="changes", title="What was found", columns=COLUMNS, rows=tuple(session.lines)),),
        notes=(*(() if whole else (STOPPED,)), *stricter),
        exit_code=3 if session.troubled else 0,
    )


def _preview(engine: Engine, profile: AccountProfile) -> Report:
    with transaction(engine, read_only=True) as connection:
        left = changes.in_flight(connection, profile.account)
    rows = tuple(change_row(change, change.state, change.state_reason, profile.currency) for change in left)
    return Report(
        command="reconcile",
        account=profile.account,
        currency=profile.currency,
        dry_run=True,
        summary=f"{counted(len(rows), 'change')} in flight." if rows else "No changes.",
        tables=(Table(key="changes", title="In flight", columns=COLUMNS, rows=rows),),
    )


def reconcile(session: Session, stop: Callable[[], bool]) -> bool:
    """Takes each entity's lock first: what a living worker holds is left alone. A conflict waits for a person.

    False when `stop` left changes to a later run.
    """
    with session.connection.begin():
        found = changes.in_flight(session.connection, session.profile.account)
    for change in found:
        if change.state is State.CONFLICT:
            continue
        if stop():
            return False
        with session.connection.begin():
            free = changes.try_lock(session.connection, change)
        if not free:
            continue
        with session.holding(change):
            try:
                _look_at(session, change)
            except (UnavailableError, BusyError):
                raise
            except AdctlError as error:
                # What no later answer mends waits for a person, and keeps nothing else from being looked at or sent.
                session.leave(change, f"could not be read: {error.what}")
    return True


def _look_at(session: Session, change: Change) -> None:
    if change.state is State.CLAIMED:
        reason = "its worker died before sending"
        session.settle(change, State.CLAIMED, State.PENDING, actor="reconcile", reason=reason)
        return
    reason = "its worker died while sending"
    if change.state is State.EXECUTING and not session.settle(
        change, State.EXECUTING, State.UNKNOWN, actor="reconcile", reason=reason
    ):
        return
    with session.connection.begin():
        settled = attempts.settled(session.connection, change)
        may_try_again = attempts.may_try_again(session.connection, change)
    if settled:
        _resolve(session, change, may_try_again=may_try_again)


def _resolve(session: Session, change: Change, *, may_try_again: bool) -> None:
    """Moves an unknown outcome by what Meta holds, now that no request can be on its way."""
    state = session.platform.read(change.kind, change.entity_id)
    observed = observed_in(change, state)
    match judge(change, state):
        case Reading.AT_TARGET:
            to, reason = State.COMPLETED, "seen"
        case Reading.AS_EXPECTED if _touched_since(session, change, state):
            # Applied and put back by a person, or never applied: sending it again could overwrite the person.
            to, reason = (
                State.CONFLICT,
                f"Meta holds {session.shown(observed)} as before, and was edited since the sending",
            )
        case Reading.AS_EXPECTED if may_try_again:
            to, reason = State.PENDING, "was not applied"
        case Reading.AS_EXPECTED:
            to, reason = State.CONFLICT, f"was not applied, and no try is left after {change.attempts}"
        case Reading.GONE:
            to, reason = State.CONFLICT, "archived, deleted or not found at Meta"
        case _:
            expected = f"{session.shown(change.expected)} or {session.shown(change.target)}"
            to, reason = State.CONFLICT, f"Meta holds {session.shown(observed)}, expected {expected}"
    session.settle(change, State.UNKNOWN, to, actor="reconcile", reason=reason, observed=observed)


def _touched_since(session: Session, change: Change, state: EntityState | None) -> bool:
    """Whether Meta says that the object was changed after the change was sent last."""
    if state is None or state.updated_at is None:
        return False
    with session.connection.begin():
        sent_at = attempts.last_sent(session.connection, change)
    return sent_at is not None and state.updated_at > sent_at
