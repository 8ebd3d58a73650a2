"""How a file's columns were understood, as a table for people."""

from __future__ import annotations

from adctl.domain.columns import ColumnMapping
from adctl.domain.report import Column, Table


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
