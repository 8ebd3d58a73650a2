"""Money of the simulated ad account: Meta's currency offsets and a price level per currency.

The table is written down a second time here, on purpose: a stand-in that borrowed adctl's own table would agree with
its mistakes.
"""

from __future__ import annotations

from decimal import Decimal

# Minor units per major unit where Meta differs from 100; several of these have two decimals in ISO 4217.
_WHOLE_UNIT = frozenset({"CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND"})

# Rough units of the currency per US dollar, so that a world in yen has budgets a person would set in yen.
_PRICE_LEVEL = {
    "CLP": 950.0,
    "COP": 4000.0,
    "CRC": 510.0,
    "HUF": 360.0,
    "IDR": 16000.0,
    "ISK": 138.0,
    "JPY": 150.0,
    "KRW": 1350.0,
    "PYG": 7500.0,
    "TWD": 32.0,
    "VND": 25000.0,
}


def offset_of(currency: str) -> int:
    """Minor units in one major unit of the currency, as Meta counts them (1 or 100)."""
    return 1 if currency in _WHOLE_UNIT else 100


def price_level(currency: str) -> float:
    """Major units of the currency that buy about one US dollar's worth."""
    return _PRICE_LEVEL.get(currency, 1.0)


def major_text(minor: int, currency: str) -> str:
    """The amount as insights print it: major units, two decimals unless the currency has none."""
    offset = offset_of(currency)
    return str(minor) if offset == 1 else str((Decimal(minor) / offset).quantize(Decimal("0.01")))
