"""JSON read to the letter: no repeated keys, no NaN, numbers kept as written, each value with its line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from adctl.adapters.files.json_text import JSON_FIX
from adctl.adapters.files.opened_files import Limits
from adctl.adapters.files.physical_lines import WHOLE_FIX
from adctl.errors import InputRejectedError

_TOKEN = re.compile(
    r"[ \t\r\n]*+(?:"
    r'(?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)(?![0-9A-Za-z_.+-])"
    r"|(?P<word>true|false|null)(?![0-9A-Za-z_])"
    r"|(?P<mark>[\[\]{}:,])"
    r"|(?P<end>\Z))"
)


class JsonNumber(str):
    """A number's own characters, never a float."""

    __slots__ = ()


JsonValue = None | bool | JsonNumber | str | dict[str, "Located"] | list["Located"]


@dataclass(frozen=True, slots=True)
class Located:
    value: JsonValue
    line: int


def parse_json(text: str, *, source: str, deepest: int = Limits().depth) -> Located:
    """The one value that `text` holds. Raises InputRejectedError with the line of the first fault."""
    parser = _Parser(text, source, deepest)
    found = parser.value(deepest)
    if parser.kind != "end":
        parser.refuse("something behind the end of the value")
    return found


class _Parser:
    """Looks one token ahead: `kind` and `token` are the next one, `line` where it ends."""

    def __init__(self, text: str, source: str, deepest: int) -> None:
        self._text = text
        self._source = source
        self._at = self._begin = 0
        self._deepest = deepest
        self.line = 1
        self.kind = ""
        self.token = ""
        self._next()

    def refuse(self, what: str, *, column: str = "", fix: str = JSON_FIX) -> NoReturn:
        place = column or f"character {self._begin - self._text.rfind(chr(10), 0, self._begin)}"
        raise InputRejectedError(what, source=self._source, line=self.line, column=place, fix=fix)

    def value(self, depth: int) -> Located:
        kind, token, line = self.kind, self.token, self.line
        if depth == 0:
            self.refuse(f"nested deeper than {self._deepest} levels", fix="nest less")
        if token == "{" and kind == "mark":
            return Located(self._object(depth), line)
        if token == "[" and kind == "mark":
            return Located(self._array(depth), line)
        if kind in ("mark", "end"):
            self._refuse_end("a value is missing")
        found = self._scalar(kind, token)
        self._next()
        return Located(found, line)

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            rest = self._text[self._at :].lstrip(" \t\r\n")
            self._begin = len(self._text) - len(rest)
            self.line += self._text.count("\n", self._at, self._begin)
            self.refuse(f"not JSON: {rest[:12]!r}")
        self.line += self._text.count("\n", self._at, match.end())
        self._at = match.end()
        self.kind = match.lastgroup or ""
        self._begin = match.start(self.kind)
        self.token = match[self.kind]

    def _take(self, mark: str) -> bool:
        if self.kind != "mark" or self.token != mark:
            return False
        self._next()
        return True

    def _scalar(self, kind: str, token: str) -> JsonValue:
        if kind == "number":
            return JsonNumber(token)
        return self._string(token) if kind == "string" else {"true": True, "false": False}.get(token)

    def _string(self, token: str) -> str:
        found: str = json.loads(token)
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in found):
            self.refuse("a NUL or a lone surrogate in a text", fix="remove it")
        return found

    def _object(self, depth: int) -> dict[str, Located]:
        self._next()
        members: dict[str, Located] = {}
        if self._take("}"):
            return members
        while True:
            key = self._key()
            if key in members:
                self.refuse(
                    f"the key is there already, on line {members[key].line}",
                    column=key,
                    fix="keep the one that is right",
                )
            self._next()
            self._expect(":")
            members[key] = self.value(depth - 1)
            if self._take("}"):
                return members
            self._expect(",")

    def _key(self) -> str:
        if self.kind != "string":
            self.refuse("a key in quotes is missing")
        return self._string(self.token)

    def _array(self, depth: int) -> list[Located]:
        self._next()
        items: list[Located] = []
        if self._take("]"):
            return items
        while True:
            items.append(self.value(depth - 1))
            if self._take("]"):
                return items
            self._expect(",")

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            self._refuse_end(f"{mark!r} is missing")

    def _refuse_end(self, otherwise: str) -> NoReturn:
        if self.kind == "end":
            self.refuse("the file ends within a value: it is not whole", fix=WHOLE_FIX)
        self.refuse(otherwise)
