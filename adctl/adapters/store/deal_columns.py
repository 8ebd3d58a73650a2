"""Every credited deal and its way through the stages as columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql
from sqlalchemy import Connection, text

from adctl.adapters.store.id_hashes import Places, TwinHashError, twins_of
from adctl.adapters.store.packed import NEVER, Packed, days_before, moment, read_columns, wide
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


# What is joined here by the hashes of ids, PostgreSQL would join and group by texts, and spill to disk.
_DEALS = sql.SQL(
    """
    select hashtextextended(deal_id, 0) as deal, hashtextextended(stage, hashtextextended(pipeline, 0)) as stage,
      coalesce(amount, -1) as amount, (currency <> %(currency)s)::integer::smallint as other_currency,
      coalesce(created_at, 'infinity') as created, coalesce(closed_at, 'infinity') as closed, modified_at as modified
    from deals
    where account = %(account)s and not archived and merged_into is null
      and pipeline = coalesce(%(pipeline)s, pipeline)
    """
)
_THESE_DEALS = text(
    """
    select deal_id from deals
    where account = :account and not archived and merged_into is null and hashtextextended(deal_id, 0) = :hash
    order by deal_id
    """
)
_CREDITS = sql.SQL(
    """
    select hashtextextended(deal_id, 0) as deal, hashtextextended(ad_id, 0) as ad
    from attributions where account = %(account)s and ad_id is not null
    """
)
_MOVES = sql.SQL(
    """
    select hashtextextended(deal_id, 0) as deal, hashtextextended(stage, hashtextextended(pipeline, 0)) as stage, at
    from stage_moves where account = %(account)s and at <= %(at)s
    """
)
_STAGES = sql.SQL(
    """
    select hashtextextended(stage, hashtextextended(pipeline, 0)) as stage
    from unnest(%(pipelines)s::text[], %(stages)s::text[]) with ordinality as s (pipeline, stage, place) order by place
    """
)


def deal_columns(
    connection: Connection,
    account: Account,
    keys: Sequence[StageKey],
    steps: FunnelSteps,
    *,
    currency: str,
    at: datetime,
    end: datetime,
    ads: Places | None = None,
    pipeline: str | None = None,
) -> DealColumns:
    """The deals as known at `at`; days count back from `end`. `keys` are all stages that deals stand in.

    A deal whose own stage no move tells of reached it when it was last touched. Without `ads` they are all deals,
    whoever brought them, and `ad` is 0; with a `pipeline`, those of it alone. Raises InvariantError, naming them, when
    two deals' ids have one hash.
    """
    asked = {
        "account": account,
        "at": at,
        "currency": currency,
        "pipeline": pipeline,
        "pipelines": [pipeline for pipeline, _ in keys],
        "stages": [stage for _, stage in keys],
    }
    stages = _Stages(
        places=Places(read_columns(connection, _STAGES, {"stage": "bigint"}, asked)["stage"]),
        means=[steps.places.get(key, _NOWHERE) for key in keys],
        steps=len(steps.names),
    )
    columns = {"deal": "bigint", "stage": "bigint", "amount": "bigint", "other_currency": "smallint"}
    found = read_columns(
        connection, _DEALS, columns | dict.fromkeys(("created", "closed", "modified"), "moment"), asked
    )
    try:
        deals = Places(found.pop("deal"))
    except TwinHashError as twins:
        raise twins_of(connection, _THESE_DEALS, asked, twins, "deals", "archive one of them in the CRM") from twins
    found["stage"] = stages.places.of(found["stage"])
    found["ad"] = _credited(connection, asked, ads, deals) if ads is not None else np.zeros(len(deals), dtype=np.int32)
    return _columns(found, _way(connection, asked, stages, deals), stages, moment(at), end)


class _Stages:
    """What the stages asked for mean, by their places; there are so many steps."""

    def __init__(self, places: Places, means: Sequence[StepPlace], steps: int) -> None:
        self.places, self.steps = places, steps
        self.step = np.array([one.step for one in means], dtype=np.int64)
        self.won, self.lost = (
            np.array([one.outcome is outcome for one in means], dtype=np.bool_)
            for outcome in (Outcome.WON, Outcome.LOST)
        )


def _credited(connection: Connection, asked: Mapping[str, object], ads: Places, deals: Places) -> Packed:
    """The place of the ad that each deal is credited to, -1 where that is none of these."""
    credits = read_columns(connection, _CREDITS, {"deal": "bigint", "ad": "bigint"}, asked)
    deal = deals.of(credits["deal"])
    ad = np.full(len(deals), -1, dtype=np.int32)
    ad[deal[deal >= 0]] = ads.of(credits["ad"][deal >= 0])
    return ad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Way:
    """When each of k deals first moved, first reached each step or a later one (steps, k), and was last marked lost:
    moments, NEVER where no move tells of it."""

    first: Packed
    entered: Packed
    lost: Packed


def _way(connection: Connection, asked: Mapping[str, object], stages: _Stages, deals: Places) -> _Way:
    moves = read_columns(connection, _MOVES, {"deal": "bigint", "stage": "bigint", "at": "moment"}, asked)
    deal, stage = deals.of(moves.pop("deal")), stages.places.of(moves.pop("stage"))
    known = (deal >= 0) & (stage >= 0)
    deal, stage, at = deal[known], stage[known], moves["at"][known]
    first, lost = np.full(len(deals), NEVER), np.full(len(deals), -NEVER)
    entered = np.full((stages.steps, len(deals)), NEVER)
    np.minimum.at(first, deal, at)
    gone = stages.lost[stage]
    np.maximum.at(lost, deal[gone], at[gone])
    for place in range(stages.steps):
        here = stages.step[stage] == place + 1
        np.minimum.at(entered[place], deal[here], at[here])
    lost[lost == -NEVER] = NEVER
    return _Way(first=first, entered=np.minimum.accumulate(entered[::-1])[::-1], lost=lost)


def _columns(found: dict[str, Packed], way: _Way, stages: _Stages, at: int, end: datetime) -> DealColumns:
    created = np.where(found["created"] == NEVER, way.first, found["created"])
    kept = np.flatnonzero((found["ad"] >= 0) & (found["stage"] >= 0) & ((created <= at) | (created == NEVER)))
    found |= {"created": np.where(created == NEVER, found["modified"], created), "lost": way.lost}
    found = {name: column[kept] for name, column in found.items()}
    stage = found["stage"]
    closed = np.where(stages.won[stage] | stages.lost[stage], found["closed"], NEVER)
    touched = np.minimum(np.minimum(closed, found["modified"]), at)
    # One order whatever the server's, for all that tells two deals apart.
    order = np.lexsort((stage, found["amount"], touched, found["created"], found["ad"]))
    found, stage, touched = {name: column[order] for name, column in found.items()}, stage[order], touched[order]
    entered = np.empty((len(order), stages.steps))
    for place in range(stages.steps):
        first = way.entered[place][kept[order]]
        entered[:, place] = days_before(end, np.where((stages.step[stage] > place) & (first == NEVER), touched, first))
    if stages.steps:
        # Won once and no longer: it never came to its end.
        entered[~stages.won[stage], -1] = np.nan
    lost = np.where(found["lost"] == NEVER, touched, found["lost"])
    return DealColumns(
        ad=wide(found["ad"]),
        stage=wide(stage),
        amount=wide(found["amount"]),
        other_currency=found["other_currency"] != 0,
        age=np.maximum(days_before(end, found["created"]), 0.0),
        entered=entered,
        lost=np.where(stages.lost[stage], days_before(end, lost), np.nan),
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
