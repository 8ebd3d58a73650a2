"""What a policy reads of an account, from PostgreSQL's rows to its columns and on to the evidence of a verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from adctl.domain.deal_worth import worth
from adctl.domain.deals import Deal, Outcome
from adctl.domain.ids import DealId
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory, Evidence
from adctl.domain.revenue import StageValue, StageValues, SyntheticRevenue, UnmappedStage, synthetic_revenue
from tests.books import DAY, STAGES, Books


@pytest.fixture
def books(engine: Engine) -> Books:
    return Books(engine)


def funnel(history: AdHistory) -> list[list[float | None]]:
    """Each deal's days since it entered each stage, rounded, None where it never did."""
    return [[None if np.isnan(days) else round(days, 3) for days in row] for row in history.deal_entered.tolist()]


def test_a_deals_way_is_its_first_entry_into_each_stage_or_a_later_one(books: Books) -> None:
    books.ads("a1", "a2")
    books.deal("d1", "a2", ("new", 9.0), ("met", 7.0), ("new", 6.0), ("met", 5.0), ("won", 3.5), amount=777)
    books.deal("d2", "a1", ("new", 8.0), ("won", 2.0))
    books.deal("d3", "a1", ("new", 4.0))
    history = books.read().history
    assert history.stages == ("new", "met", "won")
    assert history.ad_ids == ("a1", "a2")
    assert history.deal_ad.tolist() == [0, 0, 1]
    assert funnel(history) == [[8.0, 2.0, 2.0], [4.0, None, None], [9.0, 7.0, 3.5]]
    assert history.deal_days_ago.tolist() == [8, 4, 9]
    # What was won without an amount brought its stage's value.
    assert history.deal_value.tolist() == [2_000, 0, 777]
    assert history.deal_cash.tolist() == [0, 0, 777]
    assert np.isnan(history.deal_lost).all()


def test_a_lost_deal_is_lost_since_it_was_last_marked_and_one_taken_up_again_is_open(books: Books) -> None:
    books.ads("a1")
    books.deal("d1", "a1", ("new", 9.0), ("lost", 7.0), ("met", 6.0), ("lost", 2.0))
    books.deal("d2", "a1", ("new", 8.0), ("lost", 7.0), ("met", 3.0))
    books.deal("d3", "a1", ("new", 7.5), ("won", 5.0), ("lost", 1.0), amount=900)
    history = books.read().history
    assert funnel(history) == [[9.0, 6.0, None], [8.0, 3.0, None], [7.5, 5.0, None]]
    assert [None if np.isnan(days) else round(days, 3) for days in history.deal_lost] == [2.0, None, 1.0]
    assert history.deal_value.tolist() == [0, 1_000, 0]
    assert history.deal_cash.tolist() == [0, 0, 0]


def test_a_stage_that_no_move_tells_of_was_reached_when_the_deal_was_last_touched(books: Books) -> None:
    books.ads("a1")
    books.deal("d1", "a1", ("new", 9.0), stage="met")
    books.deal("d2", "a1", stage="lost", created=4.0)
    history = books.read().history
    assert funnel(history) == [[9.0, 9.0, None], [None, None, None]]
    assert history.deal_lost.tolist()[1] == pytest.approx(4.0)


def test_the_stages_of_another_pipeline_stand_on_the_steps_of_the_one_with_most_deals(books: Books) -> None:
    books.ads("a1")
    books.stages("2", (("20", Outcome.OPEN), ("21", Outcome.OPEN), ("22", Outcome.WON), ("23", Outcome.LOST)))
    books.values(("2", "20", 5, Outcome.OPEN), ("2", "21", 6, Outcome.OPEN), ("2", "22", 7, Outcome.WON))
    books.deal("d1", "a1", ("new", 5.0))
    books.deal("d2", "a1", ("new", 4.0))
    books.deal("d3", "a1", ("20", 3.0), ("21", 2.0), ("22", 1.0), pipeline="2")
    assert funnel(books.read().history)[2] == [3.0, 2.0, 1.0]


def test_a_stage_without_a_value_is_named_and_its_deal_still_counts_by_where_it_stands(books: Books) -> None:
    books.ads("a1")
    books.stages("default", (*STAGES[:2], ("signed", Outcome.OPEN), *STAGES[2:]))
    books.deal("d1", "a1", ("new", 5.0), ("signed", 2.0))
    books.deal("d2", "a1", ("new", 5.0), ("nobody-knows", 1.0))
    found = books.read()
    assert found.unvalued.unmapped == {("default", "signed"): 1, ("default", "nobody-knows"): 1}
    assert found.history.stages == ("new", "met", "signed", "won")
    assert funnel(found.history) == [[5.0, 2.0, 2.0, None], [5.0, None, None, None]]
    assert found.history.deal_value.tolist() == [0, 0]


def test_an_amount_in_another_currency_is_a_win_of_unknown_worth(books: Books) -> None:
    books.ads("a1")
    books.deal("d1", "a1", ("new", 5.0), ("won", 2.0), amount=500, currency="EUR")
    found = books.read()
    assert (found.unvalued.foreign, found.history.deal_cash.tolist()) == (1, [0])
    assert funnel(found.history) == [[5.0, 2.0, 2.0]]


def test_a_deal_is_its_own_ads_and_nobodys_when_no_known_ad_brought_it(books: Books) -> None:
    books.deal("d0", "of another time", ("new", 2.0))
    assert len(books.read().history.deal_ad) == 0
    books.ads("a1", "a2")
    books.deal("d1", "a2", ("new", 5.0))
    books.deal("d2", "a1", ("new", 3.0))
    assert (books.read().history.deal_ad.tolist(), books.read().history.deal_days_ago.tolist()) == ([0, 1], [3, 5])


def test_later_days_do_not_exist_yet(books: Books) -> None:
    books.ads("a1")
    books.spend("a1", 100, ago=5)
    books.spend("a1", 900, ago=1)
    books.deal("d1", "a1", ("new", 6.0), ("met", 0.9))
    books.deal("d2", "a1", ("new", 1.2))
    history = books.read(day=DAY - timedelta(days=3)).history
    assert history.row_spend.tolist() == [100]
    assert history.row_days_ago.tolist() == [2]
    assert len(history.deal_ad) == 1
    assert np.isfinite(history.deal_entered).sum(axis=1).tolist() == [2]


def test_rows_come_by_ad_the_oldest_first_however_many_days_are_read_at_once(books: Books) -> None:
    books.ads("b", "a")
    for ago in (300, 40, 3, 1, 0):
        books.spend("b", ago + 1, ago=ago)
        books.spend("a", ago + 2, ago=ago)
    history = books.read().history
    assert history.row_ad.tolist() == [0] * 5 + [1] * 5
    assert history.row_days_ago.tolist() == [300, 40, 3, 1, 0] * 2
    assert history.row_spend.tolist() == [302, 42, 5, 3, 2, 301, 41, 4, 2, 1]


def test_each_row_stands_at_its_own_ad_and_those_of_an_unknown_ad_are_left_out(books: Books) -> None:
    books.ads(*(f"ad {n}" for n in range(300)))
    asked = [(f"ad {n}", n % 7, n + 1, n * 1_000) for n in range(0, 300, 25)]
    for ad, ago, amount, leads in asked:
        books.spend(ad, amount, ago=ago, leads=leads)
    books.spend("of another time", 5)
    history = books.read().history
    ids = [history.ad_ids[place] for place in history.row_ad]
    figures = (history.row_days_ago, history.row_spend, history.row_leads)
    assert list(zip(ids, *(column.tolist() for column in figures), strict=True)) == sorted(asked)


def evidence_of(history: AdHistory, ad: str) -> Evidence:
    return BayesPolicy().decide(history).verdicts[history.ad_ids.index(ad)].evidence


def test_what_stands_in_the_database_is_what_a_verdict_rests_on(books: Books) -> None:
    books.ads("a1", "a2")
    for ad in ("a1", "a2"):
        for ago in range(1, 20):
            books.spend(ad, 5_000, ago=ago)
    for number in range(6):
        books.deal(f"w{number}", "a1", ("new", 18.0), ("met", 15.0), ("won", 12.0), amount=40_000)
        books.deal(f"o{number}", "a1", ("new", 3.0))
    books.deal("l1", "a2", ("new", 16.0), ("met", 14.0), ("lost", 10.0))
    good, poor = (evidence_of(books.read().history, ad) for ad in ("a1", "a2"))
    assert (good["spend"], good["deals"], good["won_deals"], good["clicks"]) == (95_000, 12.0, 6, 380)
    assert (good["came_met"], good["passed_met"], good["waiting_met"]) == (12, 6, 6)
    assert (good["came_won"], good["passed_won"]) == (6, 6)
    assert (poor["came_met"], poor["passed_met"], poor["passed_won"]) == (1, 1, 0)
    for key in ("wins_expected", "wins_expected_in_days", "mature_spend"):
        assert isinstance(value := good[key], float | int)
        assert value > 0
    ledger = sum(value for key, value in good.items() if key.startswith("log_") and isinstance(value, float))
    assert isinstance(roas := good["roas"], float)
    assert ledger == pytest.approx(np.log(roas), abs=1e-6)


def test_a_deal_dated_before_its_ad_existed_is_ignored_and_counted(books: Books) -> None:
    books.ads("a1", created=5.0)
    books.spend("a1", 5_000)
    books.deal("d1", "a1", ("new", 20.0), ("won", 15.0), amount=40_000)
    books.deal("d2", "a1", ("new", 3.0))
    evidence = evidence_of(books.read().history, "a1")
    assert (evidence["deals_ignored"], evidence["deals"], evidence["won_deals"]) == (1, 1.0, 0)


_DEALS = st.lists(
    st.tuples(st.sampled_from(["new", "met", "won", "lost", "other"]), st.none() | st.integers(0, 9), st.booleans()),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(_DEALS)
def test_many_deals_are_worth_what_each_is_alone(found: list[tuple[str, int | None, bool]]) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    names = ["new", "met", "won", "lost", "other"]
    values = StageValues(
        StageValue(pipeline="p", stage=s, value=7 * k, confidence=1, outcome=o, effective_from=moment)
        for k, (s, o) in enumerate(STAGES, start=1)
    )
    told = worth(
        np.array([names.index(stage) for stage, _, _ in found], dtype=np.int64),
        np.array([-1 if amount is None else amount for _, amount, _ in found], dtype=np.int64),
        np.array([other for _, _, other in found], dtype=np.bool_),
        [values.at("p", name, moment) for name in names],
    )
    for place, (stage, amount, other) in enumerate(found):
        deal = Deal(
            deal_id=DealId("d"),
            pipeline="p",
            stage=stage,
            amount=amount,
            currency="EUR" if other else "USD",
            created_at=None,
            closed_at=None,
            modified_at=moment,
        )
        alone = synthetic_revenue(deal, values, at=moment, currency="USD")
        if isinstance(alone, SyntheticRevenue):
            assert (told.value[place], told.cash[place]) == (alone.value, alone.cash)
            assert not told.unmapped[place]
            assert not told.foreign[place]
        else:
            assert (told.value[place], told.cash[place]) == (0, 0)
            assert told.unmapped[place] == isinstance(alone, UnmappedStage) != told.foreign[place]
