"""The daily readings of an account's ads as columns of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import sql
from sqlalchemy import Connection

from adctl.adapters.store.packed import Packed, read_columns
from adctl.domain.ids import Account
from adctl.domain.policies.protocol import Ints

# A year and a day: what is older says nothing about today's market and would only be read again and again.
HISTORY_DAYS = 366
# Rows that are asked for at once, about: enough to be quick, too few to be felt in the memory of either side.
_ROWS = 2_000_000
_FIRST_DAYS = 2

# Ads are known by their place in the order of their ids.
PLACES = sql.SQL(
    """
    select ad_id, (row_number() over (order by ad_id collate "C") - 1)::integer as place
    from ads where account = %(account)s
    """
)
_ROWS_OF_DAYS = sql.SQL(
    """
    select k.place, (%(day)s::date - i.day)::smallint as days_ago, i.impressions, i.clicks, i.spend, i.leads
    from insights i join ({places}) k on k.ad_id = i.ad_id
    where i.account = %(account)s and i.day between %(since)s and %(until)s
    """
).format(places=PLACES)
_FIRST_DAYS_OF_ADS = sql.SQL(
    """
    select k.place, max(%(day)s::date - i.first_day) as days_ago
    from insights i join ({places}) k on k.ad_id = i.ad_id
    where i.account = %(account)s and i.day between %(since)s and %(until)s
    group by k.place
    """
).format(places=PLACES)
_COLUMNS = {
    "place": "integer",
    "days_ago": "smallint",
    "impressions": "bigint",
    "clicks": "bigint",
    "spend": "bigint",
    "leads": "bigint",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DailyRows:
    """Readings of known ads as columns of shape (m,), by ad, the oldest first; spend is minor units.

    `ad` is the ad's place in the order of ids. A reading of several days stands at its last one.
    """

    ad: Ints
    days_ago: Ints
    impressions: Ints
    clicks: Ints
    spend: Ints
    leads: Ints


def daily_rows(connection: Connection, account: Account, day: date) -> DailyRows:
    """Every reading up to `day`, a year back, as last read."""
    chunks = list(_chunks(connection, account, day))
    ad = _whole(chunks, "place")
    days_ago = _whole(chunks, "days_ago")
    # Each ad has one row a day, so the key tells all rows apart and their order is the same from any server.
    order = np.argsort(ad * (HISTORY_DAYS + 1) + (HISTORY_DAYS - days_ago))
    return DailyRows(
        ad=ad[order],
        days_ago=days_ago[order],
        impressions=_whole(chunks, "impressions")[order],
        clicks=_whole(chunks, "clicks")[order],
        spend=_whole(chunks, "spend")[order],
        leads=_whole(chunks, "leads")[order],
    )


def first_days_ago(connection: Connection, account: Account, day: date, ads: int) -> Ints:
    """How many days before `day` each ad's readings begin, 0 for an ad that has none; shape (ads,)."""
    found = read_columns(
        connection,
        _FIRST_DAYS_OF_ADS,
        {"place": "integer", "days_ago": "integer"},
        {"account": account, "day": day, "since": day - timedelta(days=HISTORY_DAYS), "until": day},
    )
    first = np.zeros(ads, dtype=np.int64)
    first[found["place"]] = found["days_ago"]
    return first


def _chunks(connection: Connection, account: Account, day: date) -> Iterator[dict[str, Packed]]:
    """All rows, some days at a time: as many as the days before had room for."""
    first, until, days = day - timedelta(days=HISTORY_DAYS), day, _FIRST_DAYS
    while until >= first:
        since = max(until - timedelta(days=days - 1), first)
        span = {"account": account, "day": day, "since": since, "until": until}
        chunk = read_columns(connection, _ROWS_OF_DAYS, _COLUMNS, span)
        yield chunk
        rows = len(chunk["place"])
        days = 2 * days if 2 * rows <= _ROWS else max(days * _ROWS // rows, 1)
        until = since - timedelta(days=1)


def _whole(chunks: list[dict[str, Packed]], name: str) -> Ints:
    """One column of all chunks, which are left without it: the memory of both is never needed at once."""
    return np.concatenate([chunk.pop(name) for chunk in chunks], dtype=np.int64)
