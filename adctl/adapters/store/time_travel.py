"""The account as it was known at an earlier moment: the same tables, as views of one transaction that is undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from psycopg import sql
from sqlalchemy import Connection, Engine, text

from adctl.adapters.db import driver
from adctl.domain.ids import Account

# As far back as anything can be known again; what a row was before that is purged.
KNOWN_FOR = timedelta(days=731)
# Each table's key beside the account, and the column that says when a row became known.
_VERSIONED: Mapping[str, tuple[Sequence[str], str]] = {
    "campaigns": (("campaign_id",), "read_at"),
    "ad_sets": (("ad_set_id",), "read_at"),
    "ads": (("ad_id",), "read_at"),
    "creatives": (("creative_id",), "read_at"),
    "crm_stages": (("pipeline", "stage"), "read_at"),
    "deals": (("deal_id",), "read_at"),
    "attributions": (("deal_id",), "attributed_at"),
    "ad_performances": (("ad_id",), "reported_at"),
    "synthetic_revenue_config": (("pipeline", "stage", "effective_from"), "recorded_at"),
    "neighbour_evaluations": (("outcome",), "evaluated_at"),
}
# The version of a row that was in force is the one that ended first after the moment; of several that ended at once, as
# they may by a simulated clock, the one that was read first: the others were never seen.
_VERSION = sql.SQL(
    """
    create temporary view {table} as
    select {columns} from (
      select distinct on ({key}) u.* from (
        select {columns}, 'infinity'::timestamptz as known_until from {schema}.{table} where account = {account}
        union all
        select {before}, e.known_until
        from {schema}.earlier_rows e, jsonb_populate_record(null::{schema}.{table}, e.row_before) p
        where e.account = {account} and e.of_table = {name} and e.known_until > {at}
      ) u order by {key}, known_until, {stamp}
    ) v where {stamp} <= {at}
    """
)
_INSIGHTS = sql.SQL(
    """
    create temporary view insights as
    select distinct on (ad_id, day) {columns}, {made} from {schema}.insight_readings
    where account = {account} and read_at <= {at} order by ad_id, day, read_at desc
    """
)
_MOVES = sql.SQL(
    """
    create temporary view stage_moves as
    select {columns} from {schema}.stage_moves where account = {account} and read_at <= {at}
    """
)
_CLOCK = sql.SQL("create temporary view simulated_clock as select true as singleton, {at} as at")


@contextmanager
def as_known(engine: Engine, account: Account, at: datetime) -> Iterator[Connection]:
    """A transaction in which the account's tables, and the clock, are those of the moment `at`.

    A temporary view stands before the table of its name, so every query reads the past without knowing it. What was
    written by runs that were under way at that moment counts by its own stamp. Nothing can be written, and at the end
    the views are rolled back. Names of pipelines' stages, and Meta's minimum budgets, are those of now.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        undone = connection.begin()
        try:
            _travel(connection, account, at)
            connection.execute(text("set transaction read only"))
            yield connection
        finally:
            undone.rollback()


def _travel(connection: Connection, account: Account, at: datetime) -> None:
    raw = driver(connection)
    schema = connection.scalar(text("select current_schema()"))
    known = {"schema": sql.Identifier(schema), "account": sql.Literal(account), "at": sql.Literal(at)}
    columns = {table: _columns(connection, table) for table in (*_VERSIONED, "insights", "stage_moves")}
    for table, (key, stamp) in _VERSIONED.items():
        raw.execute(
            _VERSION.format(
                **known,
                table=sql.Identifier(table),
                name=sql.Literal(table),
                columns=_names(columns[table]),
                before=_names(columns[table], "p"),
                key=_names(key),
                stamp=sql.Identifier(stamp),
            )
        )
    made = _made(connection, "insights")
    raw.execute(_INSIGHTS.format(**known, columns=_names(columns["insights"]), made=made))
    raw.execute(_MOVES.format(**known, columns=_names(columns["stage_moves"])))
    raw.execute(_CLOCK.format(**known))


def _columns(connection: Connection, table: str) -> Sequence[str]:
    found = connection.scalars(
        text(
            """
            select attname from pg_attribute
            where attrelid = cast(:table as regclass) and attnum > 0 and not attisdropped and attgenerated = ''
            order by attnum
            """
        ),
        {"table": table},
    )
    return found.all()


def _made(connection: Connection, table: str) -> sql.Composed:
    """The columns that PostgreSQL makes of the table's others, made of them once more."""
    found = connection.execute(
        text(
            """
            select a.attname, pg_get_expr(d.adbin, d.adrelid) as expression
            from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attrelid = cast(:table as regclass) and a.attgenerated = 's' order by a.attnum
            """
        ),
        {"table": table},
    )
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(sql.SQL(row.expression), sql.Identifier(row.attname)) for row in found
    )


def _names(columns: Sequence[str], *table: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*table, column) for column in columns)


def first_reading(connection: Connection, account: Account) -> datetime | None:
    """When figures of the account became known first."""
    value = connection.scalar(
        text("select min(read_at) from insight_readings where account = :account"), {"account": account}
    )
    assert value is None or isinstance(value, datetime)
    return value
