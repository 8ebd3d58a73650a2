"""Numbers as people's programs write them: which mark groups thousands and which is the decimal one, per file.

Rules. A file has one decimal mark (`.` or `,`) and one group mark (`,` `.` space `'`), the same in all its columns.
What a single cell proves:
- two marks: the last one is the decimal mark, the other groups (`1,234.56`, `1.234,56`, `1 234,56`, `1'234.56`);
- a space or an apostrophe always groups; a point or a comma met twice groups (`1.234.567`, also Indian `12,34,567`);
- one point or comma that cannot group (`12.5`, `0,123`, `1234,567`) is the decimal mark;
- `1,234` proves a group mark where only whole numbers can stand (counts, money in a currency without cents), unless
  the digits behind it are `000`: a count may be written as `12.000` by a program that knows no whole numbers;
- any other `1,234` or `1.000` proves nothing. It is read by what the rest of the file proves, and refused when
  nothing does: a guess could be wrong by 1000 times.
Digits are ASCII; signs plus, exponents, NaN, Infinity, currency signs and percent are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from adctl.domain.money import to_minor
from adctl.errors import InputRejectedError

_PLAIN = re.compile(r"-?\d{1,15}", re.ASCII)
_MARKED = re.compile(r"-?\d{1,15}(?:[.,' ]\d{1,30}){1,6}", re.ASCII)
_POINTED = re.compile(r"-?\d{1,15}\.\d{1,30}", re.ASCII)
_SCIENTIFIC = re.compile(r"[-+]?\d+(?:[.,]\d*)?[eE][-+]?\d+", re.ASCII)
_VARIANTS = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "−": "-"})
_MONEY_DECIMALS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NumeralStyle:
    """The marks that a file was seen to use; None where no cell proved one. `plain` allows the decimal point alone."""

    decimal: str | None = None
    group: str | None = None
    plain: bool = False


# In JSON a number is written in one way, also when it stands in quotes.
PLAIN = NumeralStyle(decimal=".", plain=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberCell:
    """A cell of a number column; `whole` where no fraction can stand."""

    line: int
    column: str
    text: str
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How one text can be read: `decimal` and `group` are proven, `open_mark` is one or the other."""

    decimal: str | None = None
    group: str | None = None
    open_mark: str | None = None


class NumeralLearner:
    """Collects what the cells of one file prove about its marks."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._proof: dict[str, tuple[str, NumberCell]] = {}

    def see(self, cell: NumberCell) -> None:
        """Raises InputRejectedError naming both cells when this one contradicts an earlier one.

        A cell that is no number proves nothing here; reading it refuses it.
        """
        text = _normal(cell.text)
        if _PLAIN.fullmatch(text) or not _MARKED.fullmatch(text):
            return
        reading = _read(text, whole=cell.whole)
        for mark, role in ((reading.decimal, "decimal"), (reading.group, "group")) if reading else ():
            if mark is not None:
                self._prove(mark, role, cell)

    def style(self) -> NumeralStyle:
        roles = {role: mark for mark, (role, _) in self._proof.items()}
        return NumeralStyle(decimal=roles.get("decimal"), group=roles.get("group"))

    def _prove(self, mark: str, role: str, cell: NumberCell) -> None:
        known_role, known = self._proof.get(mark, (role, cell))
        others = [other for its, (has, other) in self._proof.items() if has == role and its != mark]
        if known_role != role:
            others.append(known)
        if others:
            what = f"{cell.text!r} and {others[0].text!r} on line {others[0].line} are written in different ways"
            fix = "write every number of the file in one way, best as 1234.50"
            raise InputRejectedError(what, source=self._source, line=cell.line, column=cell.column, fix=fix)
        self._proof.setdefault(mark, (role, cell))


def plain_number(text: str, style: NumeralStyle) -> str:
    """The number as `-?digits(.digits)?`. Raises ValueError with the reason."""
    normal = _normal(text)
    if _PLAIN.fullmatch(normal):
        return normal
    if _SCIENTIFIC.fullmatch(normal):
        raise ValueError(f"{text!r} is in scientific notation: digits are lost")
    if style.plain and _POINTED.fullmatch(normal):
        return normal
    reading = _read(normal, whole=False) if _MARKED.fullmatch(normal) else None
    if reading is None:
        raise ValueError(f"{text!r} is not a number")
    if style.plain:
        raise ValueError(f"{text!r} is not a plain decimal number, as JSON writes them")
    decimal, group = (reading.decimal, reading.group) if reading.open_mark is None else _decide(text, reading, style)
    if group is not None:
        normal = normal.replace(group, "")
    return normal if decimal is None else normal.replace(decimal, ".")


def whole_number(text: str, style: NumeralStyle) -> int:
    """A count: not negative, no fraction but zeros, at most twelve digits. Raises ValueError with the reason."""
    if len(text) <= 12 and text.isascii() and text.isdigit():
        return int(text)
    digits, _, fraction = plain_number(text, style).partition(".")
    if digits.startswith("-"):
        raise ValueError(f"{text!r} is negative")
    if fraction.strip("0"):
        raise ValueError(f"{text!r} is not a whole number")
    if len(digits) > 12:
        raise ValueError(f"{text!r} is too large for a count")
    return int(digits)


def minor_units(text: str, style: NumeralStyle, currency: str) -> int:
    """Money in minor units, which may be negative. Raises ValueError with the reason.

    A 64-bit float prints up to 17 digits (`0.30000000000000004`): what exceeds twelve decimals is noise.
    """
    plain = plain_number(text, style)
    if len(plain.partition(".")[2]) > _MONEY_DECIMALS:
        plain = f"{Decimal(plain):.{_MONEY_DECIMALS}f}"
    return to_minor(plain, currency)


def _normal(text: str) -> str:
    return text.strip().translate(_VARIANTS)


def _read(text: str, *, whole: bool) -> _Reading | None:
    """None when no reading exists. `text` matches _MARKED."""
    parts = re.split(r"([.,' ])", text.lstrip("-"))
    digits, marks = parts[::2], parts[1::2]
    last = marks[-1]
    if len(set(marks)) == 1:
        return _one_kind(digits, last, len(marks), whole=whole)
    is_decimal = last in ".," and len(set(marks[:-1])) == 1 and marks.count(last) == 1
    return _Reading(decimal=last, group=marks[0]) if is_decimal and _groups(digits[:-1]) else None


def _one_kind(digits: list[str], mark: str, count: int, *, whole: bool) -> _Reading | None:
    groups = _groups(digits)
    if mark in " '" or count > 1:
        return _Reading(group=mark) if groups else None
    if not groups:
        return _Reading(decimal=mark)
    return _Reading(group=mark) if whole and digits[1] != "000" else _Reading(open_mark=mark)


def _groups(digits: list[str]) -> bool:
    """Whether the digits fall into thousands, or into Indian lakhs and crores."""
    head, *middle = digits[:-1]
    if len(digits[-1]) != 3 or head.startswith("0"):
        return False
    western = len(head) <= 3 and all(len(part) == 3 for part in middle)
    indian = len(head) <= 2 and all(len(part) == 2 for part in middle)
    return western or indian


def _decide(text: str, reading: _Reading, style: NumeralStyle) -> tuple[str | None, str | None]:
    mark = reading.open_mark
    if style.decimal == mark or (style.decimal is None and style.group not in (None, mark)):
        return mark, None
    if style.group == mark or (style.group is None and style.decimal is not None):
        return None, mark
    if style.decimal is not None:
        raise ValueError(f"{text!r} is written in another way than the other numbers of the file")
    raise ValueError(f"{text!r} may be a thousand times more or less: nothing in the file says what {mark!r} means")
