"""Daily readings per ad: written in bulk, only where a figure changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import merge
from adctl.domain.ids import Account, AdId
from adctl.domain.insights import Insight

_VALUES = (
    "first_day",
    "ad_set_id",
    "campaign_id",
    "impressions",
    "clicks",
    "link_clicks",
    "spend",
    "leads",
    "purchases",
    "purchase_value",
    "windows",
    "reach",
)


def upsert(connection: Connection, account: Account, insights: Sequence[Insight], read_at: datetime) -> int:
    """Stores the readings, in the history of readings too; returns how many rows are new or changed.

    The same figures read again are no new reading: 0, and nothing is written.
    """
    ensure_months(connection, "insights", {i.day for i in insights})
    ensure_months(connection, "insight_readings", {read_at.date()})
    staged = ((account, i.ad_id, i.day, *(getattr(i, name) for name in _VALUES), read_at) for i in insights)
    return merge(
        connection,
        "insights",
        ("account", "ad_id", "day"),
        _VALUES,
        staged,
        stamps=("read_at",),
        journal="insight_readings",
    )


def of_deleted_ads(connection: Connection, account: Account, since: date) -> tuple[AdId, ...]:
    """Ads that Meta lists no more but whose figures since a day may still be restated."""
    found = connection.scalars(
        text(
            """
            select a.ad_id from ads a
            where a.account = :account and a.status = 'DELETED' and exists (
              select from insights i where i.account = a.account and i.ad_id = a.ad_id and i.day >= :since)
            order by a.ad_id
            """
        ),
        {"account": account, "since": since},
    )
    return tuple(AdId(one) for one in found)


# So that what is sent does not grow with the file.
_COMPARED_AT_ONCE = 20_000
_OVERLAPS = text(
    """
    select i.ad_id, i.first_day, i.day from insights i
    join unnest(cast(:ads as text[]), cast(:firsts as date[]), cast(:days as date[])) as n (ad_id, first_day, day)
      on n.ad_id = i.ad_id and i.first_day <= n.day and i.day >= n.first_day
    where i.account = :account and (i.first_day, i.day) <> (n.first_day, n.day)
    order by i.ad_id, i.day limit 1
    """
)


def overlapping(connection: Connection, account: Account, insights: Sequence[Insight]) -> tuple[str, date, date] | None:
    """The first stored (ad, first day, last day) that covers days of a new reading otherwise: counted twice if kept."""
    clashes: list[tuple[str, date, date]] = []
    for start in range(0, len(insights), _COMPARED_AT_ONCE):
        some = insights[start : start + _COMPARED_AT_ONCE]
        asked = {
            "account": account,
            "ads": [i.ad_id for i in some],
            "firsts": [i.first_day for i in some],
            "days": [i.day for i in some],
        }
        clashes += [(row.ad_id, row.first_day, row.day) for row in connection.execute(_OVERLAPS, asked)]
    return min(clashes, key=lambda clash: (clash[0], clash[2]), default=None)


def spend_by_day(connection: Connection, account: Account, since: date, until: date) -> list[int]:
    """The account's spend on each day from `since` to before `until`, oldest first, minor units; days before the first
    figure of all are left out, later ones without any count 0.
    """
    return list(
        connection.scalars(
            text(
                """
                select coalesce(sum(i.spend), 0)::bigint
                from generate_series(
                  case when exists (select from insights where account = :account and day < :since)
                    then cast(:since as date)
                  else greatest(cast(:since as date),
                    (select min(day) from insights where account = :account and day >= :since)) end,
                  cast(:until as date) - 1, interval '1 day') as d (day)
                left join insights i on i.account = :account and i.day = d.day::date
                group by d.day order by d.day
                """
            ),
            {"account": account, "since": since, "until": until},
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the stored readings of an account; spend is minor units."""

    rows: int
    ads: int
    impressions: int
    clicks: int
    spend: int
    leads: int
    purchases: int
    last_day: date | None
    read_at: datetime | None


def totals(connection: Connection, account: Account) -> Totals:
    row = connection.execute(
        text(
            """
            select count(*) as rows, count(distinct ad_id) as ads, coalesce(sum(impressions), 0)::bigint as impressions,
              coalesce(sum(clicks), 0)::bigint as clicks, coalesce(sum(spend), 0)::bigint as spend,
              coalesce(sum(leads), 0)::bigint as leads, coalesce(sum(purchases), 0)::bigint as purchases,
              max(day) as last_day, max(read_at) as read_at
            from insights where account = :account
            """
        ),
        {"account": account},
    ).one()
    return Totals(**row._mapping)
