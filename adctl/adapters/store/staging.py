"""The bulk path: rows by COPY into a temporary table, then one statement that writes only what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection

from adctl.adapters.db import driver

Raw = psycopg.Connection[tuple[object, ...]]

# What psycopg writes in binary from plain values without knowing more of them; the rest goes as text.
_BINARY = frozenset({"bigint", "boolean", "bytea", "date", "integer", "text", "timestamp with time zone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merge:
    """One merge: names of tables and columns."""

    table: str
    key: Sequence[str]
    values: Sequence[str]
    stamps: Sequence[str]
    journal: str | None
    read: str | None = None

    @property
    def columns(self) -> Sequence[str]:
        return (*self.key, *self.values, *self.stamps)

    @property
    def staged(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", f"staged_{self.table}")


# What was stored under a clock that was ahead is no later than what is read under the right one.
_NOT_OLDER = sql.SQL("(t.{0} <= s.{0} or t.{0} > adctl_now())")


def merge(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    stamps: Sequence[str] = (),
    journal: str | None = None,
    read: str | None = None,
) -> int:
    """Upserts rows of (key…, values…, stamps…) by `key`; returns how many are new or differ in `values`.

    `stamps` (when a thing was read) are written only along with a difference, so the same rows again write nothing.
    A key that stands twice in `rows` counts once, the later row winning. `journal` is a table of the same columns that
    every written row is added to; it needs stamps. A stored row whose stamp `read` is later than the given one's stays.
    Rows are streamed: memory does not grow with their number.
    """
    return merge_blocks(connection, table, key, values, (rows,), stamps=stamps, journal=journal, read=read)


def merge_blocks(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    blocks: Iterable[Iterable[Sequence[object]]],
    *,
    stamps: Sequence[str] = (),
    journal: str | None = None,
    read: str | None = None,
) -> int:
    """As `merge`; what makes the next block may use the connection, which a block that is sent keeps busy."""
    raw = driver(connection)
    one = _Merge(table=table, key=key, values=values, stamps=stamps, journal=journal, read=read)
    return _merge(raw, one, distinct=_stage(raw, one, blocks))


def merge_text(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    blocks: Iterable[bytes],
    *,
    stamps: Sequence[str] = (),
) -> int:
    """As `merge`, for lines of COPY's text format that were made many at a time; no key may stand twice in them."""
    raw = driver(connection)
    one = _Merge(table=table, key=key, values=values, stamps=stamps, journal=None)
    _make_stage(raw, one)
    line = sql.SQL("copy {} ({}) from stdin").format(one.staged, _names(one.columns))
    with raw.cursor() as cursor, cursor.copy(line) as copy:
        for block in blocks:
            copy.write(block)
    return _merge(raw, one, distinct=True)


def add_text(connection: Connection, table: str, columns: Sequence[str], blocks: Iterable[bytes]) -> int | None:
    """Adds lines of COPY's text format whose keys are all new, each written once; returns how many.

    None, and nothing is added, when one of the keys is there after all.
    """
    raw = driver(connection)
    line = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), _names(columns))
    try:
        with raw.transaction(), raw.cursor() as cursor:
            with cursor.copy(line) as copy:
                for block in blocks:
                    copy.write(block)
            return cursor.rowcount
    except UniqueViolation:
        return None


def copy_text(value: str) -> str:
    """A text as COPY's text format writes it."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _merge(raw: Raw, one: _Merge, *, distinct: bool) -> int:
    """Writes what was staged; `distinct` says that no key stands twice in it."""
    # A million rows are compared at once: without room the join spills to disk. Compiling takes longer than it saves.
    raw.execute("select set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
    source = "select * from {staged}"
    if not distinct and _names_a_key_twice(raw, one):
        # COPY appends, so the place of a row in the table tells which came later.
        source = "select distinct on ({key}) * from {staged} order by {key}, ctid desc"
    written = _write(raw, one, sql.SQL(source).format(key=_names(one.key), staged=one.staged))
    raw.execute(sql.SQL("drop table {}").format(one.staged))
    return written


def _stage(raw: Raw, one: _Merge, blocks: Iterable[Iterable[Sequence[object]]]) -> bool:
    """Copies the rows; True when their keys only rise, so that none stands twice."""
    _make_stage(raw, one)
    types = _types(raw, one)
    binary = set(types) <= _BINARY
    line = sql.SQL("copy {} ({}) from stdin {}").format(
        one.staged, _names(one.columns), sql.SQL("(format binary)" if binary else "")
    )
    width, last, ascending = len(one.key), None, True
    for rows in blocks:
        with raw.cursor() as cursor, cursor.copy(line) as copy:
            if binary:
                copy.set_types(types)
            for row in rows:
                key: Any = tuple(row[:width])
                ascending = ascending and (last is None or last < key)
                last = key
                copy.write_row(row)
    return ascending


def _make_stage(raw: Raw, one: _Merge) -> None:
    raw.execute(
        sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
            sql.Identifier(f"staged_{one.table}"), _names(one.columns), sql.Identifier(one.table)
        )
    )


def _names_a_key_twice(raw: Raw, one: _Merge) -> bool:
    """Looked up without sorting: vendors give things in their own order, and hardly ever one of them twice."""
    found = raw.execute(
        sql.SQL("select exists (select from {} group by {} having count(*) > 1)").format(one.staged, _names(one.key))
    ).fetchone()
    return found is not None and found[0] is True


def _types(raw: Raw, one: _Merge) -> list[str]:
    """The columns' types in order."""
    found = raw.execute(
        """
        select a.attname, format_type(a.atttypid, null) from pg_attribute a
        where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
        """,
        (one.table,),
    )
    by_name = {str(name): str(kind) for name, kind in found}
    return [by_name[name] for name in one.columns]


def _write(raw: Raw, one: _Merge, source: sql.Composed) -> int:
    """Writes what is new or differs, and the journal of it. Raises UniqueViolation when others always come first."""
    for last_try in (False, False, True):
        try:
            with raw.transaction():
                written = raw.execute(_merging(one, source)).rowcount
            break
        except UniqueViolation:
            # Somebody committed one of the new keys meanwhile: by now it is seen, and compared like any other.
            if last_try:
                raise
    if written and one.journal is not None:
        raw.execute(_journalling(one, source, one.journal))
    return written


def _merging(one: _Merge, source: sql.Composed) -> sql.Composed:
    """What is as it was is found by reading alone, and not even locked.

    `insert … on conflict` marks every row as tentative and confirms it after the index agrees, which costs half as much
    again as the insert itself; `merge` has looked already.
    """
    return sql.SQL(
        """
        merge into {table} t using ({source}) s on {same_key}
        when matched and ({stored}) is distinct from ({staged}) and {not_older} then update set {updates}
        when not matched then insert ({columns}) values ({all_staged})
        """
    ).format(
        table=sql.Identifier(one.table),
        source=source,
        same_key=_equal(one.key),
        stored=_names(one.values, "t"),
        staged=_names(one.values, "s"),
        not_older=_NOT_OLDER.format(sql.Identifier(one.read)) if one.read else sql.SQL("true"),
        updates=sql.SQL(", ").join(
            sql.SQL("{0} = s.{0}").format(sql.Identifier(name)) for name in (*one.values, *one.stamps)
        ),
        columns=_names(one.columns),
        all_staged=_names(one.columns, "s"),
    )


def _journalling(one: _Merge, source: sql.Composed, journal: str) -> sql.Composed:
    """The rows written just now are those that carry the stamps of this load."""
    return sql.SQL(
        """
        insert into {journal} ({columns})
        select {stored} from {table} t join ({source}) s on {same_key} and {same_stamps} on conflict do nothing
        """
    ).format(
        journal=sql.Identifier(journal),
        columns=_names(one.columns),
        stored=_names(one.columns, "t"),
        table=sql.Identifier(one.table),
        source=source,
        same_key=_equal(one.key),
        same_stamps=_equal(one.stamps),
    )


def _equal(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in columns)


def _names(columns: Sequence[str], table: str = "") -> sql.Composed:
    """The names, separated by commas, each with the table's name or alias before it when there is one."""
    return sql.SQL(", ").join(sql.Identifier(*([table] if table else []), name) for name in columns)
