"""One row's cells as values, each refusal naming file, line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import TypeVar

from adctl.domain.columns import UNREADABLE, ColumnMapping, Habits, Row, RowSource
from adctl.domain.dates import DateCell, DateOrder, DateOrderLearner, parse_day, parse_moment
from adctl.domain.money import offset
from adctl.domain.numerals import PLAIN, NumberCell, NumeralLearner, NumeralStyle, minor_units, whole_number
from adctl.domain.rejects import Quarantine
from adctl.errors import InputRejectedError

T = TypeVar("T")

# A dash is how report tables show "nothing happened". N/A means "not known", which is not zero, and is refused.
_NOTHING = frozenset({"", "-", "–", "—"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,63}", re.ASCII)
_EXCEL_ID = re.compile(r"\d+(?:[.,]\d+)?[eE]\+\d+", re.ASCII)
_META_ID = re.compile(r"\d{1,32}", re.ASCII)
_ANSWERS = {
    "": None,
    **dict.fromkeys(("true", "1", "yes", "y", "t", "granted"), True),
    **dict.fromkeys(("false", "0", "no", "n", "f", "denied"), False),
}
LOST_DIGITS_FIX = "Excel rounds long ids: export again and load the file without opening it in Excel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """How to read the rows of one file: where each field stands, how numbers and dates are written.

    A field that the file has no column for reads as an empty cell. `contradictions` are the rows, by number, that
    write numbers or dates otherwise than an earlier row: the marks then prove nothing for the cells they leave open.
    """

    source: str
    mapping: ColumnMapping
    numerals: NumeralStyle
    date_order: DateOrder | None
    currency: str
    latest: date
    since_epoch: bool = False
    contradictions: Mapping[int, InputRejectedError] = field(default_factory=dict)

    def good_rows(self, table: RowSource, quarantine: Quarantine) -> Iterator[Row]:
        """The rows that are rows of this table and agree with it; the others go to the quarantine."""
        for row in table.rows(tolerant=quarantine.tolerates):
            fault = row.fault or self.contradictions.get(row.number)
            if fault is None:
                yield row
            else:
                quarantine.reject(row, fault)

    def refused(self, row: Row, field: str, what: str, *, fix: str = "") -> InputRejectedError:
        column = self.mapping.columns.get(field, field)
        return InputRejectedError(what, source=self.source, line=row.line, column=column, fix=fix)

    def text(self, row: Row, field: str) -> str:
        """The cell with white space folded."""
        title = self.mapping.columns.get(field)
        if title is None:
            return ""
        text = row.cells[title]
        if text.startswith(UNREADABLE):
            raise self.refused(row, field, f"{text[1:]} where a value is expected")
        return " ".join(text.split())

    def is_nothing(self, row: Row, field: str) -> bool:
        """Whether the cell is empty or a dash."""
        return self.text(row, field) in _NOTHING

    def meta_id(self, row: Row, field: str) -> str:
        """Digits; never empty."""
        text = self.text(row, field)
        if _META_ID.fullmatch(text):
            return text
        raise self._bad_id(row, field, text, "not an id of Meta (digits)")

    def crm_id(self, row: Row, field: str) -> str:
        """Up to 64 ASCII letters, digits, `_`, `:` or `-`; never empty."""
        text = self.text(row, field)
        if _ID.fullmatch(text) and not _EXCEL_ID.fullmatch(text):
            return text
        raise self._bad_id(row, field, text, "not an id (letters, digits, _ : -)")

    def count(self, row: Row, field: str) -> int:
        """A count; an empty cell or a dash is 0."""
        text = self.text(row, field)
        return 0 if text in _NOTHING else self._parsed(row, field, lambda: whole_number(text, self.numerals))

    def money(self, row: Row, field: str) -> int | None:
        """Minor units, possibly negative; None for an empty cell or a dash."""
        text = self.text(row, field)
        if text in _NOTHING:
            return None
        return self._parsed(row, field, lambda: minor_units(text, self.numerals, self.currency))

    def spend(self, row: Row, field: str) -> int:
        """Minor units, never negative; an empty cell or a dash is 0."""
        amount = self.money(row, field) or 0
        if amount < 0:
            raise self.refused(row, field, f"{self.text(row, field)!r} is negative")
        return amount

    def day(self, row: Row, field: str) -> date | None:
        """An account day, None for an empty cell."""
        text = self.text(row, field)
        return self._parsed(row, field, lambda: parse_day(text, self.date_order, latest=self.latest)) if text else None

    def moment(self, row: Row, field: str, *, zone: tzinfo, latest: date | None = None) -> datetime | None:
        """A moment in UTC, None for an empty cell; `latest` replaces the file's last allowed day."""
        text, until, order, epoch = self.text(row, field), latest or self.latest, self.date_order, self.since_epoch
        if not text:
            return None
        return self._parsed(row, field, lambda: parse_moment(text, order, latest=until, zone=zone, since_epoch=epoch))

    def answer(self, row: Row, field: str) -> bool | None:
        """Yes or no in one of the ways that programs write it, None for an empty cell."""
        text = self.text(row, field).lower()
        if text not in _ANSWERS:
            raise self.refused(row, field, f"{text!r} is neither true nor false")
        return _ANSWERS[text]

    def check_currency(self, row: Row, field: str) -> None:
        """Raises InputRejectedError when the row's own currency is not the account's."""
        named = self.text(row, field).upper()
        if named not in ("", self.currency):
            raise self.refused(row, field, f"the row is in {named}, the account in {self.currency}")

    def _parsed(self, row: Row, field: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except ValueError as error:
            raise self.refused(row, field, str(error)) from None

    def _bad_id(self, row: Row, field: str, text: str, what: str) -> InputRejectedError:
        if not text:
            return self.refused(row, field, "the id is empty")
        if _EXCEL_ID.fullmatch(text):
            return self.refused(row, field, f"{text!r} has lost digits of the id", fix=LOST_DIGITS_FIX)
        return self.refused(row, field, f"{text!r} is {what}")


def cells_of(
    table: RowSource,
    mapping: ColumnMapping,
    *,
    counts: Sequence[str],
    money: Sequence[str],
    dates: Sequence[str],
    currency: str,
    latest: date,
    quarantine: Quarantine | None = None,
) -> Cells:
    """Walks the table once to learn how it writes numbers and dates; the arguments name its fields by kind."""
    whole_money = offset(currency) == 1
    wholes = {field: True for field in counts} | {field: whole_money for field in money}
    learner = _Learner(
        table.name,
        numbers=[(mapping.columns[field], whole) for field, whole in wholes.items() if field in mapping.columns],
        dates=[mapping.columns[field] for field in dates if field in mapping.columns],
        typed=table.typed,
    )
    bad = quarantine or Quarantine()
    contradictions = _learn(table, learner, bad)
    habits = table.habits or learner.habits(certain=not contradictions)
    bad.know(mapping, habits)
    return Cells(
        source=table.name,
        mapping=mapping,
        numerals=habits.numerals,
        date_order=habits.date_order,
        since_epoch=habits.since_epoch,
        currency=currency,
        latest=latest,
        contradictions=contradictions,
    )


class _Learner:
    """What the cells of one file prove about its numbers and dates."""

    def __init__(self, source: str, *, numbers: list[tuple[str, bool]], dates: list[str], typed: bool) -> None:
        self._marks = NumeralLearner(source)
        self.order = DateOrderLearner(source)
        self._numbers = [] if typed else numbers
        self._dates = dates
        self._typed = typed

    def see(self, row: Row) -> None:
        """Raises InputRejectedError when the row contradicts an earlier one."""
        for title, whole in self._numbers:
            if not row.cells[title].isdecimal():
                self._marks.see(NumberCell(line=row.line, column=title, text=row.cells[title], whole=whole))
        for title in self._dates:
            self.order.see(DateCell(line=row.line, column=title, text=row.cells[title]))

    def habits(self, *, certain: bool) -> Habits:
        """Nothing is proven where rows contradict each other."""
        marks = PLAIN if self._typed else self._marks.style() if certain else NumeralStyle()
        order = self.order.order() if certain else None
        return Habits(numerals=marks, date_order=order, since_epoch=self._typed)


def _learn(table: RowSource, learner: _Learner, quarantine: Quarantine) -> dict[int, InputRejectedError]:
    contradictions: dict[int, InputRejectedError] = {}
    for row in table.rows(tolerant=quarantine.tolerates):
        if row.fault is not None:
            continue
        try:
            learner.see(row)
        except InputRejectedError as error:
            if not quarantine.tolerates:
                raise
            contradictions[row.number] = error
            if len(contradictions) > quarantine.limit:
                raise quarantine.overflow(error) from None
    return contradictions
