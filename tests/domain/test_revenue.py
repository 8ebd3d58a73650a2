"""A deal is worth what its current stage says, whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.deals import Deal, Outcome
from adctl.domain.ids import DealId
from adctl.domain.revenue import (
    TEMPLATES,
    ForeignAmount,
    RevenueBook,
    StageValue,
    StageValues,
    SyntheticRevenue,
    UnmappedStage,
    revenue_book,
    standing_of,
    synthetic_revenue,
    taken_away,
    template_values,
    worth_together,
)
from adctl.errors import ConfigurationError

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
STAGES = {
    "101": "lead",
    "102": "appointment_scheduled",
    "103": "show_up",
    "104": "closed_won",
    "105": "closed_lost",
}
VALUES = StageValues(template_values("ptd_fitness", STAGES, pipeline="default", currency="USD", effective_from=START))


def a_deal(stage: str, *, deal_id: str = "1", amount: int | None = None, minute: int = 0) -> Deal:
    return Deal(
        deal_id=DealId(deal_id),
        pipeline="default",
        stage=stage,
        amount=amount,
        currency="USD",
        created_at=START,
        closed_at=None,
        modified_at=START + timedelta(minutes=minute),
    )


def worth(deal: Deal, values: StageValues = VALUES) -> tuple[int, int]:
    result = synthetic_revenue(deal, values, at=NOW, currency="USD")
    assert isinstance(result, SyntheticRevenue)
    return result.value, result.cash


def total(book: RevenueBook) -> int:
    return sum(revenue.value for revenue in book.revenues)


@pytest.mark.parametrize(
    ("stage", "value"), [("101", 0), ("102", 225_000), ("103", 900_000), ("104", 1_500_000), ("105", 0)]
)
def test_a_stage_gives_its_value(stage: str, value: int) -> None:
    assert worth(a_deal(stage))[0] == value


def test_a_won_deal_is_worth_its_amount_and_that_is_cash() -> None:
    assert worth(a_deal("104", amount=1_234_567)) == (1_234_567, 1_234_567)


def test_a_won_deal_without_amount_has_a_value_but_no_cash() -> None:
    assert worth(a_deal("104")) == (1_500_000, 0)


def test_a_won_deal_of_amount_zero_is_worth_nothing() -> None:
    assert worth(a_deal("104", amount=0)) == (0, 0)


def test_an_open_deal_is_worth_its_stage_whatever_amount_is_hoped_for() -> None:
    assert worth(a_deal("102", amount=9_999_999)) == (225_000, 0)


def test_closed_lost_takes_the_value_away() -> None:
    before = revenue_book([a_deal("103")], VALUES, at=NOW, currency="USD")
    after = revenue_book([a_deal("103"), a_deal("105", amount=777, minute=1)], VALUES, at=NOW, currency="USD")

    assert (total(before), total(after)) == (900_000, 0)


def test_a_lost_deal_brings_no_cash_whatever_its_amount() -> None:
    assert worth(a_deal("105", amount=777)) == (0, 0)


@pytest.mark.parametrize("gone", [{"archived": True}, {"merged_into": DealId("2")}])
def test_of_two_readings_of_one_moment_the_one_that_is_gone_counts(gone: dict[str, Any]) -> None:
    there = a_deal("104", amount=500)
    readings = [there, replace(there, **gone)]

    assert total(revenue_book(readings, VALUES, at=NOW, currency="USD")) == 0
    assert total(revenue_book(reversed(readings), VALUES, at=NOW, currency="USD")) == 0


def test_an_archived_or_merged_deal_counts_nothing() -> None:
    assert worth(replace(a_deal("104", amount=500), archived=True)) == (0, 0)
    assert worth(replace(a_deal("104", amount=500), merged_into=DealId("2"))) == (0, 0)


def test_sketch_defect_duplicate_events_do_not_double_the_value() -> None:
    deal = a_deal("102")

    assert total(revenue_book([deal, deal, deal], VALUES, at=NOW, currency="USD")) == 225_000


@st.composite
def _disordered(draw: st.DrawFn) -> tuple[list[Deal], list[Deal]]:
    """Readings of a few deals, and the same readings repeated and shuffled."""
    readings = draw(
        st.lists(
            st.builds(
                a_deal,
                st.sampled_from(sorted(STAGES)),
                deal_id=st.sampled_from("123"),
                amount=st.none() | st.integers(0, 10**7),
                minute=st.integers(0, 5),
            ),
            max_size=12,
        )
    )
    again = draw(st.lists(st.sampled_from(readings), max_size=12)) if readings else []
    return readings, draw(st.permutations(readings + again))


@given(_disordered())
@settings(max_examples=200, deadline=None)
def test_replays_and_disorder_give_the_same_book(case: tuple[list[Deal], list[Deal]]) -> None:
    readings, disordered = case

    assert revenue_book(disordered, VALUES, at=NOW, currency="USD") == revenue_book(
        readings, VALUES, at=NOW, currency="USD"
    )


def test_every_unmapped_stage_is_named_and_the_rest_is_valued() -> None:
    deals = [
        a_deal("102", deal_id="1"),
        a_deal("999", deal_id="2"),
        replace(a_deal("102", deal_id="3"), pipeline="partners"),
    ]

    book = revenue_book(deals, VALUES, at=NOW, currency="USD")

    assert total(book) == 225_000
    assert book.problems == (
        UnmappedStage(deal_id=DealId("2"), pipeline="default", stage="999"),
        UnmappedStage(deal_id=DealId("3"), pipeline="partners", stage="102"),
    )
    assert str(book.problems[0]) == "deal 2: pipeline 'default', stage '999' has no stage value"


def test_sketch_defect_an_account_without_values_gets_nobody_elses() -> None:
    result = synthetic_revenue(a_deal("102"), StageValues([]), at=NOW, currency="USD")

    assert result == UnmappedStage(deal_id=DealId("1"), pipeline="default", stage="102")


def test_an_amount_in_another_currency_is_not_taken_for_the_accounts() -> None:
    deal = replace(a_deal("104", amount=500), currency="EUR")

    problem = synthetic_revenue(deal, VALUES, at=NOW, currency="USD")

    assert problem == ForeignAmount(deal_id=DealId("1"), currency="EUR", expected="USD")
    assert str(problem) == "deal 1: amount in EUR, the account counts in USD"


def test_an_open_deal_in_another_currency_needs_no_amount() -> None:
    assert worth(replace(a_deal("102", amount=500), currency="EUR"))[0] == 225_000


def a_value(value: int, effective_from: datetime) -> StageValue:
    return StageValue(
        pipeline="default",
        stage="102",
        value=value,
        confidence=0.6,
        outcome=Outcome.OPEN,
        effective_from=effective_from,
    )


def test_a_value_counts_from_its_own_moment_on() -> None:
    # given two values, written down in the wrong order
    change = datetime(2026, 2, 1, tzinfo=UTC)
    values = StageValues([a_value(200, change), a_value(100, START)])

    moments = [
        START - timedelta(microseconds=1),
        START,
        change - timedelta(microseconds=1),
        change,
        change + timedelta(days=400),
    ]
    found = [values.at("default", "102", moment) for moment in moments]

    assert [value.value if value else None for value in found] == [None, 100, 100, 200, 200]


@pytest.mark.parametrize(
    ("name", "values", "deal", "days", "rate"),
    [
        ("ptd_fitness", [0, 2250, 9000, 15000, 0], 15000, 6, 0.60),
        ("ecommerce", [15, 45, 60], 60, 0, 0.75),
        ("b2b_saas", [100, 2000, 3500, 6000, 10000], 10000, 45, 0.20),
    ],
)
def test_the_templates_hold_the_plans_figures(name: str, values: list[int], deal: int, days: int, rate: float) -> None:
    template = TEMPLATES[name]

    assert [stage.value for stage in template.stages] == values
    assert (template.average_deal, template.cycle_days, template.win_rate) == (deal, days, rate)
    assert sum(stage.outcome is Outcome.WON for stage in template.stages) == 1


def test_the_template_says_that_its_figure_is_not_the_one_derived() -> None:
    assert "1350; 2250 stays" in TEMPLATES["ptd_fitness"].note


def test_a_template_speaks_the_accounts_currency_and_stage_ids() -> None:
    values = template_values(
        "ecommerce", {"7": "purchase", "8": "purchase"}, pipeline="shop", currency="JPY", effective_from=START
    )

    assert [(value.pipeline, value.stage, value.value, value.outcome) for value in values] == [
        ("shop", "7", 60, Outcome.WON),
        ("shop", "8", 60, Outcome.WON),
    ]


def test_an_unknown_template_or_stage_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="stage template 'gym': unknown"):
        template_values("gym", {}, pipeline="p", currency="USD", effective_from=START)
    with pytest.raises(ConfigurationError, match="stage template ecommerce: no stage 'show_up'"):
        template_values("ecommerce", {"7": "show_up"}, pipeline="p", currency="USD", effective_from=START)


_ANY_DEALS = st.lists(
    st.tuples(
        st.sampled_from([*STAGES, "unmapped"]),
        st.sampled_from([None, 0, 5, 10**12, -7]),
        st.sampled_from(["USD", "EUR"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(found=_ANY_DEALS, left_out=st.integers(0, 12))
def test_deals_are_together_worth_what_a_book_of_them_says(
    found: list[tuple[str, int | None, str, bool]], left_out: int
) -> None:
    deals = [
        replace(a_deal(stage, deal_id=str(n), amount=amount), currency=currency, archived=archived)
        for n, (stage, amount, currency, archived) in enumerate(found)
    ]
    book = revenue_book(deals[left_out:], VALUES, at=NOW, currency="USD")
    standing = (*standing_of(deals), *map(taken_away, standing_of(deals[:left_out])))
    worth = worth_together(standing, VALUES, at=NOW, currency="USD")
    unmapped = Counter((p.pipeline, p.stage) for p in book.problems if isinstance(p, UnmappedStage))
    assert (worth.value, worth.cash) == (total(book), sum(one.cash for one in book.revenues))
    assert dict(worth.unmapped) == dict(unmapped)
    assert worth.foreign == len(book.problems) - unmapped.total()
