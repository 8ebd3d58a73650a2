"""What is mutated, and which tests can notice it: the fewest, those that notice most first."""

from __future__ import annotations

from tests.mutation.mutants import Mutant
from tests.warm import ROOT

_GUARDS = tuple(str(path.relative_to(ROOT)) for path in sorted((ROOT / "adctl/domain/guards").glob("*.py")))
PYTHON = ("adctl/domain/changes.py", "adctl/domain/money.py", *_GUARDS)
_PYTHON_TESTS = {
    "adctl/domain/changes.py": ("tests/domain/test_changes.py", "tests/domain/test_approval.py"),
    "adctl/domain/money.py": ("tests/domain/test_money.py",),
    "adctl/domain/guards/plausible.py": ("tests/domain/guards/test_plausible.py",),
    "adctl/domain/guards/limits.py": ("tests/domain/guards/test_budget_guards.py",),
    "adctl/domain/guards/draws.py": ("tests/domain/guards/test_budget_guards.py",),
    "adctl/domain/guards/strictest.py": ("tests/domain/guards/test_strictest.py",),
}
_GUARD_TESTS = ("gates", "budget_guards", "funding", "plausible")

SQL = ("sql/0005_changes.sql", "sql/0009_sync.sql")
# Files of tests/adapters/store by the function that a mutant is in; those of authorise_send for what is not named.
_SQL_TESTS = {
    "audit_moment": ("audit",),
    "link_text": ("audit",),
    "link_hash": ("audit",),
    "audit_hash": ("audit",),
    "history_is_append_only": ("changes",),
    "history_is_never_truncated": ("changes",),
    "heads_are_never_deleted": ("changes",),
    "heads_are_never_truncated": ("changes",),
    "what_was_decided_stays": ("changes",),
    "changes_are_never_deleted": ("changes",),
    "changes_are_never_truncated": ("changes",),
    "attempts_are_never_deleted": ("changes",),
    "attempts_are_never_truncated": ("changes",),
    "current_actor": ("changes",),
    "one_open_change": ("changes",),
    "one_live_undo": ("changes",),
    "change_is_settled": ("twin_accounts", "changes"),
    "attempts_made": ("twin_accounts", "changes", "authorise"),
    "guard_new_change": ("twin_accounts", "changes", "transitions"),
    "decided_refusal": ("changes", "sketch_defects"),
    "bookkeeping_refusal": ("changes", "transitions"),
    "proof_refusal": ("twin_accounts", "changes", "claims", "transitions"),
    "move_refusal": ("twin_accounts", "changes", "transitions", "claims"),
    "stamp_change": ("changes",),
    "needs_proof": ("changes", "claims", "transitions"),
    "guard_attempt": ("twin_accounts", "changes"),
    "link_of": ("audit",),
    "append_links": ("audit",),
    "record_new_changes": ("audit",),
    "record_moves": ("twin_accounts", "changes", "transitions", "audit"),
    "entity_lock_key": ("claims",),
    "claim_pending_ad_change": ("twin_accounts", "claims"),
    "last_ad_verdict": ("authorise", "twin_accounts"),
    "halt_reason": ("authorise",),
    "within_velocity": ("authorise",),
    "may_hold": ("authorise",),
    "floor_of": ("authorise",),
    "ceiling_of": ("authorise",),
    "holds_entity_lock": ("authorise",),
    "edited_verdict": ("authorise", "twin_accounts"),
    "insight_readings_are_append_only": ("staging",),
    "insight_readings_are_never_truncated": ("staging",),
    "refuse_unknown_accounts": ("staging",),
    "insights_of_known_accounts": ("staging",),
    "deals_of_known_accounts": ("staging",),
}
# Words in the names of the tests that are run first, in this order.
_WORDS = {
    "velocity_verdict": ("window", "six_hours", "velocity", "value_that_may", "time_is_that", "unknown_outcome_counts"),
    "within_velocity": ("fifth",),
    "blocking_verdict": ("at_most_a_fifth", "floor", "try_left"),
    "floor_of": ("floor",),
    "ceiling_of": ("ceiling",),
    "campaign_rate_verdict": ("sixteenth",),
    "ad_set_rate_verdict": ("fourth", "one_more_is_kept", "every_sending"),
    "rate_verdict": ("fourth", "lowered", "rate_of_nothing"),
    "cap_verdict": ("the_cap", "room_for", "raise"),
    "halt_verdict": ("halt", "running_control"),
    "halt_reason": ("running_control", "halt"),
    "quiet_verdict": ("quiet",),
    "is_quiet": ("quiet",),
    "edited_verdict": ("person",),
    "last_ad_verdict": ("last_active", "last_ads", "no_more", "settled", "another_accounts_pause"),
    "attempts_made": ("try_left", "tries_use"),
    "authorise_send": ("disk", "alike", "session_that", "another_value", "fresh", "two_guards", "waits_for", "locked"),
    "holds_entity_lock": ("only_the_session",),
    "guard_attempt": ("attempt",),
    "guard_new_change": ("undo", "new_change", "begins", "taken_back"),
    "stamp_change": ("stamped", "approval_names"),
    "needs_proof": ("proved", "attempt", "tries_use", "unknown"),
    "decided_refusal": ("amount", "pauses", "nothing_but", "never_sent_to"),
    "bookkeeping_refusal": ("bookkeeping", "approval_names"),
    "move_refusal": ("expire", "approval", "says_why", "target_was_seen", "claim_names", "given_back"),
    "proof_refusal": ("proved", "attempt", "tries_use", "unknown"),
    "change_is_settled": ("settled", "on_its_way", "settles_by"),
    "claim_pending_ad_change": (
        "held_entity",
        "without_waiting",
        "as_before",
        "another_account",
        "several",
        "own_change",
        "due_longest",
        "passed_over",
        "expired",
    ),
    "audit_moment": ("outside",),
    "link_text": ("outside",),
    "link_hash": ("outside",),
    "audit_hash": ("untouched",),
    "link_of": ("outside", "in_its_link"),
    "append_links": ("untouched", "two_accounts", "one_chain"),
    "record_moves": ("every_state", "says_why", "lost_worker", "bookkeeping", "untouched", "batch", "one_statement"),
}


def words_of(mutant: Mutant) -> tuple[str, ...]:
    return _WORDS.get(mutant.part, ())


def tests_of(mutant: Mutant) -> tuple[str, ...]:
    """Paths for pytest."""
    if mutant.path in SQL:
        names = _SQL_TESTS.get(mutant.part, ("authorise", "authorise_together"))
        return tuple(f"tests/adapters/store/test_{name}.py" for name in names)
    guards = tuple(f"tests/domain/guards/test_{name}.py" for name in _GUARD_TESTS)
    return _PYTHON_TESTS.get(mutant.path, guards)
