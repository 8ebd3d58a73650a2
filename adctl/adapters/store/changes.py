"""What becomes of queued changes: the hot path of `execute`, every move through the database's own transition table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from sqlalchemy import Connection, text

from adctl.adapters.db import driver
from adctl.domain.changes import Change, SendVerdict, State, Value
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account


def act_as(connection: Connection, actor: str) -> None:
    """Names who moves changes in this transaction; the transition table knows what each may do."""
    connection.execute(text("select set_config('adctl.actor', :actor, true)"), {"actor": actor})


def expire_old(connection: Connection, account: Account) -> int:
    """Ends unclaimed changes that are past their time; returns how many."""
    act_as(connection, "age")
    return connection.execute(
        text(
            """
            update pending_ad_changes set state = 'expired', state_reason = 'not sent in time'
            where account = :account and open and state in ('proposed', 'pending') and expires_at <= adctl_now()
            """
        ),
        {"account": account},
    ).rowcount


_COLUMNS = """
    select account, change_id, entity_kind, entity_id, campaign_id, ad_set_id, field, expected_budget, target_budget,
      expected_status, target_status, jitter_ms, state, state_reason, attempts, reason, updated_at
    from
"""
# Claim, move and release go straight to the driver: each is asked once for every change, and the layer above it takes
# more time than PostgreSQL does.
_CLAIM = (_COLUMNS + " claim_pending_ad_change(%s, %s)").encode()
_RELEASE = "select pg_advisory_unlock(entity_lock_key(%s, %s, %s))"


def claim(connection: Connection, account: Account, worker: str) -> Change | None:
    """The next due change, claimed for `worker`, with a session lock on its entity; None when nothing is due.

    The connection's session must outlive the work on the change: its end is how others see that the owner died.
    """
    with driver(connection).cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_CLAIM, (account, worker)).fetchone()
    return None if row is None else change_of(row)


def release(connection: Connection, change: Change) -> None:
    """Gives the entity's lock back."""
    driver(connection).execute(_RELEASE, (change.account, change.kind.value, change.entity_id))


_AUTHORISE = text(
    """
    select v.verdict, v.guard, v.value, v.allowed, v.until, v.attempt
    from authorise_send(:account, :change_id, :worker, :read_at, :budget, :status, :others) v
    """
)


def authorise(
    connection: Connection,
    change: Change,
    worker: str,
    *,
    read_at: datetime,
    observed: Value,
    others: Collection[str] = (),
) -> SendVerdict:
    """The one way to a sending: guards and attempt in one transaction, which the caller commits before the POST.

    `others`: of the ads beside one that is to be paused those that were active after `read_at`.
    """
    is_budget = change.field is Field.DAILY_BUDGET
    row = connection.execute(
        _AUTHORISE,
        {
            "account": change.account,
            "change_id": change.change_id,
            "worker": worker,
            "read_at": read_at,
            "budget": observed if is_budget else None,
            "status": None if is_budget else observed,
            "others": list(others),
        },
    ).one()
    return SendVerdict(**row._mapping)


# Who moves it is set where the row is found: a query of its own for that would take longer.
_MOVE = """
    update pending_ad_changes
    set state = %(to)s, state_reason = %(reason)s, updated_at = adctl_now(),
      observed_budget = coalesce(%(budget)s, observed_budget),
      observed_status = coalesce(%(status)s, observed_status),
      earliest_execute_at = coalesce(%(not_before)s, earliest_execute_at)
    where account = %(account)s and change_id = %(change_id)s and state = %(come_from)s
      and set_config('adctl.actor', %(actor)s, true) is not null
      and (%(durable)s or set_config('synchronous_commit', 'off', true) is not null)
"""
# The lock goes before the commit: whoever takes it then still waits for this row, and finds it moved.
_MOVE_AND_RELEASE = _MOVE + " returning pg_advisory_unlock(entity_lock_key(account, entity_kind, entity_id))"


def move(
    connection: Connection,
    change: Change,
    *,
    come_from: State,
    to: State,
    actor: str,
    reason: str | None = None,
    observed: Value | None = None,
    not_before: datetime | None = None,
    durable: bool = True,
    release: bool = False,
) -> bool:
    """Moves a change by compare-and-set; False when it was no longer in `come_from`. An illegal move is an error.

    Not `durable` means that the commit need not reach the disk before it returns: right for what `reconcile` would find
    out again if a crash of the server took it back. With `release` a move that is made gives the entity's lock back.
    """
    is_budget = change.field is Field.DAILY_BUDGET
    moved = driver(connection).execute(
        _MOVE_AND_RELEASE if release else _MOVE,
        {
            "actor": actor,
            "durable": durable,
            "account": change.account,
            "change_id": change.change_id,
            "come_from": come_from.value,
            "to": to.value,
            "reason": reason,
            "budget": observed if is_budget else None,
            "status": None if is_budget else observed,
            "not_before": not_before,
        },
    )
    return moved.rowcount == 1


_IN_FLIGHT = text(
    _COLUMNS
    + """
    pending_ad_changes
    where account = :account and open and state in ('claimed', 'executing', 'unknown', 'conflict')
    order by change_id
    """
)
_DUE = text(
    _COLUMNS
    + """
    pending_ad_changes
    where account = :account and in_line and state = 'pending' and earliest_execute_at <= adctl_now()
      and expires_at > adctl_now()
    order by earliest_execute_at, change_id
    """
)
_TOUCHED = text(
    _COLUMNS + " pending_ad_changes where account = :account and updated_at >= :since order by updated_at, change_id"
)


def in_flight(connection: Connection, account: Account) -> tuple[Change, ...]:
    """Changes that are claimed, on the wire, of unknown outcome, or in conflict."""
    return tuple(change_of(row._mapping) for row in connection.execute(_IN_FLIGHT, {"account": account}))


def touched_since(connection: Connection, account: Account, since: datetime) -> tuple[Change, ...]:
    """Changes that moved at or after `since`."""
    rows = connection.execute(_TOUCHED, {"account": account, "since": since})
    return tuple(change_of(row._mapping) for row in rows)


def due(connection: Connection, account: Account) -> tuple[Change, ...]:
    """Changes that a run would claim now, in its order."""
    return tuple(change_of(row._mapping) for row in connection.execute(_DUE, {"account": account}))


def try_lock(connection: Connection, change: Change) -> bool:
    """Takes the entity's lock when its owner is gone."""
    return bool(
        connection.scalar(
            text("select pg_try_advisory_lock(entity_lock_key(:account, :kind, :id))"),
            {"account": change.account, "kind": change.kind.value, "id": change.entity_id},
        )
    )


def counts(connection: Connection, account: Account) -> dict[str, int]:
    """How many changes stand in each state."""
    rows = connection.execute(
        text(
            "select state, count(*) as n from pending_ad_changes where account = :account group by state order by state"
        ),
        {"account": account},
    )
    return {row.state: row.n for row in rows}


def oldest_open(connection: Connection, account: Account) -> dict[str, datetime]:
    """When the change that is longest in its state was last moved, by open state."""
    rows = connection.execute(
        text(
            """
            select p.state, min(p.updated_at) as since from pending_ad_changes p
            where p.account = :account and p.open group by p.state order by p.state
            """
        ),
        {"account": account},
    )
    return {row.state: row.since for row in rows}


def change_of(row: Mapping[Any, Any]) -> Change:
    """The change in a row of `pending_ad_changes`."""
    is_budget = row["field"] == Field.DAILY_BUDGET
    return Change(
        account=Account(row["account"]),
        change_id=row["change_id"],
        kind=EntityKind(row["entity_kind"]),
        entity_id=row["entity_id"],
        campaign_id=row["campaign_id"],
        ad_set_id=row["ad_set_id"],
        field=Field(row["field"]),
        expected=row["expected_budget"] if is_budget else row["expected_status"],
        target=row["target_budget"] if is_budget else row["target_status"],
        jitter_ms=row["jitter_ms"],
        state=State(row["state"]),
        state_reason=row["state_reason"],
        attempts=row["attempts"],
        reason=row["reason"],
        updated_at=row["updated_at"],
    )
