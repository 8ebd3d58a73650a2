"""Columns of numbers out of PostgreSQL as packed bytes: a million rows a second, without a Python object per value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from sqlalchemy import Connection

from adctl.adapters.db import driver
from adctl.domain.policies.protocol import Floats, Ints

# The kinds of columns: what packs one in PostgreSQL, and how numpy reads it.
_KINDS = {
    "integer": ("int4send", ">i4"),
    "smallint": ("int2send", ">i2"),
    "bigint": ("int8send", ">i8"),
    # Microseconds since 2000, UTC.
    "moment": ("timestamptz_send", ">i8"),
    # Days since 2000.
    "day": ("date_send", ">i4"),
}
NEVER = 2**63 - 1
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000.0

Packed = NDArray[np.integer]


def read_columns(
    connection: Connection, source: sql.Composable, columns: Mapping[str, str], parameters: Mapping[str, object]
) -> dict[str, Packed]:
    """The columns {name: kind} of the query `source` as arrays of native integers, in one and the same row order.

    A `moment` that never comes is 'infinity' in SQL and NEVER here. No column may be null: ValueError when one is.
    """
    with driver(connection).cursor(binary=True) as cursor:
        row = cursor.execute(_packing(source, columns), parameters).fetchone()
    assert row is not None
    return _unpacked(row, columns)


def read_packed_groups(
    connection: Connection,
    groups: sql.Composable,
    source: sql.Composable,
    columns: Mapping[str, str],
    parameters: Mapping[str, object],
) -> Iterator[dict[str, Packed]]:
    """As `read_columns`, of what a table keeps packed already, for each row of the query `groups`; one at a time.

    `source` refers to that row as `g` and selects the column as `packed`; `columns` says what is in it, in its order.
    """
    line = sql.SQL("{} cross join lateral (select string_agg(packed, '') from ({}) packed_rows) packed_group").format(
        groups, source
    )
    with driver(connection).cursor() as cursor:
        # As they are made: while one is taken apart here, PostgreSQL makes the next.
        for row in cursor.stream(line, parameters, binary=True):
            yield _apart(row[0], columns)


def _packing(source: sql.Composable, columns: Mapping[str, str]) -> sql.Composed:
    return sql.SQL("select count(*), {} from ({}) packed").format(
        sql.SQL(", ").join(
            sql.SQL("string_agg({}({}), '') as {}").format(
                sql.SQL(_KINDS[kind][0]), sql.Identifier(name), sql.Identifier(name)
            )
            for name, kind in columns.items()
        ),
        source,
    )


def _unpacked(row: Sequence[object], columns: Mapping[str, str]) -> dict[str, Packed]:
    count, *packed = row
    found = {}
    for (name, kind), raw in zip(columns.items(), packed, strict=True):
        assert raw is None or isinstance(raw, bytes)
        read = np.frombuffer(raw or b"", dtype=_KINDS[kind][1])
        if len(read) != count:
            raise ValueError(f"column {name}: {len(read)} values in {count} rows, so some are null")
        found[name] = _native(read)
    return found


def _apart(joined: object, columns: Mapping[str, str]) -> dict[str, Packed]:
    assert joined is None or isinstance(joined, bytes)
    rows = np.frombuffer(joined or b"", dtype=[(name, _KINDS[kind][1]) for name, kind in columns.items()])
    return {name: _native(rows[name]) for name in columns}


def _native(column: Packed) -> Packed:
    return column.astype(column.dtype.newbyteorder("="))


def moment(at: datetime) -> int:
    """What a `moment` column holds for `at`."""
    return round((at - _EPOCH).total_seconds() * 1e6)


def day_number(day: date) -> int:
    """What a `day` column holds for `day`."""
    return (day - _EPOCH.date()).days


def days_before(end: datetime, moments: Packed) -> Floats:
    """Days from each moment to `end`, NaN where it never comes."""
    return np.where(moments == NEVER, np.nan, (moment(end) - moments) / _DAY)


def wide(column: Packed) -> Ints:
    return column.astype(np.int64)
