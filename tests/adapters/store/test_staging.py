"""The bulk path: what is new or differs is written, once, and what is as it was is not touched at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.adapters.store.partitions import ensure_months
from adctl.adapters.store.staging import add_text, merge
from tests.bench.bulk_rows import KEYS, STAMPS, VALUES, Row, rows

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@pytest.fixture
def ready(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        connection.execute(
            text(
                """
                insert into accounts (account, meta_ad_account, currency, timezone)
                values ('main', 'act_1', 'USD', 'UTC')
                """
            )
        )
        ensure_months(connection, "insights", [date(2026, 2, 1), date(2026, 3, 1)])
        ensure_months(connection, "insight_readings", [NOW.date()])
    return engine


def load(engine: Engine, given: Sequence[Row], *, table: str = "deals", journal: str | None = None) -> int:
    with transaction(engine) as connection:
        return merge(connection, table, KEYS[table], VALUES[table], given, stamps=STAMPS[table], journal=journal)


def changed(row: Row, place: int, value: object) -> Row:
    return (*row[:place], value, *row[place + 1 :])


def places(engine: Engine, table: str) -> dict[str, str]:
    """Key -> where the row's version stands and which transaction last locked or replaced it."""
    with transaction(engine, read_only=True) as connection:
        found = connection.execute(text(f"select deal_id, ctid::text || '/' || xmax::text as place from {table}"))
        return {row.deal_id: row.place for row in found}


def test_the_same_rows_again_are_neither_written_nor_locked(ready: Engine) -> None:
    given = list(rows("deals", 500))
    assert load(ready, given) == 500
    before = places(ready, "deals")
    assert load(ready, given) == 0
    assert places(ready, "deals") == before


def test_only_rows_that_differ_are_written(ready: Engine) -> None:
    given = list(rows("deals", 100))
    load(ready, given)
    before = places(ready, "deals")
    given[7] = changed(given[7], 4, 12345)
    given[8] = changed(given[8], 12, NOW + timedelta(hours=1))
    assert load(ready, given) == 1
    after = places(ready, "deals")
    assert {key for key in after if after[key] != before[key]} == {str(given[7][1])}


@pytest.mark.parametrize("stored", [False, True], ids=["new", "known"])
def test_of_a_key_that_stands_twice_the_later_row_wins(ready: Engine, stored: bool) -> None:
    first, second, third = rows("deals", 3)
    if stored:
        load(ready, [first, second])
    later = changed(first, 4, 777)
    assert load(ready, [changed(first, 4, 1), second, later, third]) in (2, 3)
    with transaction(ready, read_only=True) as connection:
        amounts = {row.deal_id: row.amount for row in connection.execute(text("select deal_id, amount from deals"))}
    assert amounts[str(first[1])] == 777
    assert len(amounts) == 3


def test_a_key_that_goes_back_to_what_is_stored_is_as_stored(ready: Engine) -> None:
    (first,) = rows("deals", 1)
    load(ready, [first])
    load(ready, [changed(first, 4, 1), first])
    with transaction(ready, read_only=True) as connection:
        assert connection.scalar(text("select amount from deals")) == first[4]


def test_what_is_written_is_journalled_and_what_is_not_is_not(ready: Engine) -> None:
    given = list(rows("insights", 60))
    assert load(ready, given, table="insights", journal="insight_readings") == 60
    given[3] = changed(changed(given[3], 6, 9), len(given[3]) - 1, NOW + timedelta(minutes=1))
    assert load(ready, given, table="insights", journal="insight_readings") == 1
    with transaction(ready, read_only=True) as connection:
        assert connection.scalar(text("select count(*) from insight_readings")) == 61


def test_what_was_read_once_is_never_changed_or_removed(ready: Engine) -> None:
    load(ready, list(rows("insights", 2)), table="insights", journal="insight_readings")
    for statement in ("update {} set clicks = 0", "delete from {}", "truncate {}"):
        with pytest.raises(DBAPIError, match="never changed or removed"), transaction(ready) as connection:
            connection.exec_driver_sql(statement.format("insight_readings"))


@pytest.mark.parametrize("table", ["insights", "deals"])
def test_rows_of_an_account_that_is_not_known_are_refused(ready: Engine, table: str) -> None:
    known, strange = rows(table, 2)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match=f"{table}: account stranger is not known"):
        load(ready, [known, changed(strange, 0, "stranger")], table=table)
    assert load(ready, [known], table=table) == 1


def test_no_rows_write_nothing(ready: Engine) -> None:
    assert load(ready, []) == 0


def test_rows_in_any_order_are_all_written(ready: Engine) -> None:
    given = list(rows("deals", 300))
    assert load(ready, given[::-1]) == 300
    assert load(ready, given[150:] + given[:150]) == 0


def test_rows_that_another_load_commits_meanwhile_are_compared_like_any_other(ready: Engine) -> None:
    given = list(rows("deals", 20))
    theirs = [changed(row, 4, 1) for row in given[:10]]
    with ThreadPoolExecutor(1) as pool:
        with transaction(ready) as connection:
            merge(connection, "deals", KEYS["deals"], VALUES["deals"], theirs, stamps=STAMPS["deals"])
            ours = pool.submit(load, ready, given)
            wait_until_blocked(ready)
        assert ours.result(60) == 20
    with transaction(ready, read_only=True) as connection:
        stored = connection.execute(text("select deal_id, amount from deals"))
        assert {row.deal_id: row.amount for row in stored} == {row[1]: row[4] for row in given}


def wait_until_blocked(engine: Engine) -> None:
    """Until one session of this database waits for another's transaction."""
    for _ in range(600):
        with transaction(engine, read_only=True) as connection:
            waiting = (
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
            if connection.scalar(text(waiting)):
                return
        time.sleep(0.05)
    raise AssertionError("nothing waits")


def test_lines_of_new_keys_are_added_and_of_a_key_that_is_there_none(ready: Engine) -> None:
    columns = ("account", "kind", "amount", "read_at")

    def add(*kinds: str) -> int | None:
        blocks = [f"main\t{kind}\t5\t{NOW.isoformat()}\n".encode() for kind in kinds]
        with transaction(ready) as connection:
            return add_text(connection, "minimum_budgets", columns, blocks)

    assert add("clicks", "leads") == 2
    assert add("views", "leads") is None
    with transaction(ready, read_only=True) as connection:
        assert connection.scalars(text("select kind from minimum_budgets order by kind")).all() == ["clicks", "leads"]
