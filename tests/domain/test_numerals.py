"""Numbers of other people's files: what each way of writing proves, and what is refused rather than guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adctl.domain.numerals import NumberCell, NumeralLearner, NumeralStyle, minor_units, plain_number, whole_number
from adctl.errors import InputRejectedError


def learned(*texts: str, whole: bool = False) -> NumeralStyle:
    learner = NumeralLearner("f.csv")
    for line, text in enumerate(texts, start=2):
        learner.see(NumberCell(line=line, column="Spend", text=text, whole=whole))
    return learner.style()


@pytest.mark.parametrize(
    ("text", "decimal", "group"),
    [
        ("1,234.56", ".", ","),
        ("1.234,56", ",", "."),
        ("1 234,56", ",", " "),
        ("1\u202f234,56", ",", " "),
        ("1'234.56", ".", "'"),
        ("1’234.56", ".", "'"),
        ("12,34,567.80", ".", ","),
        ("1.234.567", None, "."),
        ("1 234", None, " "),
        ("12.5", ".", None),
        ("0,123", ",", None),
        ("1234,567", ",", None),
        ("1,234", None, None),
        ("1.000", None, None),
        ("77", None, None),
    ],
)
def test_one_cell_proves_as_much_as_its_marks_can(text: str, decimal: str | None, group: str | None) -> None:
    assert learned(text) == NumeralStyle(decimal=decimal, group=group)


def test_a_comma_in_a_count_groups_because_a_count_has_no_fraction() -> None:
    style = learned("1,234", whole=True)
    assert whole_number("1,234", style) == 1234


def test_three_zeros_behind_one_mark_prove_nothing_even_in_a_count() -> None:
    style = learned("12.000", whole=True)
    with pytest.raises(ValueError, match="nothing in the file says"):
        whole_number("12.000", style)


@pytest.mark.parametrize(
    ("witness", "text", "plain"),
    [
        ("12.50", "1,234", "1234"),
        ("12,50", "1,234", "1.234"),
        ("1.234.567", "1,234", "1.234"),
        ("1 234", "1,234", "1.234"),
        ("1,234,567", "1,234", "1234"),
        ("1.234,50", "1.000", "1000"),
    ],
)
def test_a_doubtful_number_is_read_as_the_rest_of_the_file_is_written(witness: str, text: str, plain: str) -> None:
    assert plain_number(text, learned(witness, text)) == plain


def test_a_doubtful_number_that_fits_neither_mark_of_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="another way"):
        plain_number("1,234", learned("1 234.5"))


@pytest.mark.parametrize(("one", "other"), [("1,234.5", "1.234,5"), ("1,234.5", "1'234.5"), ("12.5", "1.234.567")])
def test_two_ways_of_writing_in_one_file_are_refused_naming_both_cells(one: str, other: str) -> None:
    with pytest.raises(InputRejectedError) as refused:
        learned("5", one, other)
    assert (refused.value.line, refused.value.column) == (4, "Spend")
    assert one in refused.value.reason
    assert "line 3" in refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-inf",
        "1e3",
        "1.2E+17",
        "+5",
        "١٢٣",
        "1_000",
        "$5",
        "5%",
        "(5)",
        "--5",
        "1,23.4",
        "1.2.3",
        "12,,5",
        "0x1f",
        "1 2",
        ".5",
        "5.",
        "N/A",
        "9" * 16,
        "²",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|scientific"):
        plain_number(text, NumeralStyle(decimal=".", group=","))


@pytest.mark.parametrize(("text", "reason"), [("-1", "negative"), ("1.5", "whole"), ("9" * 13, "large")])
def test_a_count_is_whole_and_not_negative(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        whole_number(text, NumeralStyle(decimal="."))


def test_a_count_with_a_zero_fraction_is_that_count() -> None:
    assert whole_number("12.0", NumeralStyle(decimal=".")) == 12


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1.429999948", "USD", 143),
        ("1,234.56", "USD", 123456),
        ("-3.5", "EUR", -350),
        ("0.30000000000000004", "USD", 30),
        ("1,234", "JPY", 1234),
    ],
)
def test_money_is_minor_units_without_float_noise(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, NumeralStyle(decimal=".", group=","), currency) == minor


def test_money_with_more_decimals_than_the_currency_has_is_refused() -> None:
    with pytest.raises(ValueError, match="more decimals"):
        minor_units("1.234", NumeralStyle(decimal="."), "USD")


@given(cents=st.integers(min_value=0, max_value=10**13), marks=st.sampled_from([",.", ".,", " ,", "'."]))
def test_every_amount_survives_being_written_in_any_style(cents: int, marks: str) -> None:
    group, decimal = marks[0], marks[1]
    text = f"{cents // 100:,}".replace(",", group) + f"{decimal}{cents % 100:02d}"
    assert minor_units(text, learned(text), "USD") == cents


@given(text=st.text(alphabet="0123456789.,' -", max_size=12))
def test_any_text_is_a_plain_number_or_a_value_error(text: str) -> None:
    try:
        plain = plain_number(text, learned(text))
    except ValueError:
        return
    assert plain.replace("-", "", 1).replace(".", "", 1).isdecimal()
