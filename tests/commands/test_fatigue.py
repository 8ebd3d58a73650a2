"""Fatigue from stored insights through to the decision's evidence and the list of winners."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import fatigue, insights
from adctl.cli.wiring import creative_embedder
from adctl.commands import decide, index_winners, status, why, winners_list
from adctl.domain.ids import AdId
from adctl.domain.insights import Insight
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.winners import WinnerRule
from tests.builders import Loop, table
from tests.commands.winner_rows import ADS, MAIN, NOW, STRONG, fill, insight_of

RULE = WinnerRule(target_roas=2.0, target_cost_per_win=0, minimum_spend=50_00)


def worn_days(*, reach: bool = True) -> list[Insight]:
    """Three weeks of the strong ad: its click rate halves while its audience sees it ever more often."""
    return [
        replace(
            insight_of(STRONG),
            first_day=day,
            day=day,
            impressions=3000,
            spend=20_00,
            clicks=90 - 2 * age,
            reach=2500 - 60 * age if reach else None,
        )
        for age in range(21)
        for day in [NOW.date() - timedelta(days=21 - age)]
    ]


def store(engine: Engine, days: list[Insight]) -> None:
    with transaction(engine) as connection:
        insights.upsert(connection, MAIN.account, days, NOW)


def test_a_worn_winner_is_listed_with_its_evidence(engine: Engine, tmp_path: Path) -> None:
    fill(engine)
    store(engine, worn_days())
    index_winners.run(engine, MAIN, creative_embedder(), RULE, index_directory=tmp_path)

    report = winners_list.run(engine, MAIN)

    (note,) = report.notes
    assert note.startswith("Ad 11 wears out: CTR 2.93% → 1.73% while frequency 1.23 → 2.21 over 7 points")
    assert {row["creative"]: row["tired"] for row in report.tables[0].rows}[str(STRONG.creative.headline)] == 1


def test_figures_without_reach_flag_nobody(engine: Engine) -> None:
    fill(engine)
    store(engine, worn_days(reach=False))

    with transaction(engine, read_only=True) as connection:
        found = fatigue.of_ads(connection, MAIN.account, [AdId(ad.ad_id) for ad in ADS], NOW.date())

    assert found.flagged.tolist() == [False] * len(ADS)
    assert found.points.tolist() == [0] * len(ADS)


def test_a_decision_carries_the_flag_and_pauses_nothing_for_it(engine: Engine) -> None:
    fill(engine)
    store(engine, worn_days())

    report = decide.run(engine, MAIN, BayesPolicy(), run_id=uuid4(), dry_run=True)

    row = next(row for row in table(report, "ads").rows if row["ad_id"] == STRONG.ad_id)
    assert (row["fatigued"], row["fatigue_points"]) == (True, 7)
    assert row["verdict"] != "kill"


def test_why_tells_of_the_fatigue_with_its_evidence(engine: Engine) -> None:
    fill(engine)
    store(engine, worn_days())
    decide.run(engine, MAIN, BayesPolicy(), run_id=uuid4())

    (worn, _), (other,) = (why.run(engine, MAIN, ad.ad_id).notes for ad in (STRONG, ADS[1]))

    assert worn.startswith("It wears out: CTR 2.93% → 1.73% while frequency 1.23 → 2.21 over 7 points.")
    assert "wears out" not in other


def test_the_stand_ins_audience_tires_and_its_reach_is_stored(synced: Loop) -> None:
    rows = synced.rows("insights")

    assert all(0 < row["reach"] <= row["impressions"] for row in rows if row["impressions"] > 10)
    first, last = min(row["day"] for row in rows), max(row["day"] for row in rows)
    often = {
        day: sum(row["impressions"] for row in rows if row["day"] == day)
        / sum(row["reach"] for row in rows if row["day"] == day)
        for day in (first, last)
    }
    assert often[last] > often[first] * 1.02


def test_status_lists_what_wears_out(engine: Engine) -> None:
    fill(engine)
    store(engine, worn_days())

    hours = timedelta(hours=24)
    report = status.run(engine, MAIN, status.Expectations(insights_age=hours, crm_age=hours, cap=None))

    (table,) = [table for table in report.tables if table.key == "fatigue"]
    assert [row["ad_id"] for row in table.rows] == ["11"]
    assert "over 7 points" in str(table.rows[0]["evidence"])
