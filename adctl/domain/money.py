"""Money as whole minor units, by Meta's own offset table (which is not ISO 4217)."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from adctl.errors import ConfigurationError

# Source: the Marketing API's table "Currency Codes" (VND as its users report it). What it does not list, such as KWD,
# is refused.
_OFFSET_1 = frozenset({"CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND"})
_OFFSET_100 = frozenset(
    {
        "AED",
        "ARS",
        "AUD",
        "BDT",
        "BGN",
        "BHD",
        "BOB",
        "BRL",
        "CAD",
        "CHF",
        "CNY",
        "CZK",
        "DKK",
        "DZD",
        "EGP",
        "EUR",
        "GBP",
        "GTQ",
        "HKD",
        "HNL",
        "HRK",
        "ILS",
        "INR",
        "JOD",
        "KES",
        "MOP",
        "MXN",
        "MYR",
        "NGN",
        "NIO",
        "NOK",
        "NZD",
        "PEN",
        "PHP",
        "PKR",
        "PLN",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "SAR",
        "SEK",
        "SGD",
        "THB",
        "TRY",
        "UAH",
        "USD",
        "UYU",
        "ZAR",
    }
)
# At most twelve digits before the point: a larger figure is no ad spend or deal but a broken export.
_PLAIN = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)
# A price written by a spreadsheet or a database through a 32-bit float: 1.43 comes out as 1.429999948.
_FLOAT32_RELATIVE_ERROR = Decimal("1.2e-7")


def offset(currency: str) -> int:
    """Minor units per major unit as Meta counts them: 1 or 100.

    Raises ConfigurationError for a currency that Meta's table does not list: a guess could be wrong by 100 times.
    """
    if currency in _OFFSET_1:
        return 1
    if currency in _OFFSET_100:
        return 100
    raise ConfigurationError(
        f"currency {currency!r}: not in Meta's table of currencies",
        fix="use the three-letter code that Ads Manager shows for the account",
    )


def is_known(currency: str) -> bool:
    """Whether Meta's table lists it."""
    return currency in _OFFSET_1 | _OFFSET_100


def is_plain_number(text: str) -> bool:
    """True when `text` is an ASCII decimal number without exponent, separators, sign plus or spaces."""
    return _PLAIN.fullmatch(text) is not None


def to_minor(text: str, currency: str) -> int:
    """Minor units of a decimal string in major units, exactly.

    Float noise of a 32-bit price is folded into the nearest minor unit; any other excess of decimals is refused.
    Raises ValueError with the reason when the text is no plain decimal number or has too many decimals.
    """
    if not is_plain_number(text):
        raise ValueError(f"{text!r} is not a plain decimal number")
    scaled = Decimal(text) * offset(currency)
    whole = scaled.to_integral_value(rounding=ROUND_HALF_EVEN)
    noise = max(Decimal("1e-6"), abs(scaled) * _FLOAT32_RELATIVE_ERROR)
    if abs(scaled - whole) > noise:
        raise ValueError(f"{text!r} has more decimals than {currency} has")
    return int(whole)


def to_major(minor: int, currency: str) -> Decimal:
    """The amount in major units, exact."""
    return Decimal(minor) / offset(currency)


def show(minor: int, currency: str) -> str:
    """The amount as a person reads it: `1,234.50 USD`."""
    places = 0 if offset(currency) == 1 else 2
    return f"{to_major(minor, currency):,.{places}f} {currency}"
