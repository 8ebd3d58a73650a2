"""How a file was understood, its columns and the rows that were set aside, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping

from adctl.domain.columns import ColumnMapping
from adctl.domain.report import Cell, Column, Kind, Table


def mapping_table(mapping: ColumnMapping) -> Table:
    """How the file's columns were understood."""
    used = tuple({"field": field, "column": column} for field, column in mapping.columns.items())
    ignored = tuple({"field": "(not used)", "column": column} for column in mapping.ignored)
    return Table(
        key="columns",
        title="Columns",
        columns=(Column(key="field", label="field"), Column(key="column", label="column of the file")),
        rows=(*used, *ignored),
    )


def rejects_table(rows: tuple[Mapping[str, Cell], ...]) -> Table:
    """Rows that were set aside: what each file's line and column has against it."""
    return Table(
        key="rejects",
        title="Rejected rows",
        columns=(
            Column(key="kind", label="kind"),
            Column(key="line", label="line", kind=Kind.COUNT),
            Column(key="column", label="column"),
            Column(key="reason", label="reason"),
        ),
        rows=rows,
        shown=20,
        empty="No row is set aside.",
    )
