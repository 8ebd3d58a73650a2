"""The bulk path: rows by COPY into a temporary table, then one statement that writes only what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql
from sqlalchemy import Connection

from adctl.adapters.db import driver


def merge(
    connection: Connection,
    table: str,
    key: Sequence[str],
    values: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    stamps: Sequence[str] = (),
) -> int:
    """Upserts rows of (key…, values…, stamps…) by `key`; returns how many are new or differ in `values`.

    `stamps` (when a thing was read) are written only along with a difference, so the same rows again write nothing.
    A key that stands twice in `rows` counts once, the later row winning.
    """
    raw = driver(connection)
    columns = [*key, *values, *stamps]
    target, staged = sql.Identifier(table), sql.Identifier(f"staged_{table}")
    raw.execute(sql.SQL("drop table if exists pg_temp.{}").format(staged))
    raw.execute(
        sql.SQL(
            "create temporary table {} on commit drop as select {}, 0::bigint as staged_line from {} with no data"
        ).format(staged, _names(columns), target)
    )
    copy_line = sql.SQL("copy {} ({}, staged_line) from stdin").format(staged, _names(columns))
    with raw.cursor() as cursor:
        with cursor.copy(copy_line) as copy:
            for line, row in enumerate(rows):
                copy.write_row((*row, line))
        cursor.execute(
            sql.SQL(
                """
                insert into {table} as t ({columns})
                select distinct on ({key}) {columns} from {staged} order by {key}, staged_line desc
                on conflict ({key}) do update set {updates}
                where ({old}) is distinct from ({new})
                """
            ).format(
                table=target,
                staged=staged,
                columns=_names(columns),
                key=_names(key),
                updates=sql.SQL(", ").join(
                    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in [*values, *stamps]
                ),
                old=sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in values),
                new=sql.SQL(", ").join(sql.SQL("excluded.{}").format(sql.Identifier(name)) for name in values),
            )
        )
        return cursor.rowcount


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
