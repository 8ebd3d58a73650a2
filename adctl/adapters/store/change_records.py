"""Changes as people ask for them: whole records with their attempts, found by id or run, moved by an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from adctl.adapters.store.changes import act_as, change_of
from adctl.domain.changes import Change, State, Value
from adctl.domain.entities import Field
from adctl.domain.ids import Account
from adctl.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A change with everything that is kept about it. `observed` is what was last read at Meta."""

    change: Change
    decision_id: UUID | None
    run_id: UUID
    ad_set_id: str | None
    wanted: int | None
    clipped_by: Sequence[Mapping[str, int | str]]
    fuzz_ppm: int
    created_at: datetime
    earliest_execute_at: datetime
    expires_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    claimed_by: str | None
    claimed_at: datetime | None
    compensates: UUID | None
    observed: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sending of a change and what its answer proved."""

    attempt: int
    authorised_at: datetime
    finished_at: datetime | None
    outcome: str | None
    code: str | None
    detail: str | None


_RECORDS = "select c.* from pending_ad_changes c where c.account = :account"
_BY_STATE = text(_RECORDS + " and c.state = any(:states) order by c.created_at desc, c.change_id limit :most")
_LOCKED = text(_RECORDS + " and c.change_id = any(:changes) order by c.created_at desc, c.change_id for update")
_BY_PREFIX = text(_RECORDS + " and starts_with(c.change_id::text, :prefix) order by c.change_id limit 2")
# By the run of `enqueue` that queued it, or the run of `execute` that claimed it last.
_BY_RUN = text(
    _RECORDS
    + """
    and (c.run_id = :run or c.claimed_by like '%/' || cast(:run as text)) order by c.created_at, c.change_id
    """
)
_UNDOS = text(
    _RECORDS
    + """
    and c.compensates = :change_id and c.stands
    """
)


def by_state(connection: Connection, account: Account, states: Sequence[State], *, most: int) -> tuple[Record, ...]:
    """The newest `most` changes in these states, newest first."""
    rows = connection.execute(
        _BY_STATE, {"account": account, "states": [state.value for state in states], "most": most}
    )
    return tuple(_record(row._mapping) for row in rows)


def one(connection: Connection, account: Account, identity: str) -> Record:
    """The change whose id begins so. Raises UsageError when there is none, or more than one."""
    parameters = {"account": account, "prefix": identity.lower()}
    found = connection.execute(_BY_PREFIX, parameters).all() if len(identity) >= 4 else []
    if len(found) == 1:
        return _record(found[0]._mapping)
    what = f"the id {identity!r} begins more than one change" if found else f"no change has the id {identity!r}"
    raise UsageError(what, fix="adctl changes list")


def locked(connection: Connection, account: Account, changes: Sequence[UUID]) -> tuple[Record, ...]:
    """These changes as they are now, newest first; until the transaction ends nobody else moves them."""
    rows = connection.execute(_LOCKED, {"account": account, "changes": list(changes)})
    return tuple(_record(row._mapping) for row in rows)


def by_run(connection: Connection, account: Account, run: UUID) -> tuple[Record, ...]:
    """What a run of `enqueue` queued, or a run of `execute` handled; oldest first."""
    return tuple(_record(row._mapping) for row in connection.execute(_BY_RUN, {"account": account, "run": run}))


def live_undo(connection: Connection, change: Change) -> Record | None:
    """The change that takes this one back, or did; None when there is none."""
    row = connection.execute(_UNDOS, {"account": change.account, "change_id": change.change_id}).one_or_none()
    return None if row is None else _record(row._mapping)


def undos_begun(connection: Connection, change: Change) -> int:
    """How often it was tried to take this change back, whatever became of it."""
    return int(
        connection.scalar(
            text("select count(*) from pending_ad_changes where account = :account and compensates = :change_id"),
            {"account": change.account, "change_id": change.change_id},
        )
        or 0
    )


def attempts_of(connection: Connection, change: Change) -> tuple[Attempt, ...]:
    """Every sending of a change, oldest first."""
    rows = connection.execute(
        text(
            """
            select attempt, authorised_at, finished_at, outcome, code, detail from change_attempts
            where account = :account and change_id = :change_id order by attempt
            """
        ),
        {"account": change.account, "change_id": change.change_id},
    )
    return tuple(Attempt(**row._mapping) for row in rows)


def approve(connection: Connection, change: Change, by: str) -> bool:
    """Lets a proposed change be sent; False when it is no longer proposed, or has expired."""
    act_as(connection, "operator")
    done = connection.execute(
        text(
            """
            update pending_ad_changes set state = 'pending', state_reason = null, approved_by = :by
            where account = :account and change_id = :change_id and state = 'proposed' and expires_at > adctl_now()
            """
        ),
        {"account": change.account, "change_id": change.change_id, "by": by},
    )
    return done.rowcount == 1


def _record(row: RowMapping) -> Record:
    is_budget = row["field"] == Field.DAILY_BUDGET
    names = (
        "decision_id run_id ad_set_id clipped_by fuzz_ppm created_at earliest_execute_at expires_at approved_by "
        "approved_at claimed_by claimed_at compensates"
    )
    return Record(
        change=change_of(row),
        wanted=row["wanted_budget"],
        observed=row["observed_budget"] if is_budget else row["observed_status"],
        **{name: row[name] for name in names.split()},
    )
