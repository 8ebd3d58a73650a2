"""Attempts to send, what they proved, and the limits they are judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.domain.changes import Change
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId
from adctl.domain.ports import WriteOutcome

# As the moves of `execute`: after a crash of the server that took it back, `reconcile` finds out anew.
_FINISH = text(
    """
    with hasty as materialized (select set_config('synchronous_commit', 'off', true))
    update change_attempts
    set outcome = :outcome, code = :code, detail = :detail, finished_at = adctl_now()
    from hasty
    where account = :account and change_id = :change_id and attempt = :attempt and outcome is null
    """
)


def finish(
    connection: Connection, change: Change, attempt: int, outcome: WriteOutcome, *, code: str, detail: str
) -> None:
    """Writes down what an attempt's answer proved; an answer already written stays."""
    connection.execute(
        _FINISH,
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
            text("select change_is_settled(:account, :change_id)"),
            {"account": change.account, "change_id": change.change_id},
        )
    )


def may_try_again(connection: Connection, change: Change) -> bool:
    """True while the change has a try left; what Meta put off counts for none."""
    return bool(
        connection.scalar(
            text(
                """
                select attempts_made(:account, :change_id) < l.max_attempts from limits l where l.account = :account
                """
            ),
            {"account": change.account, "change_id": change.change_id},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One authorised sending; budgets are minor units. `may_hold` is False where Meta provably refused it.

    Until `replaced_until` what it replaced may have been in force: its answer, or when no request could be on its way.
    """

    kind: EntityKind
    entity_id: str
    campaign_id: CampaignId
    ad_set_id: AdSetId | None
    field: Field
    expected_budget: int | None
    target_budget: int | None
    target_status: str | None
    at: datetime
    replaced_until: datetime
    may_hold: bool


def since(connection: Connection, account: Account, start: datetime) -> tuple[Sending, ...]:
    """What was authorised after `start`, oldest first; an unknown outcome counts as applied."""
    rows = connection.execute(
        text(
            """
            select a.entity_kind as kind, a.entity_id, a.campaign_id, a.ad_set_id, a.field, a.expected_budget,
              a.target_budget, a.target_status, a.authorised_at as at,
              case a.outcome when 'accepted' then a.finished_at
                else a.authorised_at + coalesce(l.settle, interval '1 hour') end as replaced_until,
              may_hold(a.outcome) as may_hold
            from change_attempts a left join limits l on l.account = a.account
            where a.account = :account and a.authorised_at > :start
            order by a.authorised_at, a.attempt
            """
        ),
        {"account": account, "start": start},
    )
    return tuple(Sending(**{**row._mapping, "kind": EntityKind(row.kind), "field": Field(row.field)}) for row in rows)


def sync_limits(connection: Connection, account: Account, limits: Mapping[str, object]) -> None:
    """Copies the configured limits to the row that `authorise_send` obeys on every host; those it may lack are none."""
    connection.execute(
        text(
            """
            insert into limits as l (account, rate_per_campaign, rate_per_ad_set, velocity_percent, velocity_window,
              floor_budget, ceiling_budget, cap_increase, freshness, settle, max_attempts, quiet_from, quiet_until,
              floors, ceilings)
            values (:account, :rate_per_campaign, :rate_per_ad_set, :velocity_percent, :velocity_window, :floor_budget,
              :ceiling_budget, :cap_increase, :freshness, :settle, :max_attempts, :quiet_from, :quiet_until,
              cast(:floors as jsonb), cast(:ceilings as jsonb))
            on conflict (account) do update set
              rate_per_campaign = excluded.rate_per_campaign, rate_per_ad_set = excluded.rate_per_ad_set,
              velocity_percent = excluded.velocity_percent, velocity_window = excluded.velocity_window,
              floor_budget = excluded.floor_budget, ceiling_budget = excluded.ceiling_budget,
              cap_increase = excluded.cap_increase, freshness = excluded.freshness, settle = excluded.settle,
              max_attempts = excluded.max_attempts, quiet_from = excluded.quiet_from,
              quiet_until = excluded.quiet_until, floors = excluded.floors, ceilings = excluded.ceilings
            where l is distinct from excluded
            """
        ),
        {
            "account": account,
            "quiet_from": None,
            "quiet_until": None,
            **limits,
            "floors": json.dumps(limits.get("floors", {})),
            "ceilings": json.dumps(limits.get("ceilings", {})),
        },
    )
