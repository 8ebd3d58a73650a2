"""Policies in force and the decisions of each day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import merge
from adctl.domain.decisions import Decision
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId, digest
from adctl.domain.policies.protocol import Policy, Verdict


def make_champion(connection: Connection, account: Account, policy: Policy, at: datetime) -> bool:
    """Registers the configured policy as the one champion; True when it was not before."""
    key = {
        "account": account,
        "name": policy.name,
        "version": policy.version,
        "parameter_hash": digest(policy.parameters),
    }
    # Two runs at once agree on one champion: the account's row orders them.
    connection.execute(text("select from accounts where account = :account for update"), key)
    is_champion = connection.scalar(
        text(
            """
            select exists (
              select from model_registry
              where account = :account and name = :name and version = :version and parameter_hash = :parameter_hash
                and role = 'champion')
            """
        ),
        key,
    )
    if is_champion:
        return False
    connection.execute(
        text("update model_registry set role = 'retired' where account = :account and role = 'champion'"), key
    )
    connection.execute(
        text(
            """
            insert into model_registry (account, name, version, parameter_hash, parameters, role, registered_at)
            values (:account, :name, :version, :parameter_hash, cast(:parameters as jsonb), 'champion', :at)
            on conflict (account, name, version, parameter_hash) do update set role = 'champion'
            """
        ),
        {**key, "parameters": json.dumps(dict(policy.parameters)), "at": at},
    )
    return True


_VALUES = (
    "run_id",
    "policy",
    "version",
    "parameter_hash",
    "shadow",
    "entity_kind",
    "entity_id",
    "campaign_id",
    "ad_set_id",
    "field",
    "current_budget",
    "target_budget",
    "current_status",
    "target_status",
    "verdict",
    "confidence",
    "reason",
    "evidence",
)


def record(connection: Connection, account: Account, run_id: UUID, decisions: Sequence[Decision], at: datetime) -> int:
    """Stores a day's decisions except those that were queued already; returns how many are new or changed."""
    ensure_months(connection, "decisions", {d.day for d in decisions})
    queued = frozenset(
        connection.scalars(
            text("select decision_id from pending_ad_changes where account = :account and decision_id = any(:ids)"),
            {"account": account, "ids": [d.decision_id for d in decisions]},
        )
    )
    staged = (_row(account, run_id, d, at) for d in decisions if d.decision_id not in queued)
    return merge(connection, "decisions", ("account", "day", "decision_id"), _VALUES, staged, stamps=("decided_at",))


def _row(account: Account, run_id: UUID, decision: Decision, at: datetime) -> tuple[object, ...]:
    is_budget = decision.field is Field.DAILY_BUDGET
    return (
        account,
        decision.day,
        decision.decision_id,
        run_id,
        decision.policy,
        decision.policy_version,
        decision.parameter_hash,
        False,
        decision.entity_kind.value,
        decision.entity_id,
        decision.campaign_id,
        decision.ad_set_id,
        decision.field.value,
        decision.current if is_budget else None,
        decision.target if is_budget else None,
        None if is_budget else decision.current,
        None if is_budget else decision.target,
        decision.verdict.value,
        decision.confidence,
        decision.reason,
        json.dumps(decision.evidence),
        at,
    )


_OF_DAY = text(
    """
    select d.* from decisions d
    join model_registry m on m.account = d.account and m.name = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where d.account = :account and d.day = :day and not d.shadow
    order by d.field, d.entity_kind, d.entity_id
    """
)


def of_day(connection: Connection, account: Account, day: date) -> tuple[Decision, ...]:
    """The champion's decisions of a day, budgets first."""
    return tuple(_decision(row._mapping) for row in connection.execute(_OF_DAY, {"account": account, "day": day}))


def newest_day(connection: Connection, account: Account) -> date | None:
    """The last day that was decided."""
    value = connection.scalar(
        text("select max(day) from decisions where account = :account and not shadow"), {"account": account}
    )
    assert value is None or isinstance(value, date)
    return value


def _decision(row: RowMapping) -> Decision:
    is_budget = row["field"] == Field.DAILY_BUDGET
    return Decision(
        decision_id=row["decision_id"],
        account=Account(row["account"]),
        day=row["day"],
        entity_kind=EntityKind(row["entity_kind"]),
        entity_id=row["entity_id"],
        campaign_id=CampaignId(row["campaign_id"]),
        ad_set_id=None if row["ad_set_id"] is None else AdSetId(row["ad_set_id"]),
        field=Field(row["field"]),
        current=row["current_budget"] if is_budget else row["current_status"],
        target=row["target_budget"] if is_budget else row["target_status"],
        verdict=Verdict(row["verdict"]),
        confidence=row["confidence"],
        reason=row["reason"],
        evidence=row["evidence"],
        policy=row["policy"],
        policy_version=row["version"],
        parameter_hash=row["parameter_hash"],
    )
