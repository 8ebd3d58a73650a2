"""Every deal with all that it can be attributed by, a block at a time: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import namedtuple_row
from sqlalchemy import Connection

from adctl.adapters.db import driver
from adctl.adapters.store import matching
from adctl.adapters.store.attributions import from_columns
from adctl.domain.attribution import Attribution, Lead, Touch
from adctl.domain.ids import Account, DealId
from adctl.domain.matching import Conversion, SeenClick
from adctl.domain.privacy import MatchKeys

AT_ONCE = 5_000

_LEADS = """
select d.deal_id, d.ad_id, c.first_url_ad_id, d.click_id, c.click_id as contact_click_id,
  coalesce(c.created_at, d.created_at) as created_at,
  t.ad_id as click_ad_id, t.clicked_at, t.consented,
  o.ad_id as contact_click_ad_id, o.clicked_at as contact_clicked_at, o.consented as contact_click_consented,
  coalesce(v.subject, w.subject) as subject, coalesce(v.subject_id, w.subject_id) as subject_id,
  coalesce(v.converted_at, w.converted_at) as converted_at, coalesce(v.consented, w.consented) as conversion_consented,
  a.ad_id as stored_ad_id, a.method, a.confidence, a.evidence, a.converted_at as stored_converted_at
from deals d
left join contacts c on c.account = d.account and c.contact_id = d.contact_id
left join click_tracking t on t.account = d.account and t.click_id = d.click_id
left join click_tracking o on o.account = d.account and o.click_id = c.click_id
left join conversions v on v.account = d.account and v.subject = 'deal' and v.subject_id = d.deal_id
left join conversions w on w.account = d.account and w.subject = 'contact' and w.subject_id = d.contact_id
left join attributions a on a.account = d.account and a.deal_id = d.deal_id
  and a.ad_id is not null and a.evidence ->> 'clicked_at' is not null
where d.account = %s
order by d.deal_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadBlock:
    """Some deals in the order of their ids: `touches` are the clicks that they name, by id, `clicks` the consented ones
    that share a hash with their conversions, `stored` the attributions that a click proved.
    """

    leads: Sequence[Lead]
    touches: dict[str, Touch]
    clicks: Sequence[SeenClick]
    stored: dict[DealId, Attribution]


def lead_blocks(connection: Connection, account: Account, *, at_once: int = AT_ONCE) -> Iterator[LeadBlock]:
    """All deals, archived and merged ones too, so that none keeps an old attribution.

    They are as at the first block, whatever the caller writes meanwhile.
    """
    raw = driver(connection)
    # All of them are wanted, not the first ones soon.
    raw.execute("select set_config('cursor_tuple_fraction', '1', true), set_config('jit', 'off', true)")
    with raw.cursor("adctl_leads", row_factory=namedtuple_row) as cursor:
        cursor.execute(_LEADS, (account,))
        while rows := cursor.fetchmany(at_once):
            yield _block(connection, account, rows)


def _block(connection: Connection, account: Account, rows: Sequence[Any]) -> LeadBlock:
    subjects = {(row.subject, row.subject_id) for row in rows if row.conversion_consented}
    keys = matching.keys_of(connection, account, subjects)
    hashed = [one for found in keys.values() for one in found]
    return LeadBlock(
        leads=[_lead(row, keys) for row in rows],
        touches=_touches(rows),
        clicks=matching.clicks_like(connection, account, hashed),
        stored={row.deal_id: _stored(row) for row in rows if row.stored_ad_id is not None},
    )


def _lead(row: Any, keys: dict[tuple[str, str], tuple[MatchKeys, ...]]) -> Lead:
    conversion = None
    if row.converted_at is not None:
        conversion = Conversion(converted_at=row.converted_at, keys=keys.get((row.subject, row.subject_id), ()))
    return Lead(
        deal_id=row.deal_id,
        converted_at=row.created_at,
        ad_ids=tuple(one for one in (row.ad_id, row.first_url_ad_id) if one is not None),
        click_ids=tuple(one for one in (row.click_id, row.contact_click_id) if one is not None),
        conversion=conversion,
    )


def _touches(rows: Sequence[Any]) -> dict[str, Touch]:
    named = [
        one
        for row in rows
        for one in (
            (row.click_id, row.click_ad_id, row.clicked_at, row.consented),
            (row.contact_click_id, row.contact_click_ad_id, row.contact_clicked_at, row.contact_click_consented),
        )
    ]
    return {
        click_id: Touch(click_id=click_id, ad_id=ad_id, clicked_at=at, consented=consented)
        for click_id, ad_id, at, consented in named
        if ad_id is not None
    }


def _stored(row: Any) -> Attribution:
    return from_columns(
        row.deal_id, row.stored_ad_id, row.method, row.confidence, row.evidence, row.stored_converted_at
    )
