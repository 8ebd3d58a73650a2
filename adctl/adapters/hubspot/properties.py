"""HubSpot's property values, which are all text: times, amounts, landing URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from adctl.domain.ids import AdId
from adctl.domain.landing_urls import LandingKeys, ad_id_in, landing_keys
from adctl.domain.money import is_plain_number, offset
from adctl.errors import ConfigurationError

Row = Mapping[str, object]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = re.compile(r"-?\d{1,15}", re.ASCII)


def text(value: object) -> str:
    """A property's text without what no database takes (NUL, lone surrogates); absent is empty."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", errors="ignore").decode().strip()


def instant(value: object) -> datetime | None:
    """Aware UTC from ISO 8601 with or without fraction, or from epoch milliseconds; None when it is neither.

    A time without a zone is HubSpot's, which is UTC.
    """
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    try:
        if _MILLISECONDS.fullmatch(written):
            return _EPOCH + timedelta(milliseconds=int(written))
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def milliseconds(moment: datetime) -> int:
    """Epoch milliseconds, rounded down, as searches compare."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def amount(value: object, currency: str) -> int | None:
    """Minor units to the nearest; None when nobody filled it in.

    HubSpot keeps whatever decimals a calculation left. Raises ValueError with the reason for what is no plain decimal
    number and for a currency whose minor unit is not known.
    """
    written = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else text(value)
    if not written:
        return None
    if not is_plain_number(written):
        # Not quoted: what people type into a wrong field may be an address, and this stands in reports.
        raise ValueError("amount is not a plain decimal number")
    try:
        scaled = Decimal(written) * offset(currency)
    except ConfigurationError as error:
        raise ValueError(error.what) from None
    return int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def landing_keys_of(url: object) -> LandingKeys:
    """The ad id and click id of a landing URL; an `ad_id` parameter counts where `utm_content` holds no ad id."""
    address = _plain(text(url))
    keys = landing_keys(address)
    return keys if keys.ad_id is not None else replace(keys, ad_id=_ad_id_parameter(address))


def _ad_id_parameter(address: str) -> AdId | None:
    try:
        values = set(parse_qs(urlsplit(address).query).get("ad_id", []))
    except ValueError:
        return None
    return ad_id_in(values.pop()) if len(values) == 1 else None


def _plain(address: str) -> str:
    """Some sites hand the whole URL on encoded, some with HTML's ampersands."""
    whole = unquote(address) if "?" not in address and "%3f" in address.lower() else address
    return whole.replace("&amp;", "&")
