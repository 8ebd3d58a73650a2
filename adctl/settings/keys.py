"""What a setting may hold: each kind of key with its reader, its explanation and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from adctl.domain import money as amounts

_INTEGER = re.compile(r"-?\d{1,12}", re.ASCII)
_MOST_SHOWN = 60


class UnfitError(ValueError):
    """A value that its key cannot hold; `at` is the dotted place inside a table, `fix` what to write instead."""

    def __init__(self, reason: str, fix: str, *, at: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix
        self.at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a reader may need besides the value: relative paths start at `folder`, `~` is `home`."""

    folder: Path
    home: Path
    currency: str = ""


def shown(value: object, _currency: str = "") -> str:
    """The value as a person reads it in `adctl config`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(str(part) for part in value)}]"
    return "not set" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One leaf of the settings.

    `read` turns what TOML, the environment or a flag holds into the value, or raises UnfitError. `example` is TOML text
    for the written example where there is no default; `preset` a raw default that only `read` can turn into the
    value. `under` names the table of the example that an `example` of several lines goes into.
    """

    read: Callable[[object, Context], object]
    says: str
    example: str = ""
    preset: str = ""
    env: str = ""
    under: str = ""
    textual: bool = True
    show: Callable[[object, str], str] = shown


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """A value that is never written into adctl.toml: a credential, a private file or the environment holds it."""

    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table of settings with a class of its own."""

    says: str


def quoted(raw: object) -> str:
    """The refused value for a message, cut where it gets long."""
    text = shown(raw) if isinstance(raw, bool) else repr(str(raw) if isinstance(raw, Decimal) else raw)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def literal(text: str) -> object:
    """What TOML would have read: the environment and flags carry only text."""
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if amounts.is_plain_number(text) else text


def as_text(raw: object, wants: str) -> str:
    """`raw` when it is text without control characters at all."""
    if not isinstance(raw, str) or not raw.isprintable():
        raise UnfitError(f"{quoted(raw)} is no text", wants)
    return raw


def as_decimal(raw: object, wants: str) -> Decimal:
    """`raw` as an exact number; binary floats, exponents, NaN and booleans are refused."""
    plain = isinstance(raw, int | Decimal) and not isinstance(raw, bool) and amounts.is_plain_number(str(raw))
    if not plain:
        raise UnfitError(f"{quoted(raw)} is no plain number", wants)
    return Decimal(str(raw))


def text(
    says: str, *, example: str = "", pattern: str = ".+", wants: str = "write text in quotes", env: str = ""
) -> Key:
    """Text that matches `pattern` as a whole."""

    def read(raw: object, _context: Context) -> str:
        value = as_text(raw, wants)
        if not re.fullmatch(pattern, value, re.ASCII):
            raise UnfitError(f"{quoted(raw)} does not fit", wants)
        return value

    return Key(read=read, says=says, example=example, env=env)


def choice(says: str, *options: str, example: str = "") -> Key:
    """One of the words in `options`."""

    def read(raw: object, _context: Context) -> str:
        if raw not in options:
            raise UnfitError(f"{quoted(raw)} is not known", f"write one of {', '.join(options)}")
        return str(raw)

    return Key(read=read, says=says, example=example)


def flag(says: str) -> Key:
    """True or false."""

    def read(raw: object, _context: Context) -> bool:
        if not isinstance(raw, bool):
            raise UnfitError(f"{quoted(raw)} is neither true nor false", "write true or false, without quotes")
        return raw

    return Key(read=read, says=says, textual=False)


def whole(says: str, low: int, high: int) -> Key:
    """A whole number from `low` to `high`."""
    wants = f"write a whole number from {low} to {high}, without quotes"

    def read(raw: object, _context: Context) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise UnfitError(f"{quoted(raw)} is no whole number", wants)
        if not low <= raw <= high:
            raise UnfitError(f"{raw} is out of range", wants)
        return raw

    return Key(read=read, says=says, textual=False)


def number(says: str, low: int, high: int, *, places: int = 2, example: str = "") -> Key:
    """An exact decimal number from `low` to `high` with at most `places` decimals."""
    wants = f"write a number from {low} to {high} with at most {places} decimals, without quotes"

    def read(raw: object, _context: Context) -> Decimal:
        return bounded(raw, low, high, places, wants)

    return Key(read=read, says=says, example=example, textual=False)


def bounded(raw: object, low: int, high: int, places: int, wants: str) -> Decimal:
    """`raw` as an exact number in range."""
    value = as_decimal(raw, wants)
    if not low <= value <= high or value != round(value, places):
        raise UnfitError(f"{value} is out of range or too fine", wants)
    return value


def minor_units(raw: object, context: Context) -> int:
    """Minor units of an amount in major units, exactly; negative amounts are refused."""
    wants = f"write a plain amount in {context.currency}, such as 25 or 19.50"
    written = raw if isinstance(raw, str) else str(as_decimal(raw, wants))
    try:
        value = amounts.to_minor(written, context.currency)
        # `to_minor` forgives float noise of exports; what a person writes is exact.
        exact = amounts.to_major(value, context.currency) == Decimal(written)
    except ValueError as error:
        raise UnfitError(quoted_reason(error), wants) from error
    if value < 0 or not exact:
        raise UnfitError(f"{quoted(raw)} is negative or has more decimals than {context.currency}", wants)
    return value


def quoted_reason(error: ValueError) -> str:
    """The reason of a ValueError as one short clause."""
    return str(error)[: 2 * _MOST_SHOWN]


def money_shown(value: object, currency: str) -> str:
    """The amount in major units, as `adctl config` shows it."""
    return amounts.show(value, currency) if isinstance(value, int) else shown(value)


def money(says: str, *, example: str = "", preset: str = "") -> Key:
    """An amount in major units of the account's currency; the value is whole minor units."""
    return Key(read=minor_units, says=says, example=example, preset=preset, show=money_shown)


def path(says: str, *, example: str = "") -> Key:
    """A path; relative ones start at the folder of the file that names them."""

    def read(raw: object, context: Context) -> Path:
        value = as_text(raw, "write a path in quotes")
        if not value:
            raise UnfitError("is empty", "write a path in quotes")
        head, _, rest = value.partition("/")
        return context.home / rest if head == "~" else context.folder / value

    return Key(read=read, says=says, example=example)


def as_table(raw: object, wants: str) -> Mapping[str, object]:
    """`raw` when it is a TOML table."""
    if not isinstance(raw, dict):
        raise UnfitError(f"{quoted(raw)} is no table", wants)
    return raw
