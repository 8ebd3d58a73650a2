"""Attempts to send, what they proved, and the limits they are judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from adctl.domain.changes import Change
from adctl.domain.entities import EntityKind, Field
from adctl.domain.guards.strictest import stricter, strictest
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


def may_have_changed(connection: Connection, change: Change) -> bool:
    """True when a sending of this change may have set what Meta holds; one that was refused or put off did not."""
    return bool(
        connection.scalar(
            text(
                """
                select exists (select from change_attempts a
                  where a.account = :account and a.change_id = :change_id and may_hold(a.outcome))
                """
            ),
            {"account": change.account, "change_id": change.change_id},
        )
    )


def last_sent(connection: Connection, change: Change) -> datetime | None:
    """When the newest attempt was authorised, None when there is none."""
    value = connection.scalar(
        text("select max(authorised_at) from change_attempts where account = :account and change_id = :change_id"),
        {"account": change.account, "change_id": change.change_id},
    )
    assert value is None or isinstance(value, datetime)
    return value


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


_HOUR = timedelta(hours=1)
# A host that runs once a day is still one of the account's.
_GONE = timedelta(hours=26)
_MOST_NAMED = 3
_NOT_GIVEN: Mapping[str, object] = {
    "host": "",
    "quiet_from": None,
    "quiet_until": None,
    "floors": {},
    "ceilings": {},
    "kill_last_ad": False,
}
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('adctl.limits/' || :account, 0))")
_NOTE_LIMITS = text(
    """
    insert into host_limits (account, host, seen_at, rate_per_campaign, rate_per_ad_set, velocity_percent,
      velocity_window, floor_budget, ceiling_budget, cap_increase, freshness, settle, max_attempts, quiet_from,
      quiet_until, floors, ceilings, kill_last_ad)
    values (:account, :host, adctl_now(), :rate_per_campaign, :rate_per_ad_set, :velocity_percent,
      :velocity_window, :floor_budget, :ceiling_budget, :cap_increase, :freshness, :settle, :max_attempts, :quiet_from,
      :quiet_until, cast(:floors as jsonb), cast(:ceilings as jsonb), :kill_last_ad)
    on conflict (account, host) do update set seen_at = excluded.seen_at,
      rate_per_campaign = excluded.rate_per_campaign, rate_per_ad_set = excluded.rate_per_ad_set,
      velocity_percent = excluded.velocity_percent, velocity_window = excluded.velocity_window,
      floor_budget = excluded.floor_budget, ceiling_budget = excluded.ceiling_budget,
      cap_increase = excluded.cap_increase, freshness = excluded.freshness, settle = excluded.settle,
      max_attempts = excluded.max_attempts, quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until,
      floors = excluded.floors, ceilings = excluded.ceilings, kill_last_ad = excluded.kill_last_ad
    """
)
# What is on its way was sent by whoever counts on the settling time of then.
_SET_LIMITS = text(
    """
    insert into limits as l (account, rate_per_campaign, rate_per_ad_set, velocity_percent, velocity_window,
      floor_budget, ceiling_budget, cap_increase, freshness, settle, max_attempts, quiet_from, quiet_until, floors,
      ceilings, kill_last_ad)
    values (:account, :rate_per_campaign, :rate_per_ad_set, :velocity_percent, :velocity_window, :floor_budget,
      :ceiling_budget, :cap_increase, :freshness, :settle, :max_attempts, :quiet_from, :quiet_until,
      cast(:floors as jsonb), cast(:ceilings as jsonb), :kill_last_ad)
    on conflict (account) do update set
      rate_per_campaign = excluded.rate_per_campaign, rate_per_ad_set = excluded.rate_per_ad_set,
      velocity_percent = excluded.velocity_percent, velocity_window = excluded.velocity_window,
      floor_budget = excluded.floor_budget, ceiling_budget = excluded.ceiling_budget,
      cap_increase = excluded.cap_increase, freshness = excluded.freshness,
      settle = greatest(excluded.settle, case when exists (
        select from change_attempts a where a.account = l.account and a.authorised_at > adctl_now() - l.settle
      ) then l.settle end),
      max_attempts = excluded.max_attempts, quiet_from = excluded.quiet_from,
      quiet_until = excluded.quiet_until, floors = excluded.floors, ceilings = excluded.ceilings,
      kill_last_ad = excluded.kill_last_ad
    where l is distinct from excluded
    """
)
_FORGET_HOSTS = text("delete from host_limits where account = :account and seen_at <= adctl_now() - :gone")
_HOSTS = text("select * from host_limits where account = :account and seen_at > adctl_now() - :gone order by host")


def caps_elsewhere(connection: Connection, account: Account, host: str) -> dict[str, int | None]:
    """The cap on raises (minor units, None where it is not set) of each other host that still counts."""
    rows = connection.execute(_HOSTS, {"account": account, "gone": _GONE})
    return {row.host: row.cap_increase for row in rows if row.host != host}


def sync_limits(connection: Connection, account: Account, limits: Mapping[str, object]) -> tuple[str, ...]:
    """Puts the strictest of what the account's hosts are configured with, this one (`host`) among them, in force on
    every host. Limits that are not given are none.

    Returns a sentence for each way in which other hosts are stricter. Raises ConfigurationError where nothing could
    keep to the limits of all.
    """
    own = {"account": account, **_NOT_GIVEN, **limits}
    connection.execute(_LOCK, {"account": account})
    connection.execute(_FORGET_HOSTS, {"account": account, "gone": _GONE})
    connection.execute(_NOTE_LIMITS, _parameters(own))
    hosts = [dict(row._mapping) for row in connection.execute(_HOSTS, {"account": account, "gone": _GONE})]
    held = strictest(hosts)
    connection.execute(_SET_LIMITS, _parameters({"account": account, **held}))
    differing = stricter(own, held)
    if not differing:
        return ()
    others = sorted((row for row in hosts if row["host"] != own["host"]), key=lambda row: row["seen_at"], reverse=True)
    named = [f"{row['host']} ({row['seen_at']:%Y-%m-%d %H:%M} UTC)" for row in others[:_MOST_NAMED]]
    more = f" and {len(others) - len(named)} more" if len(others) > len(named) else ""
    return (
        f"Other hosts of this account are configured with stricter limits, which hold: {', '.join(differing)}. "
        f"They last ran it: {', '.join(named)}{more}. Configure them alike; one that is gone counts for "
        f"{_GONE // _HOUR} hours.",
    )


def _parameters(limits: Mapping[str, object]) -> dict[str, object]:
    return {**limits, "floors": json.dumps(limits["floors"]), "ceilings": json.dumps(limits["ceilings"])}
