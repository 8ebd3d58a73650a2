"""Reports and progress on a terminal, through rich: loaded only when somebody watches."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.table import Table as Grid
from rich.text import Text

from adctl.domain.report import Report, Table
from adctl.render import clean, heading, hidden_note, is_numeric, shown, visible_rows, visible_tables
from adctl.render import width as width_of

# A text column narrower than this is a column of single letters: the rows are then shown one below the other.
_NARROWEST_TEXT = 10
_LONGEST_ID = 20
# Between two facts, and between two columns of a table.
_GAP, _GRID_GAP = 2, 3


def render(report: Report, *, stream: TextIO, color: bool, width: int | None = None) -> None:
    """Write the report to the terminal `stream`; `width` in columns, None asks the terminal."""
    console = _console(stream, color, width)
    for part in _parts(report, console.width):
        console.print(part)


class LiveProgress:
    """A status line that shows the step in hand and is gone at the end."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._status = Status("", console=_console(stream, color, None), spinner="line")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._status.stop()

    def __call__(self, step: str) -> None:
        self._status.update(Text(clean(step)))


def _console(stream: TextIO, color: bool, width: int | None) -> Console:
    # Names come from vendors: no markup, no emoji codes, no guessed highlights. Without colour no style at all.
    return Console(
        file=stream,
        force_terminal=True,
        color_system="standard" if color else None,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    yield Text(heading(report), style="dim")
    yield Text(clean(report.summary), style="bold")
    if report.facts:
        yield Padding(_facts(report), (1, 0, 0, 0))
    for table in visible_tables(report):
        yield Text()
        yield from _table(table, report.currency, width)
    if report.notes:
        yield Text()
        yield from (Text(f"note: {clean(note)}", style="yellow") for note in report.notes)
    for section in report.sections:
        yield Text()
        yield from _parts(section, width)


def _facts(report: Report) -> Grid:
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for fact in report.facts:
        grid.add_row(Text(clean(fact.label)), Text(shown(fact.value, fact.kind, report.currency)))
    return grid


def _table(table: Table, currency: str | None, width: int) -> Iterator[RenderableType]:
    if not table.rows:
        yield Text(f"{clean(table.title)}: {clean(table.empty)}")
        return
    yield Text(clean(table.title), style="bold")
    rows = [
        [shown(row.get(column.key), column.kind, currency) for column in table.columns] for row in visible_rows(table)
    ]
    if _least_width(table, rows) <= width:
        yield _grid(table, rows)
    else:
        yield from _stacked(table, rows)
    if note := hidden_note(table):
        yield Text(f"… {note}", style="dim")


def _least_width(table: Table, rows: list[list[str]]) -> int:
    """Columns the table needs at least: figures and ids whole, texts wrapped."""
    labels = [clean(column.label) for column in table.columns]
    full = [max(width_of(cell) for cell in cells) for cells in zip(labels, *rows, strict=True)]
    least = [
        wide if whole else min(wide, _NARROWEST_TEXT) for whole, wide in zip(_whole(table, rows), full, strict=True)
    ]
    return sum(least) + _GRID_GAP * len(least) - 1


def _whole(table: Table, rows: list[list[str]]) -> list[bool]:
    """Which columns are not wrapped: figures, and what a person copies, as ids and times."""
    return [
        is_numeric(column.kind) or all(" " not in cell and width_of(cell) <= _LONGEST_ID for cell in cells)
        for column, *cells in zip(table.columns, *rows, strict=True)
    ]


def _grid(table: Table, rows: list[list[str]]) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column, whole in zip(table.columns, _whole(table, rows), strict=True):
        label = Text(clean(column.label))
        right = is_numeric(column.kind)
        grid.add_column(label, justify="right" if right else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def _stacked(table: Table, rows: list[list[str]]) -> Iterator[Text]:
    for row in rows:
        yield Text()
        for column, cell in zip(table.columns, row, strict=True):
            yield Text.assemble((f"{clean(column.label)}: ", "dim"), cell)
