"""Touches and the attribution of each deal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from adctl.adapters.store.staging import merge, merge_blocks
from adctl.domain.attribution import Attribution, Method, Touch
from adctl.domain.ids import Account, AdId, DealId


def upsert_touches(connection: Connection, account: Account, rows: Iterable[Touch]) -> int:
    """Returns how many clicks are new or changed."""
    staged = ((account, t.click_id, t.ad_id, t.clicked_at, t.consented) for t in rows)
    values = ("ad_id", "clicked_at", "consented")
    return merge(connection, "click_tracking", ("account", "click_id"), values, staged)


def known_ads(connection: Connection, account: Account) -> frozenset[AdId]:
    rows = connection.scalars(text("select ad_id from ads where account = :account"), {"account": account})
    return frozenset(AdId(ad_id) for ad_id in rows)


def of_deal(connection: Connection, account: Account, deal_id: DealId) -> Attribution | None:
    """The stored attribution of one deal."""
    row = connection.execute(
        text(
            """
            select deal_id, ad_id, method, confidence, evidence, converted_at from attributions
            where account = :account and deal_id = :deal_id
            """
        ),
        {"account": account, "deal_id": deal_id},
    ).one_or_none()
    return None if row is None else from_columns(*row)


def from_columns(
    deal_id: DealId,
    ad_id: AdId | None,
    method: str,
    confidence: Decimal,
    evidence: Mapping[str, str],
    converted_at: datetime | None,
) -> Attribution:
    """The attribution that these columns of its row hold."""
    return Attribution(
        deal_id=deal_id,
        ad_id=ad_id,
        method=Method(method),
        confidence=float(confidence),
        evidence=evidence,
        converted_at=converted_at,
    )


def upsert(connection: Connection, account: Account, blocks: Iterable[Sequence[Attribution]], at: datetime) -> int:
    """Stores one attribution per deal; returns how many are new or changed. What makes a block may read meanwhile."""
    staged = (
        [
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
            for a in block
        ]
        for block in blocks
    )
    values = ("ad_id", "method", "confidence", "evidence", "converted_at")
    return merge_blocks(connection, "attributions", ("account", "deal_id"), values, staged, stamps=("attributed_at",))


def upsert_performances(connection: Connection, account: Account, values: Mapping[AdId, int], at: datetime) -> int:
    """Stores absolute values per ad (minor units); returns how many are new or changed."""
    staged = ((account, ad_id, value, at) for ad_id, value in values.items())
    return merge(connection, "ad_performances", ("account", "ad_id"), ("value",), staged, stamps=("reported_at",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How well live deals are tied: `attributed` of the `judged` ones have an ad, `unmapped` have no stage value."""

    judged: int
    attributed: int
    unmapped: int

    @property
    def unattributed(self) -> float:
        """The share without an ad, 0..1."""
        return 1 - self.attributed / self.judged if self.judged else 0.0


_STANDING = text(
    """
    select count(a.deal_id) as judged, count(a.ad_id) as attributed,
      count(*) filter (where v.stage is null) as unmapped
    from deals d
    left join attributions a on a.account = d.account and a.deal_id = d.deal_id
    left join (select distinct pipeline, stage from synthetic_revenue_config where account = :account) v
      on v.pipeline = d.pipeline and v.stage = d.stage
    where d.account = :account and not d.archived and d.merged_into is null
    """
)


def standing(connection: Connection, account: Account) -> Standing:
    """Of every deal that is neither archived nor merged into another."""
    return Standing(**connection.execute(_STANDING, {"account": account}).one()._mapping)


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
