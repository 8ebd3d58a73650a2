"""Where a walk through HubSpot stands, so that a run which dies is gone on with, and what only a whole walk found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from adctl.domain.deals import Deal, StageMove
from adctl.domain.ids import Account, DealId

Phase = Literal["deals", "archived"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A walk that has not ended. `since` None or `whole` reads everything.

    `covered_until` is the watermark when it began, None when there was none.
    """

    source: str
    started_at: datetime
    whole: bool
    since: datetime | None
    covered_until: datetime | None
    phase: Phase = "deals"
    cursor: str = ""


def unended(connection: Connection, account: Account, source: str) -> Walk | None:
    """The walk that an earlier run left."""
    row = connection.execute(
        text(
            """
            select source, started_at, whole, since, covered_until, phase, cursor
            from sync_walks where account = :account and source = :source
            """
        ),
        {"account": account, "source": source},
    ).one_or_none()
    return None if row is None else Walk(**row._mapping)


def keep(connection: Connection, account: Account, walk: Walk) -> None:
    """Stores where the walk stands; belongs into the transaction that stores what was read up to there."""
    connection.execute(
        text(
            """
            insert into sync_walks (account, source, started_at, whole, since, covered_until, phase, cursor, updated_at)
            values (:account, :source, :started_at, :whole, :since, :covered_until, :phase, :cursor, adctl_now())
            on conflict (account, source) do update set
              started_at = excluded.started_at, whole = excluded.whole, since = excluded.since,
              covered_until = excluded.covered_until, phase = excluded.phase, cursor = excluded.cursor,
              updated_at = excluded.updated_at
            """
        ),
        {"account": account, **{name: getattr(walk, name) for name in Walk.__slots__}},
    )


def end(connection: Connection, account: Account, source: str) -> None:
    """Forgets the walk; belongs into the transaction that moves the watermark."""
    connection.execute(
        text("delete from sync_walks where account = :account and source = :source"),
        {"account": account, "source": source},
    )


def note_misses(connection: Connection, account: Account, walk: Walk, deals: Sequence[Deal]) -> None:
    """Keeps which deals only a whole walk found changed."""
    connection.execute(
        text(
            """
            insert into sync_misses (account, source, walk_started_at, object_id, modified_at)
            select :account, :source, :started_at, m.id, m.at
            from unnest(cast(:ids as text[]), cast(:times as timestamptz[])) as m (id, at)
            on conflict do nothing
            """
        ),
        {
            "account": account,
            "source": walk.source,
            "started_at": walk.started_at,
            "ids": [d.deal_id for d in deals],
            "times": [d.modified_at for d in deals],
        },
    )


def misses(connection: Connection, account: Account, walk: Walk) -> tuple[DealId, ...]:
    """The deals that this walk found and the runs before it had missed."""
    found = connection.scalars(
        text(
            """
            select object_id from sync_misses
            where account = :account and source = :source and walk_started_at = :started_at order by object_id
            """
        ),
        {"account": account, "source": walk.source, "started_at": walk.started_at},
    )
    return tuple(DealId(one) for one in found)


_STORED = text(
    """
    select deal_id, pipeline, stage, amount, currency, created_at, closed_at, modified_at, archived, merged_into,
      contact_id, ad_id, click_id
    from deals where account = :account and deal_id = any(:ids)
    """
)
_NEW_MOVES = text(
    """
    select distinct m.deal_id
    from unnest(cast(:ids as text[]), cast(:times as timestamptz[]), cast(:pipelines as text[]),
      cast(:stages as text[])) as m (deal_id, at, pipeline, stage)
    where not exists (
      select from stage_moves s
      where (s.account, s.deal_id, s.at, s.pipeline, s.stage) = (:account, m.deal_id, m.at, m.pipeline, m.stage))
    """
)


def unlike_stored(
    connection: Connection, account: Account, deals: Sequence[Deal], moves: Sequence[StageMove]
) -> set[DealId]:
    """Which of these deals are not stored as they are, or have a stage move that is not stored."""
    rows = connection.execute(_STORED, {"account": account, "ids": [d.deal_id for d in deals]})
    stored = {row.deal_id: Deal(**row._mapping) for row in rows}
    other = {d.deal_id for d in deals if d.deal_id not in stored or _differs(d, stored[d.deal_id])}
    found = connection.scalars(
        _NEW_MOVES,
        {
            "account": account,
            "ids": [m.deal_id for m in moves],
            "times": [m.at for m in moves],
            "pipelines": [m.pipeline for m in moves],
            "stages": [m.stage for m in moves],
        },
    )
    return other | {DealId(one) for one in found}


def _differs(read: Deal, stored: Deal) -> bool:
    """A time of modification alone is no difference: people edit properties that adctl does not read."""
    names = (name for name in Deal.__slots__ if name != "modified_at")
    return any(getattr(read, name) != getattr(stored, name) for name in names)
