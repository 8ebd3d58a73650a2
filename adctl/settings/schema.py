"""Every key of the settings, read once off the classes that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from adctl.settings.keys import Key, SecretKey, Section


class Entry:
    """One key, secret or table of a settings class: its name, what it may hold, its default if it has one."""

    __slots__ = ("_field", "holds", "mark", "name")

    def __init__(self, field: Field[Any], holds: Any, mark: Key | SecretKey | Section) -> None:
        self.name = field.name
        self.holds = holds
        self.mark = mark
        self._field = field

    @property
    def required(self) -> bool:
        """True when the class gives no default."""
        return self._field.default is MISSING and self._field.default_factory is MISSING

    @property
    def default(self) -> object:
        """The class's default, None where there is none or an empty table."""
        return None if self._field.default is MISSING else self._field.default


def entries(cls: type) -> tuple[Entry, ...]:
    """The entries of a settings class: its own first, inherited ones after them, tables last."""
    return _entries(cls)


@cache
def _entries(cls: type) -> tuple[Entry, ...]:
    hints = get_type_hints(cls, include_extras=True)
    found = [
        Entry(field, holds, mark)
        for field in fields(cls)
        for holds, mark in [_split(hints[field.name])]
        if isinstance(mark, Key | SecretKey | Section)
    ]
    return tuple(sorted(found, key=lambda entry: _rank(cls, entry)))


def _split(hint: Any) -> tuple[Any, object]:
    holds, mark, *_ = (*get_args(hint), None, None)
    return holds, mark


def _rank(cls: type, entry: Entry) -> tuple[bool, bool, bool]:
    table = isinstance(entry.mark, Key) and bool(entry.mark.under)
    return isinstance(entry.mark, Section), table, entry.name not in cls.__annotations__


def leaves(cls: type, prefix: str = "") -> Iterator[tuple[str, Key | SecretKey]]:
    """Every leaf below a settings class with its dotted name."""
    for entry in entries(cls):
        if isinstance(entry.mark, Section):
            yield from leaves(entry.holds, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, entry.mark
