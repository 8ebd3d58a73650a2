"""What goes into the queue of changes: new ones, and what they replace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from adctl.adapters.store.changes import act_as
from adctl.domain.changes import NewChange, State, Value
from adctl.domain.entities import Field
from adctl.domain.guards.funds import Queued
from adctl.domain.ids import Account

_SUPERSEDE = text(
    """
    update pending_ad_changes c
    set state = 'cancelled', state_reason = :why
    from unnest(cast(:kinds as text[]), cast(:ids as text[]), cast(:fields as text[]), cast(:decisions as uuid[]),
      cast(:days as date[])) as n (kind, id, field, decision_id, day)
    where c.account = :account and c.entity_kind = n.kind and c.entity_id = n.id and c.field = n.field
      and c.decision_id is distinct from n.decision_id and (c.decision_day <= n.day or n.day is null)
      and c.open and c.state in ('proposed', 'pending')
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


# Cuts and pauses are due a moment before the raises of their run: what frees money goes first.
_AHEAD, _NOT_AHEAD = timedelta(microseconds=1), timedelta(0)


_OLDER_THAN_THE_DAYS = text(
    """
    update pending_ad_changes c
    set state = 'cancelled', state_reason = 'a newer decision replaces it'
    from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where c.account = :account and c.open and c.state in ('proposed', 'pending')
      and d.account = c.account and d.day = :day and d.entity_id = c.entity_id and d.entity_kind = c.entity_kind
      and d.field = c.field and not d.shadow
      and c.decision_id is distinct from d.decision_id
      and case when c.compensates is null then c.decision_day <= d.day else c.created_at < d.decided_at end
      and (cast(:only as uuid[]) is null or d.decision_id = any(:only))
      and not exists (
        select from pending_ad_changes q where q.account = d.account and q.change_id = d.decision_id)
    """
)


def supersede(connection: Connection, account: Account, day: date, *, only: Sequence[UUID] | None = None) -> int:
    """Cancels unclaimed changes of older decisions about the fields that the champion decided on a day and that were
    not queued yet, whatever it wants (with `only`, those decisions alone): also a decision that keeps a value, or that
    a guard holds back, says that the older ones no longer stand. An undo is older than what was decided after it was
    asked for. Returns how many.
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
        "ahead": _AHEAD if change.frees else _NOT_AHEAD,
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


def became_of(connection: Connection, account: Account, decisions: Sequence[UUID]) -> dict[UUID, Queued]:
    """Those of the decisions that were queued, whatever became of them."""
    rows = connection.execute(
        text(
            """
            select decision_id, coalesce(target_budget - expected_budget, 0) as move, stands, state
            from pending_ad_changes
            where account = :account and change_id = any(:decisions)
            """
        ),
        {"account": account, "decisions": list(decisions)},
    )
    return {
        row.decision_id: Queued(move=row.move, stands=row.stands, waits=row.state == State.PROPOSED) for row in rows
    }


def pauses_since(connection: Connection, account: Account, start: datetime) -> tuple[datetime, ...]:
    """When ads were queued to be paused after `start`, except those that came to nothing."""
    return tuple(
        connection.scalars(
            text(
                """
                select created_at from pending_ad_changes
                where account = :account and target_status = 'PAUSED' and created_at > :start
                  and stands
                order by created_at
                """
            ),
            {"account": account, "start": start},
        )
    )


def to_be_paused(connection: Connection, account: Account) -> frozenset[str]:
    """Ads with a change that is to pause them and has not ended."""
    return frozenset(
        connection.scalars(
            text(
                """
                select entity_id from pending_ad_changes
                where account = :account and target_status = 'PAUSED' and open
                """
            ),
            {"account": account},
        )
    )
