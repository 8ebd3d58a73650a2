"""Creatives that were taken in with the record of what they did elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, text

from adctl.adapters.store.entities import upsert_creatives
from adctl.adapters.store.staging import merge
from adctl.domain.creatives import Creative, content_hash
from adctl.domain.ids import Account, AdId, CreativeId
from adctl.domain.winner_plan import AdFigures
from adctl.domain.winners import CreativeRecord

_RECORD = ("impressions", "clicks", "spend", "wins", "value")


def add(connection: Connection, account: Account, creative: Creative, record: CreativeRecord, at: datetime) -> int:
    """Stores the creative under an id of its own and its record; a later record replaces an earlier one.

    Returns how many of both are new or changed.
    """
    content = content_hash(creative)
    own = replace(creative, creative_id=CreativeId(f"added:{content.hex()}"), campaign_id=None)
    row = (account, content, *(int(getattr(record, name)) for name in _RECORD), at)
    return upsert_creatives(connection, account, [own], at) + merge(
        connection, "added_creatives", ("account", "content_hash"), _RECORD, [row], stamps=("added_at",)
    )


def figures(connection: Connection, account: Account) -> dict[bytes, AdFigures]:
    """The records by content, as if each were of one more ad."""
    rows = connection.execute(
        text(
            """
            select content_hash, impressions, clicks, spend, wins, value from added_creatives
            where account = :account order by content_hash
            """
        ),
        {"account": account},
    )
    return {
        bytes(row.content_hash): AdFigures(
            ad_id=AdId(f"added:{bytes(row.content_hash).hex()}"),
            impressions=row.impressions,
            clicks=row.clicks,
            spend=row.spend,
            wins=row.wins,
            value=row.value,
        )
        for row in rows
    }
