"""The decisions of each day, the champion's and those in shadow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from adctl.adapters.store.decision_lines import DecisionLines
from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import add_text, merge_text
from adctl.domain.decisions import Decision, DecisionPlan
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId
from adctl.domain.policies.protocol import Verdict

_KEY = ("account", "day", "decision_id")
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


_ANY = text(
    """
    select exists (
      select from decisions where account = :account and day = :day
        and policy = :policy and version = :version and parameter_hash = :parameter_hash
    )
    """
)


def record(
    connection: Connection, account: Account, run_id: UUID, plan: DecisionPlan, at: datetime, *, shadow: bool = False
) -> int:
    """Stores a day's decisions except those that were queued already; returns how many are new or changed.

    Those of a challenger are a `shadow`: compared with the champion's, and never queued. Once some of the day's are
    queued none is stored any more: it would know more than what it is compared with did.
    """
    day = plan.ads.maker.day
    ensure_months(connection, "decisions", (day,))
    queued = frozenset(
        connection.scalars(
            text(
                """
                select decision_id from pending_ad_changes
                where account = :account and decision_day = :day and decision_id is not null
                """
            ),
            {"account": account, "day": day},
        )
    )
    if shadow and queued:
        return 0
    lines = DecisionLines(run_id=run_id, at=at, queued=queued, shadow=shadow)
    maker = plan.ads.maker
    asked = {"account": account, "day": day, "policy": maker.policy, "version": maker.policy_version}
    if not connection.scalar(_ANY, {**asked, "parameter_hash": maker.parameter_hash}):
        added = add_text(connection, "decisions", (*_KEY, *_VALUES, "decided_at"), lines.of_plan(plan))
        if added is not None:
            return added
    return merge_text(connection, "decisions", _KEY, _VALUES, lines.of_plan(plan), stamps=("decided_at",))


_OF_DAY = text(
    """
    select d.* from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where d.account = :account and d.day = :day and not d.shadow
    order by d.field, d.verdict = 'keep', d.entity_kind, d.entity_id
    limit :limit
    """
)


def of_day(connection: Connection, account: Account, day: date, *, limit: int) -> tuple[Decision, ...]:
    """The champion's decisions of a day, budgets first; at most `limit`, those that change something first."""
    rows = connection.execute(_OF_DAY, {"account": account, "day": day, "limit": limit})
    return tuple(decision_of(row._mapping) for row in rows)


# Of the evidence, which is most of a row, the guards read these figures.
_CHANGING = text(
    """
    select d.decision_id, d.account, d.day, d.entity_kind, d.entity_id, d.campaign_id, d.ad_set_id, d.field,
      d.current_budget, d.target_budget, d.current_status, d.target_status, d.verdict, d.confidence, d.reason,
      jsonb_strip_nulls(jsonb_build_object('spend', d.evidence -> 'spend', 'pipeline', d.evidence -> 'pipeline',
        'roas', d.evidence -> 'roas')) as evidence,
      d.policy, d.version, d.parameter_hash
    from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where d.account = :account and d.day = :day and not d.shadow
      and (d.current_budget <> d.target_budget or d.current_status <> d.target_status
        or d.decision_id = any(:besides))
    order by d.field, d.entity_kind, d.entity_id
    """
)


def changing(
    connection: Connection, account: Account, day: date, *, besides: Sequence[UUID] = ()
) -> tuple[Decision, ...]:
    """The champion's decisions of a day that want something changed, and those of `besides`; budgets first. Their
    evidence is what was spent and what that brought alone."""
    rows = connection.execute(_CHANGING, {"account": account, "day": day, "besides": list(besides)})
    return tuple(decision_of(row._mapping) for row in rows)


_STOPPING = text(
    """
    select d.entity_id, d.current_budget from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where d.account = :account and d.day = :day and not d.shadow and d.field = 'daily_budget'
      and d.evidence -> 'ads_to_be_paused' = d.evidence -> 'ads' and d.evidence ->> 'ads' <> '0'
    """
)


def stopping(connection: Connection, account: Account, day: date) -> dict[str, int]:
    """The budgets of a day, minor units by their owners' ids, that stop with their ads as the champion wants it."""
    rows = connection.execute(_STOPPING, {"account": account, "day": day})
    return {row.entity_id: row.current_budget for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTally:
    """A day's decisions of the champion in figures: verdicts on ads, and budgets in minor units."""

    decisions: int
    verdicts: Mapping[Verdict, int]
    budget_before: int
    budget_after: int


_TALLY = text(
    """
    select d.field, d.verdict, count(*) as number, coalesce(sum(d.current_budget), 0)::bigint as before,
      coalesce(sum(d.target_budget), 0)::bigint as after
    from decisions d
    join model_registry m on m.account = d.account and m.policy = d.policy and m.version = d.version
      and m.parameter_hash = d.parameter_hash and m.role = 'champion'
    where d.account = :account and d.day = :day and not d.shadow
    group by d.field, d.verdict
    """
)


def tally(connection: Connection, account: Account, day: date) -> DayTally | None:
    """What the champion decided on a day, None when it has not."""
    rows = connection.execute(_TALLY, {"account": account, "day": day}).all()
    if not rows:
        return None
    return DayTally(
        decisions=sum(row.number for row in rows),
        verdicts={Verdict(row.verdict): row.number for row in rows if row.field == Field.STATUS},
        budget_before=sum(row.before for row in rows),
        budget_after=sum(row.after for row in rows),
    )


def days_decided(connection: Connection, account: Account) -> dict[tuple[str, str, str], int]:
    """How many days each policy, version and parameter hash has decided, in shadow or not."""
    rows = connection.execute(
        text(
            """
            select policy, version, parameter_hash, count(distinct day) as days from decisions
            where account = :account group by policy, version, parameter_hash
            """
        ),
        {"account": account},
    )
    return {(row.policy, row.version, row.parameter_hash): row.days for row in rows}


_OF_ENTITY = text(
    """
    select d.* from decisions d
    where d.account = :account and d.entity_id = :entity_id and not d.shadow
      and (cast(:day as date) is null or d.day = :day)
    order by d.day desc, d.decided_at desc limit 1
    """
)


def of_entity(
    connection: Connection, account: Account, entity_id: str, day: date | None
) -> tuple[Decision, datetime] | None:
    """The decision about an entity on a day, the newest one when no day is given, and when it was made."""
    row = connection.execute(_OF_ENTITY, {"account": account, "entity_id": entity_id, "day": day}).one_or_none()
    return None if row is None else (decision_of(row._mapping), row.decided_at)


_ADS_OF = text(
    """
    select d.* from decisions d
    where d.account = :account and d.day = :day and not d.shadow and d.entity_kind = 'ad' and d.field = 'status'
      and (d.policy, d.version, d.parameter_hash) = (:policy, :version, :parameter_hash)
      and case :kind when 'ad_set' then d.ad_set_id else d.campaign_id end = :entity_id
      and cast(d.evidence ->> 'current_budget' as bigint) > 0
    order by d.entity_id
    """
)


def ads_of(connection: Connection, budget: Decision) -> tuple[Decision, ...]:
    """What was decided together with a budget about the ads that it pays for."""
    asked = {
        "account": budget.account,
        "day": budget.day,
        "policy": budget.policy,
        "version": budget.policy_version,
        "parameter_hash": budget.parameter_hash,
        "kind": budget.entity_kind.value,
        "entity_id": budget.entity_id,
    }
    return tuple(decision_of(row._mapping) for row in connection.execute(_ADS_OF, asked))


def newest_day(connection: Connection, account: Account) -> date | None:
    """The last day that was decided."""
    value = connection.scalar(
        text("select max(day) from decisions where account = :account and not shadow"), {"account": account}
    )
    assert value is None or isinstance(value, date)
    return value


def decision_of(row: RowMapping) -> Decision:
    """A decision from a row of the table."""
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
