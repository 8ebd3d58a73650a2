"""Readers for the settings with a meaning of their own: currencies, zones, addresses, quiet hours, tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from adctl.domain import money as amounts
from adctl.errors import ConfigurationError
from adctl.settings.keys import Context, Key, UnfitError, as_table, as_text, minor_units, money_shown, quoted, shown
from adctl.settings.secret import Secret

_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
# Greedy on purpose: a password may hold an unencoded "@", the rest of an accepted URL cannot.
_PASSWORD_OF_USER = re.compile(r"(://[^/?#@:]*:).*@")
_PASSWORD_ASKED = re.compile(r"([?&](?:ssl)?password=)[^&#]*")
_URL_WANTS = "write postgresql://user@host/database, with special characters percent-encoded"


def currency(says: str, *, example: str) -> Key:
    """A currency that Meta's own table lists."""

    def read(raw: object, _context: Context) -> str:
        value = as_text(raw, "write the three-letter code in quotes")
        try:
            amounts.offset(value)
        except ConfigurationError as error:
            fix = f"write {value.upper()}" if amounts.is_known(value.upper()) else error.fix
            raise UnfitError(f"{quoted(raw)} is not in Meta's table of currencies", fix) from error
        return value

    return Key(read=read, says=says, example=example)


def timezone(says: str, *, example: str) -> Key:
    """The name of an IANA time zone."""

    def read(raw: object, _context: Context) -> str:
        value = as_text(raw, "write a name such as Europe/Berlin in quotes")
        try:
            ZoneInfo(value)
        # A folder of the zone database, such as "Europe", is an OSError.
        except (KeyError, ValueError, OSError) as error:
            raise UnfitError(f"{quoted(raw)} is no IANA time zone", _nearest_zone(value)) from error
        return value

    return Key(read=read, says=says, example=example)


def _nearest_zone(value: str) -> str:
    # Of what names no place (CEST) the nearest one would be another zone.
    nearest = get_close_matches(value, available_timezones(), n=1) if "/" in value else []
    return f"did you mean {nearest[0]}?" if nearest else "write a name such as Europe/Berlin"


def base_url(says: str) -> Key:
    """The address of a vendor's API without a final slash; whether plain http may be used is judged later."""

    def read(raw: object, _context: Context) -> str:
        wants = "write https://host, without user, query or fragment"
        parts = _split(as_text(raw, wants), wants)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UnfitError("is no base URL", wants)
        if parts.query or parts.fragment:
            raise UnfitError("has a query or a fragment", wants)
        return parts.geturl().rstrip("/")

    return Key(read=read, says=says)


def is_encrypted_or_local(url: str) -> bool:
    """True for https, and for http to this very host."""
    parts = urlsplit(url)
    return parts.scheme == "https" or _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def database_url(says: str, *, example: str) -> Key:
    """A PostgreSQL URL, kept as a Secret because it may carry a password; no message repeats it."""

    def read(raw: object, _context: Context) -> Secret:
        if not isinstance(raw, str) or not raw.isprintable():
            raise UnfitError("is no text", _URL_WANTS)
        parts = _split(raw, _URL_WANTS)
        # An unencoded "/" or "?" in a password splits it: half of it would count as the path and be shown.
        if parts.scheme not in _SCHEMES or "@" in parts.path + parts.query + parts.fragment or " " in raw:
            raise UnfitError("is no PostgreSQL URL", _URL_WANTS)
        return Secret(raw)

    return Key(read=read, says=says, example=example, show=_database_shown)


def password_of(url: str) -> str:
    """The password inside a database URL as it is written there, or nothing."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    asked = [value for name, value in parse_qsl(parts.query) if name == "password"]
    return user.partition(":")[2] or "".join(asked)


def masked(url: str) -> str:
    """The database URL with `***` for its password."""
    return _PASSWORD_ASKED.sub(r"\1***", _PASSWORD_OF_USER.sub(r"\1***@", url))


def _database_shown(value: object, _currency: str) -> str:
    return masked(value.reveal()) if isinstance(value, Secret) else "not set: the embedded server"


def _split(url: str, wants: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError as error:
        raise UnfitError("is no URL", wants) from error
    return parts


def quiet_hours(says: str) -> Key:
    """A daily span such as `22:00-06:00`; empty text means none."""
    wants = 'write "22:00-06:00", or "" for none'

    def read(raw: object, _context: Context) -> tuple[time, time] | None:
        if raw == "":
            return None
        match = _QUIET.fullmatch(as_text(raw, wants))
        if not match:
            raise UnfitError(f"{quoted(raw)} is no span of hours", wants)
        hours = [int(part) for part in match.groups()]
        start, end = time(hours[0], hours[1]), time(hours[2], hours[3])
        if start == end:
            raise UnfitError(f"{quoted(raw)} starts when it ends", wants)
        return start, end

    return Key(read=read, says=says, example='""', show=_quiet_shown)


def _quiet_shown(value: object, _currency: str) -> str:
    return "-".join(f"{part:%H:%M}" for part in value) if isinstance(value, tuple) else "none"


def interval(says: str, low: int, high: int) -> Key:
    """Two whole numbers in order, from `low` to `high`."""
    wants = f"write two whole numbers in order, such as [3000, 18000], from {low} to {high}"

    def read(raw: object, _context: Context) -> tuple[int, int]:
        match raw:
            case [int(first), int(last)] if low <= first <= last <= high and bool not in (type(first), type(last)):
                return first, last
        raise UnfitError(f"{quoted(raw)} is no interval", wants)

    return Key(read=read, says=says, textual=False)


def names(says: str, *, example: str, under: str) -> Key:
    """A table of texts: a field and the column that holds it, "" to leave the field out."""

    def read(raw: object, _context: Context) -> Mapping[str, str]:
        table = as_table(raw, 'write lines such as field = "Column"')
        for key, value in table.items():
            if not isinstance(value, str) or (value and not value.strip()):
                fix = 'write the column\'s name in quotes, or "" to leave the field out'
                raise UnfitError(f"{quoted(value)} is no column name", fix, at=key)
        return MappingProxyType({key: str(value) for key, value in table.items()})

    return Key(read=read, says=says, example=example, under=under)


def budgets(says: str, *, example: str, under: str) -> Key:
    """A table of ids of campaigns and ad sets with an amount each; the values are whole minor units."""

    def read(raw: object, context: Context) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for entity, amount in as_table(raw, 'write lines such as "120200000000000001" = "25.00"').items():
            try:
                found[entity] = minor_units(amount, context)
            except UnfitError as unfit:
                raise UnfitError(unfit.reason, unfit.fix, at=entity) from unfit
        return MappingProxyType(found)

    return Key(read=read, says=says, example=example, under=under, show=money_shown)


def parameters(says: str, *, example: str, under: str) -> Key:
    """A table of numbers, texts and switches whose names only the policy knows; decimals become floats."""

    def read(raw: object, _context: Context) -> Mapping[str, bool | int | float | str]:
        table = as_table(raw, "write lines such as name = 1.5")
        return MappingProxyType({key: _parameter(key, value) for key, value in table.items()})

    return Key(read=read, says=says, example=example, under=under, show=shown)


def _parameter(key: str, value: object) -> bool | int | float | str:
    if isinstance(value, Decimal) and amounts.is_plain_number(str(value)):
        return float(value)
    if isinstance(value, bool | int | str):
        return value
    raise UnfitError(f"{quoted(value)} is no parameter", "write a number, a text, true or false", at=key)
