"""What models said of ads, day by day, as columns; the champion's and the challengers' alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, text

from adctl.domain.ids import Account
from adctl.domain.said import Said, said_from_rows

ModelKey = tuple[str, str, str]

# What was decided of a day only after it had ended may have known what came of it, and proves nothing.
_SAID = text(
    """
    select policy, version, parameter_hash, day, entity_id, verdict in ('kill', 'cut') as kill,
      coalesce(cast(evidence ->> 'current_budget' as bigint), 0) as current,
      coalesce(cast(evidence ->> 'budget' as bigint), 0) as wanted,
      cast(evidence ->> 'p_wrong' as float8) as p_wrong, cast(evidence ->> 'wrong_roas' as float8) as wrong_roas,
      coalesce(cast(evidence ->> 'wrong_above' as boolean), false) as wrong_above
    from decisions d join accounts a using (account)
    where account = :account and day between :first and :last and entity_kind = 'ad' and field = 'status'
      and d.decided_at < (d.day + 1)::timestamp at time zone a.timezone
    order by policy, version, parameter_hash, day, entity_id
    """
)


def said(connection: Connection, account: Account, first: date, last: date) -> Mapping[ModelKey, Mapping[date, Said]]:
    """By policy, version and parameter hash, then by day, both ends included; only what was decided in time."""
    rows = connection.execute(_SAID, {"account": account, "first": first, "last": last})
    found: dict[ModelKey, dict[date, Said]] = {}
    for (key, day), group in groupby(rows, key=lambda row: (tuple(row[:3]), row.day)):
        found.setdefault(key, {})[day] = _said(list(group))
    return found


def _said(rows: list[Row[Any]]) -> Said:
    return said_from_rows(
        tuple(row.entity_id for row in rows),
        [
            (row.kill, row.current, row.wanted, _or_nan(row.p_wrong), _or_nan(row.wrong_roas), row.wrong_above)
            for row in rows
        ],
    )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def decided_at(connection: Connection, account: Account) -> dict[date, datetime]:
    """When the champion decided each day, last when it was decided again; no day that had ended by then."""
    rows = connection.execute(
        text(
            """
            select day, max(decided_at) as at from decisions d join accounts a using (account)
            where account = :account and not shadow
              and d.decided_at < (d.day + 1)::timestamp at time zone a.timezone
            group by day order by day
            """
        ),
        {"account": account},
    )
    return {row.day: row.at for row in rows}


def first_day(connection: Connection, account: Account) -> date | None:
    """The first day that anybody decided."""
    value = connection.scalar(text("select min(day) from decisions where account = :account"), {"account": account})
    assert value is None or isinstance(value, date)
    return value
