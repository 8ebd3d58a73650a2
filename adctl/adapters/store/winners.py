"""Records of creatives, which of them win, and every change of that."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlalchemy import Connection, Engine, text

from adctl.adapters.db import autocommitting
from adctl.adapters.store.partitions import ensure_now
from adctl.adapters.store.staging import merge
from adctl.domain.ids import Account, AdId, DealId
from adctl.domain.winner_plan import AdFigures, Judged
from adctl.domain.winners import WinnerState

_RECORD = ("impressions", "clicks", "spend", "wins", "value", "matured")
_JUDGEMENT = ("probability", "promising", "reason")


@contextmanager
def only_one(engine: Engine, account: Account) -> Iterator[None]:
    """Waits (as long as lock_timeout) until no other run works on the account's winners and their index file."""
    with autocommitting(engine) as connection:
        connection.execute(
            text("select pg_advisory_lock(hashtextextended('adctl.winners.' || :account, 0))"), {"account": account}
        )
        yield


_FIGURES = text(
    """
    select ad_id, sum(impressions)::bigint as impressions, sum(clicks)::bigint as clicks, sum(spend)::bigint as spend
    from insights where account = :account and day <= :until
    group by ad_id order by ad_id
    """
)


def ad_figures(connection: Connection, account: Account, until: date) -> tuple[AdFigures, ...]:
    """What each ad did up to and with the account day `until`; without wins and value, which are the CRM's."""
    rows = connection.execute(_FIGURES, {"account": account, "until": until})
    return tuple(AdFigures(**row._mapping) for row in rows)


def credited_deals(connection: Connection, account: Account, until: datetime) -> dict[DealId, AdId]:
    """The ad of each attributed deal whose lead came before `until`, or at a time that nobody knows."""
    rows = connection.execute(
        text(
            """
            select deal_id, ad_id from attributions
            where account = :account and ad_id is not null and (converted_at is null or converted_at < :until)
            """
        ),
        {"account": account, "until": until},
    )
    return {DealId(row.deal_id): AdId(row.ad_id) for row in rows}


def states(connection: Connection, account: Account) -> dict[bytes, WinnerState]:
    """The stored state by content hash; what never won has none."""
    rows = connection.execute(
        text("select content_hash, state from winners where account = :account"), {"account": account}
    )
    return {bytes(row.content_hash): WinnerState(row.state) for row in rows}


def store_records(connection: Connection, account: Account, judged: Sequence[Judged], at: datetime) -> int:
    """Makes the records those of `judged` and of nothing else; returns how many are new, changed or gone."""
    gone = connection.execute(
        text("delete from creative_records where account = :account and content_hash <> all(:kept)"),
        {"account": account, "kept": [j.content_hash for j in judged]},
    ).rowcount
    rows = (
        (
            account,
            j.content_hash,
            *(getattr(j.record, name) for name in _RECORD),
            j.verdict.probability,
            j.verdict.state is WinnerState.PROMISING,
            j.standing,
            at,
        )
        for j in judged
    )
    values = (*_RECORD, *_JUDGEMENT)
    key = ("account", "content_hash")
    return gone + merge(connection, "creative_records", key, values, rows, stamps=("judged_at",))


_STATE = text(
    """
    insert into winners (account, content_hash, state, since, until)
    values (:account, :content, :state, :at, case when :state = 'demoted' then cast(:at as timestamptz) end)
    on conflict (account, content_hash) do update
      set state = excluded.state, until = excluded.until,
        since = case when excluded.state = 'winner' then excluded.since else winners.since end
    """
)
_EVENT = text(
    """
    insert into winner_events (account, at, content_hash, state, probability, evidence)
    values (:account, :at, :content, :state, :probability, cast(:evidence as jsonb))
    on conflict do nothing
    """
)


def move(connection: Connection, account: Account, changes: Iterable[Judged], at: datetime) -> None:
    """Stores each new state and adds it to the events, with the evidence that decided."""
    ensure_now(connection, "winner_events", at.date())
    for change in changes:
        key = {"account": account, "content": change.content_hash, "state": change.verdict.state.value, "at": at}
        evidence = {**asdict(change.verdict), **asdict(change.record)}
        connection.execute(_STATE, key)
        connection.execute(
            _EVENT,
            {
                **key,
                "probability": change.verdict.probability,
                "evidence": json.dumps(evidence, sort_keys=True, allow_nan=False),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A content's record as last judged, and its state. `since` is when it last became a winner, `until` when it
    stopped being one; money is minor units.
    """

    content_hash: bytes
    state: WinnerState
    probability: float
    impressions: int
    clicks: int
    spend: int
    wins: float
    value: int
    reason: str
    since: datetime | None
    until: datetime | None
    judged_at: datetime


_STANDINGS = text(
    """
    select r.content_hash, coalesce(w.state, case when r.promising then 'promising' else 'none' end) as state,
      r.probability, r.impressions, r.clicks, r.spend, r.wins, r.value, r.reason, w.since, w.until, r.judged_at
    from creative_records r
    left join winners w on w.account = r.account and w.content_hash = r.content_hash
    where r.account = :account and (cast(:only as bytea[]) is null or r.content_hash = any(:only))
    order by r.probability desc, r.spend desc, r.content_hash
    """
)


def standings(connection: Connection, account: Account, only: Collection[bytes] | None = None) -> tuple[Standing, ...]:
    """Every judged content, or those of the given hashes, the most probable winners first."""
    asked = {"account": account, "only": None if only is None else list(only)}
    rows = [dict(row._mapping) for row in connection.execute(_STANDINGS, asked)]
    return tuple(
        Standing(**{**row, "content_hash": bytes(row["content_hash"]), "state": WinnerState(row["state"])})
        for row in rows
    )
