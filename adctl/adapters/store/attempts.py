"""Attempts to send, what they proved, and the limits they are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from adctl.domain.changes import Change
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome


def finish(
    connection: Connection, change: Change, attempt: int, outcome: WriteOutcome, *, code: str, detail: str
) -> None:
    """Writes down what an attempt's answer proved; an answer already written stays."""
    connection.execute(
        text(
            """
            update change_attempts
            set outcome = :outcome, code = :code, detail = :detail, finished_at = adctl_now()
            where account = :account and change_id = :change_id and attempt = :attempt and outcome is null
            """
        ),
        {
            "account": change.account,
            "change_id": change.change_id,
            "attempt": attempt,
            "outcome": outcome.value,
            "code": code,
            "detail": detail,
        },
    )


def settled(connection: Connection, change: Change) -> bool:
    """True when no request of this change can still be on its way to Meta."""
    return bool(
        connection.scalar(
            text(
                """
                select coalesce(max(a.authorised_at) <= adctl_now() - max(l.settle), true)
                from change_attempts a join limits l on l.account = a.account
                where a.account = :account and a.change_id = :change_id
                """
            ),
            {"account": change.account, "change_id": change.change_id},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A budget that was, or may have been, in force during the velocity window, minor units."""

    kind: EntityKind
    entity_id: str
    lowest: int
    highest: int
    oldest: datetime


_VALUES_IN_FORCE = text(
    """
    select a.entity_kind as kind, a.entity_id, min(least(a.expected_budget, a.target_budget)) as lowest,
      max(greatest(a.expected_budget, a.target_budget)) as highest, min(a.authorised_at) as oldest
    from change_attempts a
    where a.account = :account and a.field = 'daily_budget' and a.authorised_at > adctl_now() - :within
      and coalesce(a.outcome, 'unknown') in ('accepted', 'unknown')
    group by a.entity_kind, a.entity_id
    """
)


def values_in_force(connection: Connection, account: Account, window: timedelta) -> tuple[InForce, ...]:
    """The extremes of every budget changed inside the window; an unknown outcome counts as applied."""
    rows = connection.execute(_VALUES_IN_FORCE, {"account": account, "within": window})
    return tuple(InForce(**{**row._mapping, "kind": EntityKind(row.kind)}) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One authorised sending of the last day."""

    kind: EntityKind
    entity_id: str
    campaign_id: str
    field: Field
    raised: int
    at: datetime


def actions_of_last_day(connection: Connection, account: Account) -> tuple[Action, ...]:
    """What was authorised in the last rolling 24 hours; `raised` is 0 where Meta provably refused it."""
    rows = connection.execute(
        text(
            """
            select a.entity_kind as kind, a.entity_id, a.campaign_id, a.field, a.authorised_at as at,
              case when coalesce(a.outcome, 'unknown') in ('accepted', 'unknown')
                then greatest(coalesce(a.target_budget - a.expected_budget, 0), 0) else 0 end as raised
            from change_attempts a
            where a.account = :account and a.authorised_at > adctl_now() - interval '24 hours'
            order by a.authorised_at
            """
        ),
        {"account": account},
    )
    return tuple(Action(**{**row._mapping, "kind": EntityKind(row.kind), "field": Field(row.field)}) for row in rows)


def sync_limits(connection: Connection, account: Account, limits: Mapping[str, object]) -> None:
    """Copies the configured limits to the row that `authorise_send` obeys on every host."""
    connection.execute(
        text(
            """
            insert into limits as l (account, rate_per_campaign, rate_per_ad_set, velocity_percent, velocity_window,
              floor_budget, ceiling_budget, cap_increase, freshness, settle, max_attempts)
            values (:account, :rate_per_campaign, :rate_per_ad_set, :velocity_percent, :velocity_window, :floor_budget,
              :ceiling_budget, :cap_increase, :freshness, :settle, :max_attempts)
            on conflict (account) do update set
              rate_per_campaign = excluded.rate_per_campaign, rate_per_ad_set = excluded.rate_per_ad_set,
              velocity_percent = excluded.velocity_percent, velocity_window = excluded.velocity_window,
              floor_budget = excluded.floor_budget, ceiling_budget = excluded.ceiling_budget,
              cap_increase = excluded.cap_increase, freshness = excluded.freshness, settle = excluded.settle,
              max_attempts = excluded.max_attempts
            where l is distinct from excluded
            """
        ),
        {"account": account, **limits},
    )
