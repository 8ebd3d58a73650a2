"""Strict reading of delimited text (CSV): what is not exactly a table is refused with its line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adctl.adapters.files.gunzipped import Rewindable
from adctl.adapters.files.opened_files import TOO_LARGE_FIX, Limits, Source, open_rewindable
from adctl.adapters.files.physical_lines import BadTextError, Line, read_lines
from adctl.domain.columns import Habits, Row
from adctl.domain.counted import counted
from adctl.errors import InputRejectedError

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
# How programs tell Excel the delimiter: a line before the header that belongs to no table.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_LIMITS = Limits()
# What a line takes besides its characters, so that a record of line breaks alone ends as well.
_LINE_COST = 64
_QUOTE_FIX = 'quote the whole cell and double each quote in it: "3"" pipe"'
_NO_ROWS_FIX = "export at least one row, with its column names above"
_NO_LINE_END = "the file does not end with a line break: make sure that it is whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """The cells of one record with the physical line it starts on."""

    line: int
    cells: list[str]
    ended: bool
    cut: bool
    fault: InputRejectedError | None


class DelimitedTable:
    """A table with a header on line 1. Delimiter: comma, semicolon, tab or pipe, whichever the header has most, or
    what a line `sep=;` above the header says.

    Quotes as in RFC 4180 and nothing else; every row has the header's number of cells; empty lines and empty rows
    only at the end. `rows()` may be walked more than once; it raises InputRejectedError at the first fault, so nothing
    may be kept before a walk has ended. A tolerant walk hands on the rows that have a fault of their own; what may
    hide other rows (bytes that are no text, a quote never closed, a file cut within its last row) it refuses too.
    """

    typed = False
    total: int | None = None
    habits: Habits | None = None

    def __init__(self, name: str, stream: Rewindable, limits: Limits) -> None:
        self.name = name
        self.header: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._stream = stream
        self._start = stream.tell()
        self._limits = limits
        self._delimiter = ""
        self._header_line = 1
        self._read_header()

    def rows(self, *, tolerant: bool = False) -> Iterator[Row]:
        try:
            yield from self._rows(tolerant)
        except BadTextError as error:
            raise self._unfit(error) from None

    def _read_header(self) -> None:
        lines = self._lines()
        text = self._title_line(lines)
        said = _SEPARATOR_LINE.fullmatch(text)
        if said:
            self._header_line = 2
            text = self._title_line(lines)
        line = self._header_line
        if not text.strip():
            what = "the line is empty, the column names are expected here"
            raise self._refused(what, line, 0, fix="remove the lines above the column names")
        self._delimiter = said[1] if said else self._sniffed(text)
        if text.count('"') % 2:
            column = self._column_of(text)
            raise self._refused("a quote of the header is not closed on its line", line, column, fix=_QUOTE_FIX)
        self.header = tuple(title.strip() for title in self._split(text, line))
        if len(self.header) > self._limits.columns:
            what, fix = f"more than {self._limits.columns:,} columns", "export fewer columns"
            raise self._refused(what, line, self._limits.columns, fix=fix)

    def _title_line(self, lines: Iterator[Line]) -> str:
        try:
            found = next(lines, None)
        except BadTextError as error:
            raise self._unfit(error) from None
        if found is None:
            what = "the file is empty" if self._header_line == 1 else "the file ends before its column names"
            raise self._refused(what, self._header_line, 0, fix=_NO_ROWS_FIX)
        return found.text.removesuffix("\r")

    def _lines(self) -> Iterator[Line]:
        self._stream.seek(self._start)
        return read_lines(self._stream, name=self.name, limits=self._limits)

    def _sniffed(self, header: str) -> str:
        unquoted = _QUOTED.sub("", header)
        counts = {delimiter: unquoted.count(delimiter) for delimiter in _DELIMITERS}
        most = max(counts.values())
        best = [delimiter for delimiter, count in counts.items() if count == most]
        if most == 0:
            what = "no comma, semicolon, tab or pipe: this is not the header of a table"
            raise self._refused(what, 1, 0, fix="begin the file with its column names, as in ad_id,spend")
        if len(best) > 1:
            names = " and ".join(_DELIMITERS[delimiter] for delimiter in best)
            what = f"{names} occur equally often: cannot tell which one separates the columns"
            raise self._refused(what, 1, 0, fix="say it on a line above the header, such as sep=;")
        return best[0]

    def _rows(self, tolerant: bool) -> Iterator[Row]:
        blank: int | None = None
        count = 0
        for record in self._records(tolerant):
            if record.fault is None and not any(cell.strip() for cell in record.cells):
                blank = blank or record.line
                continue
            if blank is not None:
                what = "an empty row within the table (are there two tables in the file?)"
                raise self._refused(what, blank, 0, fix="remove it, or make two files of them")
            count += 1
            if count > self._limits.rows:
                raise self._refused(f"more than {counted(self._limits.rows, 'row')}", record.line, 0, fix=TOO_LARGE_FIX)
            yield self._row(record, count, tolerant)
        if count == 0:
            raise self._refused("no rows under the header", self._header_line, 0, fix=_NO_ROWS_FIX)

    def _row(self, record: _Record, number: int, tolerant: bool) -> Row:
        fault = record.fault or self._misfit(record)
        if fault is None:
            return Row(line=record.line, cells=dict(zip(self.header, record.cells, strict=True)), number=number)
        if not tolerant or not record.ended:
            raise fault
        cells = {f"#{index}": cell for index, cell in enumerate(record.cells, start=1)}
        return Row(line=record.line, cells=cells, number=number, fault=fault)

    def _misfit(self, record: _Record) -> InputRejectedError | None:
        cells, titles = len(record.cells), len(self.header)
        if cells != titles:
            what = f"the row has {cells} cells, the header {titles}"
            fix = f"one cell a column, empty ones too; quote a cell that holds a {_DELIMITERS[self._delimiter]}"
            if not record.ended:
                what += "; it is the last line and has no line break: is the file whole?"
                fix = "export it again"
            return self._refused(what, record.line, min(cells, titles - 1), fix=fix)
        if not record.ended:
            self.notes = (_NO_LINE_END,)
        if record.cut:
            what = "the file ends within or right before this cell"
            fix = "if it is whole, end it with a line break"
            return self._refused(what, record.line, titles - 1, fix=fix)
        return None

    def _records(self, tolerant: bool) -> Iterator[_Record]:
        lines = self._lines()
        for _ in range(self._header_line):
            next(lines)
        for line in lines:
            gathered = [line] if line.text.count('"') % 2 == 0 else self._gathered(line, lines)
            last = gathered[-1]
            text = "\n".join(part.text for part in gathered)
            if last.ended:
                text = text.removesuffix("\r")
            cells, fault = self._cells(text, line.number, tolerant)
            if len(gathered) > 1:
                self._refuse_swallowed_rows(gathered, cells)
            cut = not last.ended and text.endswith(self._delimiter)
            yield _Record(line=line.number, cells=cells, ended=last.ended, cut=cut, fault=fault)

    def _cells(self, text: str, line: int, tolerant: bool) -> tuple[list[str], InputRejectedError | None]:
        if not text:
            return [""], None
        try:
            return self._split(text, line), None
        except InputRejectedError as error:
            # A fault that reaches over several lines may hide other rows.
            if not tolerant or "\n" in text:
                raise
            return text[: self._limits.field_chars].split(self._delimiter), error

    def _gathered(self, first: Line, lines: Iterator[Line]) -> list[Line]:
        """The lines of a record whose quotes close on a later line."""
        gathered, size = [first], len(first.text)
        for line in lines:
            gathered.append(line)
            size += len(line.text) + _LINE_COST
            if line.text.count('"') % 2:
                return gathered
            if size > self._limits.record_chars:
                break
        # A stray quote on the first line is a better message than the end of the file.
        self._split(first.text.removesuffix("\r") + '"', first.number)
        raise self._refused(
            "a quote opened here is never closed", first.number, self._column_of(first.text), fix=_QUOTE_FIX
        )

    def _refuse_swallowed_rows(self, gathered: list[Line], cells: list[str]) -> None:
        """A lost quote can join rows into one that has the right number of cells: its lines are rows themselves."""
        full = len(self.header) - 1
        head, tail = gathered[0].text, gathered[-1].text.replace('"', "", 1)
        if all(_QUOTED.sub("", text).count(self._delimiter) == full for text in (head, tail)):
            column = next(index for index, cell in enumerate(cells) if "\n" in cell)
            what = f"a quote opened here closes on line {gathered[-1].number} and swallows whole rows"
            raise self._refused(what, gathered[0].number, min(column, full), fix=_QUOTE_FIX)

    def _split(self, text: str, line: int) -> list[str]:
        if '"' not in text:
            cells = text.split(self._delimiter)
            if "\r" in text:
                index = next(index for index, cell in enumerate(cells) if "\r" in cell)
                raise self._refused("a carriage return outside of quotes", line, index, fix=_QUOTE_FIX)
        else:
            cells = self._split_quoted(text, line)
        for index, cell in enumerate(cells) if len(text) > self._limits.field_chars else ():
            if len(cell) > self._limits.field_chars:
                what = f"a cell longer than {self._limits.field_chars:,} characters"
                raise self._refused(what, line, index, fix="shorten it, or leave that column out")
        return cells

    def _split_quoted(self, text: str, line: int) -> list[str]:
        if _RECORD[self._delimiter].fullmatch(text) and len(text) <= self._limits.field_chars:
            # Proven to be well formed, so the fast reader cannot misread it.
            return next(csv.reader([text], delimiter=self._delimiter, strict=True))
        cells: list[str] = []
        position = 0
        while True:
            match = _CELL[self._delimiter].match(text, position)
            if match is None:
                at = line + text.count("\n", 0, position)
                raise self._refused(_quote_fault(text[position]), at, len(cells), fix=_QUOTE_FIX)
            cells.append(match[2] if match[1] is None else match[1].replace('""', '"'))
            if match.end() == len(text):
                return cells
            position = match.end() + 1

    def _column_of(self, before: str) -> int:
        """The column that text after `before` on the same line belongs to."""
        unquoted = _QUOTED.sub("", before).partition('"')[0]
        return unquoted.count(self._delimiter) if self._delimiter else 0

    def _unfit(self, error: BadTextError) -> InputRejectedError:
        return self._refused(error.what, error.line, self._column_of(error.before), fix=error.fix)

    def _refused(self, what: str, line: int, column: int, *, fix: str) -> InputRejectedError:
        return InputRejectedError(what, source=self.name, line=line, column=self._title(column), fix=fix)

    def _title(self, column: int) -> str:
        return self.header[column] if column < len(self.header) else f"#{column + 1}"


def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    # Possessive repeats: a cell of a megabyte costs one pass.
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"\r\n{mark}]*+))(?={mark}|\Z)')


_CELL = {delimiter: _cell_pattern(delimiter) for delimiter in _DELIMITERS}


_RECORD = {mark: re.compile(rf"(?:{cell.pattern}{re.escape(mark)})*+{cell.pattern}") for mark, cell in _CELL.items()}


def _quote_fault(start: str) -> str:
    return "text behind a closing quote" if start == '"' else "a quote or carriage return in a cell that is not quoted"


@contextmanager
def open_table(source: Source, *, limits: Limits = _LIMITS) -> Iterator[DelimitedTable]:
    """The table in a file or a binary stream, header already read. Raises InputRejectedError, UsageError."""
    with open_rewindable(source, limits) as (name, stream):
        yield DelimitedTable(name, stream, limits)
