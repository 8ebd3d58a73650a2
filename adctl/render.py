"""Reports and errors as plain text or one JSON document; what people see on a terminal is in terminal.py."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self, TextIO

from adctl.domain import money
from adctl.domain.report import Cell, Column, Kind, Report, Table
from adctl.errors import AdctlError, InputRejectedError
from adctl.redaction import redact, redact_known

_VERSION = 1
_NUMERIC = frozenset({Kind.COUNT, Kind.MONEY, Kind.RATIO, Kind.PERCENT, Kind.FIGURE, Kind.LOG})
# Control characters could drive the terminal; the marks that turn the writing direction could disguise a name; lone
# surrogates cannot be written at all.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render(report: Report, *, stream: TextIO, as_json: bool = False) -> None:
    """Write the report to `stream`: aligned text without any control sequence, or one line of JSON."""
    if as_json:
        write(stream, _dumped({"adctl": _VERSION, **_document(report)}))
    else:
        write(stream, "\n".join(_report_lines(report)))


def render_error(error: AdctlError, *, stream: TextIO, as_json: bool = False) -> None:
    """Write `adctl: error: what (fix)`, or a JSON document that says it."""
    if as_json:
        write(stream, _dumped({"adctl": _VERSION, "error": _error_document(error)}))
    else:
        write(stream, f"adctl: error: {clean(redact(str(error)))}")


class LineProgress:
    """Progress where nobody watches: one plain line per step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is left open."""

    def __call__(self, step: str) -> None:
        write(self._stream, clean(step))
        self._stream.flush()


def write(stream: TextIO, text: str) -> None:
    """Write `text` and a line break; what the stream's encoding lacks is written as an escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def clean(text: str) -> str:
    """`text` on one line, without known secrets, with `\\x1b` and the like where it held control characters."""
    return _UNSAFE.sub(_visible, redact_known(text))


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    if character in "\t\n\r\u2028\u2029":
        return " "
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def is_numeric(kind: Kind) -> bool:
    """True for kinds whose columns are aligned to the right."""
    return kind in _NUMERIC


def shown(value: Cell, kind: Kind, currency: str | None) -> str:
    """The value as a person reads it: `1,234.50 USD`, `12.5%`, `2026-01-31T09:30Z`, `-` for nothing."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _number(value, kind, currency)
        case date():
            return _moment(value)
    return clean(value)


def _number(value: int | float, kind: Kind, currency: str | None) -> str:
    if not math.isfinite(value):
        return "-"
    match kind:
        case Kind.MONEY:
            return money.show(value, currency) if currency and isinstance(value, int) else f"{value:,} minor units"
        case Kind.PERCENT:
            return f"{value * 100:.1f}%"
        case Kind.RATIO:
            return f"{value:,.2f}"
        case Kind.COUNT:
            return f"{value:,}"
        case Kind.FIGURE:
            return f"{value:,.4g}"
        case Kind.LOG:
            return f"{value:.9f}"
    return str(value)


def _moment(value: date) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def heading(report: Report) -> str:
    """The first line: command, account, and whether anything was written."""
    parts = [f"adctl {report.command}", f"account {report.account}" if report.account else ""]
    parts.append("dry run: nothing was written" if report.dry_run else "")
    return clean(" · ".join(part for part in parts if part))


def visible_tables(report: Report) -> tuple[Table, ...]:
    """The tables that a person sees: those with rows, or with something to say about having none."""
    return tuple(table for table in report.tables if table.rows or table.empty)


def visible_rows(table: Table) -> Sequence[Mapping[str, Cell]]:
    """The rows that a person sees."""
    return table.rows[: table.shown]


def hidden_note(table: Table) -> str:
    """What is said below a table that shows only its first rows, else nothing."""
    hidden = len(table.rows) - len(visible_rows(table))
    return f"and {hidden:,} more (--json has all)" if hidden else ""


def _report_lines(report: Report) -> Iterator[str]:
    yield heading(report)
    yield clean(report.summary)
    if report.facts:
        yield ""
        yield from _fact_lines(report)
    for table in visible_tables(report):
        yield ""
        yield from _table_lines(table, report.currency)
    if report.notes:
        yield ""
        yield from (f"note: {clean(note)}" for note in report.notes)
    for section in report.sections:
        yield ""
        yield from _report_lines(section)


def _fact_lines(report: Report) -> Iterator[str]:
    labels = [f"{clean(fact.label)}:" for fact in report.facts]
    widest = max(width(label) for label in labels)
    for label, fact in zip(labels, report.facts, strict=True):
        yield f"{_padded(label, widest)}  {shown(fact.value, fact.kind, report.currency)}"


def _table_lines(table: Table, currency: str | None) -> Iterator[str]:
    if not table.rows:
        yield f"{clean(table.title)}: {clean(table.empty)}"
        return
    yield clean(table.title)
    rows = [
        [shown(row.get(column.key), column.kind, currency) for column in table.columns] for row in visible_rows(table)
    ]
    labels = [clean(column.label) for column in table.columns]
    widths = [max(width(cell) for cell in cells) for cells in zip(labels, *rows, strict=True)]
    for cells in (labels, ["-" * wide for wide in widths], *rows):
        yield _row_line(cells, table.columns, widths)
    if note := hidden_note(table):
        yield f"... {note}"


def _row_line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    aligned = (
        _padded(cell, wide, right=is_numeric(column.kind))
        for cell, column, wide in zip(cells, columns, widths, strict=True)
    )
    return "  ".join(aligned).rstrip()


def width(text: str) -> int:
    """Columns that `text` takes in a fixed-width font: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, wide: int, *, right: bool = False) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space


def _dumped(document: Mapping[str, Any]) -> str:
    # ASCII only: whatever a vendor's name holds, the document is one line, safe on a terminal and in any encoding.
    return json.dumps(document, ensure_ascii=True, allow_nan=False)


def _document(report: Report) -> dict[str, Any]:
    return {
        "command": _raw(report.command),
        "account": _raw(report.account),
        "currency": report.currency,
        "dry_run": report.dry_run,
        "summary": _raw(report.summary),
        "exit_code": report.exit_code,
        "facts": {fact.key: _raw(fact.value) for fact in report.facts},
        "tables": {table.key: [_raw_row(table, row) for row in table.rows] for table in report.tables},
        "notes": [_raw(note) for note in report.notes],
        "sections": [_document(section) for section in report.sections],
    }


def _raw_row(table: Table, row: Mapping[str, Cell]) -> dict[str, Any]:
    """Every value of the row, those with a column first, in the columns' order."""
    keys = dict.fromkeys([*(column.key for column in table.columns), *row])
    return {key: _raw(row.get(key)) for key in keys}


def _raw(value: Cell) -> bool | int | float | str | None:
    match value:
        case float() if not math.isfinite(value):
            return None
        case str():
            return redact_known(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
    return value


def _error_document(error: AdctlError) -> dict[str, Any]:
    document: dict[str, Any] = {"message": redact(error.what), "fix": redact(error.fix), "exit_code": error.exit_code}
    if isinstance(error, InputRejectedError):
        place = {"file": redact(error.source), "line": error.line, "column": redact(error.column)}
        document |= {key: value for key, value in place.items() if value not in ("", None)}
    return document
