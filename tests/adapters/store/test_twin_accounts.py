"""Two accounts whose changes have the very same ids: no rule of the queue takes one account's rows for the other's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from adctl.domain.changes import Change, NewChange, State
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import HOUR, NOON, SECOND, SETTLE, Driver, budget, driving, open_account, status

OTHER = Account("other")


@pytest.fixture
def other(engine: Engine, driver: Driver) -> Iterator[Driver]:
    """A second account beside that of `driver`."""
    open_account(engine, OTHER)
    with driving(engine, OTHER) as other:
        yield other


def claimed(driver: Driver) -> Change:
    change = driver.claim()
    assert change is not None
    return change


def sent(driver: Driver, wanted: NewChange | None) -> Change:
    """Queues a change (None: what is queued) and puts it on the wire."""
    if wanted is not None:
        assert driver.queue(wanted) == 1
    change = claimed(driver)
    assert driver.authorise(change).verdict == "send"
    return change


def test_a_claim_is_of_the_accounts_own_change(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    other.queue(budget(1100, of="s2"))
    driver.at(NOON + SECOND)
    for one in (driver, other):
        assert one.queue(wanted) == 1
    assert claimed(driver).change_id == wanted.change_id
    assert other.state(wanted.change_id) == "pending"


def test_what_is_claimed_past_a_held_entity_is_the_accounts_own(engine: Engine, driver: Driver, other: Driver) -> None:
    driver.queue(budget(1100, of="held"))
    driver.move(claimed(driver), State.CLAIMED, State.PENDING)
    driver.at(NOON + SECOND)
    wanted = budget(1100)
    for one in (driver, other):
        assert one.queue(wanted) == 1
    with driving(engine, worker="w2") as second:
        assert claimed(second).change_id == wanted.change_id
        assert other.state(wanted.change_id) == "pending"


def test_what_is_due_in_another_account_is_not_due_in_this_one(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    other.queue(wanted)
    driver.at(NOON + SECOND)
    driver.queue(wanted)
    driver.at(NOON)
    assert driver.claim() is None


def test_another_accounts_tries_use_up_none(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    for attempt in (1, 2):
        change = sent(other, wanted if attempt == 1 else None)
        other.answer(change, WriteOutcome.UNKNOWN, attempt)
        other.release(change)
        driver.at(NOON + attempt * SETTLE)
        other.move(change, State.UNKNOWN, State.PENDING, actor="reconcile")
    driver.limit(max_attempts=2)
    assert sent(driver, wanted).change_id == wanted.change_id


def test_a_request_settles_by_the_accounts_own_limits_and_attempts(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    other.limit(settle=HOUR)
    change = sent(driver, wanted)
    driver.answer(change, WriteOutcome.UNKNOWN)
    driver.at(NOON + SETTLE)
    other.answer(sent(other, wanted), WriteOutcome.UNKNOWN)
    driver.move(change, State.UNKNOWN, State.PENDING, actor="reconcile")


def test_a_lost_worker_says_nothing_of_another_accounts_attempt(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    change, _ = sent(driver, wanted), sent(other, wanted)
    driver.move(change, State.EXECUTING, State.UNKNOWN, actor="reconcile")
    assert driver.value("select outcome from change_attempts where account = 'main'") == "unknown"
    assert driver.value("select outcome from change_attempts where account = 'other'") is None


def test_another_accounts_claim_is_no_reason_for_an_attempt(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    for one in (driver, other):
        one.queue(wanted)
    claimed(other)
    with pytest.raises(DBAPIError, match="is not one that was authorised"):
        driver.sql(
            """
            insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id,
              field, expected_budget, target_budget, authorised_at, authorised_by)
            values ('main', :id, 1, 'ad_set', 's1', 'c1', 's1', 'daily_budget', 1000, 1100, adctl_now(), 'w1')
            """,
            actor="authorise",
            id=wanted.change_id,
        )


def test_what_another_account_completed_is_not_taken_back(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    driver.queue(wanted)
    other.ask(wanted)
    with pytest.raises(DBAPIError, match="an undo, and nothing else"):
        driver.undo(wanted.change_id)
    other.undo(wanted.change_id)


def test_one_statement_that_moves_both_is_a_link_in_each_chain(driver: Driver, other: Driver) -> None:
    wanted = budget(1100)
    for one in (driver, other):
        one.queue(wanted)
    driver.sql("update pending_ad_changes set state = 'cancelled', state_reason = 'so'", actor="operator")
    links = "select string_agg(account || seq, ' ' order by account, seq) from ad_change_history"
    assert driver.value(links) == "main1 main2 other1 other2"


def test_another_accounts_pause_of_an_ad_leaves_it_active_here(driver: Driver, other: Driver) -> None:
    other.queue(status(of="a1"))
    paused = claimed(other)
    assert other.authorise(paused, others=("a2",)).verdict == "send"
    other.answer(paused, WriteOutcome.ACCEPTED)
    driver.queue(status(of="a2"))
    assert driver.authorise(claimed(driver), others=("a1",)).verdict == "send"


def test_what_a_person_replaced_in_another_account_is_nothing_to_this_one(driver: Driver, other: Driver) -> None:
    edit = "insert into person_edits values ('other', 'ad_set', 's1', 'daily_budget', '10', '20', :at, :at)"
    driver.sql(edit, at=NOON)
    assert driver.ask(budget(1100)).verdict == "send"
