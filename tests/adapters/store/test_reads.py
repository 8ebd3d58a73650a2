"""What the hot path reads of a queue with a hundred thousand finished changes: the row it needs, by index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from adctl.adapters.db import open_engine, transaction
from adctl.adapters.store import attempts, changes
from adctl.domain.changes import State
from tests.adapters.store.driver import LIMITS, MAIN, NOON, Driver, budget, driving, open_account
from tests.conftest import Server

FINISHED = 100_000
_TABLES = ("pending_ad_changes", "change_attempts", "ad_change_history")
_FINISHED = """
    insert into pending_ad_changes (account, change_id, decision_id, run_id, entity_kind, entity_id, campaign_id,
      ad_set_id, field, expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, created_at,
      state, attempts, observed_budget, updated_at)
    select 'main', md5('c' || n)::uuid, md5('c' || n)::uuid, md5('r')::uuid, 'ad_set', 's' || n % 1000, 'c' || n % 50,
      's' || n % 1000, 'daily_budget', 1000, 1001, 'long ago', 0, at, at, at, 'completed', 1, 1001, at
    from (select n, adctl_now() - interval '1 day' - n * interval '1 minute' as at from generate_series(1, :n) n) past
"""
_ATTEMPTED = """
    insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id, field,
      expected_budget, target_budget, authorised_at, authorised_by, outcome, finished_at)
    select account, change_id, 1, entity_kind, entity_id, campaign_id, ad_set_id, field, expected_budget, target_budget,
      created_at, 'w1', 'accepted', created_at from pending_ad_changes
"""
_HISTORY = """
    insert into ad_change_history (account, seq, at, change_id, to_state, actor, entity_kind, entity_id, field, target,
      attempt, previous_hash, hash)
    select account, row_number() over (), adctl_now(), change_id, state, 'execute', entity_kind, entity_id, field,
      '1001', 1, '', '' from pending_ad_changes
"""


@pytest.fixture(scope="module")
def grown_url(server: Server, template: str) -> str:
    """A database after a hundred thousand changes, statistics included."""
    name = f"{template}_grown"
    server.create(name, template)
    engine = open_engine(server.url(name))
    open_account(engine)
    with transaction(engine) as connection:
        for table in ("pending_ad_changes", "change_attempts"):
            connection.execute(text(f"alter table {table} disable trigger user"))
        connection.execute(text(_FINISHED), {"n": FINISHED})
        connection.execute(text(_ATTEMPTED))
        connection.execute(text(_HISTORY))
        connection.execute(text("insert into audit_heads (account, seq) values ('main', :n)"), {"n": FINISHED})
        for table in ("pending_ad_changes", "change_attempts"):
            connection.execute(text(f"alter table {table} enable trigger user"))
        connection.execute(text("analyze"))
    engine.dispose()
    return server.url(name)


@pytest.fixture
def grown(grown_url: str) -> Iterator[Driver]:
    """A worker there; what a test leaves in the queue is taken out again."""
    engine = open_engine(grown_url)
    with driving(engine) as driver:
        yield driver
        driver.sql(
            "update pending_ad_changes set state = 'cancelled', state_reason = 'over' where state = 'pending'",
            actor="operator",
        )
    engine.dispose()


def read(connection: Connection, name: str) -> tuple[int, int, int]:
    """Scans, rows or index entries read, and rows fetched, of a table or an index in this transaction so far."""
    row = connection.execute(
        text(
            """
            select pg_stat_get_xact_numscans(c) as scans, pg_stat_get_xact_tuples_returned(c) as read,
              pg_stat_get_xact_tuples_fetched(c) as fetched from (select cast(:name as regclass)::oid as c) one
            """
        ),
        {"name": name},
    ).one()
    return row.scans, row.read, row.fetched


def no_table_was_scanned(connection: Connection) -> None:
    scans = {table: read(connection, table)[0] for table in _TABLES}
    assert scans == dict.fromkeys(_TABLES, 0)


def test_a_claim_reads_the_next_due_change_and_nothing_that_is_finished(grown: Driver) -> None:
    grown.queue(*(budget(1100, of=f"due{number}") for number in range(20)))
    with grown.session.begin():
        change = changes.claim(grown.session, MAIN, grown.worker)
        assert change is not None
        no_table_was_scanned(grown.session)
        scans, entries, _ = read(grown.session, "due_changes")
        assert scans == 1
        assert entries <= 2, "the claimed one, not the nineteen behind it"


def test_an_authorisation_reads_what_was_sent_of_late_and_no_more(grown: Driver) -> None:
    wanted = budget(1100, of="s1", campaign="c1")
    grown.queue(wanted)
    change = grown.claim()
    assert change is not None
    with grown.session.begin():
        verdict = changes.authorise(grown.session, change, grown.worker, read_at=NOON, observed=change.expected)
        assert verdict.verdict == "send"
        no_table_was_scanned(grown.session)
        for index in ("attempts_by_time", "attempts_by_entity"):
            scans, entries, _ = read(grown.session, index)
            assert scans > 0
            assert entries < 20, index


def test_what_a_run_looks_at_first_reads_nothing_that_is_finished(grown: Driver) -> None:
    grown.queue(budget(1100, of="due"))
    change = grown.claim()
    assert change is not None
    grown.move(change, State.CLAIMED, State.CONFLICT)
    with transaction(grown.engine) as connection:
        attempts.sync_limits(connection, MAIN, LIMITS)
        assert changes.expire_old(connection, MAIN) == 0
        assert changes.due(connection, MAIN) == ()
        assert change.change_id in {one.change_id for one in changes.in_flight(connection, MAIN)}
        no_table_was_scanned(connection)
        assert read(connection, "one_open_change")[0] == 2, "what to expire, and what is in flight"
