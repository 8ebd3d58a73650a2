"""The daily readings of an account's ads as columns of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from psycopg import sql
from sqlalchemy import Connection

from adctl.adapters.store.id_hashes import Places
from adctl.adapters.store.packed import Packed, day_number, read_columns, read_packed_groups
from adctl.domain.ids import Account
from adctl.domain.policies.protocol import Ints

# A year and a day: what is older says nothing about today's market and would only be read again and again.
HISTORY_DAYS = 366
# Rows that come at once, at most: enough to be quick, too few to be felt in the memory of either side.
_ROWS = 500_000

# Spans of days, each read once through the index of days.
_SPANS = sql.SQL("select packed_group.* from unnest(%(since)s::date[], %(until)s::date[]) g (since, until)")
_ROWS_OF_SPAN = sql.SQL(
    "select i.packed from insights i where i.account = %(account)s and i.day between g.since and g.until"
)
_PACKED = {
    "ad": "bigint",
    "day": "day",
    "impressions": "bigint",
    "clicks": "bigint",
    "spend": "bigint",
    "leads": "bigint",
}
_FIRST_DAYS_OF_ADS = sql.SQL(
    """
    select k.place, max(%(day)s::date - i.first_day) as days_ago
    from insights i
    join (
      select ad_id, (row_number() over (order by ad_id collate "C") - 1)::integer as place
      from ads where account = %(account)s
    ) k on k.ad_id = i.ad_id
    where i.account = %(account)s and i.day between %(since)s and %(until)s
    group by k.place
    """
)


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


def daily_rows(connection: Connection, account: Account, day: date, ads: Places) -> DailyRows:
    """Every reading of these ads up to `day`, a year back, as last read."""
    chunks = sorted(_chunks(connection, account, day, ads), key=lambda chunk: -int(chunk["days_ago"][0]))
    number = np.zeros(len(ads), dtype=np.int64)
    for chunk in chunks:
        fed, _, rows = _runs(chunk["ad"])
        number[fed] += rows
    _place(chunks, np.cumsum(number) - number)

    def column(name: str) -> Ints:
        whole = np.empty(int(number.sum()), dtype=np.int64)
        for chunk in chunks:
            # A chunk is left without it: the memory of both is never needed at once.
            whole[chunk["place"]] = chunk.pop(name)
        return whole

    return DailyRows(
        days_ago=column("days_ago"),
        impressions=column("impressions"),
        clicks=column("clicks"),
        spend=column("spend"),
        leads=column("leads"),
        ad=np.repeat(np.arange(len(ads)), number),
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


def _chunks(connection: Connection, account: Account, day: date, ads: Places) -> Iterator[dict[str, Packed]]:
    """All rows, as many days at a time as have no more rows than come at once when every ad has one a day."""
    days = min(max(_ROWS // max(len(ads), 1), 1), HISTORY_DAYS + 1)
    since = [day - timedelta(days=ago) for ago in range(HISTORY_DAYS, -1, -days)]
    until = [min(first + timedelta(days=days - 1), day) for first in since]
    asked = {"account": account, "since": since, "until": until}
    for chunk in read_packed_groups(connection, _SPANS, _ROWS_OF_SPAN, _PACKED, asked):
        chunk["ad"] = ads.of(chunk["ad"])
        chunk["days_ago"] = (day_number(day) - chunk.pop("day")).astype(np.int16)
        order = _in_order(chunk["ad"], chunk["days_ago"])
        # What is of no known ad comes first.
        order = order[np.searchsorted(chunk["ad"], 0, sorter=order) :]
        if len(order):
            yield {name: _narrow(column[order]) for name, column in chunk.items()}


def _in_order(ad: Packed, days_ago: Packed) -> Packed:
    """What puts the rows in order; each ad has one a day, so it is the same from any server.

    By 16 bits at a time, the last ones first: numpy sorts those in passes of its own, sooner than whole numbers.
    """
    order = np.argsort((HISTORY_DAYS - days_ago).astype(np.uint16), kind="stable")
    order = order[np.argsort(ad.astype(np.uint16)[order], kind="stable")]
    # Arithmetic, so that -1 stays before all others.
    return order[np.argsort((ad >> 16).astype(np.int16)[order], kind="stable")]


def _place(chunks: list[dict[str, Packed]], free: Ints) -> None:
    """Gives each row of each chunk, the oldest chunk first, its `place` among all, and takes its `ad` away.

    `free` is where the next row of each ad belongs.
    """
    for chunk in chunks:
        ad = chunk.pop("ad")
        fed, starts, rows = _runs(ad)
        chunk["place"] = _narrow(np.repeat(free[fed] - starts, rows) + np.arange(len(ad)))
        free[fed] += rows


def _runs(ad: Packed) -> tuple[Packed, Ints, Ints]:
    """Each ad of rows in order, where its rows start, and how many they are."""
    starts = np.flatnonzero(np.diff(ad, prepend=-1))
    return ad[starts], starts, np.diff(starts, append=len(ad))


def _narrow(column: Packed) -> Packed:
    """The column in half the memory until it is needed, if it fits."""
    wide = column.dtype == np.int64 and len(column) and max(-int(column.min()), int(column.max())) >= 2**31
    return column if wide or column.dtype == np.int16 else column.astype(np.int32)
