"""What a command found and did, as plain values that any renderer can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import overload

from adctl.domain.charts import Chart

Cell = bool | int | float | str | date | datetime | None


class Kind(StrEnum):
    """How a column's values are shown; JSON always carries the raw value."""

    TEXT = "text"
    COUNT = "count"
    MONEY = "money"
    RATIO = "ratio"
    PERCENT = "percent"
    TIME = "time"
    FIGURE = "figure"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`key` names the value in each row and in JSON, `label` heads the column. PERCENT holds a fraction, a
    FIGURE is shown with four digits that count, a LOG with all nine decimals that are stored: so they add up."""

    key: str
    label: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeRows(Sequence[Mapping[str, Cell]]):
    """`number` rows of which each is made when it is asked for: a table of a million costs what is looked at."""

    number: int
    make: Callable[[int], Mapping[str, Cell]]

    def __len__(self) -> int:
        return self.number

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Cell]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Cell]]: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, Cell] | Sequence[Mapping[str, Cell]]:
        if isinstance(place, slice):
            return tuple(self.make(row) for row in range(*place.indices(self.number)))
        return self.make(range(self.number)[place])


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`empty` is the sentence shown when there are no rows; without one the table is then not mentioned. `shown` limits
    what a person sees, JSON has all rows."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Cell]]
    empty: str = "none"
    shown: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure with a name. Money is minor units of the report's currency."""

    key: str
    label: str
    value: Cell
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one run: one summary sentence, figures, tables, and notes an operator should read.

    `charts` are for a picture; what they draw stands in the tables.
    """

    command: str
    summary: str
    account: str | None = None
    currency: str | None = None
    dry_run: bool = False
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    exit_code: int = 0
    sections: tuple[Report, ...] = field(default=())
    charts: tuple[Chart, ...] = ()
