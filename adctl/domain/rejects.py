"""Rows of a file that cannot be loaded while the others can: counted, kept with their reason, bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from adctl.domain.columns import UNREADABLE, ColumnMapping, Habits, Row
from adctl.domain.privacy import PrivacyKeys, email_hash
from adctl.errors import InputRejectedError

_MASK = "***"
_EMAIL = re.compile(r"[^\s@<>,;:\"']{1,64}(?:@|%40)[^\s@<>,;:\"']{1,190}")
_TOKEN = re.compile(r"\bEAA[0-9A-Za-z]{20,}|\bpat-[a-z]{2}\d-[0-9A-Fa-f-]{20,}|(?i:\bbearer +\S{8,})")
_SECRET = re.compile(r"(?i)((?:token|secret|password|api_?key)[\"']?[=:]\s*[\"']?)[^\s&\"']+")
_ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f.:]{1,39})(?![\w.:])")
_AGENT = re.compile(r"Mozilla/\d.*|\b(?:Dalvik|okhttp|CFNetwork)/.*", re.DOTALL)
_LONGEST = 500
_PERSONAL = frozenset({"ip", "user_agent", "email"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """`number` is the record's place among the rows, `cells` what it held (by column title).

    `whole` is False where the cells are not those of the columns. `email` is a keyed hash.
    """

    number: int
    line: int
    column: str
    reason: str
    cells: Mapping[str, str]
    whole: bool
    email: bytes | None = None


def scrubbed(text: str) -> str:
    """The text without e-mail and network addresses, user agents and tokens."""
    for pattern in (_EMAIL, _TOKEN, _AGENT):
        text = pattern.sub(_MASK, text)
    return _ADDRESS.sub(_without_address, _SECRET.sub(rf"\1{_MASK}", text))


def _without_address(match: re.Match[str]) -> str:
    try:
        ip_address(match[0])
    except ValueError:
        return match[0]
    return _MASK


def presentable(row: RejectedRow, columns: Mapping[str, str], privacy: PrivacyKeys | None) -> RejectedRow:
    """The row as it may be kept: only cells that somebody reads, and nothing personal in them or in the reason.

    `columns` maps fields to column titles.
    """
    personal = {title for name, title in columns.items() if name in _PERSONAL or name.startswith("device:")}
    email = email_hash(privacy.current, row.cells.get(columns.get("email", ""), "")) if privacy else None
    kept = set(columns.values()) - personal
    cells = {title: scrubbed(cell.removeprefix(UNREADABLE)) for title, cell in row.cells.items() if title in kept}
    reason = "the cell cannot be read" if row.column in personal else scrubbed(row.reason)[:_LONGEST]
    return replace(row, cells=cells if row.whole else {}, reason=reason, email=email)


class Quarantine:
    """Takes up to `limit` rejected rows; with 0 the first one refuses the file."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.rows: list[RejectedRow] = []
        self.columns: Mapping[str, str] = {}
        self.habits: Habits | None = None

    @property
    def tolerates(self) -> bool:
        """Whether a bad row may be set aside at all."""
        return self.limit > 0

    def reject(self, row: Row, error: InputRejectedError) -> None:
        """Sets the row aside. Raises InputRejectedError when that is one too many: the file is then refused."""
        if not self.tolerates:
            raise error
        if len(self.rows) >= self.limit:
            raise self.overflow(error)
        self.rows.append(
            RejectedRow(
                number=row.number,
                line=error.line or row.line,
                column=error.column,
                reason=f"{error.reason} ({error.fix})",
                cells=dict(row.cells),
                whole=row.fault is None,
            )
        )

    def sum_of(self, column: str, read: Callable[[Row], int]) -> int | None:
        """What the rows set aside add up to in a column, None when one of them cannot be read there."""
        total = 0
        for row in self.rows:
            if not row.whole or column not in row.cells:
                return None
            try:
                total += read(Row(line=row.line, cells=row.cells, number=row.number))
            except InputRejectedError:
                return None
        return total

    def know(self, mapping: ColumnMapping, habits: Habits) -> None:
        """What the file's columns mean and how it writes, for the rows that are kept."""
        self.columns = mapping.columns
        self.habits = habits

    def presentable(self, privacy: PrivacyKeys | None) -> list[RejectedRow]:
        """The rows as they may be kept and shown."""
        return [presentable(row, self.columns, privacy) for row in self.rows]

    def overflow(self, error: InputRejectedError) -> InputRejectedError:
        """The refusal of the whole file, naming the row that was one too many."""
        what = f"more than {self.limit} bad rows; this one: {error.reason}"
        fix = f"{error.fix}; or allow more with --max-rejects"
        return InputRejectedError(what, source=error.source, line=error.line, column=error.column, fix=fix)


class KeptRows:
    """Rows of one file that lay in the quarantine, to be read again as if they were the file."""

    notes: tuple[str, ...] = ()
    total: int | None = None

    def __init__(self, name: str, habits: Habits, rows: Sequence[tuple[int, int, Mapping[str, str]]]) -> None:
        """`rows` are (reject id, line, cells by title)."""
        self.name = name
        self.habits = habits
        self.typed = habits.numerals.plain
        self.header = tuple(dict.fromkeys(title for _, _, cells in rows for title in cells))
        self._rows = rows

    def rows(self, *, tolerant: bool = False) -> Iterator[Row]:
        """All of them are rows, so that there is nothing to tolerate."""
        blank = dict.fromkeys(self.header, "")
        for number, (_, line, cells) in enumerate(self._rows, start=1):
            yield Row(line=line, cells={**blank, **cells}, number=number)

    def loaded(self, quarantine: Quarantine) -> list[int]:
        """The reject ids of the rows that the quarantine has not taken again."""
        again = {row.number for row in quarantine.rows}
        return [reject_id for number, (reject_id, _, _) in enumerate(self._rows, start=1) if number not in again]
