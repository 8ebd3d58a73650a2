"""Money as whole minor units: Meta's own offsets, exact conversion, no guess."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adctl.domain.money import is_plain_number, offset, show, to_major, to_minor
from adctl.errors import ConfigurationError

# Meta's table, where it differs from ISO 4217 or is easily got wrong.
OFFSETS = {"JPY": 1, "TWD": 1, "HUF": 1, "IDR": 1, "COP": 1, "CRC": 1, "ISK": 1, "KRW": 1, "CLP": 1, "PYG": 1, "VND": 1}
HUNDREDS = {"USD": 100, "EUR": 100, "JOD": 100}


@pytest.mark.parametrize(("currency", "expected"), [*OFFSETS.items(), *HUNDREDS.items()])
def test_an_offset_is_metas_and_not_that_of_iso(currency: str, expected: int) -> None:
    assert offset(currency) == expected


@pytest.mark.parametrize("currency", ["XXX", "usd", "", "US$"])
def test_an_unknown_currency_is_refused_by_name(currency: str) -> None:
    with pytest.raises(ConfigurationError, match=f"currency '{currency}'".replace("$", r"\$")):
        offset(currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("0", "USD", 0),
        ("12.34", "USD", 1234),
        ("-12.34", "USD", -1234),
        ("12.3", "EUR", 1230),
        ("1200", "JPY", 1200),
        ("999999999999", "USD", 99_999_999_999_900),
        # A 32-bit float wrote it: folded into the nearest cent.
        ("1.429999948", "USD", 143),
        ("123456.7890625", "USD", 12_345_679),
        ("0.00000001", "USD", 0),
        ("0.000001", "JPY", 0),
        ("1.000001", "JPY", 1),
    ],
)
def test_a_decimal_text_becomes_whole_minor_units(text: str, currency: str, minor: int) -> None:
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [("12.345", "USD"), ("0.5", "JPY"), ("0.0001", "USD"), ("1.00001", "JPY"), ("100.001", "JPY"), ("0.000011", "JPY")],
)
def test_more_decimals_than_the_currency_has_are_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match="more decimals"):
        to_minor(text, currency)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "1e3", "1,000", "1_000", "١٢", "NaN", ".5", "5.", "1234567890123", "1.1234567890123"]
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    assert not is_plain_number(text)
    with pytest.raises(ValueError, match="plain decimal"):
        to_minor(text, "USD")


def test_an_amount_is_shown_with_its_currency_and_that_currencys_decimals() -> None:
    assert (show(123_450, "USD"), show(-5, "EUR"), show(1234, "JPY")) == ("1,234.50 USD", "-0.05 EUR", "1,234 JPY")
    assert (to_major(1, "USD"), to_major(1, "TWD")) == (Decimal("0.01"), Decimal(1))
