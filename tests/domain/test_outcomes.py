"""Outcomes, margins and judged verdicts: figures that a person can check by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from adctl.domain.judged import judged
from adctl.domain.margins import DayReturn, budgets_of, compare, day_return, hindsight, worth
from adctl.domain.outcomes import Dated, Outcomes, Window, outcomes
from adctl.domain.policies.protocol import AdHistory, AdVerdict, Floats, Verdict
from adctl.domain.said import Said, said_from_rows, said_of

TODAY = date(2026, 6, 30)
NAN = float("nan")


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def history(ads: int, rows: list[tuple[int, int, int]], deals: list[tuple[int, int, int]]) -> AdHistory:
    """Rows of (ad, days ago, spend) and deals of (ad, days ago, value)."""
    row, deal = np.array(rows, dtype=np.int64).reshape(-1, 3), np.array(deals, dtype=np.int64).reshape(-1, 3)
    none = np.zeros(len(row), dtype=np.int64)
    return AdHistory(
        account="main",
        day=TODAY,
        currency="USD",
        minor_per_major=100,
        ad_ids=tuple("abcdefgh"[:ads]),
        campaign=np.zeros(ads, dtype=np.int64),
        active=np.ones(ads, dtype=np.bool_),
        age_hours=np.full(ads, 999.0),
        budget=np.full(ads, 1000, dtype=np.int64),
        row_ad=row[:, 0],
        row_days_ago=row[:, 1],
        row_impressions=none,
        row_clicks=none,
        row_spend=row[:, 2],
        row_leads=none,
        deal_ad=deal[:, 0],
        deal_days_ago=deal[:, 1],
        deal_value=deal[:, 2],
        deal_cash=np.zeros(len(deal), dtype=np.int64),
    )


def dated(daily: Floats) -> Dated:
    """What each ad had on each day, (days, ads), today first."""
    days, ads = daily.shape
    return Dated(ad=np.tile(np.arange(ads), days), amount=daily.ravel(), ends=np.arange(days + 1) * ads)


def said(*rows: tuple[bool, int, int], p_wrong: float = NAN, bar: float = NAN, above: bool = False) -> Said:
    """Rows of (kill, current, wanted)."""
    return said_from_rows(tuple("abcdefgh"[: len(rows)]), [(*row, p_wrong, bar, above) for row in rows])


def even(ads: int, ago: int, *, returns: list[float]) -> Outcomes:
    """Each ad spent 100 on each day, and each day's money brought its return."""
    rows = [(ad, before, 100) for ad in range(ads) for before in range(ago)]
    deals = [(ad, before, round(100 * returns[ad])) for ad in range(ads) for before in range(ago)]
    return outcomes(history(ads, rows, deals), days=ago)


def test_an_outcome_is_the_money_after_the_decision_and_not_that_of_its_day() -> None:
    found = outcomes(history(2, [(0, 10, 7), (0, 9, 100), (0, 3, 40), (0, 2, 5), (1, 9, 1)], [(0, 9, 300)]), days=30)
    spend, value = found.after(day(10), 7)
    assert (spend.tolist(), value.tolist()) == ([140, 1], [300, 0])
    assert found.matured(day(10), horizon=7, maturity=3)
    assert not found.matured(day(10), horizon=7, maturity=4)
    assert Window(horizon=7, maturity=4).due(day(10)) == day(-1)


def test_days_without_any_money_after_them_say_nothing_of_budgets() -> None:
    spent = [(ad, ago, 100) for ad in range(3) for ago in range(20, 31)]
    found = outcomes(history(3, spent, [(0, ago, 300) for ago in range(20, 31)]), days=40)
    model = said((False, 1000, 1000), (False, 1000, 1000), (False, 1000, 1000))
    known, gap = {day(ago): model for ago in (29, 28)}, {day(ago): model for ago in (19, 15, 12)}
    other = {one: said((False, 1000, 1200), (False, 1000, 900), (False, 1000, 900)) for one in known | gap}

    alone = compare(known, other, found, horizon=7, maturity=1)
    both = compare(known | gap, other, found, horizon=7, maturity=1)

    assert both == alone
    assert alone is not None
    assert alone.days == 2
    assert alone.ours == pytest.approx(1.0)
    assert compare(gap, other, found, horizon=7, maturity=1) is None
    assert [found.tells(day(ago), horizon=7, maturity=1) for ago in (21, 20, 8)] == [True, False, False]


def test_ads_that_are_left_out_have_no_outcome() -> None:
    found = outcomes(history(2, [(0, 3, 5), (1, 3, 5)], [(1, 3, 9)]), days=9, left_out={"b"})
    assert [column.tolist() for column in found.between(day(9), TODAY)] == [[5, 0], [0, 0], [0, 0]]


def test_the_lead_is_what_the_moved_money_would_have_brought() -> None:
    champion, challenger = (
        said((False, 10_000, 10_000), (False, 10_000, 10_000)),
        said((False, 10_000, 12_000), (False, 10_000, 8_000)),
    )
    margin = compare({day(9): champion}, {day(9): challenger}, even(2, 20, returns=[3, 1]), horizon=2, maturity=3)
    assert margin is not None
    assert (margin.days, margin.ads, margin.unseen) == (1, 2, 0)
    told = [margin.ours, margin.theirs, margin.lead.mean, margin.moved]
    assert told == pytest.approx([2.0, 2.2, 0.2, 0.1])


def test_equal_wishes_have_no_lead_and_their_interval_holds_0() -> None:
    one = said((False, 10_000, 12_000), (False, 10_000, 8_000), (False, 10_000, 9_000))
    margin = compare({day(9): one}, {day(9): one}, even(3, 20, returns=[3, 1, 2]), horizon=2, maturity=3)
    assert margin is not None
    assert (margin.lead.mean, margin.lead.low, margin.lead.high) == (0, 0, 0)


def test_two_ads_can_be_told_apart_by_luck_alone_and_exclude_nothing() -> None:
    """What one gains the other is kept from: both gain when the better one was raised, as it is half of the time."""
    champion, challenger = (
        said((False, 10_000, 10_000), (False, 10_000, 10_000)),
        said((False, 10_000, 12_000), (False, 10_000, 8_000)),
    )
    margin = compare({day(9): champion}, {day(9): challenger}, even(2, 20, returns=[3, 1]), horizon=2, maturity=3)
    assert margin is not None
    assert (margin.lead.low, margin.lead.high) == (-np.inf, np.inf)


@pytest.mark.parametrize("ads", [3, 5, 8])
def test_of_few_ads_luck_alone_seldom_excludes_0(ads: int) -> None:
    """Wishes that know nothing of the returns: one in forty may look better by its interval."""
    rng, lucky, rounds = np.random.Generator(np.random.PCG64(ads)), 0, 100
    champion = said_from_rows(tuple(map(str, range(ads))), [(False, 10_000, 10_000, NAN, NAN, False)] * ads)
    spend = np.full((9, ads), 100.0)
    for _ in range(rounds):
        wishes = [(False, 10_000, int(wish), NAN, NAN, False) for wish in rng.integers(8_000, 12_000, ads)]
        value, deals = dated(spend * rng.gamma(2.0, 0.5, ads)), dated(spend)
        found = Outcomes(day=TODAY, days=9, ad_ids=champion.ad_ids, spend=dated(spend), value=value, deals=deals)
        theirs = {day(5): said_from_rows(champion.ad_ids, wishes)}
        margin = compare({day(5): champion}, theirs, found, horizon=2, maturity=2)
        assert margin is not None
        lucky += margin.lead.low > 0
    assert lucky / rounds <= 0.04


def test_an_ad_that_is_cut_is_paused_as_on_the_platform() -> None:
    one = AdVerdict(
        ad_id="a", verdict=Verdict.CUT, current_budget=9, budget=1, confidence=1.0, reason="poor", evidence={}
    )
    assert said_of([one, replace(one, verdict=Verdict.KEEP)]).kill.tolist() == [True, False]


def test_only_days_that_both_decided_and_that_matured_count() -> None:
    one = said((False, 10_000, 10_000), (False, 10_000, 10_000))
    found = even(2, 40, returns=[1, 1])
    ours, theirs = {day(ago): one for ago in (5, 9, 10, 30)}, {day(ago): one for ago in (5, 9, 30, 31)}
    margin = compare(ours, theirs, found, horizon=4, maturity=5)
    assert margin is not None
    assert (margin.days, margin.first, margin.last) == (2, day(30), day(9))
    assert compare(ours, theirs, found, horizon=4, maturity=27) is None
    assert compare(ours, {}, found, horizon=4, maturity=5) is None


def test_money_on_an_ad_that_then_spent_nothing_is_counted_as_unseen_and_moves_no_lead() -> None:
    rows = [(0, ago, 100) for ago in range(20)]
    found = outcomes(history(2, rows, [(0, ago, 200) for ago in range(20)]), days=20)
    champion, challenger = (
        said((False, 10_000, 12_000), (False, 10_000, 8_000)),
        said((False, 10_000, 8_000), (False, 10_000, 12_000)),
    )
    margin = compare({day(9): champion}, {day(9): challenger}, found, horizon=2, maturity=3)
    assert margin is not None
    assert margin.lead.mean == 0
    assert margin.unseen == pytest.approx(0.5)
    assert day_return(found, day(9), ("a", "b"), horizon=2).seen.tolist() == [True, False]


def test_the_interval_of_the_lead_holds_the_true_lead_as_often_as_it_says() -> None:
    """40 ads, six days each; an ad's return is its own, with luck that all its days share."""
    rng, held, ads, rounds = np.random.Generator(np.random.PCG64(11)), 0, 40, 120
    wishes = rng.integers(8_000, 12_000, ads)
    champion = said_from_rows(tuple(map(str, range(ads))), [(False, 10_000, 10_000, NAN, NAN, False)] * ads)
    challenger = said_from_rows(champion.ad_ids, [(False, 10_000, int(wish), NAN, NAN, False) for wish in wishes])
    mean = 1 + (wishes - 10_000) / 4_000
    change = (budgets_of(challenger) - budgets_of(champion)) / 10_000
    true = float((change * mean).sum() / ads)
    for _ in range(rounds):
        luck = mean + rng.normal(0, 0.8, ads)
        spend, value = dated(np.full((20, ads), 100.0)), dated(np.full((20, ads), 100.0) * luck)
        found = Outcomes(day=TODAY, days=20, ad_ids=champion.ad_ids, spend=spend, value=value, deals=spend)
        days = {day(ago): champion for ago in range(10, 16)}
        margin = compare(days, {one: challenger for one in days}, found, horizon=3, maturity=2)
        assert margin is not None
        held += margin.lead.low <= true <= margin.lead.high
    assert 0.88 <= held / rounds <= 0.99


def test_budgets_keep_the_total_obey_the_ramp_and_stop_what_is_killed() -> None:
    wished = said((True, 10_000, 0), (False, 10_000, 90_000), (False, 20_000, 20_000))
    assert budgets_of(wished).tolist() == [0, 12_000, 20_000]
    assert budgets_of(said((False, 10_000, 90_000), (False, 20_000, 10_000))).tolist() == [12_000, 18_000]


def test_hindsight_puts_the_money_where_it_returned_most_within_the_ramp() -> None:
    wished = said((False, 10_000, 0), (False, 10_000, 0), (False, 10_000, 0), (False, 10_000, 0))
    told = DayReturn(returns=np.array([1.0, 3.0, 2.5, 2.4]), seen=np.ones(4, dtype=np.bool_))
    best = hindsight(wished, told)
    assert best.tolist() == [0, 12_000, 12_000, 12_000]
    # the 4,000 that nobody may take are neutral: the mean is 2.225
    assert worth(best, wished, told) == pytest.approx(36_000 + 30_000 + 28_800 + 4_000 * 2.225)
    for wish in ([1, 1, 1, 1], [0, 9, 1, 0], [5, 1, 1, 0], [1, 0, 0, 9]):
        other = said(*((False, 10_000, amount * 1_000) for amount in wish))
        assert worth(budgets_of(other), other, told) <= worth(best, wished, told)


def test_a_verdict_is_judged_by_the_money_after_it_and_never_by_what_led_to_it() -> None:
    """It brought nothing until it was kept, and ten times its money since: to keep it was right."""
    before = [(0, ago, 100) for ago in range(20, 30)]
    after = [(0, ago, 100) for ago in range(10, 20)]
    found = outcomes(history(1, before + after, [(0, ago, 1_000) for ago in range(10, 20)]), days=40)
    kept = said((False, 1, 1), p_wrong=0.07, bar=3.0, above=False)

    told = judged({day(20): kept}, found, horizon=10, maturity=5)

    assert (told.verdicts, told.wrong, told.earlier, told.unclear) == (1, 0, 0, 0)
    (band,) = told.bands
    assert (band.least, band.ads, band.wrong) == (0.05, 1, 0.0)


def test_a_pause_is_judged_by_money_whose_deals_were_open_and_not_by_what_had_matured() -> None:
    """The old money brought nothing, which led to the pause; the deals of the last clicks then came in."""
    rows = [(0, ago, 100) for ago in range(20, 60)]
    found = outcomes(history(1, rows, [(0, ago, 100) for ago in range(20, 25)]), days=90)
    killed = said((True, 1, 0), p_wrong=0.07, bar=0.6, above=True)

    told = judged({day(20): killed}, found, horizon=5, maturity=5)
    assert (told.verdicts, told.wrong, told.earlier, told.unclear) == (1, 1, 1, 1)

    # Where the pause never came about, the money after it tells.
    ran_on = outcomes(history(1, [*rows, *((0, ago, 100) for ago in range(10, 20))], [(0, 22, 100)]), days=90)
    told = judged({day(20): killed}, ran_on, horizon=10, maturity=5)
    assert (told.verdicts, told.wrong, told.earlier) == (1, 0, 0)


def test_too_little_money_after_a_verdict_judges_nothing_whatever_it_brought() -> None:
    """At the bound it would have brought two deals: none or four of them prove neither side."""
    rows = [(ad, 15, 200) for ad in range(2)] + [(2, ago, 100) for ago in range(10, 20)]
    deals = [(0, 15, 100)] * 4 + [(2, ago, 100) for ago in range(10, 20)]
    kept = said(*[(False, 1, 1)] * 3, p_wrong=0.3, bar=1.0, above=False)
    told = judged({day(20): kept}, outcomes(history(3, rows, deals), days=40), horizon=10, maturity=5)
    assert (told.verdicts, told.little, told.silent) == (1, 2, 0)


def test_what_has_not_matured_waits_and_what_stated_nothing_is_silent() -> None:
    found = outcomes(history(1, [(0, ago, 100) for ago in range(30)], [(0, ago, 50) for ago in range(30)]), days=30)
    stated = said((False, 1, 1), p_wrong=0.3, bar=1.0, above=False)
    told = judged({day(3): stated, day(9): stated, day(20): said((False, 1, 1))}, found, horizon=5, maturity=5)
    assert (told.waiting, told.silent, told.verdicts, told.little) == (2, 1, 0, 0)


def test_an_account_without_any_deal_tells_nothing() -> None:
    found = outcomes(history(1, [(0, ago, 100) for ago in range(30)], []), days=30)
    killed = said((True, 1, 0), p_wrong=0.07, bar=0.5, above=True)
    assert judged({day(20): killed}, found, horizon=5, maturity=5).little == 1


def test_the_interval_of_a_truth_is_that_of_so_many_deals() -> None:
    """Two deals on 300: Poisson 90 % from 0.3554 to 6.2958 of them; the bound is within or beyond."""
    found = outcomes(history(1, [(0, 15, 300)], [(0, 15, 100), (0, 15, 100)]), days=30)
    for bar, unclear in ((1.0, 1), (2.0, 1), (2.2, 0)):
        kept = said((False, 1, 1), p_wrong=0.07, bar=bar, above=False)
        assert judged({day(20): kept}, found, horizon=10, maturity=5).unclear == unclear


@pytest.mark.parametrize(("killing", "chance"), [(True, 0.2), (False, 0.1)])
def test_chances_that_are_right_come_out_right(killing: bool, chance: float) -> None:
    """Ads killed on their last week with nothing, as a chance has it, and kept ones: their later deals decide."""
    rng, ads = np.random.Generator(np.random.PCG64(7)), 2_000
    wrong = rng.random(ads) < chance
    roas = np.where(wrong == killing, 3.0, 0.1)
    ids = tuple(map(str, range(ads)))
    # 40 days before the verdict the past was bad, whatever the truth; what was open then, and came later, tells it.
    daily = np.zeros((61, ads))
    daily[:] = 100.0
    if killing:
        daily[:20] = 0.0
    deals = rng.poisson(daily * roas / 50.0).astype(np.float64)
    deals[30:] = 0
    spend, value = dated(daily), dated(deals * 50.0)
    found = Outcomes(day=TODAY, days=61, ad_ids=ids, spend=spend, value=value, deals=dated(deals))
    rows = [(killing, 1, 0 if killing else 1, chance, 1.0, killing)] * ads
    told = judged({day(20): said_from_rows(ids, rows)}, found, horizon=10, maturity=10)
    assert (told.verdicts, told.earlier) == (ads, ads if killing else 0)
    (band,) = told.bands
    assert band.low <= chance <= band.high
