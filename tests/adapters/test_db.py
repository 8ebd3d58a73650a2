"""Connections to PostgreSQL as adctl opens them."""

from __future__ import annotations

from sqlalchemy import Engine

from adctl.adapters.db import driver


def test_a_database_host_that_says_nothing_is_given_up_within_two_minutes(engine: Engine) -> None:
    with engine.connect() as connection:
        given = driver(connection).info.get_parameters()
    silence = int(given["keepalives_idle"]) + int(given["keepalives_interval"]) * int(given["keepalives_count"])
    assert silence < 120
    assert int(given["tcp_user_timeout"]) < 120_000
