"""Ads exports: the real file to the last unit, Ads Manager's ways, and one test per way of being wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adctl.adapters.files.ads_export import read_ads_export
from adctl.domain.exports import AdFound, AdSetFound, AdsExport, AdsTotals, CampaignFound
from adctl.domain.insights import Insight
from adctl.errors import ConfigurationError, InputRejectedError

AS_OF = date(2026, 10, 8)
HEADER = (
    "Reporting starts,Reporting ends,Campaign name,Campaign ID,Ad set name,Ad Set ID,Ad name,Ad ID,"
    "Impressions,Link clicks,Clicks (all),Leads,Purchases,Purchases conversion value,Amount spent (USD)"
)
FIRST = '2026-10-01,2026-10-07,Fall,11,Broad,21,Hero,31,"12,345",100,150,7,2,250.00,"1,234.56"'
SECOND = "2026-10-01,2026-10-07,Fall,11,Broad,21,Promo,32,500,5,9,—,,0,10.5"


def read(text: str, *, overrides: Mapping[str, str] | None = None, currency: str = "USD") -> AdsExport:
    return read_ads_export(io.BytesIO(text.encode()), currency=currency, as_of=AS_OF, overrides=overrides)


def table(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def refused(text: str, *, overrides: Mapping[str, str] | None = None) -> InputRejectedError:
    with pytest.raises(InputRejectedError) as caught:
        read(text, overrides=overrides)
    return caught.value


def plain(rows: str, header: str = "ad_id,adset_id,campaign_id,impressions,clicks,spend") -> str:
    return f"{header}\n{rows}\n"


def test_the_real_file_is_read_to_the_last_unit(shared_data: Path) -> None:
    found = read_ads_export(shared_data / "kag_facebook_ads.csv", currency="USD", as_of=AS_OF)
    assert found.totals == AdsTotals(
        rows=1143, impressions=213_434_828, clicks=38_165, spend=5_870_523, leads=3_264, purchases=1_079
    )
    assert (len(found.insights), len(found.ads), len(found.ad_sets), len(found.campaigns)) == (1143, 1143, 691, 3)
    assert not found.dated
    assert {(one.first_day, one.day) for one in found.insights} == {(AS_OF, AS_OF)}
    assert found.mapping.columns["ad_set_id"] == "fb_campaign_id"
    assert found.mapping.columns["campaign_id"] == "xyz_campaign_id"
    assert found.mapping.ignored == found.breakdowns == ("age", "gender", "interest")
    assert found.notes == ()


def test_a_cut_of_the_real_file_is_refused_or_noted_unless_it_falls_between_two_lines(shared_data: Path) -> None:
    data = (shared_data / "kag_facebook_ads.csv").read_bytes()[:2_000]
    silent = [end for end in range(200, len(data)) if loads_silently(data[:end])]
    assert silent == [end for end in range(200, len(data)) if data[:end].endswith(b"\n")]


def loads_silently(data: bytes) -> bool:
    try:
        return not read_ads_export(io.BytesIO(data), currency="USD", as_of=AS_OF).notes
    except InputRejectedError:
        return False


def test_an_ads_manager_export_is_read_with_its_names_periods_and_separators() -> None:
    found = read(table(FIRST, SECOND))
    assert found.insights[0] == Insight(
        ad_id=found.ads[0].ad_id,
        ad_set_id=found.ads[0].ad_set_id,
        campaign_id=found.ads[0].campaign_id,
        first_day=date(2026, 10, 1),
        day=date(2026, 10, 7),
        impressions=12_345,
        clicks=150,
        link_clicks=100,
        spend=123_456,
        leads=7,
        purchases=2,
        purchase_value=25_000,
        windows="default",
    )
    assert [ad.name for ad in found.ads] == ["Hero", "Promo"]
    assert (found.ads[0].ad_id, found.ad_sets[0].ad_set_id, found.campaigns[0].campaign_id) == ("31", "21", "11")
    assert found.ads[0] == AdFound(
        ad_id=found.ads[0].ad_id,
        ad_set_id=found.ad_sets[0].ad_set_id,
        campaign_id=found.campaigns[0].campaign_id,
        name="Hero",
    )
    assert found.ad_sets == (
        AdSetFound(ad_set_id=found.ad_sets[0].ad_set_id, campaign_id=found.campaigns[0].campaign_id, name="Broad"),
    )
    assert found.campaigns == (CampaignFound(campaign_id=found.campaigns[0].campaign_id, name="Fall"),)
    assert found.dated
    assert found.totals == AdsTotals(
        rows=2,
        impressions=12_845,
        clicks=159,
        link_clicks=105,
        spend=124_506,
        leads=7,
        purchases=2,
        purchase_value=25_000,
    )


def test_columns_may_stand_in_any_order() -> None:
    order = [14, 7, 0, 8, 10, 3, 5, 1, 11, 12, 13, 9, 2, 4, 6]
    cells = ["2026-10-01", "2026-10-07", "F", "11", "B", "21", "H", "31", "5", "1", "2", "3", "4", "5.00", "6.50"]
    titles = HEADER.split(",")
    moved = table(",".join(cells[n] for n in order), header=",".join(titles[n] for n in order))
    assert list(read(moved).insights) == list(read(table(",".join(cells))).insights)


def test_a_european_export_is_read_the_same() -> None:
    header = HEADER.replace(",", ";")
    row = "01.10.2026;07.10.2026;Fall;11;Broad;21;Hero;31;12.345;100;150;7;2;250,00;1.234,56"
    assert list(read(table(row, header=header)).insights) == list(read(table(FIRST)).insights)


def test_a_day_column_makes_daily_rows() -> None:
    header = "Day," + HEADER
    found = read(table("2026-10-02," + FIRST, "2026-10-03," + FIRST, header=header))
    assert [(one.first_day, one.day) for one in found.insights] == [
        (date(2026, 10, 2), date(2026, 10, 2)),
        (date(2026, 10, 3), date(2026, 10, 3)),
    ]


def test_link_clicks_stand_in_for_all_clicks_where_only_they_are_there() -> None:
    found = read(plain("1,2,3,100,7,5", header="ad_id,adset_id,campaign_id,impressions,link clicks,spend"))
    assert (found.insights[0].clicks, found.insights[0].link_clicks) == (7, 7)


def test_results_count_as_what_their_indicator_says() -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Results,Result indicator"
    rows = [
        "1,2,3,9,1,5,4,actions:lead",
        "2,2,3,9,1,5,6,actions:offsite_conversion.fb_pixel_purchase",
        "4,2,3,9,1,5,8,reach",
    ]
    found = read(table(*rows, header=header))
    assert [(one.leads, one.purchases) for one in found.insights] == [(4, 0), (0, 6), (0, 0)]


def test_the_attribution_setting_is_kept_in_metas_words() -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Attribution setting"
    found = read(table("1,2,3,9,1,5,7-day click or 1-day view", header=header))
    assert found.insights[0].windows == "7d_click,1d_view"


def test_rows_of_a_breakdown_are_added_up() -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Age,Gender"
    found = read(table("1,2,3,100,1,5.10,18-24,F", "1,2,3,50,2,4.90,25-34,F", header=header))
    assert len(found.insights) == 1
    assert (found.insights[0].impressions, found.insights[0].clicks, found.insights[0].spend) == (150, 3, 1000)
    assert found.totals.rows == 2


def test_a_breakdown_that_repeats_a_part_is_refused_naming_both_lines() -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Age"
    error = refused(table("1,2,3,100,1,5,18-24", "1,2,3,100,1,5,18-24", header=header))
    assert (error.line, error.column) == (3, "Ad ID")
    assert "on line 2" in error.reason


@pytest.mark.parametrize("blank", ["", "All"])
def test_a_breakdown_with_a_row_for_the_whole_ad_would_count_it_twice(blank: str) -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Age"
    error = refused(table(f"1,2,3,100,1,5,{blank}", "1,2,3,60,1,3,18-24", "1,2,3,40,0,2,25-34", header=header))
    assert (error.line, error.column) == (3, "Ad ID")
    assert "count twice" in error.reason


TOTAL = "2026-10-01,2026-10-07,,,,,,,{impressions},105,159,7,2,250,{spend}"


@pytest.mark.parametrize(
    "arrange", [lambda total: [total, FIRST, SECOND], lambda total: [FIRST, SECOND, total]], ids=["above", "below"]
)
def test_a_total_row_is_checked_and_left_out(arrange: Callable[[str], list[str]]) -> None:
    found = read(table(*arrange(TOTAL.format(impressions='"12,845"', spend="1245.06"))))
    assert found.total_checked
    assert (found.totals.rows, found.totals.spend) == (2, 124_506)


def test_a_total_row_may_be_named_and_leave_figures_out() -> None:
    total = ',,Results from 2 ads,,Total,,,,,,159,,,,"1,245.06"'
    assert read(table(total, FIRST, SECOND)).total_checked


def test_a_total_that_is_not_the_sum_is_refused_with_both_figures() -> None:
    error = refused(table(TOTAL.format(impressions="12845", spend="1245.07"), FIRST, SECOND))
    assert (error.line, error.column) == (2, "Amount spent (USD)")
    assert "states 124507 minor units" in error.reason
    assert "add up to 124506 minor units" in error.reason


def test_a_row_that_lost_its_id_between_others_is_no_total() -> None:
    error = refused(table(FIRST, TOTAL.format(impressions="1", spend="1.50"), SECOND))
    assert (error.line, error.column) == (3, "Ad ID")
    assert "the id is empty" in error.reason
    assert "Customize columns" in error.fix


def test_a_file_with_nothing_but_a_total_is_refused() -> None:
    total = "2026-10-01,2026-10-07,,,,,,,0,0,0,0,0,0,0"
    assert "no rows but a total" in refused(table(total)).reason


@pytest.mark.parametrize(
    ("old", "new", "column", "reason"),
    [
        ("31", "1.2021E+17", "Ad ID", "has lost digits of the id"),
        ("31", "", "Ad ID", "the id is empty"),
        ("31", "ad 31", "Ad ID", "is not an id of Meta"),
        ("31", "٣١", "Ad ID", "is not an id of Meta"),
        (",21,", ",2.1E+5,", "Ad Set ID", "has lost digits of the id"),
        (",11,", ",,", "Campaign ID", "the id is empty"),
        ('"12,345"', "-5", "Impressions", "is negative"),
        ('"12,345"', "12.5", "Impressions", "is not a whole number"),
        ('"12,345"', "1.2E+07", "Impressions", "scientific notation"),
        ('"12,345"', "N/A", "Impressions", "is not a number"),
        ('"12,345"', "NaN", "Impressions", "is not a number"),
        ('"12,345"', "Infinity", "Impressions", "is not a number"),
        ('"12,345"', "١٢", "Impressions", "is not a number"),
        ('"12,345"', "=1+1", "Impressions", "is not a number"),
        ('"12,345"', "9999999999999", "Impressions", "too large"),
        ('"1,234.56"', "-1.50", "Amount spent (USD)", "is negative"),
        ('"1,234.56"', "$5.00", "Amount spent (USD)", "is not a number"),
        ('"1,234.56"', "1.23456", "Amount spent (USD)", "more decimals"),
        ('"1,234.56"', "1e400", "Amount spent (USD)", "scientific notation"),
        ("250.00", "-250.00", "Purchases conversion value", "is negative"),
        ("2026-10-01", "", "Reporting starts", "the date is empty"),
        ("2026-10-01", "2026-10-08", "Reporting ends", "before it starts"),
        ("2026-10-07", "2026-10-10", "Reporting ends", "is not between"),
        ("2026-10-01", "2003-10-01", "Reporting starts", "is not between"),
        ("2026-10-01", "2026-02-30", "Reporting starts", "does not exist"),
        ("2026-10-01", "01/10/2026", "Reporting starts", "nothing in the file says which"),
    ],
)
def test_a_wrong_cell_is_refused_with_line_and_column(old: str, new: str, column: str, reason: str) -> None:
    error = refused(table(SECOND, FIRST.replace(old, new, 1)))
    assert (error.line, error.column) == (3, column)
    assert reason in error.reason


def test_a_spend_that_nothing_in_the_file_explains_is_refused() -> None:
    error = refused(plain('1,2,3,100,1,"1,234"'))
    assert (error.line, error.column) == (2, "spend")
    assert "may be a thousand times more or less" in error.reason


def test_the_same_spend_is_read_once_a_count_shows_the_thousands_mark() -> None:
    assert read(plain('1,2,3,"15,100",1,"1,234"')).totals.spend == 123_400


def test_marks_that_contradict_each_other_across_columns_are_refused() -> None:
    error = refused(plain('1,2,3,"15,100",1,"12,50"'))
    assert (error.line, error.column) == (2, "spend")
    assert "'15,100' on line 2" in error.reason


def test_an_ad_twice_without_a_breakdown_is_refused_naming_both_lines() -> None:
    error = refused(table(FIRST, SECOND, FIRST))
    assert (error.line, error.column) == (4, "Ad ID")
    assert "on line 2" in error.reason


def test_periods_of_one_ad_that_overlap_are_refused_naming_both_lines() -> None:
    error = refused(table(FIRST, SECOND, FIRST.replace("2026-10-01", "2026-10-07")))
    assert (error.line, error.column) == (4, "Reporting starts")
    assert "on line 2" in error.reason


def test_a_day_outside_of_its_period_is_refused() -> None:
    error = refused(table("2026-09-30," + FIRST, header="Day," + HEADER))
    assert (error.line, error.column) == (2, "Day")


def test_an_ad_in_two_ad_sets_is_refused() -> None:
    error = refused(table(FIRST, FIRST.replace(",21,", ",22,").replace("2026-10-0", "2026-09-0")))
    assert (error.line, error.column) == (3, "Ad Set ID")


def test_an_ad_set_in_two_campaigns_is_refused() -> None:
    error = refused(table(FIRST, SECOND.replace(",11,", ",12,")))
    assert (error.line, error.column) == (3, "Campaign ID")


def test_ids_that_excel_rounded_are_refused() -> None:
    rows = "120210000000000000,2,3,100,1,5\n120210000000123000,2,3,100,1,5"
    error = refused(plain(rows))
    assert (error.line, error.column) == (2, "ad_id")
    assert "rounded" in error.reason
    assert "Excel" in error.fix


@pytest.mark.parametrize("title", ["Ad ID", "Ad Set ID", "Campaign ID", "Impressions", "Amount spent (USD)"])
def test_a_missing_column_is_refused_by_name(title: str) -> None:
    error = refused(table(FIRST, header=HEADER.replace(title, "Other")))
    assert error.line == 1
    assert error.column.casefold() in title.casefold()
    assert "known names" in error.reason


def test_a_missing_ad_id_says_how_to_add_the_column() -> None:
    assert "Customize columns → Ad ID" in refused(table(FIRST, header=HEADER.replace("Ad ID", "Other"))).fix


def test_a_file_without_any_clicks_is_refused() -> None:
    error = refused(plain("1,2,3,100,5", header="ad_id,adset_id,campaign_id,impressions,spend"))
    assert (error.line, error.column) == (1, "Clicks (all)")


def test_a_period_with_one_end_is_refused() -> None:
    error = refused(table(FIRST, header=HEADER.replace("Reporting ends", "Other")))
    assert (error.line, error.column) == (1, "Reporting ends")


def test_a_repeated_title_is_refused_naming_both_columns() -> None:
    error = refused(table(FIRST, header=HEADER.replace("Ad name", "ad id")))
    assert (error.line, error.column) == (1, "Ad ID")
    assert "columns 7 ('ad id') and 8 ('Ad ID')" in error.reason


def test_a_currency_in_the_title_that_is_not_the_accounts_is_refused() -> None:
    with pytest.raises(InputRejectedError, match=r"line 1, column 'Amount spent \(USD\)'.*in USD, the account in EUR"):
        read(table(FIRST), currency="EUR")


def test_a_currency_column_that_is_not_the_accounts_is_refused() -> None:
    header = "Ad ID,Ad set ID,Campaign ID,Impressions,Clicks,Spend,Currency"
    error = refused(table("1,2,3,9,1,5,usd", "2,2,3,9,1,5,EUR", header=header))
    assert (error.line, error.column) == (3, "Currency")
    assert "EUR" in error.reason
    assert "USD" in error.reason


def test_an_account_currency_that_meta_does_not_know_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="KWD"):
        read(plain("1,2,3,9,1,5"), currency="KWD")


def test_an_override_chooses_the_column_and_shows_in_the_mapping() -> None:
    text = plain("1,2,3,9,1,5,7", header="ad_id,adset_id,campaign_id,impressions,clicks,spend,Cost")
    found = read(text, overrides={"spend": "cost"})
    assert (found.totals.spend, found.mapping.columns["spend"], found.mapping.ignored) == (700, "Cost", ("spend",))


def test_zero_decimal_currencies_have_no_cents() -> None:
    found = read(plain('1,2,3,9,1,"1,234"'), currency="JPY")
    assert found.totals.spend == 1234


_MUTATIONS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=600),
        st.sampled_from([b"", b",", b'"', b"\n", b"\0", b"\xff", b"9", b"-", b"."]),
    ),
    min_size=1,
    max_size=4,
)


@given(mutations=_MUTATIONS, end=st.integers(min_value=1, max_value=600))
def test_any_damage_to_an_export_is_read_or_refused(mutations: list[tuple[int, bytes]], end: int) -> None:
    data = table(FIRST, SECOND).encode()
    for position, inserted in mutations:
        data = data[:position] + inserted + data[position + 1 :]
    try:
        found = read_ads_export(io.BytesIO(data[:end]), currency="USD", as_of=AS_OF)
    except InputRejectedError:
        return
    assert found.totals.rows >= len(found.insights) >= 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    position=st.integers(min_value=0, max_value=61_000),
    inserted=st.sampled_from([b"", b",", b'"', b"\n", b"\0", b"\xff", b'"\n"']),
)
def test_any_damage_to_the_real_file_is_read_or_refused(shared_data: Path, position: int, inserted: bytes) -> None:
    data = (shared_data / "kag_facebook_ads.csv").read_bytes()
    damaged = data[:position] + inserted + data[position + 1 :]
    try:
        found = read_ads_export(io.BytesIO(damaged), currency="USD", as_of=AS_OF)
    except InputRejectedError:
        return
    assert found.totals.rows == 1143
