"""An account's rows written as the syncs write them, for tests of what is read back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, entities, insights, revenue
from adctl.adapters.store.history import AccountHistory, account_history
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Deal, Outcome, Stage, StageMove
from adctl.domain.entities import Ad, AdSet, Campaign
from adctl.domain.ids import Account, AdId, AdSetId, CampaignId, DealId
from adctl.domain.insights import Insight
from adctl.domain.revenue import StageValue

MAIN = Account("main")
ZONE = ZoneInfo("America/New_York")
DAY = date(2026, 3, 10)
# Two days and a half after the clocks went forward: days are counted in hours all the same.
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=ZONE)
END = datetime(2026, 3, 11, 0, 0, tzinfo=ZONE).astimezone(UTC)
PROFILE = AccountProfile(
    account=MAIN, meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="America/New_York"
)
STAGES = (("new", Outcome.OPEN), ("met", Outcome.OPEN), ("won", Outcome.WON), ("lost", Outcome.LOST))


def days_ago(days: float) -> datetime:
    return END - timedelta(days=days)


class Books:
    """Writes an account's rows as the syncs do."""

    def __init__(self, engine: Engine, *, budget: int = 10_000) -> None:
        self.engine = engine
        with transaction(engine) as connection:
            accounts.simulate(connection, NOW)
            accounts.ensure(connection, PROFILE)
            campaign = Campaign(campaign_id=CampaignId("c1"), name="c", status="ACTIVE", effective_status="ACTIVE")
            ad_set = AdSet(
                ad_set_id=AdSetId("s1"),
                campaign_id=CampaignId("c1"),
                name="s",
                status="ACTIVE",
                effective_status="ACTIVE",
                daily_budget=budget,
            )
            entities.upsert_campaigns(connection, MAIN, [campaign], NOW)
            entities.upsert_ad_sets(connection, MAIN, [ad_set], NOW)
        self.stages("default", STAGES)
        self.values(*(("default", stage, 1_000 * place, outcome) for place, (stage, outcome) in enumerate(STAGES)))

    def ads(self, *names: str, created: float = 30.0, status: str = "ACTIVE") -> None:
        rows = [
            Ad(
                ad_id=AdId(name),
                ad_set_id=AdSetId("s1"),
                campaign_id=CampaignId("c1"),
                name=name,
                status=status,
                effective_status=status,
                created_at=days_ago(created),
            )
            for name in names
        ]
        with transaction(self.engine) as connection:
            entities.upsert_ads(connection, MAIN, rows, NOW)

    def spend(self, ad: str, amount: int, *, ago: int = 1, leads: int = 0, read: float = 0.5) -> None:
        row = Insight(
            ad_id=AdId(ad),
            day=DAY - timedelta(days=ago),
            first_day=DAY - timedelta(days=ago),
            ad_set_id=AdSetId("s1"),
            campaign_id=CampaignId("c1"),
            impressions=1_000,
            clicks=20,
            link_clicks=20,
            spend=amount,
            leads=leads,
            purchases=0,
            purchase_value=0,
            windows="7d_click",
        )
        with transaction(self.engine) as connection:
            insights.upsert(connection, MAIN, [row], days_ago(read))

    def stages(self, pipeline: str, stages: tuple[tuple[str, Outcome], ...]) -> None:
        rows = [
            Stage(pipeline=pipeline, stage=stage, label=stage.title(), position=place, outcome=outcome)
            for place, (stage, outcome) in enumerate(stages)
        ]
        with transaction(self.engine) as connection:
            deals.upsert_stages(connection, MAIN, rows, NOW)

    def values(self, *rows: tuple[str, str, int, Outcome]) -> None:
        values = [
            StageValue(pipeline=pipeline, stage=stage, value=value, confidence=0.5, outcome=outcome, effective_from=NOW)
            for pipeline, stage, value, outcome in rows
        ]
        with transaction(self.engine) as connection:
            revenue.record_configured(connection, MAIN, values, NOW)

    def deal(
        self,
        deal_id: str,
        ad: str,
        *moves: tuple[str, float],
        stage: str | None = None,
        pipeline: str = "default",
        amount: int | None = None,
        currency: str = "USD",
        created: float | None = None,
    ) -> None:
        """A deal with its moves (stage, days ago); it stands in the last one unless `stage` says otherwise."""
        begun = created if created is not None else moves[0][1]
        last = stage or moves[-1][0]
        deal = Deal(
            deal_id=DealId(deal_id),
            pipeline=pipeline,
            stage=last,
            amount=amount,
            currency=currency,
            created_at=days_ago(begun),
            closed_at=None,
            modified_at=days_ago(moves[-1][1] if moves else begun),
        )
        rows = [
            StageMove(deal_id=DealId(deal_id), pipeline=pipeline, stage=name, at=days_ago(ago)) for name, ago in moves
        ]
        with transaction(self.engine) as connection:
            deals.upsert_deals(connection, MAIN, [deal], source="hubspot", read_at=NOW)
            deals.insert_moves(connection, MAIN, rows)
            connection.execute(
                text("insert into attributions values ('main', :deal, :ad, 'url_param', 1, '{}', :at, :at)"),
                {"deal": deal_id, "ad": ad, "at": days_ago(begun)},
            )

    def read(self, *, day: date = DAY) -> AccountHistory:
        with transaction(self.engine, read_only=True, snapshot=True) as connection:
            return account_history(connection, PROFILE, day)
