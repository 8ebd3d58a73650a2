"""What tells whether ads wear out: clicks and reach of the last weeks in spans of some days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, text

from adctl.domain.fatigue import SPAN_DAYS, SPANS, Fatigue, Points, find_fatigue
from adctl.domain.ids import Account, AdId

# Today is not over: the newest span ends yesterday.
_POINTS = text(
    """
    select k.place - 1, (:day - 1 - i.day) / :span, sum(i.impressions)::bigint, sum(i.clicks)::bigint,
      sum(i.reach)::bigint
    from insights i
    join unnest(cast(:ads as text[])) with ordinality as k (ad_id, place) on k.ad_id = i.ad_id
    where i.account = :account and i.day between :first and :day - 1 and i.first_day = i.day and i.reach > 0
    group by 1, 2
    order by 1, 2
    """
)


def of_ads(connection: Connection, account: Account, ads: Sequence[AdId], day: date) -> Fatigue:
    """The flag and its evidence for each of the ads, as of the account day `day`; rows without reach tell nothing."""
    rows = connection.execute(
        _POINTS,
        {
            "account": account,
            "ads": list(ads),
            "day": day,
            "first": day - timedelta(days=SPAN_DAYS * SPANS),
            "span": SPAN_DAYS,
        },
    ).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 5)
    ad, span, impressions, clicks, reach = table.T
    return find_fatigue(Points(ads=len(ads), ad=ad, span=span, impressions=impressions, clicks=clicks, reach=reach))
