"""What tells whether ads wear out: clicks and reach of the last weeks in spans of some days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from psycopg import sql
from sqlalchemy import Connection

from adctl.adapters.store.packed import read_columns, wide
from adctl.domain.fatigue import SPAN_DAYS, SPANS, Fatigue, Points, find_fatigue
from adctl.domain.ids import Account

# Today is not over: the newest span ends yesterday.
_POINTS = sql.SQL(
    """
    select (k.place - 1)::integer as place, (%(day)s::date - 1 - i.day) / %(span)s as span,
      sum(i.impressions)::bigint as impressions, sum(i.clicks)::bigint as clicks, sum(i.reach)::bigint as reach
    from insights i
    join unnest(%(ads)s::text[]) with ordinality as k (ad_id, place) on k.ad_id = i.ad_id
    where i.account = %(account)s and i.day between %(first)s and %(day)s::date - 1
      and i.first_day = i.day and i.reach > 0
    group by 1, 2
    order by 1, 2
    """
)
_COLUMNS = {"place": "integer", "span": "integer", "impressions": "bigint", "clicks": "bigint", "reach": "bigint"}


def of_ads(connection: Connection, account: Account, ads: Sequence[str], day: date) -> Fatigue:
    """The flag and its evidence for each of the ads, as of the account day `day`; rows without reach tell nothing."""
    first = day - timedelta(days=SPAN_DAYS * SPANS)
    asked = {"account": account, "ads": list(ads), "day": day, "first": first, "span": SPAN_DAYS}
    found = {name: wide(column) for name, column in read_columns(connection, _POINTS, _COLUMNS, asked).items()}
    return find_fatigue(
        Points(
            ads=len(ads),
            ad=found["place"],
            span=found["span"],
            impressions=found["impressions"],
            clicks=found["clicks"],
            reach=found["reach"],
        )
    )
