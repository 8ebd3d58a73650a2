"""undo: what was sent is taken back through the same guards, once, and only where Meta still holds it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from adctl.adapters.db import transaction
from adctl.adapters.store.changes import act_as
from adctl.cli.vendors import meta
from adctl.cli.wiring import approval_of, plan_limits
from adctl.commands import undo as command
from adctl.domain.report import Report
from adctl.errors import UsageError
from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from tests.adapters.store.test_staging import wait_until_blocked
from tests.builders import LEDGER, Loop, fact, table

LIMITS = "[accounts.main.limits]"


def undo(loop: Loop, change: str | None = None, *, of_run: UUID | None = None, dry_run: bool = False) -> Report:
    job = loop.job()
    with meta(job) as platform:
        return command.run(
            loop.engine,
            job.profile,
            platform,
            plan_limits(job),
            run_id=job.run_id,
            change=change,
            of_run=of_run,
            approval=approval_of(job.account),
            expire=timedelta(hours=24),
            dry_run=dry_run,
        )


def carried_out(loop: Loop, node: Campaign | AdSet | Ad, target: int | str) -> str:
    """Sends a change and returns its id."""
    loop.queue(node, target)
    loop.execute()
    (found,) = (
        row
        for row in loop.rows("pending_ad_changes")
        if row["entity_id"] == node.id and target in (row["target_budget"], row["target_status"])
    )
    assert found["state"] == "completed"
    return str(found["change_id"])


def ad_set(loop: Loop) -> AdSet:
    return next(one for one in loop.sandbox.world.tree.ad_sets if one.daily_budget)


def raised(loop: Loop, percent: int = 10) -> tuple[AdSet, int, str]:
    """An ad set whose budget was raised, its budget before, and the change."""
    node = ad_set(loop)
    before = node.daily_budget or 0
    return node, before, carried_out(loop, node, before * (100 + percent) // 100)


def reasons(report: Report) -> list[str]:
    return [str(row["reason"]) for row in table(report, "changes").rows]


@pytest.fixture
def read(loop: Loop) -> Loop:
    """An account whose objects are known."""
    loop.sync_meta()
    return loop


def test_a_raise_is_taken_back_by_a_change_that_says_so(read: Loop) -> None:
    node, before, change = raised(read)
    digest = read.digest()
    plan = undo(read, change[:8], dry_run=True)
    assert (fact(plan, "planned"), read.digest()) == (1, digest)
    assert plan.notes == ("What was spent stays spent, and Meta's learning phase may begin again.",)

    report = undo(read, change[:8])

    assert (fact(report, "queued"), reasons(report), report.exit_code) == (1, ["as it was"], 0)
    read.execute()
    assert node.daily_budget == before
    row = next(row for row in read.rows("pending_ad_changes") if row["compensates"] is not None)
    assert (str(row["compensates"]), row["state"], row["target_budget"]) == (change, "completed", before)
    digest = read.digest(LEDGER)
    again = undo(read, change)
    assert (again.summary, again.exit_code, read.digest(LEDGER)) == ("No changes.", 0, digest)


def test_what_a_person_changed_since_is_not_taken_back(read: Loop) -> None:
    node, _, change = raised(read)
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    report = undo(read, change)
    assert (report.exit_code, fact(report, "queued")) == (3, 0)
    assert reasons(report) == ["Meta holds 77.77 USD: it was changed since"]
    assert node.daily_budget == 7777


def test_what_a_person_set_while_meta_put_us_off_is_not_ours_to_take_back(read: Loop) -> None:
    node = ad_set(read)
    target = (node.daily_budget or 0) * 11 // 10
    read.queue(node, target)
    read.sandbox.meta.faults.arm("graph_error", method="POST", code=613, subcode=1487632, message="4 times an hour")
    read.execute()
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": target})
    read.advance(hours=1)
    read.execute()
    row = read.rows("pending_ad_changes")[0]
    assert (row["state"], row["attempts"]) == ("completed", 1)
    report = undo(read, str(row["change_id"]))
    assert (report.exit_code, fact(report, "queued")) == (3, 0)
    assert reasons(report) == ["is completed and was not carried out by us: nothing to take back"]


def test_an_undo_is_taken_back_by_one_of_its_own(read: Loop) -> None:
    node, before, change = raised(read)
    after = node.daily_budget
    undo(read, change)
    read.execute()
    assert node.daily_budget == before
    first = str(read.value("select change_id from pending_ad_changes where compensates is not null"))
    undo(read, first)
    read.execute()
    assert (node.daily_budget, len(read.posts())) == (after, 3)
    assert undo(read, change).summary == "No changes.", "it was taken back once, by the first undo"


def test_a_person_who_is_quicker_than_the_undo_makes_it_a_conflict(read: Loop) -> None:
    node, _, change = raised(read)
    undo(read, change)
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    assert read.execute().exit_code == 3
    assert node.daily_budget == 7777


def test_a_pause_is_taken_back(read: Loop) -> None:
    ad = next(one for one in read.sandbox.world.tree.ads if one.status == "ACTIVE")
    change = carried_out(read, ad, "PAUSED")
    assert ad.status == "PAUSED"
    undo(read, change)
    read.execute()
    assert ad.status == "ACTIVE"


def test_after_three_changes_in_an_hour_one_place_is_kept_for_taking_one_back(read: Loop) -> None:
    node = ad_set(read)
    before = node.daily_budget or 0
    ids = [carried_out(read, node, before + 100 * step) for step in (1, 2, 3)]
    read.queue(node, before + 400)
    read.execute()
    waiting = [row for row in read.rows("pending_ad_changes") if row["state"] == "pending"]
    (held,) = waiting
    until = read.sandbox.world.now + timedelta(hours=1)
    assert held["state_reason"] == f"rate per ad set: 3, limit 3, passes at {until:%Y-%m-%d %H:%M:%S} UTC"
    newest = next(row for row in read.rows("pending_ad_changes") if row["target_budget"] == before + 300)
    assert str(newest["change_id"]) in ids

    report = undo(read, str(newest["change_id"]))
    read.execute()

    assert (fact(report, "queued"), node.daily_budget) == (1, before + 200)
    replaced = [row["state_reason"] for row in read.rows("pending_ad_changes") if row["state"] == "cancelled"]
    assert replaced == ["an undo goes first"]
    assert len(read.posts()) == 4


def test_what_velocity_does_not_let_back_whole_is_said(read: Loop) -> None:
    node, before, change = raised(read, -20)
    report = undo(read, change)
    back = node.daily_budget or 0
    most = back * 120 // 100
    assert most < before
    assert reasons(report) == [f"only to {most / 100:.2f} USD: velocity"]
    read.execute()
    assert node.daily_budget == most


def test_a_whole_run_is_taken_back_and_what_was_never_sent_is_named(read: Loop) -> None:
    nodes = read.owners()[:2]
    before = [node.daily_budget for node in nodes]
    for node in nodes:
        read.queue(node, (node.daily_budget or 0) + 100)
    run = read.value("select gen_random_uuid()")
    read.run_sql("alter table pending_ad_changes disable trigger what_was_decided_stays")
    read.run_sql("update pending_ad_changes set run_id = :run", run=run)
    read.run_sql("alter table pending_ad_changes enable trigger what_was_decided_stays")
    read.execute(limit=1)

    report = undo(read, of_run=run)

    assert (fact(report, "queued"), fact(report, "held_back"), report.exit_code) == (1, 1, 3)
    assert "is pending and was not carried out by us: nothing to take back" in reasons(report)
    read.execute()
    undo(read, of_run=run)
    read.execute()
    assert [node.daily_budget for node in nodes] == before
    with pytest.raises(UsageError, match="queued and sent nothing"):
        undo(read, of_run=UUID(int=1))


def test_an_undo_that_a_worker_overtakes_is_not_said_to_be_queued(read: Loop) -> None:
    node, _, change = raised(read)
    read.queue(node, (node.daily_budget or 0) + 100)
    with ThreadPoolExecutor(1) as pool:
        with transaction(read.engine) as worker:
            act_as(worker, "execute")
            claim = "update pending_ad_changes set state = 'claimed', claimed_by = 'w', claimed_at = adctl_now()"
            worker.execute(text(f"{claim} where state = 'pending'"))
            late = pool.submit(undo, read, change)
            wait_until_blocked(read.engine)
        report = late.result(60)
    assert (fact(report, "planned"), fact(report, "queued"), report.exit_code) == (1, 0, 3)
    assert report.notes[-1] == "1 were not queued: a change of the same field is in flight; ask again."
    assert read.value("select count(*) from pending_ad_changes where compensates is not null") == 0


def test_an_undo_waits_for_approval_where_every_change_does(read: Loop) -> None:
    _, _, change = raised(read)
    read.configure(LIMITS, f'{LIMITS}\napproval = "manual"')
    undo(read, change)
    assert "proposed" in {row["state"] for row in read.rows("pending_ad_changes")}
    line = read.command_line()
    assert line("undo").code == 2
    assert line("changes", "approve", "--all", "--yes", "--by", "ann").code == 0
    assert line("undo", change[:8], "--json").document["summary"] == "No changes."


def test_what_was_decided_before_an_undo_does_not_replace_it_and_what_is_decided_after_it_does(synced: Loop) -> None:
    _, _, change = raised(synced)
    synced.decide()
    # What this ad set is to be by the decision, whatever that is, is older than the undo.
    synced.run_sql("update decisions set target_budget = current_budget + 100, confidence = 1")
    synced.advance(hours=1)
    assert fact(undo(synced, change), "queued") == 1
    state = "select state from pending_ad_changes where compensates is not null"

    synced.enqueue()
    assert synced.value(state) == "pending"

    synced.advance(minutes=1)
    synced.decide(redo=True)
    synced.enqueue()
    assert synced.value(state) == "cancelled"
