"""Saved plans: what was shown is what is queued, or nothing is; CI can tell that there is something to review."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adctl.domain.saved_plans import read_plan
from adctl.errors import InputRejectedError, UsageError
from tests.builders import LEDGER, Loop, fact, table


@pytest.fixture
def decided(synced: Loop) -> Loop:
    """An account whose day was decided just now."""
    synced.decide()
    return synced


@pytest.fixture
def plan(decided: Loop) -> Path:
    """The plan of that day."""
    file = decided.folder / "plan.json"
    decided.enqueue(dry_run=True, out=file)
    return file


def targets(loop: Loop) -> dict[str, int | str]:
    return {
        str(row["decision_id"]): row["target_budget"] or row["target_status"] for row in loop.rows("pending_ad_changes")
    }


def test_a_saved_plan_is_queued_exactly_and_once(decided: Loop, plan: Path) -> None:
    planned = {str(one.decision_id): one.target for one in read_plan(plan.read_text()).changes}
    assert len(planned) > 5
    before = decided.digest()
    assert fact(decided.enqueue(dry_run=True, plan=plan), "planned") == len(planned)
    assert decided.digest() == before

    report = decided.enqueue(plan=plan)

    assert (targets(decided), report.exit_code) == (planned, 0)
    before = decided.digest(LEDGER)
    again = decided.enqueue(plan=plan)
    assert (again.summary, again.exit_code, decided.digest(LEDGER)) == ("No changes.", 0, before)


def test_a_plan_that_drifted_is_refused_whole_and_each_drifted_entity_is_named(decided: Loop, plan: Path) -> None:
    drifted = next(one for one in read_plan(plan.read_text()).changes if one.kind == "ad_set")
    decided.run_sql("update ad_sets set daily_budget = daily_budget + 100 where ad_set_id = :id", id=drifted.entity_id)
    before = decided.digest()
    report = decided.enqueue(plan=plan)
    assert report.exit_code == 65
    named = {row["entity"]: str(row["now"]) for row in table(report, "drifted").rows}
    assert named[f"ad_set {drifted.entity_id}"].startswith("stale: ")
    assert decided.digest() == before


def test_what_was_queued_otherwise_since_is_drift_too(decided: Loop, plan: Path) -> None:
    decided.configure("[accounts.main.limits]", "[accounts.main.limits]\nvelocity_percent = 10")
    decided.enqueue()
    report = decided.enqueue(plan=plan)
    assert report.exit_code == 65
    assert any(str(row["now"]).startswith("queued → ") for row in table(report, "drifted").rows)


def test_a_plan_of_yesterday_or_one_that_was_edited_is_refused(decided: Loop, plan: Path) -> None:
    good = plan.read_text()
    body = json.loads(good)
    body["changes"][0]["target"] = 1
    for text in (json.dumps(body), good.replace("main", "other"), "[]", "{}", "{", '"x"', "null"):
        plan.write_text(text)
        with pytest.raises(InputRejectedError):
            decided.enqueue(plan=plan)
    plan.write_text(good)
    decided.advance(days=1)
    with pytest.raises(InputRejectedError, match="on 2026-03-02, not for"):
        decided.enqueue(plan=plan)
    assert targets(decided) == {}


def test_the_exit_code_tells_ci_whether_there_is_something_to_review(decided: Loop) -> None:
    line = decided.command_line()
    detailed = ("--dry-run", "--detailed-exitcode")
    assert line("decide", *detailed).code == 4
    assert line("enqueue", *detailed, "--out", "plan.json").code == 4
    assert line("enqueue", "--dry-run").code == 0
    assert line("enqueue", "--plan", "plan.json").code == 0
    assert line("enqueue", *detailed).code == 0, "nothing is left to queue"
    assert line("enqueue", "--out", "plan.json").code == 2
    assert line("enqueue", "--plan", "nowhere.json").code == 2


def test_a_plan_that_cannot_be_written_says_so(decided: Loop) -> None:
    with pytest.raises(UsageError, match="No such file"):
        decided.enqueue(dry_run=True, out=decided.folder / "nowhere" / "plan.json")
