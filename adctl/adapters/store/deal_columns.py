"""Every credited deal and its way through the stages as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql
from sqlalchemy import Connection, text

from adctl.adapters.store.daily_rows import PLACES
from adctl.adapters.store.packed import NEVER, Packed, days_before, read_columns, wide
from adctl.domain.deals import Outcome, Stage
from adctl.domain.funnel_steps import FunnelSteps, StageKey, StepPlace
from adctl.domain.ids import Account
from adctl.domain.policies.protocol import Flags, Floats, Ints

_NOWHERE = StepPlace(step=0, outcome=Outcome.OPEN)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DealColumns:
    """k live deals credited to known ads, in one fixed order. `ad` is the ad's place in the order of ids, `stage` an
    index of the stages asked for, `amount` minor units, -1 when nobody
    filled it in.

    `age` is days since the deal was created, `entered` (k, steps) since it first reached the step or a later one,
    `lost` since it was marked lost; NaN where it was not.
    """

    ad: Ints
    stage: Ints
    amount: Ints
    other_currency: Flags
    age: Floats
    entered: Floats
    lost: Floats


_KNOWN_STAGES = sql.SQL(
    """
    select * from unnest(%(pipelines)s::text[], %(stages)s::text[], %(codes)s::integer[], %(steps)s::integer[],
      %(outcomes)s::text[]) as s (pipeline, stage, code, step, outcome)
    """
)
_DEALS = sql.SQL(
    """
    with places as materialized ({places}), known as materialized ({stages}), moved as (
      select m.deal_id, min(m.at) as first, max(m.at) filter (where k.outcome = 'lost') as lost {entries}
      from stage_moves m join known k on k.pipeline = m.pipeline and k.stage = m.stage
      where m.account = %(account)s and m.at <= %(at)s
      group by m.deal_id
    )
    select p.place, k.code as stage, coalesce(d.amount, -1) as amount,
      (d.currency <> %(currency)s)::integer::smallint as other_currency,
      coalesce(d.created_at, m.first, d.modified_at) as created,
      case when k.outcome <> 'open' then least(d.closed_at, d.modified_at, %(at)s)
        else least(d.modified_at, %(at)s) end as touched,
      coalesce(m.lost, 'infinity') as lost {reached}
    from deals d
    {credit}
    join known k on k.pipeline = d.pipeline and k.stage = d.stage
    left join moved m on m.deal_id = d.deal_id
    where d.account = %(account)s and not d.archived and d.merged_into is null
      and coalesce(d.created_at, m.first, %(at)s) <= %(at)s
    """
)
# Deals that an ad is credited with; or all those of one pipeline, as if one ad had brought them.
_CREDITED = sql.SQL(
    "join attributions a on a.account = d.account and a.deal_id = d.deal_id join places p on p.ad_id = a.ad_id"
)
_OF_PIPELINE = sql.SQL("join (select 0 as place) p on d.pipeline = %(pipeline)s")
_ENTRY = sql.SQL(", min(m.at) filter (where k.step >= {step}) as {name}")
_REACHED = sql.SQL(", coalesce(m.{name}, 'infinity') as {name}")


def deal_columns(
    connection: Connection,
    account: Account,
    keys: Sequence[StageKey],
    steps: FunnelSteps,
    *,
    currency: str,
    at: datetime,
    end: datetime,
    pipeline: str | None = None,
) -> DealColumns:
    """The deals as known at `at`; days count back from `end`. `keys` are all stages that deals stand in.

    A deal whose own stage no move tells of reached it when it was last touched. With a `pipeline`
    they are all its deals, whoever brought them, and `ad` is 0.
    """
    places = [steps.places.get(key, _NOWHERE) for key in keys]
    names = [f"entered_{step}" for step in range(1, len(steps.names) + 1)]
    found = read_columns(
        connection,
        _query(names, credited=pipeline is None),
        {
            "place": "integer",
            "stage": "integer",
            "amount": "bigint",
            "other_currency": "smallint",
            "created": "moment",
            "touched": "moment",
            "lost": "moment",
            **dict.fromkeys(names, "moment"),
        },
        {
            "account": account,
            "at": at,
            "currency": currency,
            "pipeline": pipeline,
            "pipelines": [pipeline for pipeline, _ in keys],
            "stages": [stage for _, stage in keys],
            "codes": list(range(len(keys))),
            "steps": [place.step for place in places],
            "outcomes": [place.outcome.value for place in places],
        },
    )
    return _columns(found, names, places, end)


def _query(names: Sequence[str], *, credited: bool) -> sql.Composed:
    blank = sql.SQL("")
    return _DEALS.format(
        places=PLACES,
        credit=_CREDITED if credited else _OF_PIPELINE,
        stages=_KNOWN_STAGES,
        entries=blank.join(
            _ENTRY.format(step=sql.Literal(step), name=sql.Identifier(name)) for step, name in enumerate(names, start=1)
        ),
        reached=blank.join(_REACHED.format(name=sql.Identifier(name)) for name in names),
    )


def _columns(found: dict[str, Packed], names: Sequence[str], places: Sequence[StepPlace], end: datetime) -> DealColumns:
    # One order whatever the server's, for all that tells two deals apart.
    order = np.lexsort((found["stage"], found["amount"], found["touched"], found["created"], found["place"]))
    stage = wide(found["stage"])[order]
    touched = found["touched"][order]
    step = np.array([place.step for place in places], dtype=np.int64)[stage]
    won = np.array([place.outcome is Outcome.WON for place in places], dtype=np.bool_)[stage]
    gone = np.array([place.outcome is Outcome.LOST for place in places], dtype=np.bool_)[stage]
    entered = np.empty((len(stage), len(names)))
    for place, name in enumerate(names, start=1):
        first = found.pop(name)[order]
        entered[:, place - 1] = days_before(end, np.where((step >= place) & (first == NEVER), touched, first))
    if names:
        # Won once and no longer: it never came to its end.
        entered[~won, -1] = np.nan
    lost = found["lost"][order]
    return DealColumns(
        ad=wide(found["place"])[order],
        stage=stage,
        amount=wide(found["amount"])[order],
        other_currency=found["other_currency"][order] != 0,
        age=np.maximum(days_before(end, found["created"][order]), 0.0),
        entered=entered,
        lost=np.where(gone, days_before(end, np.where(lost == NEVER, touched, lost)), np.nan),
    )


def crm_stages(connection: Connection, account: Account) -> tuple[Stage, ...]:
    """The stages that the CRM itself defines, in its order."""
    rows = connection.execute(
        text(
            """
            select pipeline, stage, label, position, outcome from crm_stages
            where account = :account order by pipeline, position, stage
            """
        ),
        {"account": account},
    )
    return tuple(Stage(**{**row._mapping, "outcome": Outcome(row.outcome)}) for row in rows)


def stages_moved_to(connection: Connection, account: Account, pipelines: Sequence[str]) -> tuple[StageKey, ...]:
    """The stages of these pipelines that any deal ever came to."""
    rows = connection.execute(
        text(
            """
            select distinct pipeline, stage from stage_moves
            where account = :account and pipeline = any(:pipelines) order by pipeline, stage
            """
        ),
        {"account": account, "pipelines": list(pipelines)},
    )
    return tuple((row.pipeline, row.stage) for row in rows)
