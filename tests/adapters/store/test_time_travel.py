"""No look-ahead: whatever became known later, in any order, a day of the past reads as it read on that day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, deals, entities, insights, revenue
from adctl.adapters.store.history import account_history
from adctl.adapters.store.time_travel import as_known
from adctl.domain.attribution import Attribution, Method
from adctl.domain.deals import Deal, Outcome, Stage, StageMove
from adctl.domain.entities import Ad, AdSet
from adctl.domain.ids import AdId, AdSetId, CampaignId, DealId
from adctl.domain.insights import Insight
from adctl.domain.revenue import StageValue
from tests.books import MAIN, NOW, PROFILE, STAGES, ZONE, Books

STEPS, ADS, DEALS = 24, 4, 6


class Life:
    """One thing after the other becomes known of an account; `now` only grows, what is told may be of any day."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.now = NOW
        self.happenings: tuple[Callable[[Connection], object], ...] = (
            self.spends,
            self.spends,
            self.moves,
            self.moves,
            self.is_credited,
            self.is_budgeted,
            self.runs_or_not,
            self.is_valued,
            self.reports,
            self.is_ordered,
        )

    def goes_on(self, connection: Connection) -> None:
        self.now += timedelta(hours=float(self.rng.uniform(0.5, 30)))
        accounts.simulate(connection, self.now)
        for place in self.rng.integers(0, len(self.happenings), 3):
            self.happenings[place](connection)

    def below(self, most: int) -> int:
        return int(self.rng.integers(0, most))

    def past(self, days: int) -> datetime:
        return self.now - timedelta(days=self.below(days), hours=1)

    def spends(self, connection: Connection) -> None:
        day = self.past(5).astimezone(ZONE).date()
        row = Insight(
            ad_id=AdId(f"a{self.below(ADS)}"),
            day=day,
            first_day=day,
            ad_set_id=AdSetId("s1"),
            campaign_id=CampaignId("c1"),
            impressions=1_000,
            clicks=self.below(40),
            link_clicks=0,
            spend=self.below(9_000),
            leads=self.below(3),
            purchases=0,
            purchase_value=0,
            windows="7d_click",
            reach=self.below(900),
        )
        insights.upsert(connection, MAIN, [row], self.now)

    def moves(self, connection: Connection) -> None:
        name, stage, at = DealId(f"d{self.below(DEALS)}"), STAGES[self.below(4)][0], self.past(9)
        deal = Deal(
            deal_id=name,
            pipeline="default",
            stage=stage,
            amount=self.below(90_000),
            currency="USD",
            created_at=at if self.below(2) else NOW,
            closed_at=None,
            modified_at=at,
            archived=self.below(6) == 0,
        )
        deals.upsert_deals(connection, MAIN, [deal], source="hubspot", read_at=self.now)
        deals.insert_moves(connection, MAIN, [StageMove(deal_id=name, pipeline="default", stage=stage, at=at)])

    def is_credited(self, connection: Connection) -> None:
        ad = AdId(f"a{self.below(ADS)}") if self.below(5) else None
        credit = Attribution(
            deal_id=DealId(f"d{self.below(DEALS)}"),
            ad_id=ad,
            method=Method.NONE if ad is None else Method.URL_PARAM,
            confidence=0.0 if ad is None else 1.0,
            evidence={},
            converted_at=self.past(9),
        )
        attributions.upsert(connection, MAIN, [[credit]], self.now)

    def is_budgeted(self, connection: Connection) -> None:
        ad_set = AdSet(
            ad_set_id=AdSetId("s1"),
            campaign_id=CampaignId("c1"),
            name="s",
            status="ACTIVE",
            effective_status="ACTIVE",
            daily_budget=1_000 + self.below(9_000),
        )
        entities.upsert_ad_sets(connection, MAIN, [ad_set], self.now)

    def runs_or_not(self, connection: Connection) -> None:
        status, name = ("ACTIVE", "PAUSED")[self.below(2)], f"a{self.below(ADS)}"
        ad = Ad(
            ad_id=AdId(name),
            ad_set_id=AdSetId("s1"),
            campaign_id=CampaignId("c1"),
            name=name,
            status=status,
            effective_status=status,
            created_at=NOW,
        )
        entities.upsert_ads(connection, MAIN, [ad], self.now)

    def is_valued(self, connection: Connection) -> None:
        value = StageValue(
            pipeline="default",
            stage="met",
            value=self.below(5_000),
            confidence=0.5,
            outcome=Outcome.OPEN,
            effective_from=self.now,
        )
        revenue.record_configured(connection, MAIN, [value], self.now)

    def reports(self, connection: Connection) -> None:
        attributions.upsert_performances(connection, MAIN, {AdId("a0"): self.below(70_000)}, self.now)

    def is_ordered(self, connection: Connection) -> None:
        order = [*self.rng.permutation(2).tolist(), 2, 3]
        rows = [
            Stage(pipeline="default", stage=name, label=name, position=place, outcome=outcome)
            for (name, outcome), place in zip(STAGES, order, strict=True)
        ]
        deals.upsert_stages(connection, MAIN, rows, self.now)


def read(connection: Connection, day: date) -> dict[str, str]:
    """Every column that a policy reads, and whose budgets there are."""
    found = account_history(connection, PROFILE, day)
    columns = {one.name: getattr(found.history, one.name) for one in fields(found.history)}
    columns |= {"owners": found.owned.owners, "status": found.ads.status}
    return {key: repr(value.tolist() if isinstance(value, np.ndarray) else value) for key, value in columns.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_moment_of_the_past_reads_as_it_read_then(engine: Engine, seed: int) -> None:
    Books(engine).ads(*(f"a{place}" for place in range(ADS - 1)), created=9.0)
    life, then = Life(seed), []
    for _ in range(STEPS):
        with transaction(engine) as connection:
            life.goes_on(connection)
        with transaction(engine, read_only=True, snapshot=True) as connection:
            # Not every day is decided on itself.
            day = life.past(3).astimezone(ZONE).date()
            then.append((life.now, day, read(connection, day)))
    assert len({repr(columns) for _, _, columns in then}) > STEPS / 2
    for at, day, columns in then:
        with as_known(engine, MAIN, at) as connection:
            assert read(connection, day) == columns
