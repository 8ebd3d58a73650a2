"""Connections to PostgreSQL as adctl opens them."""

from __future__ import annotations

import time

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import driver, open_engine, translate
from adctl.errors import DeniedError, InvariantError, UnavailableError


def test_a_database_host_that_says_nothing_is_given_up_within_two_minutes(engine: Engine) -> None:
    with engine.connect() as connection:
        given = driver(connection).info.get_parameters()
    silence = int(given["keepalives_idle"]) + int(given["keepalives_interval"]) * int(given["keepalives_count"])
    assert silence < 120
    assert int(given["tcp_user_timeout"]) < 120_000


def test_a_session_that_ended_because_its_process_stood_still_is_no_bug(engine: Engine) -> None:
    alive = text("select count(*) from pg_stat_activity where pid = :pid")
    with engine.connect() as frozen, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        pid = frozen.scalar(
            text("select pg_backend_pid() from set_config('idle_in_transaction_session_timeout', '1', true)")
        )
        deadline = time.monotonic() + 60
        while other.scalar(alive, {"pid": pid}):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(DBAPIError) as ended:
            frozen.scalar(alive, {"pid": pid})
    # Its last words may be lost with the connection.
    assert isinstance(translate(ended.value), UnavailableError)


def test_what_the_rules_of_the_database_refuse_is_a_broken_promise_and_what_a_constraint_refuses_a_bug(
    engine: Engine,
) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as refused:
        connection.execute(text("truncate ad_change_history"))
    assert isinstance(translate(refused.value), InvariantError)
    with engine.connect() as connection:
        connection.execute(text("create temporary table small (n integer check (n > 0))"))
        with pytest.raises(DBAPIError) as wrong:
            connection.execute(text("insert into small values (0)"))
    assert translate(wrong.value) is None


def test_a_role_that_the_server_does_not_know_is_one_that_is_refused(engine: Engine) -> None:
    unknown = open_engine(engine.url.set(username="nobody_of_that_name").render_as_string(hide_password=False))
    with pytest.raises(DBAPIError) as refused:
        unknown.connect()
    assert isinstance(translate(refused.value), DeniedError)


@pytest.mark.parametrize(
    "words",
    [
        'FATAL:  password authentication failed for user "u"',
        "fe_sendauth: no password supplied",
        'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "u", database "adctl", no encryption',
    ],
)
def test_a_refused_password_is_a_refusal_that_no_later_tick_mends(words: str) -> None:
    # A connection that was never made brings libpq's words and no SQLSTATE.
    error = psycopg.OperationalError(
        f'connection failed: connection to server at "127.0.0.1", port 5432 failed: {words}'
    )
    assert isinstance(translate(error), DeniedError)
