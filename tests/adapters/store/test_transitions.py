"""The database allows exactly the moves of the table of states, whoever tries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.adapters.store import changes
from adctl.domain.changes import State
from tests.adapters.store.driver import HOUR, NOON, SETTLE, open_account

ACTORS = ("operator", "age", "enqueue", "undo", "execute", "authorise", "reconcile", "")
NEW = "new"
# One line of the design's table each: from, to, by.
DESIGN = (
    (NEW, "proposed pending", "enqueue undo"),
    ("proposed", "pending", "operator"),
    ("proposed pending", "cancelled", "operator"),
    ("proposed pending", "expired", "age"),
    ("pending", "claimed", "execute"),
    ("claimed", "pending", "execute reconcile"),
    ("claimed", "completed conflict blocked", "execute"),
    ("claimed", "executing", "authorise"),
    ("executing", "completed failed pending unknown", "execute"),
    ("executing", "unknown", "reconcile"),
    ("unknown", "completed pending conflict", "reconcile"),
    ("unknown conflict", "cancelled", "operator"),
    ("conflict", "completed", "operator"),
    # Beside the table: a newer decision, or an undo, takes the place of what was not claimed yet.
    ("proposed pending", "cancelled", "enqueue undo"),
)
LEGAL = {move for old, new, actors in DESIGN for move in product(old.split(), new.split(), actors.split())}
TERMINAL = {"completed", "failed", "blocked", "cancelled", "expired"}
STATES = [state.value for state in State]
_PROOF = {"failed": "refused", "pending": "deferred", "completed": "accepted"}
_INSERT = text(
    """
    insert into pending_ad_changes (account, change_id, run_id, entity_kind, entity_id, campaign_id, ad_set_id, field,
      expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, compensates, created_at,
      state, attempts, observed_budget, updated_at)
    values ('main', :id, :id, 'ad_set', :entity, 'c1', 's1', 'daily_budget', :expected, :target, 'a test wants it', 0,
      :now, :expires, :compensates, :now, :state, :attempts, :observed, :now)
    """
)
_AMOUNTS = {"expected": 1000, "target": 1200, "compensates": None}
_ATTEMPT = text(
    """
    insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id, field,
      expected_budget, target_budget, authorised_at, authorised_by, outcome)
    values ('main', :id, :attempt, 'ad_set', :entity, 'c1', 's1', 'daily_budget', 1000, 1200, :at, 'w1', :outcome)
    """
)
_MOVE = text(
    """
    update pending_ad_changes set state = :new, state_reason = 'so it is',
      observed_budget = case when :new = 'pending' then expected_budget else target_budget end,
      approved_by = case when :new = 'pending' and state = 'proposed' then 'ann' end,
      claimed_by = case when :new = 'claimed' then 'w1' end,
      claimed_at = case when :new = 'claimed' then adctl_now() end,
      attempts = attempts + case when :new = 'executing' then 1 else 0 end
    where change_id = :id
    """
)


@pytest.fixture
def unguarded(engine: Engine) -> Iterator[Connection]:
    """A transaction in which rows may be put into any state, for moves out of it."""
    open_account(engine)
    with transaction(engine) as connection:
        yield connection


def _unguarded(connection: Connection, on: bool) -> None:
    word = "disable" if on else "enable"
    for table in ("pending_ad_changes", "change_attempts"):
        connection.execute(text(f"alter table {table} {word} trigger user"))


def _put(connection: Connection, state: str, new: str) -> UUID:
    """A change in `state` of which everything but the table of moves allows that it becomes `new`."""
    key, sent = uuid4(), state in ("executing", "unknown", "conflict")
    expires = NOON if new == "expired" else NOON + HOUR
    observed = 1200 if state == "completed" else None
    row = {**_AMOUNTS, "id": key, "entity": key.hex, "now": NOON, "expires": expires, "observed": observed}
    _unguarded(connection, True)
    connection.execute(_INSERT, {**row, "state": state, "attempts": int(sent)})
    attempt = {"id": key, "entity": key.hex, "at": NOON - SETTLE}
    if sent:
        outcome = _PROOF.get(new, "unknown") if state == "executing" else "unknown"
        connection.execute(_ATTEMPT, {**attempt, "attempt": 1, "outcome": outcome})
    if new == "executing":
        connection.execute(_ATTEMPT, {**attempt, "attempt": int(sent) + 1, "outcome": None})
    _unguarded(connection, False)
    return key


def _refusal(connection: Connection, actor: str, statement: str, **parameters: object) -> str | None:
    """What the database says to it, None when it does it; either way nothing is left of it."""
    changes.act_as(connection, actor)
    attempt = connection.begin_nested()
    try:
        connection.execute(_MOVE if statement == "move" else _INSERT, parameters)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.CheckViolation):
            raise
        return str(error.orig)
    finally:
        attempt.rollback()
    return None


def test_every_state_may_become_every_other_only_by_whom_the_table_names(unguarded: Connection) -> None:
    allowed = set()
    for old, new in product(STATES, STATES):
        if old == new:
            continue
        key = _put(unguarded, old, new)
        for actor in ACTORS:
            refusal = _refusal(unguarded, actor, "move", id=key, new=new)
            if refusal is None:
                allowed.add((old, new, actor))
            else:
                assert ("for good" in refusal) == (old in TERMINAL), refusal
                assert old in TERMINAL or f"{actor or 'nobody'} may not move it from {old} to {new}" in refusal, refusal
    assert allowed == {move for move in LEGAL if move[0] != NEW}


def test_a_change_begins_as_proposed_or_pending_only_by_enqueue_or_undo(unguarded: Connection) -> None:
    original = _put(unguarded, "completed", "none")
    row = {"entity": original.hex, "now": NOON, "expires": NOON + HOUR, "attempts": 0, "expected": 1200, "target": 1000}
    allowed = set()
    for state, actor in product(STATES, ACTORS):
        compensates = original if actor == "undo" else None
        observed = 1000 if state == "completed" else None
        parameters = {**row, "id": uuid4(), "state": state, "compensates": compensates, "observed": observed}
        refusal = _refusal(unguarded, actor, "insert", **parameters)
        if refusal is None:
            allowed.add((NEW, state, actor))
        else:
            assert f"{actor or 'nobody'} may not begin one as {state}" in refusal
    assert allowed == {move for move in LEGAL if move[0] == NEW}


def test_no_state_is_unknown_to_the_code_or_to_the_database(unguarded: Connection) -> None:
    rows = unguarded.execute(text("select state, terminal from change_states"))
    assert {row.state: row.terminal for row in rows} == {state: state in TERMINAL for state in STATES}


def test_what_has_ended_is_not_touched_at_all(unguarded: Connection) -> None:
    for state in sorted(TERMINAL):
        key = _put(unguarded, state, "none")
        for actor in ACTORS:
            assert "for good" in str(_refusal(unguarded, actor, "move", id=key, new=state))
