"""JSON records, streamed: JSON Lines, an array of objects, or an object that holds one, read to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from adctl.adapters.files.gunzipped import Rewindable
from adctl.adapters.files.json_text import RECORDS_FIX, JsonText, MalformedError, refuse
from adctl.adapters.files.opened_files import TOO_LARGE_FIX, Limits
from adctl.adapters.files.physical_lines import BadTextError
from adctl.domain.columns import UNREADABLE, Habits, Row
from adctl.domain.counted import counted
from adctl.errors import InputRejectedError

_TWICE_FIX = "keep the one that is right"
_COLUMNS_FIX = "export fewer columns, or raise the bound in [input] of adctl.toml"
_LISTS = ("results", "deals", "clicks", "conversions", "insights", "ads", "data", "records", "rows")
# Objects inside a record whose members are columns: HubSpot's own shape, and the device of a click.
_OPENED = {"properties": "", "device": "device_", "device_components": "device_"}
_UNFIT = re.compile("[\0\ud800-\udfff]")
_PAGE_NOTE = "The file is one page of several (paging.next): the other pages are not in it."
_TOTALS = ("total", "total_count")


class _Repeated(dict[str, object]):
    """An object with a key that stands in it twice."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


@dataclass(frozen=True, slots=True)
class _NotJson:
    """NaN or Infinity, which Python reads and JSON does not have."""

    text: str


class _FaultError(Exception):
    """Why a record is no row; `column` may be empty."""

    def __init__(self, what: str, column: str = "", *, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix
        self.column = column


@dataclass(frozen=True, slots=True)
class _Found:
    """One value where a record is expected; `value` may be the fault that it has."""

    number: int
    line: int
    value: object


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    return _Repeated(next(key for key in keys if keys.count(key) > 1))


# Numbers stay as they are written: no float rounds them, no exponent makes them endless.
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=str, parse_int=str, parse_constant=_NotJson)


class JsonRecords:
    """Records as rows of a table whose columns are all the keys there are; an absent key or null is an empty cell.

    `{"properties": {…}}` (HubSpot) and `{"device": {…}}` are opened up; any other object or list is no value, and the
    row is refused where that column is read. `rows()` may be walked more than once, as in DelimitedTable; a tolerant
    walk hands on a line of JSON Lines that is not JSON, and records that are no plain objects.
    """

    typed = True
    habits: Habits | None = None

    def __init__(self, name: str, stream: Rewindable, limits: Limits) -> None:
        self.name = name
        self.notes: tuple[str, ...] = ()
        self.total: int | None = None
        self._stream = stream
        self._start = stream.tell()
        self._limits = limits
        self._titles: dict[str, None] = {}
        self._learn_titles()

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(self._titles)

    def rows(self, *, tolerant: bool = False) -> Iterator[Row]:
        blank = dict.fromkeys(self._titles, "")
        for found in self._walk(tolerant):
            try:
                cells = _cells(found.value)
            except _FaultError as fault:
                column = fault.column or f"record {found.number}"
                error = InputRejectedError(fault.what, source=self.name, line=found.line, column=column, fix=fault.fix)
                if not tolerant:
                    raise error from None
                yield Row(line=found.line, cells={}, number=found.number, fault=error)
            else:
                yield Row(line=found.line, cells={**blank, **cells}, number=found.number)

    def _learn_titles(self) -> None:
        for found in self._walk(tolerant=True):
            try:
                self._titles.update(dict.fromkeys(_cells(found.value)))
            except _FaultError:
                continue
            if len(self._titles) > self._limits.columns:
                what, column = f"more than {self._limits.columns:,} columns", f"record {found.number}"
                raise InputRejectedError(what, source=self.name, line=found.line, column=column, fix=_COLUMNS_FIX)
        if not self._titles:
            # Every record has a fault: the walk names the first.
            next(self.rows())

    def _walk(self, tolerant: bool) -> Iterator[_Found]:
        """Each record. Raises InputRejectedError for what is not JSON."""
        self._stream.seek(self._start)
        text = JsonText(self._stream, name=self.name, limits=self._limits, decoder=_DECODER)
        number = 0
        try:
            for number, (line, value) in enumerate(self._records(text, tolerant), start=1):
                if number > self._limits.rows:
                    what, column = f"more than {counted(self._limits.rows, 'row')}", f"record {number}"
                    raise InputRejectedError(what, source=self.name, line=line, column=column, fix=TOO_LARGE_FIX)
                yield _Found(number, line, value)
        except BadTextError as error:
            column = f"character {len(error.before) + 1}"
            raise InputRejectedError(
                error.what, source=self.name, line=error.line, column=column, fix=error.fix
            ) from None
        except MalformedError as error:
            refuse(error, self.name)
        if number == 0:
            fix = "export at least one record"
            raise InputRejectedError("no records in it", source=self.name, line=1, column="record 1", fix=fix)

    def _records(self, text: JsonText, tolerant: bool) -> Iterator[tuple[int, object]]:
        if text.take("["):
            yield from text.items()
            text.expect_end()
            return
        while not text.at_end():
            line = text.line
            try:
                value = text.value()
            except MalformedError as error:
                if not tolerant:
                    raise
                text.skip_line()
                yield line, _FaultError(error.what, error.column, fix=error.fix)
            else:
                yield line, value

    def _remember(self, beside: dict[str, object]) -> None:
        paging = beside.get("paging")
        if isinstance(paging, dict) and paging.get("next"):
            self.notes = (_PAGE_NOTE,)
            return
        stated = next((str(beside[key]) for key in _TOTALS if key in beside), "")
        self.total = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) < 10 else None


class JsonList(JsonRecords):
    """The records of the one list in an object, `{"results": […], "total": 2}`."""

    def _records(self, text: JsonText, tolerant: bool) -> Iterator[tuple[int, object]]:
        beside: dict[str, object] = {}
        listed = ""
        text.take("{")
        for key in text.keys():  # noqa: SIM118 - not a dictionary
            if key in beside or key == listed:
                raise MalformedError("the key is there already", text.line, key, fix=_TWICE_FIX)
            if key in _LISTS and text.take("["):
                if listed:
                    what = f"a list beside {listed!r}: which one is meant?"
                    raise MalformedError(what, text.line, key, fix="keep the list of records alone")
                listed = key
                yield from text.items()
            else:
                beside[key] = text.value()
        text.expect_end()
        self._remember(beside)


def is_list(name: str, stream: Rewindable, limits: Limits) -> bool:
    """Whether the text is an object with a list of records in it; the position stays."""
    start = stream.tell()
    text = JsonText(stream, name=name, limits=limits, decoder=_DECODER)
    try:
        return text.take("{") and any(_opens_list(text, key) for key in text.keys())  # noqa: SIM118 - not a dictionary
    except (BadTextError, MalformedError):
        return False
    finally:
        stream.seek(start)


def first_key(name: str, stream: Rewindable, limits: Limits) -> str:
    """The first key of an object, "" when the text begins otherwise; the position stays."""
    start = stream.tell()
    text = JsonText(stream, name=name, limits=limits, decoder=_DECODER)
    try:
        return next(text.keys(), "") if text.take("{") else ""
    except (BadTextError, MalformedError, InputRejectedError):
        return ""
    finally:
        stream.seek(start)


def _opens_list(text: JsonText, key: str) -> bool:
    if key in _LISTS and text.take("["):
        return True
    text.value()
    return False


def _cells(value: object) -> dict[str, str]:
    """Raises _FaultError."""
    if isinstance(value, _FaultError):
        raise value
    if not isinstance(value, dict):
        raise _FaultError("not an object", fix=RECORDS_FIX)
    cells: dict[str, str] = {}
    for prefix, key, inner in _opened(value):
        text = _text(key, inner)
        if cells.setdefault(prefix + key, text) != text:
            raise _FaultError("there twice, with different values", prefix + key, fix=_TWICE_FIX)
    return cells


def _opened(value: dict[str, object]) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, _Repeated):
        raise _FaultError("the key is there twice", value.key, fix=_TWICE_FIX)
    for key, inner in value.items():
        if key in _OPENED and isinstance(inner, list):
            raise _FaultError("a list where an object belongs", key, fix='write {"name": "value"}')
        if key not in _OPENED or not isinstance(inner, dict):
            yield "", key, inner
        elif isinstance(inner, _Repeated):
            raise _FaultError("the key is there twice", inner.key, fix=_TWICE_FIX)
        else:
            yield from ((_OPENED[key], name, member) for name, member in inner.items())


def _text(key: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return _unreadable(key, value)
    if _UNFIT.search(value) or _UNFIT.search(key):
        column = key.encode("ascii", "backslashreplace").decode()
        raise _FaultError("a NUL or a lone surrogate in a text", column, fix="remove it")
    return value


def _unreadable(key: str, value: object) -> str:
    if isinstance(value, _NotJson):
        raise _FaultError(f"{value.text} is not JSON", key, fix="write a number, or null where there is none")
    if isinstance(value, _Repeated):
        raise _FaultError(f"the key {value.key!r} is there twice in it", key, fix=_TWICE_FIX)
    return UNREADABLE + ("an object" if isinstance(value, dict) else "a list")
