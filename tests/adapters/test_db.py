"""Connections to PostgreSQL as adctl opens them."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import driver, translate
from adctl.errors import UnavailableError


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
    error = translate(ended.value)
    assert isinstance(error, UnavailableError)
    assert "idle-in-transaction" in str(error)
