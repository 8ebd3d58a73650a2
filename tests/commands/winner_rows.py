"""An account with ads, their creatives, what they spent and won: written by the store's own functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, entities, insights, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.attribution import Attribution, Method
from adctl.domain.creatives import Creative
from adctl.domain.deals import Deal, Outcome
from adctl.domain.entities import Ad
from adctl.domain.ids import Account, AdId, AdSetId, CampaignId, CreativeId, DealId
from adctl.domain.insights import Insight
from adctl.domain.revenue import StageValue

MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="", currency="USD", timezone="UTC"
)
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
LONG_AGO = date(2026, 2, 10)
WIN = 100_00


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One ad: its creative, and how many won deals of 100.00 it brought for its spend (minor units)."""

    ad_id: str
    creative: Creative
    spend: int = 100_00
    wins: int = 1
    day: date = LONG_AGO
    campaign: str = "k1"
    clicks: int = 50


def creative(number: str, headline: str, **fields: str) -> Creative:
    """A creative with an id of its own; equal words make equal content."""
    return entities.creative_from_fields(CreativeId(number), None, {"headline": headline, **fields})


STRONG = Shown(ad_id="11", creative=creative("c1", "Strong at fifty: lift with a coach"), spend=500_00, wins=40)
STRONGER = Shown(ad_id="12", creative=creative("c2", "Stronger at sixty: lift with our coach", format="video"))
YOGA = Shown(ad_id="13", creative=creative("c3", "Quiet yoga mornings by the lake", format="image"))
SALE = Shown(ad_id="14", creative=creative("c4", "Half price until Sunday", format="image"), spend=2000_00, wins=2)
ADS = (STRONG, STRONGER, YOGA, SALE)


def fill(engine: Engine, ads: Iterable[Shown] = ADS, profile: AccountProfile = MAIN) -> None:
    """Writes the ads with all that belongs to them; written again, the later figures stand."""
    ads = tuple(ads)
    with transaction(engine) as connection:
        accounts.simulate(connection, NOW)
        accounts.ensure(connection, profile)
        revenue.record_configured(connection, profile.account, [_WON], NOW)
        entities.upsert_creatives(connection, profile.account, [a.creative for a in ads], NOW)
        entities.upsert_ads(connection, profile.account, [_ad(a) for a in ads], NOW)
        insights.upsert(connection, profile.account, [insight_of(a) for a in ads], NOW)
        won = [(a, f"{a.ad_id}-{n}") for a in ads for n in range(a.wins)]
        deals.upsert_deals(
            connection, profile.account, [_deal(number) for _, number in won], source="file", read_at=NOW
        )
        attributions.upsert(connection, profile.account, [[_credit(a, number) for a, number in won]], NOW)


_WON = StageValue(
    pipeline="default",
    stage="closedwon",
    value=WIN,
    confidence=1.0,
    outcome=Outcome.WON,
    effective_from=datetime(2000, 1, 1, tzinfo=UTC),
)


def _ad(shown: Shown) -> Ad:
    return Ad(
        ad_id=AdId(shown.ad_id),
        ad_set_id=AdSetId("s1"),
        campaign_id=CampaignId(shown.campaign),
        name=f"Ad {shown.ad_id}",
        status="ACTIVE",
        effective_status="ACTIVE",
        creative_id=shown.creative.creative_id,
    )


def insight_of(shown: Shown) -> Insight:
    """The ad's figures as one reading of its day."""
    return Insight(
        ad_id=AdId(shown.ad_id),
        ad_set_id=AdSetId("s1"),
        campaign_id=CampaignId(shown.campaign),
        first_day=shown.day,
        day=shown.day,
        impressions=5000,
        clicks=shown.clicks,
        link_clicks=40,
        spend=shown.spend,
        leads=0,
        purchases=0,
        purchase_value=0,
        windows="7d_click",
    )


def _deal(number: str) -> Deal:
    return Deal(
        deal_id=DealId(number),
        pipeline="default",
        stage="closedwon",
        amount=WIN,
        currency="USD",
        created_at=_noon(LONG_AGO),
        closed_at=None,
        modified_at=_noon(LONG_AGO),
    )


def _credit(shown: Shown, number: str) -> Attribution:
    return Attribution(
        deal_id=DealId(number),
        ad_id=AdId(shown.ad_id),
        method=Method.URL_PARAM,
        confidence=1.0,
        evidence={},
        converted_at=_noon(shown.day),
    )


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
