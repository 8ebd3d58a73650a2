"""Stage values with the time from which they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from adctl.domain.deals import Outcome
from adctl.domain.ids import Account
from adctl.domain.revenue import StageValue, StageValues

# The first values of an account also hold for the deals it had before.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

_RECORD = text(
    """
    with newest as (
      select distinct on (pipeline, stage) pipeline, stage, value, confidence, outcome
      from synthetic_revenue_config
      where account = :account and origin = 'configured'
      order by pipeline, stage, effective_from desc
    )
    insert into synthetic_revenue_config
      (account, pipeline, stage, effective_from, value, confidence, outcome, origin, recorded_at)
    select :account, :pipeline, :stage, case when n.stage is null then :beginning else :at end, :value,
      round(cast(:confidence as numeric), 3), :outcome, 'configured', :at
    from (select) one left join newest n on n.pipeline = :pipeline and n.stage = :stage
    where n.stage is null
      or (n.value, n.confidence, n.outcome) is distinct from
        (cast(:value as bigint), round(cast(:confidence as numeric), 3), cast(:outcome as text))
    on conflict (account, pipeline, stage, effective_from) do update
      set value = excluded.value, confidence = excluded.confidence, outcome = excluded.outcome,
        origin = excluded.origin, recorded_at = excluded.recorded_at
    """
)


def record_configured(connection: Connection, account: Account, values: Sequence[StageValue], at: datetime) -> int:
    """Writes configured values that differ from those configured before, in force from now on; returns how many."""
    return sum(
        connection.execute(
            _RECORD,
            {
                "account": account,
                "pipeline": value.pipeline,
                "stage": value.stage,
                "value": value.value,
                "confidence": value.confidence,
                "outcome": value.outcome.value,
                "beginning": BEGINNING,
                "at": at,
            },
        ).rowcount
        for value in values
    )


def stage_values(
    connection: Connection, account: Account, *, planned: Sequence[StageValue] = (), at: datetime = BEGINNING
) -> StageValues:
    """All values of the account, of every time; a dry run adds those of `planned` that it would record: the ones that
    differ from what was configured before, as of `at`, and the first ones.
    """
    rows = connection.execute(
        text(
            """
            select pipeline, stage, value, confidence, outcome, effective_from, origin
            from synthetic_revenue_config where account = :account order by effective_from
            """
        ),
        {"account": account},
    ).all()
    stored = [
        StageValue(
            pipeline=row.pipeline,
            stage=row.stage,
            value=row.value,
            confidence=float(row.confidence),
            outcome=Outcome(row.outcome),
            effective_from=row.effective_from,
        )
        for row in rows
    ]
    before = {
        (r.pipeline, r.stage): (r.value, float(r.confidence), r.outcome) for r in rows if r.origin == "configured"
    }
    changing = [
        value
        for value in planned
        if before.get((value.pipeline, value.stage)) != (value.value, round(value.confidence, 3), value.outcome.value)
    ]
    first = {(value.pipeline, value.stage) for value in changing} - before.keys()
    return StageValues(
        (
            *stored,
            *(
                replace(value, effective_from=BEGINNING if (value.pipeline, value.stage) in first else at)
                for value in changing
            ),
        )
    )


def taken_out(
    connection: Connection, account: Account, configured: Sequence[StageValue], at: datetime
) -> tuple[StageValue, ...]:
    """The values above 0 in force at `at` that adctl.toml once gave to stages of which it says nothing any more."""
    newest = {
        (one.value.pipeline, one.value.stage): one
        for one in stored_values(connection, account)
        if one.value.effective_from <= at
    }
    named = {(value.pipeline, value.stage) for value in configured}
    kept = (one.value for key, one in newest.items() if one.origin == "configured" and key not in named)
    return tuple(value for value in kept if value.value)


_LEARN = text(
    """
    insert into synthetic_revenue_config as c
      (account, pipeline, stage, effective_from, value, confidence, outcome, origin, recorded_at)
    values (:account, :pipeline, :stage, :effective_from, :value, round(cast(:confidence as numeric), 3), :outcome,
      'learned', :at)
    on conflict (account, pipeline, stage, effective_from) do update
      set value = excluded.value, confidence = excluded.confidence, outcome = excluded.outcome,
        origin = excluded.origin, recorded_at = excluded.recorded_at
    where (c.value, c.confidence, c.outcome) is distinct from (excluded.value, excluded.confidence, excluded.outcome)
    """
)


def record_learned(connection: Connection, account: Account, values: Sequence[StageValue], at: datetime) -> int:
    """Writes learned values, each in force from its own time on; what was before keeps its values. Returns how many."""
    return sum(
        connection.execute(
            _LEARN,
            {
                "account": account,
                "pipeline": value.pipeline,
                "stage": value.stage,
                "effective_from": value.effective_from,
                "value": value.value,
                "confidence": value.confidence,
                "outcome": value.outcome.value,
                "at": at,
            },
        ).rowcount
        for value in values
    )


_WITHDRAW = text(
    """
    delete from synthetic_revenue_config
    where account = :account and origin = 'learned' and (pipeline, stage, effective_from) = (:pipeline, :stage, :begins)
      and effective_from > adctl_now()
    """
)


def withdraw_learned(connection: Connection, account: Account, values: Sequence[StageValue]) -> int:
    """Removes learned values that are not in force yet, and no other; what they were stays in `earlier_rows`. Returns
    how many.
    """
    return sum(
        connection.execute(
            _WITHDRAW,
            {
                "account": account,
                "pipeline": value.pipeline,
                "stage": value.stage,
                "begins": value.effective_from,
            },
        ).rowcount
        for value in values
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """A stage's value with where it came from: `configured` or `learned`."""

    value: StageValue
    origin: str
    recorded_at: datetime


def stored_values(connection: Connection, account: Account) -> tuple[StoredValue, ...]:
    """All values of all times, by stage and the time from which each holds."""
    rows = connection.execute(
        text(
            """
            select pipeline, stage, value, confidence, outcome, effective_from, origin, recorded_at
            from synthetic_revenue_config where account = :account order by pipeline, stage, effective_from
            """
        ),
        {"account": account},
    )
    return tuple(
        StoredValue(
            value=StageValue(
                pipeline=row.pipeline,
                stage=row.stage,
                value=row.value,
                confidence=float(row.confidence),
                outcome=Outcome(row.outcome),
                effective_from=row.effective_from,
            ),
            origin=row.origin,
            recorded_at=row.recorded_at,
        )
        for row in rows
    )
