"""Deals, their stage moves, contacts and pipelines as last read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import merge
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Contact, Deal, Stage, StageMove
from adctl.domain.ids import Account, DealId
from adctl.domain.revenue import StandingDeals

_DEAL = (
    "pipeline",
    "stage",
    "amount",
    "currency",
    "created_at",
    "closed_at",
    "archived",
    "merged_into",
    "contact_id",
    "ad_id",
    "click_id",
)
_STAGE = ("label", "position", "outcome")
_CONTACT = ("created_at", "first_url_ad_id", "click_id")


def upsert_stages(connection: Connection, account: Account, rows: Sequence[Stage], read_at: datetime) -> int:
    """Returns how many are new or changed; a stage that left the CRM stays, old deals still name it."""
    staged = ((account, s.pipeline, s.stage, s.label, s.position, s.outcome.value, read_at) for s in rows)
    return merge(connection, "crm_stages", ("account", "pipeline", "stage"), _STAGE, staged, stamps=("read_at",))


def upsert_contacts(connection: Connection, account: Account, rows: Sequence[Contact]) -> int:
    """Returns how many are new or changed."""
    staged = ((account, c.contact_id, *(getattr(c, name) for name in _CONTACT)) for c in rows)
    return merge(connection, "contacts", ("account", "contact_id"), _CONTACT, staged)


def upsert_deals(
    connection: Connection, account: Account, rows: Iterable[Deal], *, source: str, read_at: datetime
) -> int:
    """Returns how many are new or changed. `source` is `hubspot` or `file`.

    The rows are streamed, and no deal is locked before the last one has come.
    """
    staged = ((account, d.deal_id, *(getattr(d, name) for name in _DEAL), source, d.modified_at, read_at) for d in rows)
    # The time of modification alone is no difference: a file without one is as of now, each time.
    stamps = ("modified_at", "read_at")
    return merge(connection, "deals", ("account", "deal_id"), (*_DEAL, "source"), staged, stamps=stamps)


def insert_moves(connection: Connection, account: Account, rows: Sequence[StageMove]) -> int:
    """Adds stage moves; a move that is known adds nothing. Returns how many were new."""
    ensure_months(connection, "stage_moves", {m.at.date() for m in rows})
    result = connection.execute(
        text(
            """
            insert into stage_moves (account, deal_id, at, pipeline, stage)
            select :account, m.deal_id, m.at, m.pipeline, m.stage
            from unnest(cast(:deals as text[]), cast(:times as timestamptz[]), cast(:pipelines as text[]),
              cast(:stages as text[])) as m (deal_id, at, pipeline, stage)
            on conflict do nothing
            """
        ),
        {
            "account": account,
            "deals": [m.deal_id for m in rows],
            "times": [m.at for m in rows],
            "pipelines": [m.pipeline for m in rows],
            "stages": [m.stage for m in rows],
        },
    )
    return result.rowcount


def archive_gone(connection: Connection, account: Account, ids: Sequence[DealId], at: datetime) -> int:
    """Deals that HubSpot does not have any more, not even in its bin, count no more; returns how many did until now."""
    return connection.execute(
        text(
            """
            update deals set archived = true, read_at = :at
            where account = :account and deal_id = any(:ids) and source = 'hubspot' and not archived
            """
        ),
        {"account": account, "ids": list(ids), "at": at},
    ).rowcount


def live_ids(connection: Connection, account: Account) -> tuple[DealId, ...]:
    """The deals from HubSpot that are not archived."""
    found = connection.scalars(
        text("select deal_id from deals where account = :account and source = 'hubspot' and not archived"),
        {"account": account},
    )
    return tuple(DealId(one) for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCount:
    """Live deals standing in one stage; `amount` sums their amounts in minor units."""

    pipeline: str
    stage: str
    deals: int
    amount: int


def stage_counts(connection: Connection, account: Account) -> tuple[StageCount, ...]:
    """How many live deals stand in each stage."""
    rows = connection.execute(
        text(
            """
            select pipeline, stage, count(*) as deals, coalesce(sum(amount), 0)::bigint as amount
            from deals where account = :account and not archived and merged_into is null
            group by pipeline, stage order by pipeline, stage
            """
        ),
        {"account": account},
    )
    return tuple(StageCount(**row._mapping) for row in rows)


_STANDING = text(
    """
    select pipeline, stage, currency, count(*) as deals, count(amount) as priced,
      coalesce(sum(amount), 0) as amount
    from deals
    where account = :account and not archived and merged_into is null
      and (cast(:ids as text[]) is null or deal_id = any(:ids))
    group by pipeline, stage, currency
    """
)


def standing(
    connection: Connection, account: Account, among: Sequence[DealId] | None = None
) -> tuple[StandingDeals, ...]:
    """The live deals by where they stand; with `among` only those of these ids."""
    rows = connection.execute(_STANDING, {"account": account, "ids": None if among is None else list(among)})
    return tuple(StandingDeals(**{**row._mapping, "amount": int(row.amount)}) for row in rows)


def last_read(connection: Connection, account: Account) -> datetime | None:
    """When a deal was last found new or changed."""
    value = connection.scalar(text("select max(read_at) from deals where account = :account"), {"account": account})
    assert value is None or isinstance(value, datetime)
    return value


def live(connection: Connection, account: Account) -> tuple[Deal, ...]:
    """Deals that count: neither archived nor merged into another."""
    rows = connection.execute(
        text(
            """
            select deal_id, pipeline, stage, amount, currency, created_at, closed_at, modified_at, archived,
              merged_into, contact_id, ad_id, click_id
            from deals where account = :account and not archived and merged_into is null order by deal_id
            """
        ),
        {"account": account},
    )
    return tuple(Deal(**row._mapping) for row in rows)


def one(connection: Connection, account: Account, deal_id: DealId) -> Deal | None:
    """A deal as last read, archived and merged ones too."""
    row = connection.execute(
        text(
            """
            select deal_id, pipeline, stage, amount, currency, created_at, closed_at, modified_at, archived,
              merged_into, contact_id, ad_id, click_id
            from deals where account = :account and deal_id = :deal_id
            """
        ),
        {"account": account, "deal_id": deal_id},
    ).one_or_none()
    return None if row is None else Deal(**row._mapping)


def moves_of(connection: Connection, account: Account, deal_id: DealId) -> tuple[StageMove, ...]:
    """All stage moves of a deal in their order."""
    rows = connection.execute(
        text(
            """
            select deal_id, pipeline, stage, at from stage_moves
            where account = :account and deal_id = :deal_id order by at
            """
        ),
        {"account": account, "deal_id": deal_id},
    )
    return tuple(StageMove(**row._mapping) for row in rows)


def by_day(
    connection: Connection, profile: AccountProfile, since: date, until: date
) -> tuple[Sequence[int], Sequence[int]]:
    """New deals, and money won in minor units of the account's currency, on each of the account's days from `since` to
    before `until`, oldest first; days before the first deal of all are left out.
    """
    # A day earlier, so that no change of the clock cuts the first hour off.
    start = datetime.combine(since, time(), ZoneInfo(profile.timezone)) - timedelta(days=1)
    rows = connection.execute(
        text(
            """
            with live as materialized (
              select (d.created_at at time zone :timezone)::date as created,
                (d.closed_at at time zone :timezone)::date as closed, d.pipeline, d.stage, d.amount, d.currency
              from deals d
              where d.account = :account and not d.archived and d.merged_into is null
                and (d.created_at >= :start or d.closed_at >= :start)
            ), figures as (
              select l.created as day, 1 as new, 0 as won from live l where l.created >= :since
              union all
              select l.closed, 0, l.amount from live l
              where l.closed >= :since and l.currency = :currency and exists (
                select from synthetic_revenue_config c
                where c.account = :account and c.pipeline = l.pipeline and c.stage = l.stage and c.outcome = 'won')
            )
            select coalesce(sum(f.new), 0)::bigint as new, coalesce(sum(f.won), 0)::bigint as won
            from generate_series(
              case when exists (
                select from deals d
                where d.account = :account and not d.archived and d.merged_into is null
                  and d.created_at < :start) then cast(:since as date)
              else greatest(cast(:since as date), (select min(created) from live)) end,
              cast(:until as date) - 1, interval '1 day') as d (day)
            left join figures f on f.day = d.day::date
            group by d.day order by d.day
            """
        ),
        {
            "account": profile.account,
            "timezone": profile.timezone,
            "currency": profile.currency,
            "since": since,
            "start": start,
            "until": until,
        },
    ).all()
    return [row.new for row in rows], [row.won for row in rows]
