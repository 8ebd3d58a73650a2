"""What a fresh read says about a change: at its target, as expected, somebody else's, gone, or not to be written."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from adctl.domain.changes import Change, Reading, SendVerdict, State, Value, judge
from adctl.domain.entities import EntityKind, EntityState, Field
from adctl.domain.ids import Account
from tests.adapters.store.driver import budget, status


def change(expected: Value, target: Value) -> Change:
    is_budget = isinstance(target, int)
    return Change(
        account=Account("main"),
        change_id=UUID(int=1),
        kind=EntityKind.AD_SET if is_budget else EntityKind.AD,
        entity_id="1",
        campaign_id="2",
        ad_set_id=None,
        field=Field.DAILY_BUDGET if is_budget else Field.STATUS,
        expected=expected,
        target=target,
        jitter_ms=0,
        state=State.CLAIMED,
        state_reason=None,
        attempts=0,
        reason="a test wants it",
        updated_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def seen(
    budget: int | None = 1000, status: str = "ACTIVE", effective: str = "ACTIVE", lifetime: int | None = None
) -> EntityState:
    return EntityState(
        kind=EntityKind.AD_SET,
        entity_id="1",
        status=status,
        effective_status=effective,
        daily_budget=budget,
        lifetime_budget=lifetime,
        updated_at=None,
    )


def test_a_budget_adds_its_difference_and_a_status_nothing() -> None:
    assert [change(1000, 1200).difference, change(1200, 1000).difference] == [200, -200]
    assert change("ACTIVE", "PAUSED").difference == 0


@pytest.mark.parametrize(
    ("state", "reading"),
    [
        (seen(1000), Reading.AS_EXPECTED),
        (seen(1200), Reading.AT_TARGET),
        (seen(1001), Reading.STRANGER),
        (seen(1199), Reading.STRANGER),
        (seen(None), Reading.UNWRITABLE),
        (seen(None, lifetime=50_000), Reading.UNWRITABLE),
        (seen(1000, lifetime=50_000), Reading.UNWRITABLE),
        # Meta writes 0 for "none".
        (seen(1000, lifetime=0), Reading.AS_EXPECTED),
        (seen(1200, effective="ARCHIVED"), Reading.GONE),
        (seen(1000, effective="DELETED"), Reading.GONE),
        (seen(1000, effective="CAMPAIGN_PAUSED"), Reading.AS_EXPECTED),
        (None, Reading.GONE),
    ],
)
def test_a_budget_is_written_only_over_the_value_that_was_expected(state: EntityState | None, reading: Reading) -> None:
    assert judge(change(1000, 1200), state) is reading


@pytest.mark.parametrize(
    ("state", "reading"),
    [
        (seen(status="ACTIVE"), Reading.AS_EXPECTED),
        (seen(status="PAUSED"), Reading.AT_TARGET),
        (seen(None, status="ACTIVE", lifetime=50_000), Reading.AS_EXPECTED),
        # What was set counts, whatever the levels above make of it.
        (seen(status="ACTIVE", effective="ADSET_PAUSED"), Reading.AS_EXPECTED),
        (seen(status="ARCHIVED", effective="ARCHIVED"), Reading.GONE),
        (seen(status="IN_REVIEW"), Reading.STRANGER),
    ],
)
def test_a_status_is_judged_by_what_was_set(state: EntityState, reading: Reading) -> None:
    assert judge(change("ACTIVE", "PAUSED"), state) is reading


def test_a_refusal_names_guard_value_and_limit() -> None:
    verdict = SendVerdict(verdict="wait", guard="cap", value="301", allowed="300", until=None, attempt=None)
    assert verdict.sentence("USD") == "cap: 3.01 USD, limit 3.00 USD"
    assert verdict.sentence("JPY") == "cap: 301 JPY, limit 300 JPY"


@pytest.mark.parametrize(
    ("guard", "value", "allowed", "said"),
    [
        ("velocity", "1300", "900..1000 ± 20 %", "velocity: 13.00 USD, limit 9.00 USD..10.00 USD ± 20 %"),
        ("floor", "99", "100", "floor: 0.99 USD, limit 1.00 USD"),
        ("rate per ad set", "3", "3", "rate per ad set: 3, limit 3"),
        ("cap", "not set", "a number", "cap: not set, limit a number"),
    ],
)
def test_a_refusal_says_money_as_money_and_nothing_else(guard: str, value: str, allowed: str, said: str) -> None:
    verdict = SendVerdict(verdict="wait", guard=guard, value=value, allowed=allowed, until=None, attempt=None)
    assert verdict.sentence("USD") == said


def test_what_frees_money_is_a_lesser_budget_or_a_pause() -> None:
    assert budget(999).frees
    assert not budget(1000).frees
    assert not budget(1001).frees
    assert status().frees


def test_a_change_needs_nobodys_approval_unless_it_says_so() -> None:
    assert not budget(1200).needs_approval
