"""Campaigns, ad sets, ads and creatives as last read; what vanishes at Meta stays here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg import sql
from sqlalchemy import Connection, text

from adctl.adapters.store.packed import Packed, read_columns
from adctl.adapters.store.staging import merge
from adctl.domain.ad_columns import AdColumns
from adctl.domain.changes import Change
from adctl.domain.creatives import Creative, canonical_json, content_hash
from adctl.domain.entities import Ad, AdSet, Campaign, EntityKind, Field
from adctl.domain.ids import Account, AdId, AdSetId, CampaignId, CreativeId
from adctl.domain.policies.protocol import Ints

_CAMPAIGN = ("name", "status", "effective_status", "daily_budget", "lifetime_budget", "updated_at")
_AD_SET = ("campaign_id", *_CAMPAIGN[:5], "learning_stage", "updated_at")
_AD = ("ad_set_id", "campaign_id", "creative_id", "name", "status", "effective_status", "created_at", "updated_at")


def upsert_campaigns(connection: Connection, account: Account, rows: Sequence[Campaign], read_at: datetime) -> int:
    """Returns how many are new or changed; what was confirmed after `read_at` stays."""
    staged = ((account, c.campaign_id, *(getattr(c, name) for name in _CAMPAIGN), read_at) for c in rows)
    return merge(
        connection, "campaigns", ("account", "campaign_id"), _CAMPAIGN, staged, stamps=("read_at",), read="read_at"
    )


def upsert_ad_sets(connection: Connection, account: Account, rows: Sequence[AdSet], read_at: datetime) -> int:
    """Returns how many are new or changed; what was confirmed after `read_at` stays."""
    staged = ((account, a.ad_set_id, *(getattr(a, name) for name in _AD_SET), read_at) for a in rows)
    return merge(connection, "ad_sets", ("account", "ad_set_id"), _AD_SET, staged, stamps=("read_at",), read="read_at")


def upsert_ads(connection: Connection, account: Account, rows: Sequence[Ad], read_at: datetime) -> int:
    """Returns how many are new or changed; what was confirmed after `read_at` stays."""
    staged = ((account, a.ad_id, *(getattr(a, name) for name in _AD), read_at) for a in rows)
    return merge(connection, "ads", ("account", "ad_id"), _AD, staged, stamps=("read_at",), read="read_at")


def upsert_creatives(connection: Connection, account: Account, rows: Sequence[Creative], read_at: datetime) -> int:
    """Returns how many are new or changed."""
    staged = ((account, c.creative_id, canonical_json(c).decode(), content_hash(c), read_at) for c in rows)
    return merge(
        connection, "creatives", ("account", "creative_id"), ("fields", "content_hash"), staged, stamps=("read_at",)
    )


def upsert_minimum_budgets(
    connection: Connection, account: Account, minima: Mapping[str, int], read_at: datetime
) -> int:
    """Meta's smallest daily budgets by kind, minor units; returns how many are new or changed."""
    staged = ((account, kind, amount, read_at) for kind, amount in minima.items())
    return merge(connection, "minimum_budgets", ("account", "kind"), ("amount",), staged, stamps=("read_at",))


# What only a file named has the status UNKNOWN: Meta was never asked for it.
_VANISHED = (
    text(
        """
        update campaigns set status = 'DELETED', effective_status = 'DELETED', read_at = :read_at
        where account = :account and campaign_id <> all(:campaigns) and status not in ('DELETED', 'UNKNOWN')
        """
    ),
    text(
        """
        update ad_sets set status = 'DELETED', effective_status = 'DELETED', read_at = :read_at
        where account = :account and ad_set_id <> all(:ad_sets) and status not in ('DELETED', 'UNKNOWN')
        """
    ),
    text(
        """
        update ads set status = 'DELETED', effective_status = 'DELETED', read_at = :read_at
        where account = :account and ad_id <> all(:ads) and status not in ('DELETED', 'UNKNOWN')
        """
    ),
)


def mark_vanished(
    connection: Connection,
    account: Account,
    *,
    campaigns: Sequence[Campaign],
    ad_sets: Sequence[AdSet],
    ads: Sequence[Ad],
    read_at: datetime,
) -> int:
    """Notes as deleted what is stored and was not among all that Meta lists, archived objects included; returns how
    many. What comes back is stored as it then is.
    """
    seen = {
        "account": account,
        "campaigns": [c.campaign_id for c in campaigns],
        "ad_sets": [a.ad_set_id for a in ad_sets],
        "ads": [a.ad_id for a in ads],
        "read_at": read_at,
    }
    return sum(connection.execute(statement, seen).rowcount for statement in _VANISHED)


def campaigns(connection: Connection, account: Account) -> tuple[Campaign, ...]:
    rows = connection.execute(
        text(
            """
            select campaign_id, name, status, effective_status, daily_budget, lifetime_budget, updated_at
            from campaigns where account = :account order by campaign_id
            """
        ),
        {"account": account},
    )
    return tuple(Campaign(**row._mapping) for row in rows)


def ad_sets(connection: Connection, account: Account) -> tuple[AdSet, ...]:
    rows = connection.execute(
        text(
            """
            select ad_set_id, campaign_id, name, status, effective_status, daily_budget, lifetime_budget,
              learning_stage, updated_at
            from ad_sets where account = :account order by ad_set_id
            """
        ),
        {"account": account},
    )
    return tuple(AdSet(**row._mapping) for row in rows)


def ads(connection: Connection, account: Account) -> tuple[Ad, ...]:
    rows = connection.execute(
        text(
            """
            select ad_id, ad_set_id, campaign_id, name, status, effective_status, creative_id, created_at, updated_at
            from ads where account = :account order by ad_id
            """
        ),
        {"account": account},
    )
    return tuple(Ad(**row._mapping) for row in rows)


# A character that no id and no status has.
_SEPARATOR = "\x1f"
_AD_TEXTS = text(
    """
    select string_agg(ad_id, chr(31)) as ad_ids, string_agg(ad_set_id, chr(31)) as ad_sets,
      string_agg(campaign_id, chr(31)) as campaigns, string_agg(status, chr(31)) as status,
      string_agg(effective_status, chr(31)) as effective_status
    from (select * from ads where account = :account order by ad_id collate "C") a
    """
)


def ad_columns(connection: Connection, account: Account) -> AdColumns:
    """All ads, one text a column: a row an ad would take longer than the rest of a decision."""
    row = connection.execute(_AD_TEXTS, {"account": account}).one()
    ad_set, ad_set_ids = _indexed(_split(row.ad_sets))
    campaign, campaign_ids = _indexed(_split(row.campaigns))
    return AdColumns(
        ad_ids=tuple(_split(row.ad_ids)),
        ad_set=ad_set,
        ad_set_ids=tuple(AdSetId(one) for one in ad_set_ids),
        campaign=campaign,
        campaign_ids=tuple(CampaignId(one) for one in campaign_ids),
        status=tuple(map(sys.intern, _split(row.status))),
        effective_status=tuple(map(sys.intern, _split(row.effective_status))),
    )


_CREATED = sql.SQL(
    """
    select coalesce(created_at, 'infinity') as created from ads where account = %(account)s order by ad_id collate "C"
    """
)


def ads_created(connection: Connection, account: Account) -> Packed:
    """When each ad was created, as packed moments in the order of `ad_columns`; NEVER where nobody knows."""
    return read_columns(connection, _CREATED, {"created": "moment"}, {"account": account})["created"]


def _split(joined: str | None) -> list[str]:
    return [] if joined is None else joined.split(_SEPARATOR)


def _indexed(names: list[str]) -> tuple[Ints, list[str]]:
    """Each name's place among the different ones, and these, sorted."""
    different = sorted(set(names))
    place = {name: index for index, name in enumerate(different)}
    return np.array([place[name] for name in names], dtype=np.int64), different


def creative_of_ad(connection: Connection, account: Account, ad_id: AdId) -> Creative | None:
    """The creative of an ad, None when the ad or its creative is not known."""
    row = connection.execute(
        text(
            """
            select c.creative_id, a.campaign_id, c.fields
            from ads a join creatives c on c.account = a.account and c.creative_id = a.creative_id
            where a.account = :account and a.ad_id = :ad_id
            """
        ),
        {"account": account, "ad_id": ad_id},
    ).one_or_none()
    return None if row is None else creative_from_fields(row.creative_id, row.campaign_id, row.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entity by its id, with what stands above it."""

    kind: EntityKind
    name: str
    status: str
    campaign_id: CampaignId
    ad_set_id: AdSetId | None


_FIND = text(
    """
    select 'ad' as kind, name, status, campaign_id, ad_set_id from ads where account = :account and ad_id = :id
    union all
    select 'ad_set', name, status, campaign_id, null from ad_sets where account = :account and ad_set_id = :id
    union all
    select 'campaign', name, status, campaign_id, null from campaigns where account = :account and campaign_id = :id
    """
)


def find(connection: Connection, account: Account, entity_id: str) -> Found | None:
    """The ad, ad set or campaign of that id; Meta gives no id twice."""
    row = connection.execute(_FIND, {"account": account, "id": entity_id}).first()
    return None if row is None else Found(**{**row._mapping, "kind": EntityKind(row.kind)})


def creative_from_fields(creative_id: CreativeId, campaign_id: CampaignId | None, fields: dict[str, str]) -> Creative:
    """The creative whose canonical fields were stored."""
    return Creative(creative_id=creative_id, campaign_id=campaign_id, **fields)


_REMEMBER = {
    (EntityKind.CAMPAIGN, Field.DAILY_BUDGET): text(
        """
        update campaigns set daily_budget = :value, read_at = :read_at
        where account = :account and campaign_id = :id
        """
    ),
    (EntityKind.AD_SET, Field.DAILY_BUDGET): text(
        """
        update ad_sets set daily_budget = :value, read_at = :read_at
        where account = :account and ad_set_id = :id
        """
    ),
    (EntityKind.AD, Field.STATUS): text(
        """
        update ads set status = :value, read_at = :read_at
        where account = :account and ad_id = :id
        """
    ),
}


def remember(connection: Connection, change: Change, read_at: datetime) -> None:
    """Stores the target of a change that was just read at Meta, so that the next decision starts from it, and that it
    was read now: a reading that began earlier must not put the old value back.
    """
    connection.execute(
        _REMEMBER[change.kind, change.field],
        {"account": change.account, "id": change.entity_id, "value": change.target, "read_at": read_at},
    )


def add_missing(
    connection: Connection,
    account: Account,
    *,
    campaigns: Sequence[Campaign],
    ad_sets: Sequence[AdSet],
    ads: Sequence[Ad],
    read_at: datetime,
) -> int:
    """Adds objects that a file names and Meta was not yet asked for; what is known stays as it is. Returns how many."""
    known = {
        "campaigns": _keys(connection, account, "select campaign_id from campaigns where account = :account"),
        "ad_sets": _keys(connection, account, "select ad_set_id from ad_sets where account = :account"),
        "ads": _keys(connection, account, "select ad_id from ads where account = :account"),
    }
    return (
        upsert_campaigns(
            connection, account, [c for c in campaigns if c.campaign_id not in known["campaigns"]], read_at
        )
        + upsert_ad_sets(connection, account, [a for a in ad_sets if a.ad_set_id not in known["ad_sets"]], read_at)
        + upsert_ads(connection, account, [a for a in ads if a.ad_id not in known["ads"]], read_at)
    )


def _keys(connection: Connection, account: Account, statement: str) -> frozenset[str]:
    return frozenset(connection.scalars(text(statement), {"account": account}))
