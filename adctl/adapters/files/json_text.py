"""A JSON text read value by value from a stream, so that only one of them is in memory at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from adctl.adapters.files.gunzipped import Rewindable
from adctl.adapters.files.opened_files import Limits
from adctl.adapters.files.physical_lines import WHOLE_FIX, BadTextError, read_chunks
from adctl.errors import InputRejectedError

_SPACE = re.compile(r"[ \t\r\n]*+")
JSON_FIX = "correct it to JSON, or have the program that wrote it export it again"
RECORDS_FIX = "give one flat object a record, in an array or one a line"
_NOT_WHOLE = "the file ends within a value: it is not whole"
# An error nearer to the end of what was read may only mean that the rest is not read yet.
_MARGIN = 64


class MalformedError(Exception):
    """A value that is not JSON: `what` is wrong, `line` and `column` (a character, from 1) say where."""

    def __init__(self, what: str, line: int, column: str, *, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix
        self.line = line
        self.column = column


class JsonText:
    """Looks at a stream from its position on. Raises MalformedError and what `read_chunks` leads to."""

    def __init__(self, stream: Rewindable, *, limits: Limits, name: str, decoder: json.JSONDecoder) -> None:
        self._chunks = read_chunks(stream, name=name, limits=limits)
        self._decoder = decoder
        self._limits = limits
        self._name = name
        self._text = ""
        self._at = 0
        self._ended = False
        self.line = 1
        self._line_start = 0

    def at_end(self) -> bool:
        """Whether nothing but white space is left."""
        return self._peek() == ""

    def take(self, mark: str) -> bool:
        """Steps over `mark` when it is next."""
        if self._peek() != mark:
            return False
        self._move(self._at + 1)
        return True

    def value(self) -> object:
        """The next value, whole."""
        self._peek()
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_final(error):
                    raise self._malformed(error) from None
            except RecursionError:
                raise self._too_deep() from None
            else:
                # A number at the very end of what was read may go on.
                if end < len(self._text) or self._ended:
                    self._refuse_deep(found, end)
                    self._move(end)
                    return found
            self._read_on()

    def items(self) -> Iterator[tuple[int, object]]:
        """(line, value) of each item of an array whose bracket was taken, up to its end."""
        if self.take("]"):
            return
        while True:
            self._peek()
            line = self.line
            yield line, self.value()
            if self.take("]"):
                return
            self._expect(",")

    def keys(self) -> Iterator[str]:
        """Each key of an object whose brace was taken; the caller reads the value before asking for the next."""
        if self.take("}"):
            return
        while True:
            if self._peek() != '"':
                raise self._fault("a key in quotes is missing", self._at)
            key = self.value()
            assert isinstance(key, str)
            self._expect(":")
            yield key
            if self.take("}"):
                return
            self._expect(",")

    def expect_end(self) -> None:
        if not self.at_end():
            raise self._fault("something behind the end of the value", self._at)

    def skip_line(self) -> None:
        """Steps to the next line, over whatever is left of this one."""
        while (end := self._text.find("\n", self._at)) < 0 and not self._ended:
            self._read_on()
        self._move(end + 1 if end >= 0 else len(self._text))

    def _expect(self, mark: str) -> None:
        if not self.take(mark):
            raise self._fault(f"{mark!r} is missing" if self._peek() else _NOT_WHOLE, self._at)

    def _peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._move(match.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read_on()

    def _move(self, to: int) -> None:
        lines = self._text.count("\n", self._at, to)
        if lines:
            self.line += lines
            self._line_start = self._text.rfind("\n", self._at, to) + 1
        self._at = to

    def _read_on(self) -> None:
        if len(self._text) - self._at > self._limits.record_chars:
            what = f"a value is longer than {self._limits.record_chars:,} characters"
            column = self._column(self._at)
            raise InputRejectedError(what, source=self._name, line=self.line, column=column, fix=RECORDS_FIX)
        found = next(self._chunks, None)
        self._ended = found is None
        more, fault = found or ("", None)
        self._line_start -= self._at
        self._text, self._at = self._text[self._at :] + more, 0
        if fault:
            before = self._text[self._text.rfind("\n") + 1 :]
            raise BadTextError(fault, self.line + self._text.count("\n"), before)

    def _refuse_deep(self, found: object, end: int) -> None:
        marks = self._text.count("[", self._at, end) + self._text.count("{", self._at, end)
        if marks > self._limits.depth and _depth(found) > self._limits.depth:
            raise self._too_deep()

    def _is_final(self, error: json.JSONDecodeError) -> bool:
        cut = error.msg.startswith("Unterminated") or error.pos + _MARGIN > len(self._text)
        return self._ended or not cut

    def _malformed(self, error: json.JSONDecodeError) -> Exception:
        rest = self._text[error.pos :].strip()
        if not rest or (self._ended and error.msg.startswith("Unterminated")):
            # Nothing follows it, so this is no fault of one record.
            line = self.line + self._text.count("\n", self._at, error.pos)
            column = self._column(error.pos)
            return InputRejectedError(_NOT_WHOLE, source=self._name, line=line, column=column, fix=WHOLE_FIX)
        return self._fault(f"not JSON: {rest[:12]!r}", error.pos)

    def _fault(self, what: str, at: int) -> MalformedError:
        line = self.line + self._text.count("\n", self._at, at)
        fix = WHOLE_FIX if what == _NOT_WHOLE else JSON_FIX
        return MalformedError(what, line, self._column(at), fix=fix)

    def _too_deep(self) -> MalformedError:
        what = f"nested deeper than {self._limits.depth} levels"
        return MalformedError(what, self.line, self._column(self._at), fix=RECORDS_FIX)

    def _column(self, at: int) -> str:
        # The line may have begun in a part that is no longer here; its start is then negative.
        start = self._text.rfind("\n", 0, at) + 1 or self._line_start
        return f"character {at - start + 1}"


def _depth(value: object) -> int:
    """How many objects and lists stand around the innermost value."""
    level, depth = [value], 0
    while level := [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]:
        depth += 1
    return depth


def _inside(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def refuse(error: MalformedError, source: str) -> NoReturn:
    """The refusal of a whole file for it."""
    raise InputRejectedError(error.what, source=source, line=error.line, column=error.column, fix=error.fix) from None
