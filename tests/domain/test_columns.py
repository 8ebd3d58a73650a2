"""Columns found by name: aliases, overrides, and every reason to refuse a header."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from adctl.domain.columns import ColumnMapping, Field, resolve_columns
from adctl.errors import ConfigurationError, InputRejectedError

FIELDS = (
    Field(name="ad_id", aliases=("Ad ID",), required=True, fix="add the column Ad ID"),
    Field(name="spend", aliases=("Amount spent", "Spent"), required=True, money=True),
    Field(name="clicks", aliases=("Clicks",)),
)


def resolved(*header: str, overrides: Mapping[str, str] | None = None, currency: str = "USD") -> ColumnMapping:
    return resolve_columns(FIELDS, header, overrides or {}, currency=currency, source="f.csv")


@pytest.mark.parametrize("title", ["Ad ID", "ad_id", "AD  ID", " ad\u00a0id ", "Ａd ID"])
def test_a_title_is_matched_whatever_its_case_space_and_underscores(title: str) -> None:
    assert resolved(title, "Spent").columns["ad_id"] == title


def test_the_mapping_says_what_is_read_and_what_is_ignored() -> None:
    mapping = resolved("Reach", "Amount spent (USD)", "Ad ID")
    assert mapping == ColumnMapping(columns={"ad_id": "Ad ID", "spend": "Amount spent (USD)"}, ignored=("Reach",))


def test_an_override_wins_over_the_aliases_and_an_empty_one_leaves_the_field_out() -> None:
    mapping = resolved("Ad ID", "Spent", "Cost", "Clicks", overrides={"spend": "cost", "clicks": ""})
    assert mapping.columns == {"ad_id": "Ad ID", "spend": "Cost"}


def test_an_override_of_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"'spent'.*ad_id, spend, clicks"):
        resolved("Ad ID", "Spent", overrides={"spent": "Spent"})


def test_an_override_that_names_an_absent_column_is_refused_by_name() -> None:
    with pytest.raises(InputRejectedError, match=r"line 1, column 'Cost'.*spend.*the file has: Ad ID, Spent"):
        resolved("Ad ID", "Spent", overrides={"spend": "Cost"})


def test_a_required_column_that_is_missing_is_refused_with_its_names_and_the_fix() -> None:
    with pytest.raises(InputRejectedError, match=r"line 1, column 'Ad ID'.*ad_id; known names: Ad ID \(add the column"):
        resolved("Name", "Spent")


def test_a_repeated_title_is_refused_naming_both_columns() -> None:
    with pytest.raises(InputRejectedError, match=r"column 'ad_id'.*columns 1 \('Ad ID'\) and 3 \('ad_id'\)"):
        resolved("Ad ID", "Spent", "ad_id")


def test_a_column_without_a_name_is_refused() -> None:
    with pytest.raises(InputRejectedError, match="column '#2': the column has no name"):
        resolved("Ad ID", " ", "Spent")


def test_two_money_columns_that_could_both_be_meant_are_refused() -> None:
    with pytest.raises(InputRejectedError, match=r"'Amount spent \(USD\)' and 'Amount spent \(EUR\)'"):
        resolved("Ad ID", "Amount spent (USD)", "Amount spent (EUR)")


@pytest.mark.parametrize("overrides", [{}, {"spend": "Amount spent (EUR)"}])
def test_a_money_column_in_another_currency_is_refused_naming_both(overrides: Mapping[str, str]) -> None:
    with pytest.raises(InputRejectedError, match=r"column 'Amount spent \(EUR\)': the column is in EUR.*in USD"):
        resolved("Ad ID", "Amount spent (EUR)", overrides=overrides)
