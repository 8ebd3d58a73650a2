"""Carry out due changes on Meta: read before the write, authorise, write, read back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Engine

from adctl.adapters.db import autocommitting, transaction
from adctl.adapters.store import accounts, attempts, audit, changes, exposure
from adctl.commands.execute.carry_out import Hand
from adctl.commands.execute.reconcile import STOPPED, reconcile
from adctl.commands.execute.session import Session, note_usage, refuse_while_resting
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import COLUMNS, change_row
from adctl.domain.changes import State, judge
from adctl.domain.counted import counted
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Fact, Kind, Report, Table


def run(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    limits: Mapping[str, object],
    *,
    worker: str,
    armed_for: timedelta | None = None,
    dry_run: bool = False,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Sends what is due, at most `limit` changes, until `stop` says so (asked before each) or Meta asks for rest.

    A dry run reads Meta and PostgreSQL and writes nothing. Raises BusyError when sending is halted or Meta limits us,
    UnavailableError when Meta cannot be reached, DeniedError when it lets us read or write no more; what was claimed is
    given back before. `armed_for`: the longest time from a `resume` on that anything is sent, None for ever.
    """
    if dry_run:
        return _preview(engine, profile, platform)
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        stricter = attempts.sync_limits(connection, profile.account, limits)
        exposure.limit_arming(connection, profile.account, armed_for)
        expired = changes.expire_old(connection, profile.account)
    refuse_while_resting(engine, profile)
    with autocommitting(engine) as connection:
        session = Session(connection=connection, profile=profile, platform=platform)
        hand = Hand(session=session, worker=worker, settle=_seconds(limits["settle"]), sleep=sleep)
        try:
            whole = reconcile(session, stop)
            handled = 0
            while not (stop() or session.must_rest() or handled == limit) and hand.take_next():
                handled += 1
        finally:
            note_usage(engine, profile, platform)
    return _report(engine, session, expired, stricter, whole=whole)


def _seconds(span: object) -> float:
    assert isinstance(span, timedelta)
    return span.total_seconds()


def _preview(engine: Engine, profile: AccountProfile, platform: AdsPlatform) -> Report:
    with transaction(engine, read_only=True) as connection:
        due = changes.due(connection, profile.account)
    lines = []
    for change in due:
        reading = judge(change, platform.read(change.kind, change.entity_id)).value.replace("_", " ")
        lines.append(change_row(change, change.state, reading, profile.currency))
    table = Table(key="due", title="Due now", columns=COLUMNS, rows=tuple(lines), empty="Nothing is due.")
    return Report(
        command="execute",
        account=profile.account,
        currency=profile.currency,
        dry_run=True,
        summary=f"{counted(len(lines), 'change')} would be judged and sent." if lines else "No changes.",
        tables=(table,),
    )


def _report(engine: Engine, session: Session, expired: int, stricter: Sequence[str], *, whole: bool) -> Report:
    account = session.profile.account
    with transaction(engine, read_only=True) as connection:
        waiting = changes.counts(connection, account)
        head = audit.head(connection, account)
    done = sum(state is State.COMPLETED for state in session.ended_as.values())
    return Report(
        command="execute",
        account=account,
        currency=session.profile.currency,
        summary=f"{counted(done, 'change')} confirmed, {session.sent} sent." if session.lines else "No changes.",
        facts=(
            Fact(key="sent", label="sent", value=session.sent, kind=Kind.COUNT),
            Fact(key="confirmed", label="confirmed", value=done, kind=Kind.COUNT),
            Fact(key="waiting", label="waiting", value=waiting.get("pending", 0), kind=Kind.COUNT),
            Fact(key="in_trouble", label="need a look", value=session.troubled, kind=Kind.COUNT),
            Fact(key="expired", label="expired", value=expired, kind=Kind.COUNT),
            Fact(key="budget_moved", label="daily budget moved", value=session.moved, kind=Kind.MONEY),
            Fact(key="audit_head", label="audit head", value=head),
        ),
        tables=(
            Table(
                key="changes", title="What happened", columns=COLUMNS, rows=tuple(session.lines), empty="No changes."
            ),
        ),
        notes=(
            *(("Meta asked for a rest: what is left waits for a later run.",) if session.must_rest() else ()),
            *(() if whole else (STOPPED,)),
            *stricter,
        ),
        exit_code=3 if session.troubled else 0,
    )
