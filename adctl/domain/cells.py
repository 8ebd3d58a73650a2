"""One row's cells as values, each refusal naming file, line and column."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import TypeVar

from adctl.domain.cell_forms import Form, form_of
from adctl.domain.columns import UNREADABLE, ColumnMapping, Habits, Row, RowSource
from adctl.domain.dates import DateCell, DateOrder, DateOrderLearner, parse_day, parse_moment
from adctl.domain.ids import has_lost_digits, is_meta_id
from adctl.domain.money import offset
from adctl.domain.numerals import PLAIN, NumberCell, NumeralLearner, NumeralStyle, minor_units, whole_number
from adctl.domain.rejects import Quarantine
from adctl.errors import InputRejectedError

T = TypeVar("T")

# A dash is how report tables show "nothing happened". N/A means "not known", which is not zero, and is refused.
NOTHING = frozenset({"", "-", "–", "—"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,63}", re.ASCII)
# What stands in the place of an id where there is none: a line of sums, or a program's word for nothing.
_NO_ID = re.compile(
    r"(?:sub|grand)?[-_]?totals?|totale?|totaux|sums?|suma|soma|(?:zwischen|gesamt)?summe|gesamt|average|avg|mean|median"
    r"|count|min|max|null|none|nil|nan|na|inf|infinity|undefined|unknown|empty|true|false",
    re.ASCII | re.IGNORECASE,
)
_EXCEL_ID = re.compile(r"\d+(?:[.,]\d*)?[eE]\+\d+|\d(?:[.,]\d*)?[eE]\d{1,3}", re.ASCII)
# White space that a cell may hold; every other control character is a sign of another encoding or of damage.
_LAYOUT = frozenset("\t\n\r")
# They show nothing, so that two texts look alike and are not; U+FFFD stands for what an earlier program could not read.
_UNSEEN = frozenset("\u00ad\u200b\u200e\u200f\u2060\ufeff\ufffd\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What a spreadsheet would calculate, and what it shows when it cannot.
_FORMULA = re.compile(
    r"[=+@].*|#(?:N/A|REF!|NAME\?|VALUE!|DIV/0!|NULL!|NUM!|ERROR!|SPILL!|CALC!)|#{3,}", re.ASCII | re.DOTALL
)
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

    def refused(self, row: Row, field: str, what: str, *, fix: str) -> InputRejectedError:
        column = self.mapping.columns.get(field, field)
        return InputRejectedError(what, source=self.source, line=row.line, column=column, fix=fix)

    def misformed(self, row: Row, field: str, what: str, form: Form) -> InputRejectedError:
        """The refusal of a cell that says what belongs into it."""
        fix = form_of(field, form, currency=self.currency, latest=self.latest)
        return self.refused(row, field, what, fix=fix)

    def text(self, row: Row, field: str) -> str:
        """The cell with white space folded."""
        title = self.mapping.columns.get(field)
        if title is None:
            return ""
        text = row.cells[title]
        if not text.isprintable():
            self._refuse_control(row, field, text)
        return " ".join(text.split())

    def word(self, row: Row, field: str) -> str:
        """As `text`, for what is compared with other texts: nothing invisible and no formula."""
        text = self.text(row, field)
        unseen = next((char for char in text if char in _UNSEEN), "")
        if unseen:
            what = f"the invisible or unreadable character U+{ord(unseen):04X} in {text!r}"
            raise self.refused(row, field, what, fix="type the text anew, or save the file as UTF-8")
        if _FORMULA.fullmatch(text):
            what = f"{text!r} is a formula or an error of a spreadsheet"
            raise self.refused(row, field, what, fix="write what it should show")
        return text

    def _refuse_control(self, row: Row, field: str, text: str) -> None:
        if text.startswith(UNREADABLE):
            what = f"{text[1:]} where a value is expected"
            raise self.refused(row, field, what, fix="give one text or number, or null")
        control = next((char for char in text if unicodedata.category(char) == "Cc" and char not in _LAYOUT), "")
        if control:
            what = f"the control character U+{ord(control):04X}"
            raise self.refused(row, field, what, fix="remove it, or save the file as UTF-8")

    def is_nothing(self, row: Row, field: str) -> bool:
        """Whether the cell is empty or a dash."""
        return self.text(row, field) in NOTHING

    def meta_id(self, row: Row, field: str) -> str:
        """Digits; never empty."""
        text = self.text(row, field)
        if is_meta_id(text):
            return text
        what = "not an id of Meta (digits)"
        what = f"{what}: none begins with 0" if text.startswith("0") else what
        raise self._bad_id(row, field, text, what, Form.META_ID)

    def crm_id(self, row: Row, field: str) -> str:
        """Up to 64 ASCII letters, digits, `_`, `:` or `-`; no word that stands for a sum or for nothing."""
        text = self.text(row, field)
        if _ID.fullmatch(text) and not _EXCEL_ID.fullmatch(text) and not _NO_ID.fullmatch(text):
            return text
        raise self._bad_id(row, field, text, "not an id", Form.CRM_ID)

    def count(self, row: Row, field: str) -> int:
        """A count; an empty cell or a dash is 0."""
        text = self.text(row, field)
        return 0 if text in NOTHING else self._parsed(row, field, Form.COUNT, lambda: whole_number(text, self.numerals))

    def money(self, row: Row, field: str) -> int | None:
        """Minor units, possibly negative; None for an empty cell or a dash."""
        return self._money(row, field, Form.MONEY)

    def spend(self, row: Row, field: str) -> int:
        """Minor units, never negative; an empty cell or a dash is 0."""
        amount = self._money(row, field, Form.SPEND) or 0
        if amount < 0:
            raise self.misformed(row, field, f"{self.text(row, field)!r} is negative", Form.SPEND)
        return amount

    def _money(self, row: Row, field: str, form: Form) -> int | None:
        text = self.text(row, field)
        if text in NOTHING:
            return None
        return self._parsed(row, field, form, lambda: minor_units(text, self.numerals, self.currency))

    def day(self, row: Row, field: str) -> date | None:
        """An account day, None for an empty cell."""
        text = self.text(row, field)
        if not text:
            return None
        return self._parsed(row, field, Form.DAY, lambda: parse_day(text, self.date_order, latest=self.latest))

    def moment(self, row: Row, field: str, *, zone: tzinfo, latest: date | None = None) -> datetime | None:
        """A moment in UTC, None for an empty cell; `latest` replaces the file's last allowed day."""
        text, until, order, epoch = self.text(row, field), latest or self.latest, self.date_order, self.since_epoch
        if not text:
            return None
        return self._parsed(
            row, field, Form.MOMENT, lambda: parse_moment(text, order, latest=until, zone=zone, since_epoch=epoch)
        )

    def answer(self, row: Row, field: str) -> bool | None:
        """Yes or no in one of the ways that programs write it, None for an empty cell."""
        text = self.text(row, field).lower()
        if text not in _ANSWERS:
            raise self.misformed(row, field, f"{text!r} is neither true nor false", Form.ANSWER)
        return _ANSWERS[text]

    def check_currency(self, row: Row, field: str) -> None:
        """Raises InputRejectedError when the row's own currency is not the account's."""
        named = self.text(row, field).upper()
        if named not in ("", self.currency):
            what = f"the row is in {named}, the account in {self.currency}"
            raise self.refused(row, field, what, fix=f"export amounts in {self.currency}, and leave out other rows")

    def _parsed(self, row: Row, field: str, form: Form, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except ValueError as error:
            raise self.misformed(row, field, str(error), form) from None

    def _bad_id(self, row: Row, field: str, text: str, what: str, form: Form) -> InputRejectedError:
        if not text:
            return self.misformed(row, field, "the id is empty", form)
        if has_lost_digits(text):
            return self.refused(row, field, f"{text!r} has lost digits of the id", fix=LOST_DIGITS_FIX)
        return self.misformed(row, field, f"{text!r} is {what}", form)


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
