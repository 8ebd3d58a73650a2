"""The queue of changes: the hot path of `execute`, every move through the database's own transition table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from adctl.adapters.store.accounts import now
from adctl.domain.changes import Change, NewChange, SendVerdict, State, Value
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account


def act_as(connection: Connection, actor: str) -> None:
    """Names who moves changes in this transaction; the transition table knows what each may do."""
    connection.execute(text("select set_config('adctl.actor', :actor, true)"), {"actor": actor})


def prepare(connection: Connection) -> None:
    """Makes the partitions that the audit of this run needs: this month's and the next."""
    today = now(connection).date()
    connection.execute(
        text("select ensure_history_months(:today, :next)"), {"today": today, "next": today + timedelta(days=31)}
    )


_SUPERSEDE = text(
    """
    update pending_ad_changes c
    set state = 'cancelled', state_reason = :why
    from unnest(cast(:kinds as text[]), cast(:ids as text[]), cast(:fields as text[]), cast(:decisions as uuid[]),
      cast(:days as date[])) as n (kind, id, field, decision_id, day)
    where c.account = :account and c.entity_kind = n.kind and c.entity_id = n.id and c.field = n.field
      and c.decision_id is distinct from n.decision_id and coalesce(c.decision_day <= n.day, true)
      and c.state in ('proposed', 'pending')
    """
)
_ENQUEUE = text(
    """
    insert into pending_ad_changes (account, change_id, decision_id, decision_day, run_id, entity_kind, entity_id,
      campaign_id, ad_set_id, field, expected_budget, target_budget, expected_status, target_status, wanted_budget,
      reason, clipped_by, fuzz_ppm, jitter_ms, earliest_execute_at, expires_at, compensates, created_at, state,
      updated_at)
    values (:account, :change_id, :decision_id, :decision_day, :run_id, :entity_kind, :entity_id, :campaign_id,
      :ad_set_id, :field, :expected_budget, :target_budget, :expected_status, :target_status, :wanted_budget, :reason,
      cast(:clipped_by as jsonb), :fuzz_ppm, :jitter_ms, adctl_now() - cast(:ahead as interval), adctl_now() + :expire,
      :compensates, adctl_now(), :state, adctl_now())
    on conflict do nothing
    """
)


# Cuts are due a moment before the raises of their run: what frees money goes first.
_AHEAD, _NOT_AHEAD = timedelta(microseconds=1), timedelta(0)


_OLDER_THAN_THE_DAYS = text(
    """
    update pending_ad_changes c
    set state = 'cancelled', state_reason = 'a newer decision replaces it'
    from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where c.account = :account and c.state in ('proposed', 'pending')
      and d.account = c.account and d.day = :day and d.entity_id = c.entity_id and d.entity_kind = c.entity_kind
      and d.field = c.field and not d.shadow
      and c.decision_id is distinct from d.decision_id and coalesce(c.decision_day <= d.day, true)
      and (cast(:only as uuid[]) is null or d.decision_id = any(:only))
      and not exists (
        select from pending_ad_changes q where q.account = d.account and q.decision_id = d.decision_id)
    """
)


def supersede(connection: Connection, account: Account, day: date, *, only: Sequence[UUID] | None = None) -> int:
    """Cancels unclaimed changes of older decisions about the fields that the champion decided on a day and that were
    not queued yet, whatever it wants (with `only`, those decisions alone): also a decision that keeps a value, or that
    a guard holds back, says that the older ones no longer stand. Returns how many.
    """
    act_as(connection, "enqueue")
    parameters = {"account": account, "day": day, "only": None if only is None else list(only)}
    return connection.execute(_OLDER_THAN_THE_DAYS, parameters).rowcount


def _cancel_older(
    connection: Connection,
    account: Account,
    newer: Sequence[tuple[str, str, str, UUID | None, date | None]],
    why: str = "a newer decision replaces it",
) -> int:
    names = ("kinds", "ids", "fields", "decisions", "days")
    columns = {name: [row[place] for row in newer] for place, name in enumerate(names)}
    return connection.execute(_SUPERSEDE, {"account": account, "why": why, **columns}).rowcount


def enqueue(
    connection: Connection, account: Account, run_id: UUID, changes: Sequence[NewChange], *, expire: timedelta
) -> int:
    """Queues changes, replacing unclaimed ones of older decisions; returns how many were added.

    A decision that was queued before, or an entity with a change in flight, adds nothing.
    """
    act_as(connection, "enqueue")
    _cancel_older(connection, account, [_of_field(c) for c in changes])
    return _insert(connection, account, run_id, changes, expire)


def undo(
    connection: Connection, account: Account, run_id: UUID, changes: Sequence[NewChange], *, expire: timedelta
) -> int:
    """Queues changes that take completed ones back, before whatever waits for the same fields; returns how many."""
    act_as(connection, "undo")
    _cancel_older(connection, account, [_of_field(c) for c in changes], why="an undo goes first")
    return _insert(connection, account, run_id, changes, expire)


def _of_field(change: NewChange) -> tuple[str, str, str, UUID | None, date | None]:
    return change.kind.value, change.entity_id, change.field.value, change.decision_id, change.decision_day


def _insert(
    connection: Connection, account: Account, run_id: UUID, changes: Sequence[NewChange], expire: timedelta
) -> int:
    return sum(
        connection.execute(_ENQUEUE, {**_row(account, change), "run_id": run_id, "expire": expire}).rowcount
        for change in changes
    )


def _row(account: Account, change: NewChange) -> dict[str, object]:
    is_budget = change.field is Field.DAILY_BUDGET
    return {
        "account": account,
        "change_id": change.change_id,
        "decision_id": change.decision_id,
        "decision_day": change.decision_day,
        "entity_kind": change.kind.value,
        "entity_id": change.entity_id,
        "campaign_id": change.campaign_id,
        "ad_set_id": change.ad_set_id,
        "field": change.field.value,
        "expected_budget": change.expected if is_budget else None,
        "target_budget": change.target if is_budget else None,
        "expected_status": None if is_budget else change.expected,
        "target_status": None if is_budget else change.target,
        "wanted_budget": change.wanted,
        "reason": change.reason,
        "clipped_by": json.dumps(change.clipped_by),
        "fuzz_ppm": change.fuzz_ppm,
        "jitter_ms": change.jitter_ms,
        "compensates": change.compensates,
        "ahead": _AHEAD if change.lowers else _NOT_AHEAD,
        "state": State.PROPOSED if change.needs_approval else State.PENDING,
    }


def queued_decisions(connection: Connection, account: Account) -> dict[UUID, Value]:
    """Decisions of the last days that were queued once, whatever became of them, with the target of their change."""
    rows = connection.execute(
        text(
            """
            select decision_id, target_budget, target_status from pending_ad_changes
            where account = :account and decision_id is not null and created_at > adctl_now() - interval '3 days'
            """
        ),
        {"account": account},
    )
    return {row.decision_id: row.target_status if row.target_budget is None else row.target_budget for row in rows}


def queued_growth(connection: Connection, account: Account, decisions: Sequence[UUID]) -> int:
    """What the changes of these decisions that were or may still be sent add to the daily budgets; minor units."""
    value = connection.scalar(
        text(
            """
            select coalesce(sum(target_budget - expected_budget), 0)::bigint from pending_ad_changes
            where account = :account and decision_id = any(:decisions)
              and state not in ('failed', 'blocked', 'cancelled', 'expired')
            """
        ),
        {"account": account, "decisions": list(decisions)},
    )
    return int(value or 0)


def pauses_since(connection: Connection, account: Account, start: datetime) -> tuple[datetime, ...]:
    """When ads were queued to be paused after `start`, except those that came to nothing."""
    return tuple(
        connection.scalars(
            text(
                """
                select created_at from pending_ad_changes
                where account = :account and target_status = 'PAUSED' and created_at > :start
                  and state not in ('cancelled', 'expired', 'failed', 'blocked')
                order by created_at
                """
            ),
            {"account": account, "start": start},
        )
    )


def expire_old(connection: Connection, account: Account) -> int:
    """Ends unclaimed changes that are past their time; returns how many."""
    act_as(connection, "age")
    return connection.execute(
        text(
            """
            update pending_ad_changes set state = 'expired', state_reason = 'not sent in time'
            where account = :account and state in ('proposed', 'pending') and expires_at <= adctl_now()
            """
        ),
        {"account": account},
    ).rowcount


_COLUMNS = """
    select account, change_id, entity_kind, entity_id, campaign_id, field, expected_budget, target_budget,
      expected_status, target_status, jitter_ms, state, state_reason, attempts, reason, updated_at
    from
"""
_CLAIM = text(_COLUMNS + " claim_pending_ad_change(:account, :worker)")
_RELEASE = text("select pg_advisory_unlock(entity_lock_key(:account, :kind, :id))")


def claim(connection: Connection, account: Account, worker: str) -> Change | None:
    """The next due change, claimed for `worker`, with a session lock on its entity; None when nothing is due.

    The connection's session must outlive the work on the change: its end is how others see that the owner died.
    """
    row = connection.execute(_CLAIM, {"account": account, "worker": worker}).one_or_none()
    return None if row is None else change_of(row._mapping)


def release(connection: Connection, change: Change) -> None:
    """Gives the entity's lock back."""
    connection.execute(_RELEASE, {"account": change.account, "kind": change.kind.value, "id": change.entity_id})


_AUTHORISE = text(
    """
    select v.verdict, v.guard, v.value, v.allowed, v.until, v.attempt
    from authorise_send(:account, :change_id, :worker, :read_at, :budget, :status) v
    """
)


def authorise(
    connection: Connection, change: Change, worker: str, *, read_at: datetime, observed: Value
) -> SendVerdict:
    """The one way to a sending: guards and attempt in one transaction, which the caller commits before the POST."""
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
        },
    ).one()
    return SendVerdict(**row._mapping)


_MOVE = text(
    """
    with acting as materialized (
      select set_config('adctl.actor', :actor, true),
        set_config('synchronous_commit',
          case when :durable then current_setting('synchronous_commit') else 'off' end, true)
    )
    update pending_ad_changes
    set state = :to, state_reason = :reason,
      observed_budget = coalesce(:budget, observed_budget),
      observed_status = coalesce(:status, observed_status),
      earliest_execute_at = coalesce(:not_before, earliest_execute_at)
    from acting
    where account = :account and change_id = :change_id and state = :come_from
    """
)


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
) -> bool:
    """Moves a change by compare-and-set; False when it was no longer in `come_from`. An illegal move is an error.

    Not `durable` means that the commit need not reach the disk before it returns: right for what `reconcile` would find
    out again if a crash of the server took it back.
    """
    is_budget = change.field is Field.DAILY_BUDGET
    result = connection.execute(
        _MOVE,
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
    return result.rowcount == 1


_IN_FLIGHT = text(
    _COLUMNS
    + """
    pending_ad_changes
    where account = :account and state in ('claimed', 'executing', 'unknown', 'conflict') order by change_id
    """
)
_DUE = text(
    _COLUMNS
    + """
    pending_ad_changes
    where account = :account and state = 'pending' and earliest_execute_at <= adctl_now() and expires_at > adctl_now()
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
            join change_states s on s.state = p.state and not s.terminal
            where p.account = :account group by p.state order by p.state
            """
        ),
        {"account": account},
    )
    return {row.state: row.since for row in rows}


def change_of(row: RowMapping) -> Change:
    """The change in a row of `pending_ad_changes`."""
    is_budget = row["field"] == Field.DAILY_BUDGET
    return Change(
        account=Account(row["account"]),
        change_id=row["change_id"],
        kind=EntityKind(row["entity_kind"]),
        entity_id=row["entity_id"],
        campaign_id=row["campaign_id"],
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
