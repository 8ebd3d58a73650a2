"""What is written down about a change stays: decisions, attempts, answers, and the conditions of each move."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from adctl.domain.changes import Change, State
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import HOUR, NOON, SECOND, SETTLE, Driver, budget, driving, open_account, status


def refused(driver: Driver, statement: str, *, actor: str = "", **parameters: object) -> str:
    with pytest.raises(DBAPIError) as error:
        driver.sql(statement, actor=actor, **parameters)
    return str(error.value.orig).partition("\n")[0]


def claimed(driver: Driver) -> Change:
    """A change of s1 from 1000 to 1100, claimed."""
    assert driver.queue(budget(1100)) == 1
    change = driver.claim()
    assert change is not None
    return change


def sent(driver: Driver) -> Change:
    """The same, on the wire."""
    change = claimed(driver)
    assert driver.authorise(change).verdict == "send"
    return change


# What was decided


def test_what_was_decided_is_never_rewritten(engine: Engine, driver: Driver) -> None:
    open_account(engine, Account("other"))
    driver.queue(budget(1100))
    move = ", state = 'cancelled', state_reason = 'by the way'"
    for assignment, actor in product(_DECIDED, ("enqueue", "execute", "operator")):
        for also in ("", move) if actor == "operator" else ("",):
            message = refused(driver, f"update pending_ad_changes set {assignment}{also}", actor=actor)
            assert "what was decided is never rewritten" in message, assignment


_DECIDED = (
    "account = 'other'",
    "change_id = gen_random_uuid()",
    "decision_id = gen_random_uuid()",
    "run_id = change_id",
    "decision_day = '2020-01-01'",
    "entity_kind = 'campaign'",
    "entity_id = 's2'",
    "campaign_id = 'c2'",
    "ad_set_id = null",
    "field = 'status'",
    "expected_budget = 999",
    "target_budget = 1101",
    "wanted_budget = 1",
    "expected_status = 'ACTIVE'",
    "target_status = 'ACTIVE'",
    "reason = 'x'",
    "clipped_by = '[1]'",
    "fuzz_ppm = 1",
    "jitter_ms = 1",
    "expires_at = expires_at + interval '1 s'",
    "compensates = change_id",
    "created_at = created_at + interval '1 s'",
)


def test_bookkeeping_moves_only_with_its_own_move(driver: Driver) -> None:
    sent(driver)
    for assignment, words in (
        ("claimed_by = 'w2'", "only a claim says"),
        ("claimed_at = adctl_now() + interval '1 s'", "only a claim says"),
        ("attempts = 0", "only an authorisation counts"),
        ("approved_by = 'ann'", "only an approval says who approved it and when"),
        ("approved_at = adctl_now()", "only an approval says who approved it and when"),
        ("earliest_execute_at = adctl_now() + interval '1 s'", "only what is pending is put off"),
    ):
        for also in ("", ", state = 'unknown'"):
            assert words in refused(driver, f"update pending_ad_changes set {assignment}{also}", actor="execute")
    driver.sql("update pending_ad_changes set state_reason = 'still looking', observed_budget = 1050")


def test_nothing_is_deleted_or_truncated(driver: Driver) -> None:
    sent(driver)
    for table in ("pending_ad_changes", "change_attempts", "ad_change_history", "audit_heads"):
        message = refused(driver, f"truncate {table} cascade")
        assert message == f"TRUNCATE on {table}: rows are never changed or removed"
        assert "rows are never changed or removed" in refused(driver, f"delete from {table}")


def test_no_link_of_the_history_is_rewritten(driver: Driver) -> None:
    sent(driver)
    assert "rows are never changed" in refused(driver, "update ad_change_history set actor = 'x'")


# How a change begins


def test_who_has_not_said_who_acts_is_nobody(driver: Driver) -> None:
    with driver.engine.connect() as connection, pytest.raises(DBAPIError, match="nobody may not begin one"):
        connection.exec_driver_sql(_begin("1000", "1100"))


def test_a_budget_change_goes_from_an_amount_to_another_one(driver: Driver) -> None:
    for amounts in ("1000 1000", "1000 0", "1000 -5", "null 5", "5 null", "-1 5"):
        assert "a budget goes to its owner" in refused(driver, _begin(*amounts.split()), actor="enqueue"), amounts
    assert driver.queue(budget(5, 0)) == 1


def test_a_status_change_pauses_or_starts_an_ad(driver: Driver) -> None:
    columns, words = ", expected_status, target_status", "an ad, and nothing else, is paused or started"
    for kind, amount, statuses in (
        ("ad_set", "null", "'ACTIVE', 'PAUSED'"),
        ("ad", "1100", "'ACTIVE', 'PAUSED'"),
        ("ad", "null", "'ACTIVE', 'ACTIVE'"),
        ("ad", "null", "'ACTIVE', 'DELETED'"),
        ("ad", "null", "'ARCHIVED', 'ACTIVE'"),
        ("ad", "null", "null, 'PAUSED'"),
    ):
        statement = _begin("null", amount, columns, f", {statuses}", kind=kind, field="status")
        assert words in refused(driver, statement, actor="enqueue"), (kind, amount, statuses)
    assert driver.queue(status("PAUSED", "ACTIVE"), status("ACTIVE", "PAUSED", of="a2")) == 2


def test_nothing_but_budgets_and_status_is_changed_and_within_ten_minutes(driver: Driver) -> None:
    statement = _begin("1000", "1100", field="name")
    assert "nothing but daily budgets and status is changed" in refused(driver, statement, actor="enqueue")
    statement = _begin("1000", "1100", jitter_ms=600_001)
    assert "no more than ten minutes" in refused(driver, statement, actor="enqueue")


def _begin(
    expected: str,
    target: str,
    columns: str = "",
    values: str = "",
    *,
    kind: str = "ad_set",
    field: str = "daily_budget",
    jitter_ms: int = 0,
) -> str:
    return f"""
        insert into pending_ad_changes (account, change_id, run_id, entity_kind, entity_id, campaign_id, field,
          expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, created_at,
          updated_at{columns})
        values ('main', gen_random_uuid(), gen_random_uuid(), '{kind}', 's1', 'c1', '{field}', {expected},
          {target}, 'x', {jitter_ms}, adctl_now(), adctl_now() + interval '1 day', adctl_now(), adctl_now(){values})
    """


def test_nothing_has_happened_to_a_new_change(driver: Driver) -> None:
    for column, value in (
        ("claimed_by", "'w1'"),
        ("claimed_at", "now()"),
        ("attempts", "1"),
        ("observed_budget", "1"),
        ("observed_status", "'x'"),
        ("approved_by", "'ann'"),
        ("approved_at", "now()"),
    ):
        statement = _begin("1000", "1100", f", {column}", f", {value}")
        assert "nothing has happened to a new change" in refused(driver, statement, actor="enqueue"), column


def test_a_decision_is_queued_once_and_a_field_has_one_open_change(driver: Driver) -> None:
    first = budget(1100)
    assert (driver.queue(first), driver.queue(first)) == (1, 0)
    change = driver.claim()
    assert change is not None
    assert driver.queue(budget(1050)) == 0, "a change of the field is in flight"
    assert "one_open_change" in refused(driver, _begin("1000", "1100"), actor="enqueue")
    assert driver.queue(budget(1100, of="s2"), status(of="s1")) == 2, "another entity, another field"


def test_a_decision_is_queued_under_its_own_id(driver: Driver) -> None:
    statement = _begin("1000", "1100", ", decision_id", ", gen_random_uuid()")
    assert "a decision is queued under its own id" in refused(driver, statement, actor="enqueue")


def test_an_undo_takes_back_a_completed_change_of_the_same_field(driver: Driver) -> None:
    done = budget(1100)
    driver.ask(done)
    columns, words = ", compensates", "an undo, and nothing else"
    key = f", '{done.change_id}'"
    assert words in refused(driver, _begin("1100", "1000", columns, key), actor="enqueue"), "only an undo compensates"
    assert words in refused(driver, _begin("1100", "1000"), actor="undo"), "an undo compensates something"
    assert words in refused(driver, _begin("1050", "1000", columns, key), actor="undo"), "the value has moved on"
    driver.undo(done.change_id)
    assert "one_open_change" in refused(driver, _begin("1100", "1000", columns, key), actor="undo"), "one at a time"
    assert driver.ask(None).verdict == "send"
    assert "one_live_undo" in refused(driver, _begin("1100", "1000", columns, key), actor="undo"), "once is enough"
    driver.queue(waiting := budget(1050))
    other = f", '{waiting.change_id}'"
    driver.queue(budget(1100, of="s2"))
    assert words in refused(driver, _begin("1050", "1000", columns, other), actor="undo"), "it was not sent"


# Conditions of the moves

_PROPOSE = "update pending_ad_changes set state = 'pending', state_reason = 'so'"


def test_an_approval_names_who_and_notes_when(driver: Driver) -> None:
    driver.sql(_begin("1000", "1100", ", state", ", 'proposed'"), actor="enqueue")
    assert driver.claim() is None
    assert "names who approves" in refused(driver, _PROPOSE, actor="operator")
    assert "names who approves" in refused(driver, f"{_PROPOSE}, approved_by = ' '", actor="operator")
    forged = "approved_by = 'ann', approved_at = '2000-01-01', updated_at = '2000-01-01'"
    driver.sql(f"{_PROPOSE}, {forged}", actor="operator")
    assert driver.value("select approved_by from pending_ad_changes") == "ann"
    assert driver.value("select approved_at from pending_ad_changes") == NOON
    assert driver.value("select updated_at from pending_ad_changes") == NOON
    assert driver.claim() is not None


def test_a_move_that_does_not_say_when_it_was_made_is_stamped(driver: Driver) -> None:
    change = claimed(driver)
    driver.at(NOON + SECOND)
    driver.sql("update pending_ad_changes set state = 'conflict'", actor="execute")
    assert driver.value("select updated_at from pending_ad_changes") == NOON + SECOND
    driver.at(NOON + HOUR)
    driver.move(change, State.CONFLICT, State.CANCELLED, actor="operator")
    assert driver.value("select updated_at from pending_ad_changes") == NOON + HOUR
    assert driver.value("select approved_at from pending_ad_changes") is None


def test_a_claim_names_its_worker_and_comes_in_its_time(driver: Driver) -> None:
    driver.queue(budget(1100), expire=HOUR)
    claim = "update pending_ad_changes set state = 'claimed'"
    whole = f"{claim}, claimed_by = 'w1', claimed_at = adctl_now()"
    for half in ("", ", claimed_by = 'w1'", ", claimed_at = adctl_now()"):
        assert "a claim names its worker" in refused(driver, claim + half, actor="execute")
    driver.at(NOON - SECOND)
    assert "it is not due before 2026-03-02 12:00" in refused(driver, whole, actor="execute")
    driver.at(NOON + HOUR)
    assert "it expired at 2026-03-02 13:00" in refused(driver, whole, actor="execute")
    driver.at(NOON + HOUR - SECOND)
    driver.sql(whole, actor="execute")


def test_a_change_expires_no_sooner_than_its_time(driver: Driver) -> None:
    driver.queue(budget(1100), expire=HOUR)
    expire = "update pending_ad_changes set state = 'expired'"
    driver.at(NOON + HOUR - SECOND)
    assert "it expires at 2026-03-02 13:00" in refused(driver, expire, actor="age")
    driver.at(NOON + HOUR)
    driver.sql(expire, actor="age")


def test_whoever_ends_a_change_says_why(driver: Driver) -> None:
    change = claimed(driver)
    driver.move(change, State.CLAIMED, State.CONFLICT, reason="Meta holds 1050")
    cancel = "update pending_ad_changes set state = 'cancelled'"
    for assignment in ("", ", state_reason = null", ", state_reason = '  '"):
        assert "whoever ends it says why" in refused(driver, cancel + assignment, actor="operator")
    complete = "update pending_ad_changes set state = 'completed', observed_budget = target_budget"
    assert "whoever ends it says why" in refused(driver, complete, actor="operator")
    driver.sql(f"{complete}, state_reason = 'set by hand'", actor="operator")


@pytest.mark.parametrize("observed", ["null", "1099", "expected_budget"])
def test_completed_means_that_the_target_was_seen(driver: Driver, observed: str) -> None:
    change = sent(driver)
    driver.sql("update change_attempts set outcome = 'accepted'")
    complete = f"update pending_ad_changes set state = 'completed', observed_budget = {observed}"
    assert "it is not seen that the target stands" in refused(driver, complete, actor="execute")
    driver.move(change, State.EXECUTING, State.COMPLETED)


@pytest.mark.parametrize(
    ("outcome", "possible"),
    [
        (None, {"unknown"}),
        ("accepted", {"unknown", "completed"}),
        ("unknown", {"unknown", "completed"}),
        ("deferred", {"unknown", "completed", "pending"}),
        ("refused", {"unknown", "completed", "pending", "failed"}),
    ],
)
def test_not_applied_must_be_proved(driver: Driver, outcome: str | None, possible: set[str]) -> None:
    change = sent(driver)
    if outcome:
        driver.sql("update change_attempts set outcome = :outcome", outcome=outcome)
    for state in sorted({"unknown", "completed", "pending", "failed"} - possible):
        move = "update pending_ad_changes set state = :to, state_reason = 'so', observed_budget = target_budget"
        assert "change" in refused(driver, move, actor="execute", to=state)
    driver.move(change, State.EXECUTING, State(sorted(possible)[-1]))


def test_a_claimed_change_is_not_given_back_while_an_attempt_is_on_its_way(driver: Driver) -> None:
    change = claimed(driver)
    give_back = "update pending_ad_changes set state = 'pending', state_reason = 'so'"
    assert "it is not said why" in refused(driver, "update pending_ad_changes set state = 'pending'", actor="execute")
    driver.sql("alter table change_attempts disable trigger user")
    driver.sql(
        """
        insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, field,
          authorised_at, authorised_by)
        values ('main', :id, 1, 'ad_set', 's1', 'c1', 'daily_budget', adctl_now(), 'w1')
        """,
        id=change.change_id,
    )
    for actor in ("execute", "reconcile"):
        assert "an attempt is on its way" in refused(driver, give_back, actor=actor)
    driver.sql("update change_attempts set outcome = 'deferred'")
    driver.sql(give_back, actor="reconcile")


@pytest.mark.parametrize(("to", "actor"), [("pending", "reconcile"), ("cancelled", "operator")])
def test_an_unknown_outcome_keeps_the_field_until_no_request_can_be_on_its_way(
    driver: Driver, to: str, actor: str
) -> None:
    driver.answer(sent(driver), WriteOutcome.UNKNOWN)
    move = "update pending_ad_changes set state = :to, state_reason = 'so it is', observed_budget = expected_budget"
    driver.at(NOON + SETTLE - timedelta(microseconds=1))
    assert "a request may still be on its way" in refused(driver, move, actor=actor, to=to)
    driver.at(NOON + SETTLE)
    driver.sql(move, actor=actor, to=to)


def test_without_limits_nobody_knows_that_a_request_has_settled(driver: Driver) -> None:
    driver.answer(sent(driver), WriteOutcome.UNKNOWN)
    driver.at(NOON + 1000 * HOUR)
    driver.sql("delete from limits")
    move = "update pending_ad_changes set state = 'pending', state_reason = 'so'"
    assert "a request may still be on its way" in refused(driver, move, actor="reconcile")


def test_an_unknown_outcome_is_sent_again_only_when_the_old_value_was_seen_since(driver: Driver) -> None:
    change = claimed(driver)
    driver.sql("update pending_ad_changes set observed_budget = expected_budget")
    assert driver.authorise(change).verdict == "send"
    driver.answer(change, WriteOutcome.UNKNOWN)
    driver.at(NOON + SETTLE)
    move = "update pending_ad_changes set state = 'pending', state_reason = 'so'"
    words = "it is not seen that the old value stands"
    assert words in refused(driver, move, actor="reconcile"), "what was read before the sending counts for nothing"
    assert words in refused(driver, f"{move}, observed_budget = 1100", actor="reconcile")
    driver.sql(f"{move}, observed_budget = 1000", actor="reconcile")


def test_without_a_try_left_an_unknown_outcome_is_not_sent_again(driver: Driver) -> None:
    driver.limit(max_attempts=2)
    driver.queue(budget(1100))
    move = "update pending_ad_changes set state = 'pending', state_reason = 'so', observed_budget = expected_budget"
    # given two tries of unknown outcome, with one between them that Meta put off and that counts for none
    outcomes = (WriteOutcome.UNKNOWN, WriteOutcome.DEFERRED, WriteOutcome.UNKNOWN)
    for attempt, outcome in enumerate(outcomes, start=1):
        change = driver.claim()
        assert change is not None
        assert driver.authorise(change).verdict == "send"
        driver.answer(change, outcome, attempt)
        driver.release(change)
        driver.at(NOON + attempt * SETTLE)
        if attempt == 1:
            driver.sql(move, actor="reconcile")
    assert "no attempt is left" in refused(driver, move, actor="reconcile")
    driver.sql("update pending_ad_changes set state = 'conflict', state_reason = 'not applied'", actor="reconcile")


# Attempts


def test_executing_needs_an_attempt_that_authorise_send_wrote(driver: Driver) -> None:
    change = claimed(driver)
    execute = "update pending_ad_changes set state = 'executing', attempts = 1"
    assert "no attempt is written down" in refused(driver, execute, actor="authorise")
    attempt = """
        insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id, field,
          expected_budget, target_budget, authorised_at, authorised_by)
        values ('main', :id, :number, 'ad_set', 's1', 'c1', 's1', 'daily_budget', 1000, :target, adctl_now(), 'w1')
    """
    words = "is not one that was authorised"
    for actor, number, target in (("execute", 1, 1100), ("authorise", 2, 1100), ("authorise", 1, 1101)):
        found = refused(driver, attempt, actor=actor, id=change.change_id, number=number, target=target)
        assert words in found
    assert "is not one" in refused(driver, attempt, actor="authorise", id=uuid4(), number=1, target=1100)


def test_an_attempt_is_answered_once_and_never_rewritten(driver: Driver) -> None:
    change = sent(driver)
    words = "is answered once and never rewritten"
    for assignment in ("target_budget = 1", "authorised_at = adctl_now() - interval '1 h'", "outcome = null"):
        both = assignment if "outcome" in assignment else f"{assignment}, outcome = 'accepted'"
        assert words in refused(driver, f"update change_attempts set {both}")
    driver.sql("update change_attempts set outcome = 'accepted'")
    assert driver.value("select finished_at from change_attempts") == NOON
    assert words in refused(driver, "update change_attempts set outcome = 'refused'")
    driver.move(change, State.EXECUTING, State.COMPLETED)


def test_the_attempt_of_a_lost_worker_is_unknown_for_good(driver: Driver) -> None:
    change = sent(driver)
    driver.move(change, State.EXECUTING, State.UNKNOWN, actor="reconcile")
    assert driver.value("select outcome from change_attempts") == "unknown"
    with driving(driver.engine) as late, pytest.raises(AssertionError):
        late.answer(change, WriteOutcome.ACCEPTED)
    assert driver.value("select outcome from change_attempts") == "unknown"
    assert driver.state(change.change_id) == "unknown"


def test_errors_of_the_rules_are_errors_of_checks(driver: Driver) -> None:
    claimed(driver)
    with pytest.raises(DBAPIError) as error:
        driver.sql("update pending_ad_changes set state = 'failed'", actor="execute")
    assert isinstance(error.value.orig, psycopg.errors.CheckViolation)
