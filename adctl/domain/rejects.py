"""Rows of a file that cannot be loaded while the others can: counted, kept with their reason, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adctl.domain.columns import Row
from adctl.errors import InputRejectedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """`number` is the record's place among the rows, `cells` what it held (by column title)."""

    number: int
    line: int
    column: str
    reason: str
    cells: Mapping[str, str]
    whole: bool


class Quarantine:
    """Takes up to `limit` rejected rows; with 0 the first one refuses the file."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.rows: list[RejectedRow] = []

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
                reason=error.reason,
                cells=dict(row.cells),
                whole=row.fault is None,
            )
        )

    def overflow(self, error: InputRejectedError) -> InputRejectedError:
        """The refusal of the whole file, naming the row that was one too many."""
        what = f"more than {self.limit} bad rows; this one: {error.reason}"
        fix = error.fix or "correct the file, or allow more with --max-rejects"
        return InputRejectedError(what, source=error.source, line=error.line, column=error.column, fix=fix)
