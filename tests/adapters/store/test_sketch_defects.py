"""Defects of an earlier sketch of the queue and its executor, each by name."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from adctl.domain.changes import State
from adctl.domain.money import to_minor
from adctl.domain.ports import WriteOutcome
from adctl.errors import ConfigurationError
from tests.adapters.store.driver import SECOND, SETTLE, Driver, budget, driving


def test_sketch_defect_the_claim_function_returns_the_row_that_it_claimed(driver: Driver) -> None:
    wanted = budget(1100)
    driver.queue(wanted)
    change = driver.claim()
    assert change is not None
    assert (change.change_id, change.state, change.target) == (wanted.change_id, State.CLAIMED, 1100)
    assert driver.claim() is None


def test_sketch_defect_what_is_on_its_way_counts_before_its_answer_so_workers_do_not_race(driver: Driver) -> None:
    driver.limit(cap_increase=100)
    driver.queue(budget(1100), budget(1100, of="s2", campaign="c2"))
    first = driver.claim()
    assert first is not None
    assert driver.authorise(first).verdict == "send"
    with driving(driver.engine, worker="w2") as other:
        second = other.claim()
        assert second is not None
        verdict = other.authorise(second)
    assert (verdict.verdict, verdict.guard) == ("wait", "cap")


def test_sketch_defect_a_timeout_is_not_a_failure(driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    assert driver.authorise(change).verdict == "send"
    driver.answer(change, WriteOutcome.UNKNOWN)
    assert driver.state(change.change_id) == "unknown"
    assert driver.queue(budget(1050)) == 0, "until it is known the field is taken"
    assert driver.value("select may_hold(outcome) from change_attempts"), "and it counts as applied"


def test_sketch_defect_a_crash_leaves_no_row_claimed_for_ever(driver: Driver) -> None:
    driver.queue(budget(1100))
    with driving(driver.engine, worker="one that dies") as dying:
        claimed = dying.claim()
        assert claimed is not None
        assert not driver.value("select pg_try_advisory_lock(entity_lock_key('main', 'ad_set', 's1'))")
    driver.move(claimed, State.CLAIMED, State.PENDING, actor="reconcile")
    driver.at(driver.value("select adctl_now()") + SETTLE + SECOND)
    assert driver.claim() is not None


def test_sketch_defect_a_budget_is_never_sent_to_an_ad(driver: Driver) -> None:
    with pytest.raises(DBAPIError) as refused:
        driver.sql(
            """
            insert into pending_ad_changes (account, change_id, run_id, entity_kind, entity_id, campaign_id, field,
              expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, created_at,
              updated_at)
            values ('main', gen_random_uuid(), gen_random_uuid(), 'ad', 'a1', 'c1', 'daily_budget', 1000, 1100, 'x', 0,
              adctl_now(), adctl_now(), adctl_now(), adctl_now())
            """,
            actor="enqueue",
        )
    assert isinstance(refused.value.orig, psycopg.errors.CheckViolation)
    assert "a budget goes to its owner" in str(refused.value.orig)


def test_sketch_defect_an_amount_is_not_times_100_in_every_currency() -> None:
    assert [to_minor("1200", currency) for currency in ("USD", "JPY", "TWD", "HUF", "BHD")] == [
        120_000,
        1200,
        1200,
        1200,
        120_000,
    ]
    with pytest.raises(ConfigurationError, match="KWD"):
        to_minor("1200", "KWD")
