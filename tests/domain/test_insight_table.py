"""The table of insights: what went in comes out, each ad and period is found again, and periods that overlap are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from adctl.domain.ids import AdId, AdSetId, CampaignId
from adctl.domain.insight_table import InsightTable
from adctl.domain.insights import Insight

DAY = date(2026, 3, 2)
ONE = Insight(
    ad_id=AdId("120210000000001"),
    ad_set_id=AdSetId("2"),
    campaign_id=CampaignId("3"),
    first_day=DAY,
    day=DAY,
    impressions=10**12,
    clicks=7,
    link_clicks=5,
    spend=123_45,
    leads=2,
    purchases=1,
    purchase_value=900_00,
    windows="7d_click,1d_view",
)


def table_of(*insights: Insight) -> InsightTable:
    table = InsightTable()
    for line, insight in enumerate(insights, 2):
        table.append(insight, line=line)
    return table


def test_what_went_in_comes_out_and_is_found_however_many_there_are() -> None:
    many = [
        replace(ONE, ad_id=AdId(str(number % 40)), first_day=DAY + timedelta(number), day=DAY + timedelta(number))
        for number in range(3000)
    ]

    table = table_of(*many)

    assert list(table) == many
    assert [table.find(insight) for insight in many] == list(range(3000))
    assert table.find(replace(many[0], day=DAY + timedelta(1))) is None
    assert table.find(replace(ONE, ad_id=AdId("elsewhere"))) is None
    assert table.total("spend") == 3000 * 123_45


def test_parts_add_up_in_their_row() -> None:
    table = table_of(ONE)

    table.add_to(0, replace(ONE, clicks=3, spend=1))

    assert table[0] == replace(ONE, impressions=2 * 10**12, clicks=10, link_clicks=10, spend=123_46, leads=4,
                               purchases=2, purchase_value=1800_00)  # fmt: skip
    assert (list(table.parts), list(table.lines)) == ([2], [2])


def test_without_some_ads_the_others_keep_their_lines() -> None:
    other = replace(ONE, ad_id=AdId("9"))

    left = table_of(ONE, other).without({ONE.ad_id})

    assert (list(left), list(left.lines), left.find(ONE)) == ([other], [3], None)


def test_two_rows_of_one_ad_that_share_a_day_are_named() -> None:
    week = replace(ONE, day=DAY + timedelta(6))
    inside = replace(ONE, first_day=DAY + timedelta(3), day=DAY + timedelta(3))

    assert table_of(inside, replace(inside, ad_id=AdId("9")), week).overlap() == (2, 0)
    assert table_of(replace(inside, ad_id=AdId("9")), week).overlap() is None
    assert table_of().overlap() is None
