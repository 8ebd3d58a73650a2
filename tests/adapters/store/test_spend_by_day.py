"""Spend by days: none before the first figure of all, nothing where there is a gap."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, insights
from adctl.domain.accounts import AccountProfile
from adctl.domain.ids import Account, AdId, AdSetId, CampaignId
from adctl.domain.insights import Insight

MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="UTC"
)
NOW = datetime(2026, 3, 12, tzinfo=UTC)


def spent(engine: Engine, *days: tuple[int, int]) -> list[int]:
    """With the spend of those days of March told."""
    told = [
        Insight(
            ad_id=AdId("31"),
            ad_set_id=AdSetId("2"),
            campaign_id=CampaignId("1"),
            first_day=date(2026, 3, day),
            day=date(2026, 3, day),
            impressions=1,
            clicks=1,
            link_clicks=1,
            spend=spend,
            leads=0,
            purchases=0,
            purchase_value=0,
            windows="default",
        )
        for day, spend in days
    ]
    with transaction(engine) as connection:
        accounts.ensure(connection, MAIN)
        insights.upsert(connection, MAIN.account, told, NOW)
        return insights.spend_by_day(connection, MAIN.account, date(2026, 3, 8), date(2026, 3, 12))


def test_days_before_the_first_figure_are_left_out_and_later_ones_without_any_count_nothing(engine: Engine) -> None:
    assert spent(engine) == [0, 0, 0, 0]
    assert spent(engine, (12, 9)) == []
    assert spent(engine, (11, 5)) == [5]
    assert spent(engine, (9, 7)) == [7, 0, 5]
    assert spent(engine, (2, 3)) == [0, 7, 0, 5]
