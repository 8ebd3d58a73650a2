"""What a policy reads: daily rows and credited deals as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from sqlalchemy import Connection, text

from adctl.domain.ids import Account, AdId, DealId
from adctl.domain.policies.protocol import Ints

# A year and a day: what is older says nothing about today's market and would only be read again and again.
HISTORY_DAYS = 366


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyRows:
    """Readings of known ads as columns of shape (m,); `ad` indexes the ads asked for; spend is minor units.

    A reading of several days stands at its last one and began `first_days_ago`.
    """

    ad: Ints
    days_ago: Ints
    first_days_ago: Ints
    impressions: Ints
    clicks: Ints
    spend: Ints
    leads: Ints


_DAILY = text(
    """
    select k.place, :day - i.day, :day - i.first_day, i.impressions, i.clicks, i.spend, i.leads
    from insights i
    join unnest(cast(:ads as text[])) with ordinality as k (ad_id, place) on k.ad_id = i.ad_id
    where i.account = :account and i.day between :first and :day
    order by k.place, i.day
    """
)


def daily_rows(connection: Connection, account: Account, ads: Sequence[AdId], day: date) -> DailyRows:
    """Every reading of the ads up to `day`, a year back."""
    rows = connection.execute(
        _DAILY, {"account": account, "ads": list(ads), "day": day, "first": day - timedelta(days=HISTORY_DAYS)}
    ).all()
    table = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 7)
    return DailyRows(
        ad=table[:, 0] - 1,
        days_ago=table[:, 1],
        first_days_ago=table[:, 2],
        impressions=table[:, 3],
        clicks=table[:, 4],
        spend=table[:, 5],
        leads=table[:, 6],
    )


def credited_ads(connection: Connection, account: Account) -> dict[DealId, AdId]:
    """The ad each attributed deal is credited to."""
    rows = connection.execute(
        text("select deal_id, ad_id from attributions where account = :account and ad_id is not null"),
        {"account": account},
    )
    return {DealId(row.deal_id): AdId(row.ad_id) for row in rows}


def reported_values(connection: Connection, account: Account) -> dict[AdId, int]:
    """Absolute values per ad from bulk files, minor units; they stand instead of the ad's deals."""
    rows = connection.execute(
        text("select ad_id, value from ad_performances where account = :account"), {"account": account}
    )
    return {AdId(row.ad_id): row.value for row in rows}
