"""Touches, leads, and the attribution of each deal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.staging import merge
from adctl.domain.attribution import Attribution, Lead, Touch
from adctl.domain.ids import Account, AdId, DealId


def upsert_touches(connection: Connection, account: Account, rows: Iterable[Touch]) -> int:
    """Returns how many clicks are new or changed."""
    staged = ((account, t.click_id, t.ad_id, t.clicked_at) for t in rows)
    return merge(connection, "click_tracking", ("account", "click_id"), ("ad_id", "clicked_at"), staged)


def touches(connection: Connection, account: Account) -> dict[str, Touch]:
    """Tracked clicks by id."""
    rows = connection.execute(
        text("select click_id, ad_id, clicked_at from click_tracking where account = :account"), {"account": account}
    )
    return {row.click_id: Touch(**row._mapping) for row in rows}


def known_ads(connection: Connection, account: Account) -> frozenset[AdId]:
    rows = connection.scalars(text("select ad_id from ads where account = :account"), {"account": account})
    return frozenset(AdId(ad_id) for ad_id in rows)


_LEADS = text(
    """
    select d.deal_id, coalesce(c.created_at, d.created_at) as converted_at,
      array_remove(array[d.ad_id, c.first_url_ad_id], null) as ad_ids,
      array_remove(array[d.click_id, c.click_id], null) as click_ids
    from deals d left join contacts c on c.account = d.account and c.contact_id = d.contact_id
    where d.account = :account
    order by d.deal_id
    """
)


def leads(connection: Connection, account: Account) -> tuple[Lead, ...]:
    """What each deal can be attributed by; archived and merged ones too, so that none keeps an old attribution."""
    rows = connection.execute(_LEADS, {"account": account})
    return tuple(
        Lead(
            deal_id=DealId(row.deal_id),
            converted_at=row.converted_at,
            ad_ids=tuple(row.ad_ids),
            click_ids=tuple(row.click_ids),
        )
        for row in rows
    )


def upsert(connection: Connection, account: Account, rows: Sequence[Attribution], at: datetime) -> int:
    """Stores one attribution per deal; returns how many are new or changed."""
    staged = (
        (
            account,
            a.deal_id,
            a.ad_id,
            a.method.value,
            a.confidence,
            json.dumps(a.evidence, sort_keys=True),
            a.converted_at,
            at,
        )
        for a in rows
    )
    values = ("ad_id", "method", "confidence", "evidence", "converted_at")
    return merge(connection, "attributions", ("account", "deal_id"), values, staged, stamps=("attributed_at",))


def upsert_performances(connection: Connection, account: Account, values: Mapping[AdId, int], at: datetime) -> int:
    """Stores absolute values per ad (minor units); returns how many are new or changed."""
    staged = ((account, ad_id, value, at) for ad_id, value in values.items())
    return merge(connection, "ad_performances", ("account", "ad_id"), ("value",), staged, stamps=("reported_at",))


def any_credited(connection: Connection, account: Account) -> bool:
    """True when at least one ad is credited with a deal or a reported value."""
    return bool(
        connection.scalar(
            text(
                """
                select exists (select from attributions where account = :account and ad_id is not null)
                  or exists (select from ad_performances where account = :account)
                """
            ),
            {"account": account},
        )
    )
