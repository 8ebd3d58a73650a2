"""changes and audit: people look at the queue, approve, cancel, settle conflicts, and check the history."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from adctl import render
from adctl.adapters.db import transaction
from adctl.adapters.store import audit as links
from adctl.adapters.store.changes import act_as
from adctl.cli.vendors import meta
from adctl.commands import audit, changes
from adctl.domain.changes import State
from adctl.domain.report import Report
from adctl.errors import BusyError, UsageError
from tests.adapters.store.test_staging import wait_until_blocked
from tests.builders import ACCOUNT, LEDGER, Loop, fact, table

BY = "ann"
LIMITS = "[accounts.main.limits]"


def queue_raise(loop: Loop, percent: int = 10) -> str:
    """Queues a raise of the first owner; returns the change's id."""
    node = loop.owners()[0]
    assert node.daily_budget is not None
    loop.queue(node, node.daily_budget * (100 + percent) // 100)
    return str(loop.value("select change_id from pending_ad_changes order by created_at desc limit 1"))


def state_of(loop: Loop, change: str) -> str:
    return str(loop.value("select state from pending_ad_changes where change_id = :id", id=change))


def in_conflict(loop: Loop) -> str:
    """A change that met a person's value."""
    change = queue_raise(loop)
    loop.sandbox.meta.edit_by_person({"id": loop.owners()[0].id, "daily_budget": 7777})
    loop.execute()
    assert state_of(loop, change) == "conflict"
    return change


def approve(loop: Loop, *ids: str, dry_run: bool = False) -> Report:
    return changes.approve(loop.engine, loop.job().profile, ids, by=BY, dry_run=dry_run)


def cancel(loop: Loop, *ids: str, dry_run: bool = False) -> Report:
    return changes.cancel(loop.engine, loop.job().profile, ids, by=BY, reason="a test ends it", dry_run=dry_run)


def resolve(loop: Loop, change: str, to: State, *, dry_run: bool = False) -> Report:
    job = loop.job()
    with meta(job) as platform:
        return changes.resolve(
            loop.engine, job.profile, platform, change, to, by=BY, reason="seen by hand", dry_run=dry_run
        )


@pytest.fixture
def proposed(synced: Loop) -> Loop:
    """A day's changes, each of which waits for approval."""
    synced.configure(LIMITS, f'{LIMITS}\napproval = "manual"')
    synced.decide()
    report = synced.enqueue()
    assert fact(report, "proposed") == fact(report, "queued") != 0
    return synced


def test_what_needs_approval_is_sent_only_once_a_person_approved_it(proposed: Loop) -> None:
    assert proposed.execute().summary == "No changes."
    assert {row["state"] for row in proposed.rows("pending_ad_changes")} == {"proposed"}
    budget = next(row for row in proposed.rows("pending_ad_changes") if row["field"] == "daily_budget")
    change = str(budget["change_id"])
    before = proposed.digest()
    assert fact(approve(proposed, change[:8], dry_run=True), "moved") == 1
    assert proposed.digest() == before

    assert fact(approve(proposed, change[:8]), "moved") == 1

    row = next(row for row in proposed.rows("pending_ad_changes") if str(row["change_id"]) == change)
    assert (row["state"], row["approved_by"], row["approved_at"]) == ("pending", BY, proposed.sandbox.world.now)
    before = proposed.digest(LEDGER)
    again = approve(proposed, change)
    assert (again.summary, again.exit_code, proposed.digest(LEDGER)) == ("No changes.", 0, before)
    assert fact(proposed.execute(), "confirmed") == 1
    assert len(proposed.posts()) == 1


def test_a_proposal_that_is_too_old_is_not_approved(proposed: Loop) -> None:
    change = str(proposed.rows("pending_ad_changes")[0]["change_id"])
    proposed.advance(hours=24)
    report = approve(proposed, change)
    assert (report.exit_code, state_of(proposed, change)) == (3, "proposed")
    proposed.execute()
    assert state_of(proposed, change) == "expired"


def test_only_what_moves_more_than_the_configured_share_waits_for_approval(synced: Loop) -> None:
    synced.configure(LIMITS, f"{LIMITS}\napproval_above_percent = 19")
    synced.decide()
    synced.enqueue()
    rows = synced.rows("pending_ad_changes")
    for row in rows:
        if row["field"] == "daily_budget":
            moved = 100 * abs(row["target_budget"] - row["expected_budget"])
            assert (row["state"] == "proposed") == (moved > 19 * row["expected_budget"])
        else:
            assert row["state"] == "proposed", "a pause is a move by all of it"
    assert {row["state"] for row in rows} == {"proposed", "pending"}


def test_a_cancelled_change_is_never_sent_and_says_who_and_why(loop: Loop) -> None:
    change = queue_raise(loop)
    before = loop.digest()
    assert fact(cancel(loop, change, dry_run=True), "moved") == 1
    assert loop.digest() == before
    assert fact(cancel(loop, change), "moved") == 1
    assert state_of(loop, change) == "cancelled"
    assert loop.execute().summary == "No changes."
    assert loop.posts() == []
    assert loop.value("select state_reason from pending_ad_changes") == "cancelled by ann: a test ends it"
    again = cancel(loop, change)
    assert (again.summary, again.exit_code) == ("No changes.", 0)


def test_what_may_be_on_the_wire_is_not_cancelled(loop: Loop) -> None:
    change = queue_raise(loop)
    loop.sandbox.meta.faults.arm("close", method="POST", apply=True)
    loop.execute()
    assert (cancel(loop, change).exit_code, state_of(loop, change)) == (3, "unknown")
    loop.advance(seconds=120)
    assert (cancel(loop, change).exit_code, state_of(loop, change)) == (0, "cancelled")
    assert cancel(loop, change).exit_code == 0
    with pytest.raises(UsageError, match="no change has the id"):
        cancel(loop, "00000000")
    with pytest.raises(UsageError, match="no change has the id"):
        cancel(loop, change[:3])


def test_a_conflict_is_completed_only_when_meta_holds_the_target_now(loop: Loop) -> None:
    loop.sync_meta()
    change = in_conflict(loop)
    node = loop.owners()[0]
    target = loop.value("select target_budget from pending_ad_changes")
    with pytest.raises(UsageError, match=r"Meta holds 77\.77 USD, not the target"):
        resolve(loop, change, State.COMPLETED)
    assert state_of(loop, change) == "conflict"
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": target})
    before = loop.digest()
    assert resolve(loop, change, State.COMPLETED, dry_run=True).summary == "The change would be completed."
    assert loop.digest() == before
    resolve(loop, change, State.COMPLETED)
    (row,) = loop.rows("pending_ad_changes")
    assert (row["state"], row["observed_budget"], row["state_reason"]) == (
        "completed",
        target,
        "resolved by ann: seen by hand",
    )
    assert resolve(loop, change, State.COMPLETED).summary == "No changes."
    assert loop.posts() == []


def test_a_conflict_that_somebody_ended_during_the_look_at_meta_is_not_said_to_be_resolved(loop: Loop) -> None:
    change = in_conflict(loop)
    with ThreadPoolExecutor(1) as pool:
        with transaction(loop.engine) as connection:
            act_as(connection, "operator")
            connection.execute(text("update pending_ad_changes set state = 'cancelled', state_reason = 'quicker'"))
            late = pool.submit(resolve, loop, change, State.CANCELLED)
            wait_until_blocked(loop.engine)
        with pytest.raises(UsageError, match="was moved meanwhile"):
            late.result(60)
    assert loop.value("select state_reason from pending_ad_changes") == "quicker"


def test_ending_all_changes_waits_for_a_worker_that_claims_one_of_them(loop: Loop) -> None:
    for node in loop.owners()[:3]:
        loop.queue(node, (node.daily_budget or 0) + 100)
    ids = loop.value("select array_agg(change_id::text order by created_at desc, change_id) from pending_ad_changes")
    with ThreadPoolExecutor(1) as pool:
        with transaction(loop.engine) as worker:
            # As claim_pending_ad_change does: first the change, then (by its trigger) the head of the audit.
            worker.execute(text("select from pending_ad_changes where change_id = :id for update"), {"id": ids[1]})
            ended = pool.submit(
                changes.cancel,
                loop.engine,
                loop.job().profile,
                changes.survey(loop.engine, loop.job().profile, State.PENDING),
                by=BY,
                reason="a test ends it",
            )
            wait_until_blocked(loop.engine)
            act_as(worker, "execute")
            worker.execute(
                text(
                    """
                    update pending_ad_changes set state = 'claimed', claimed_by = 'w', claimed_at = adctl_now()
                    where change_id = :id
                    """
                ),
                {"id": ids[1]},
            )
        report = ended.result(60)
    assert (fact(report, "moved"), report.exit_code) == (2, 3)
    assert [state_of(loop, one) for one in ids] == ["cancelled", "claimed", "cancelled"]


def test_all_are_counted_with_their_money_and_just_those_are_moved(loop: Loop) -> None:
    up, down, later, *_ = loop.owners()
    loop.queue(up, (up.daily_budget or 0) + 500)
    loop.queue(down, (down.daily_budget or 0) - 300)
    loop.queue(next(one for one in loop.sandbox.world.tree.ads if one.status == "ACTIVE"), "PAUSED")
    profile = loop.job().profile
    found = changes.survey(loop.engine, profile, State.PENDING)
    assert found.said("USD") == (
        "3 changes; 2.00 USD a day in all: 5.00 USD up, -3.00 USD down; ads paused or started: 1"
    )
    loop.queue(later, (later.daily_budget or 0) + 100)
    report = changes.cancel(loop.engine, profile, found, by=BY, reason="a test ends it")
    assert (fact(report, "moved"), fact(report, "difference"), report.notes) == (3, 200, ())
    assert loop.value("select entity_id from pending_ad_changes where state = 'pending'") == later.id


def test_what_is_more_than_is_moved_at_once_is_said_before_and_after(loop: Loop) -> None:
    for node in loop.owners()[:3]:
        loop.queue(node, (node.daily_budget or 0) + 100)
    profile = loop.job().profile
    found = changes.survey(loop.engine, profile, State.PENDING, most=2)
    assert found.said("USD").endswith("; left beyond them: 1")
    report = changes.cancel(loop.engine, profile, found, by=BY, reason="a test ends it")
    assert (fact(report, "moved"), report.notes) == (2, ("Left beyond these: 1. The same again takes them.",))


CANCEL = ("changes", "cancel", "--all", "--reason", "over")


def test_where_nobody_can_be_asked_all_changes_need_a_yes_beforehand(loop: Loop) -> None:
    line = loop.command_line()
    assert line(*CANCEL).code == 0, "there is nothing to ask about"
    queue_raise(loop)
    before = loop.digest()
    refused = line(*CANCEL)
    assert (refused.code, refused.out, loop.digest()) == (2, "", before)
    assert "changes cancel: 1 change; " in refused.err
    assert "--yes" in refused.err
    assert line(*CANCEL, "--dry-run").code == 0
    assert loop.digest() == before
    assert line(*CANCEL, "--yes").code == 0
    assert loop.value("select state from pending_ad_changes") == "cancelled"


@pytest.mark.parametrize(("answer", "code", "state"), [(b"y\n", 0, "cancelled"), (b"\n", 2, "pending")])
def test_at_a_terminal_a_person_is_asked_before_all_changes_are_moved(
    loop: Loop, answer: bytes, code: int, state: str
) -> None:
    queue_raise(loop)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "adctl", *CANCEL]
    variables = loop.command_line().variables()
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        asking = subprocess.Popen(
            words, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, cwd=loop.folder, env=variables
        )
    said = b""
    while b"Go on? [y/N]" not in said:
        said += os.read(ours, 1000)
    assert b"1 change; " in said
    assert loop.value("select count(*) from job_runs") == 0, "a run that only asks is no run"
    os.write(ours, answer)
    asking.communicate(timeout=60)
    os.close(ours)
    assert (asking.returncode, loop.value("select state from pending_ad_changes")) == (code, state)


def test_a_conflict_that_is_cancelled_leaves_meta_as_it_is_and_frees_the_field(loop: Loop) -> None:
    change = in_conflict(loop)
    resolve(loop, change, State.CANCELLED)
    assert (state_of(loop, change), loop.owners()[0].daily_budget) == ("cancelled", 7777)
    with pytest.raises(UsageError, match=r"is cancelled, not in conflict \(adctl changes show"):
        resolve(loop, change, State.COMPLETED)
    queue_raise(loop)
    # Until then the value that the person replaced may still be in force.
    loop.advance(hours=7)
    assert fact(loop.execute(), "confirmed") == 1


def test_a_change_is_listed_and_shown_with_every_attempt_and_move(loop: Loop) -> None:
    change = queue_raise(loop)
    profile = loop.job().profile
    assert [row["id"] for row in table(changes.listed(loop.engine, profile), "changes").rows] == [change[:8]]
    loop.execute()
    assert changes.listed(loop.engine, profile).summary == "No changes."
    assert len(table(changes.listed(loop.engine, profile, [State.COMPLETED]), "changes").rows) == 1
    shown = changes.shown(loop.engine, profile, change[:8])
    assert [row["outcome"] for row in table(shown, "attempts").rows] == ["accepted"]
    assert [row["to_state"] for row in table(shown, "moves").rows] == ["pending", "claimed", "executing", "completed"]
    assert "is completed" in shown.summary
    assert fact(shown, "observed") == fact(shown, "target")


def test_reconcile_alone_finds_out_and_sends_nothing(loop: Loop) -> None:
    change = queue_raise(loop)
    loop.sandbox.meta.faults.arm("close", method="POST", apply=True)
    loop.execute()
    before = loop.digest()
    preview = loop.reconcile(dry_run=True)
    assert (preview.summary, loop.digest()) == ("1 change in flight.", before)
    assert loop.reconcile().summary == "No changes."
    loop.advance(seconds=120)
    report = loop.reconcile()
    assert (state_of(loop, change), fact(report, "in_flight"), len(loop.posts())) == ("completed", 0, 1)
    assert loop.reconcile().summary == "No changes."


def test_an_unknown_change_that_meta_refuses_to_show_waits_for_a_person_and_stops_nothing_else(loop: Loop) -> None:
    change = queue_raise(loop)
    loop.sandbox.meta.faults.arm("close", method="POST")
    loop.execute()
    loop.advance(seconds=120)
    first, second = loop.owners()[:2]
    assert second.daily_budget is not None
    loop.queue(second, second.daily_budget * 11 // 10)
    loop.sandbox.meta.faults.arm("graph_error", method="GET", path=f"{first.id}$", code=100, times=None)
    report = loop.execute()
    assert (report.exit_code, fact(report, "confirmed"), fact(report, "in_trouble")) == (3, 1, 1)
    assert "could not be read" in str(table(report, "changes").rows[0]["reason"])
    assert (state_of(loop, change), loop.reconcile().exit_code) == ("unknown", 3)


def test_an_audit_that_does_not_hold_halts_the_account_and_exits_70(loop: Loop) -> None:
    queue_raise(loop)
    loop.execute()
    profile = loop.job().profile
    head = str(fact(audit.newest(loop.engine, profile), "audit_head"))
    good = audit.verify(loop.engine, profile, head=head)
    assert (good.exit_code, good.summary) == (0, "The audit holds, 4 links.")
    assert len(table(audit.listed(loop.engine, profile, most=3), "links").rows) == 3
    assert audit.verify(loop.engine, profile, head=f"4:{'0' * 64}", dry_run=True).exit_code == 70
    with pytest.raises(UsageError, match="no audit head"):
        audit.verify(loop.engine, profile, head="4")

    loop.run_sql("alter table ad_change_history disable trigger user")
    loop.run_sql("update ad_change_history set reason = 'x' where seq = 2")

    assert audit.verify(loop.engine, profile, dry_run=True).exit_code == 70
    broken = audit.verify(loop.engine, profile)
    assert (broken.exit_code, broken.summary) == (70, "The audit does not hold: link 2 was rewritten.")
    queue_raise(loop)
    with pytest.raises(BusyError, match="halted"):
        loop.execute()


def test_the_commands_say_the_same_on_the_command_line(loop: Loop) -> None:
    change = queue_raise(loop)
    line = loop.command_line()
    listed = line("changes", "list", "--json").document
    assert [row["id"] for row in listed["tables"]["changes"]] == [change[:8]]  # type: ignore[index]
    ended = line("changes", "cancel", change[:8], "--reason", "over")
    assert (ended.code, state_of(loop, change)) == (0, "cancelled")
    assert line("changes", "cancel", "--reason", "over").code == 2
    assert line("changes", "cancel", change[:8], "--reason", " ").code == 2
    assert line("changes", "approve", change[:8], "--by", " ").code == 2
    assert line("audit", "verify").code == 0
    assert line("reconcile", "--dry-run").code == 0


def test_a_budget_is_shown_as_money_wherever_its_history_is_and_is_minor_units_in_json(loop: Loop) -> None:
    change = queue_raise(loop)
    loop.execute()
    profile = loop.job().profile
    listed = audit.listed(loop.engine, profile, most=9)
    node = loop.owners()[0]
    assert {row["target"] for row in table(listed, "links").rows} == {node.daily_budget}
    text = io.StringIO()
    render.render(listed, stream=text)
    assert f"{(node.daily_budget or 0) / 100:,.2f} USD" in text.getvalue()
    with loop.engine.connect() as connection:
        told = links.events_of(connection, ACCOUNT, UUID(change), "USD")
    shown = f"{(node.daily_budget or 0) / 100:,.2f} USD"
    assert told[0].detail.startswith(f"to {shown}; from ")
    assert (told[0].values["target"], told[-1].values) == (node.daily_budget, {"observed": node.daily_budget})
    assert f"read {shown}" in told[-1].detail


def test_the_newest_links_of_one_change_stand_in_their_order(loop: Loop) -> None:
    queue_raise(loop)
    loop.execute()
    with loop.engine.connect() as connection:
        found = links.links(connection, ACCOUNT, most=2)
    assert [one.to_state for one in found] == ["executing", "completed"]
    assert found[1].at - found[0].at < timedelta(seconds=1)
