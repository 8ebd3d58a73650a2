"""Which column of somebody's file holds which field, resolved by name before a single row is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adctl.domain.dates import DateOrder
from adctl.domain.numerals import NumeralStyle
from adctl.errors import ConfigurationError, InputRejectedError

# Opens a cell that holds no text at all (an object, a list); no text that is read can begin so.
UNREADABLE = "\0"
_CURRENCY_IN_TITLE = re.compile(r"\(([A-Za-z]{3})\)\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record of a file: `cells` by column title, `line` the physical line it starts on, `number` counts from 1.

    `fault` says why it is no row of this table; its cells then have what names there are, if any.
    """

    line: int
    cells: Mapping[str, str]
    number: int = 0
    fault: InputRejectedError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a file writes numbers and dates, learned from all of its rows."""

    numerals: NumeralStyle
    date_order: DateOrder | None
    since_epoch: bool = False


class RowSource(Protocol):
    """A table that can be read more than once, whatever its format; every row has every column of the header."""

    @property
    def name(self) -> str: ...
    @property
    def header(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know of the file; complete once the rows have been walked."""
        ...

    @property
    def typed(self) -> bool:
        """Whether the format itself says how numbers are written (JSON), so that no cell may write them otherwise."""
        ...

    @property
    def total(self) -> int | None:
        """How many rows the file itself says it has; known once the rows have been walked."""
        ...

    @property
    def habits(self) -> Habits | None:
        """Known already for rows that were kept of a file; None where they are to be learned."""
        ...

    def rows(self, *, tolerant: bool = False) -> Iterator[Row]:
        """Raises InputRejectedError at the first fault; when tolerant, a fault of one row comes with that row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a reader looks for. The first alias that the header has wins; a money field may name its currency in
    brackets behind the alias. `fix` says how to get the column into the file, and is there for every required one.
    """

    name: str
    aliases: tuple[str, ...]
    required: bool = False
    money: bool = False
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Field name → column title as the file writes it; `ignored` are the titles that nothing reads."""

    columns: Mapping[str, str]
    ignored: tuple[str, ...]


def fold(title: str) -> str:
    """The form in which titles are compared: compatibility characters, case, white space and underscores folded.

    What shows nothing (zero-width and direction marks, a byte order mark) is left out.
    """
    seen = title if title.isprintable() else "".join(c for c in title if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", seen).casefold().replace("_", " ").split())


def resolve_columns(
    fields: Sequence[Field], header: Sequence[str], overrides: Mapping[str, str], *, currency: str, source: str
) -> ColumnMapping:
    """The columns to read, from the aliases and from `overrides` {field: column title, or "" to leave the field out}.

    Raises ConfigurationError for an override of an unknown field, and InputRejectedError for a column that is absent
    or there twice, and for a money column in another currency than the account's.
    """
    _refuse_unknown_fields(fields, overrides)
    titles = _titles_by_fold(header, source)
    columns: dict[str, str] = {}
    for field in fields:
        found = (
            _overridden(field, overrides, titles, source)
            if field.name in overrides
            else _by_alias(field, titles, source)
        )
        if found is not None:
            columns[field.name] = found
        elif field.required:
            raise InputRejectedError(_missing(field), source=source, line=1, column=field.aliases[0], fix=field.fix)
    _refuse_foreign_currency(fields, columns, currency, source)
    read = set(columns.values())
    return ColumnMapping(columns=columns, ignored=tuple(title for title in header if title not in read))


def _refuse_unknown_fields(fields: Sequence[Field], overrides: Mapping[str, str]) -> None:
    known = [field.name for field in fields]
    for name in overrides:
        if name not in known:
            raise ConfigurationError(f"column mapping: unknown field {name!r}", fix=f"known fields: {', '.join(known)}")


def _titles_by_fold(header: Sequence[str], source: str) -> dict[str, str]:
    titles: dict[str, str] = {}
    for position, title in enumerate(header, start=1):
        folded = fold(title)
        if not folded:
            fix = "name it, or remove the column"
            raise InputRejectedError("the column has no name", source=source, line=1, column=f"#{position}", fix=fix)
        if folded in titles:
            earlier = list(header).index(titles[folded]) + 1
            what = f"columns {earlier} ({titles[folded]!r}) and {position} ({title!r}) have the same name"
            raise InputRejectedError(what, source=source, line=1, column=title, fix="rename or remove one of them")
        titles[folded] = title
    return titles


def _overridden(field: Field, overrides: Mapping[str, str], titles: Mapping[str, str], source: str) -> str | None:
    wanted = overrides[field.name]
    if not wanted:
        return None
    if fold(wanted) not in titles:
        what = f"the column mapping wants it for {field.name}, the file has no such column"
        fix = f"the file has: {', '.join(titles.values())}"
        raise InputRejectedError(what, source=source, line=1, column=wanted, fix=fix)
    return titles[fold(wanted)]


def _by_alias(field: Field, titles: Mapping[str, str], source: str) -> str | None:
    for alias in field.aliases:
        found = [title for folded, title in titles.items() if _matches(folded, fold(alias), money=field.money)]
        if len(found) > 1:
            what = f"{' and '.join(map(repr, found))} could both be {field.name}"
            fix = f"name the right one in the column mapping: {field.name}"
            raise InputRejectedError(what, source=source, line=1, column=found[1], fix=fix)
        if found:
            return found[0]
    return None


def _matches(folded: str, alias: str, *, money: bool) -> bool:
    return folded == alias or (money and _CURRENCY_IN_TITLE.sub("", folded).rstrip() == alias)


def _missing(field: Field) -> str:
    return f"no column for {field.name}; known names: {', '.join(field.aliases)}"


def _refuse_foreign_currency(fields: Sequence[Field], columns: Mapping[str, str], currency: str, source: str) -> None:
    for field in fields:
        title = columns.get(field.name, "")
        named = _CURRENCY_IN_TITLE.search(title.rstrip())
        if field.money and named and named[1].upper() != currency:
            what = f"the column is in {named[1].upper()}, the account in {currency}"
            fix = f"export it in {currency}, or correct the account's currency in adctl.toml"
            raise InputRejectedError(what, source=source, line=1, column=title, fix=fix)
