"""Hands off: what a person edited is left alone for a while; what we sent ourselves is not mistaken for it."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from adctl.adapters.store import guard_context
from adctl.cli.wiring import plan_limits
from adctl.sandbox.ad_objects import AdSet
from tests.builders import LEDGER, START, Loop, table


@pytest.fixture
def read(loop: Loop) -> Loop:
    loop.sync_meta()
    loop.advance(hours=1)
    return loop


def ad_set(loop: Loop) -> AdSet:
    return next(one for one in loop.sandbox.world.tree.ad_sets if one.daily_budget)


def edits(loop: Loop) -> list[dict[str, Any]]:
    return loop.rows("person_edits")


def test_a_value_that_nobody_of_us_sent_is_a_persons_edit_with_its_time(read: Loop) -> None:
    node, ad = ad_set(read), next(one for one in read.sandbox.world.tree.ads if one.status == "ACTIVE")
    before, at = node.daily_budget, read.sandbox.world.now
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    read.sandbox.meta.edit_by_person({"id": ad.id, "status": "PAUSED"})
    read.advance(hours=1)
    read.sync_meta()
    found = {row["entity_id"]: row for row in edits(read)}
    assert (found[node.id]["old_value"], found[node.id]["new_value"]) == (str(before), "7777")
    assert (found[ad.id]["field"], found[ad.id]["new_value"]) == ("status", "PAUSED")
    assert found[node.id]["edited_at"] == at
    digest = read.digest(LEDGER)
    read.sync_meta()
    assert read.digest(LEDGER) == digest


def test_a_budget_that_a_person_moved_to_the_campaign_is_an_edit_of_both_and_one_made_lifetime_too(read: Loop) -> None:
    moved, other = [one for one in read.sandbox.world.tree.ad_sets if one.daily_budget][:2]
    campaign, before = moved.campaign, moved.daily_budget
    for one in read.sandbox.world.tree.ad_sets:
        if one.campaign is campaign and one is not other:
            one.daily_budget = None
    campaign.daily_budget = 33_000
    other.daily_budget, other.lifetime_budget = None, 500_000
    read.sync_meta()
    found = {row["entity_id"]: (row["old_value"], row["new_value"]) for row in edits(read)}
    assert found[campaign.id] == ("none", "33000")
    assert found[moved.id] == (str(before), "none")
    assert found[other.id][1] == "none"
    digest = read.digest(LEDGER)
    read.sync_meta()
    assert read.digest(LEDGER) == digest


def test_what_was_read_under_a_clock_that_was_ahead_gives_way_to_what_is_read_under_the_right_one(loop: Loop) -> None:
    right = loop.sandbox.world.now
    loop.set_clock(right + timedelta(days=3))
    loop.sync_meta()
    loop.set_clock(right)
    loop.advance(hours=1)
    node = ad_set(loop)
    node.daily_budget = 7777
    loop.sync_meta()
    assert {row["ad_set_id"]: row["daily_budget"] for row in loop.rows("ad_sets")}[node.id] == 7777


def test_the_first_budget_that_is_read_of_what_a_file_has_named_is_no_edit(loop: Loop) -> None:
    ad = next(one for one in loop.sandbox.world.tree.ads if one.status == "ACTIVE")
    row = f"{ad.id},{ad.ad_set.id},{ad.ad_set.campaign.id},10,1,5.00,2026-03-01"
    loop.ingest_ads(io.BytesIO(f"ad_id,adset_id,campaign_id,impressions,clicks,spend,date\n{row}\n".encode()))
    loop.advance(hours=1)
    loop.sync_meta()
    assert edits(loop) == []


def test_what_we_sent_is_no_persons_edit_whether_or_not_its_outcome_is_known(read: Loop) -> None:
    first, second = [one for one in read.sandbox.world.tree.ad_sets if one.daily_budget][:2]
    read.queue(first, (first.daily_budget or 0) + 100)
    read.execute()
    read.queue(second, (second.daily_budget or 0) + 100)
    read.sandbox.meta.faults.arm("close", method="POST", apply=True)
    read.execute()
    assert second.daily_budget == read.value(
        "select max(target_budget) from pending_ad_changes where state = 'unknown'"
    )
    read.sync_meta()
    assert edits(read) == []


def test_a_conflict_notes_the_edit_at_once(read: Loop) -> None:
    node = ad_set(read)
    read.queue(node, (node.daily_budget or 0) + 100)
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    read.execute()
    assert [row["new_value"] for row in edits(read)] == ["7777"]


def test_an_edited_object_is_left_alone_for_the_lease_and_no_longer(synced: Loop) -> None:
    owner = next(one for one in synced.owners() if isinstance(one, AdSet))
    synced.sandbox.meta.edit_by_person({"id": owner.id, "daily_budget": (owner.daily_budget or 0) * 11 // 10})
    at = synced.sandbox.world.now
    synced.advance(hours=1)
    synced.sync()
    synced.decide()
    held = {row["entity"]: row for row in table(synced.enqueue(), "held_back").rows}
    row = held[f"ad_set {owner.id}"]
    assert (row["guard"], row["until"]) == ("hands-off", at + timedelta(hours=72))
    synced.configure("[accounts.main.limits]", "[accounts.main.limits]\nhands_off_hours = 0")
    again = table(synced.enqueue(dry_run=True), "held_back").rows
    assert "hands-off" not in {row["guard"] for row in again}


def test_an_edit_that_was_put_back_is_noticed_by_metas_log(read: Loop) -> None:
    node = ad_set(read)
    before, at = node.daily_budget, read.sandbox.world.now
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    read.advance(hours=1)
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": before})
    read.advance(hours=1)
    read.sync_meta(dry_run=True)
    assert edits(read) == []
    read.sync_meta()
    found = sorted((row["edited_at"], row["old_value"], row["new_value"]) for row in edits(read))
    assert found == [(at, str(before), "7777"), (at + timedelta(hours=1), "7777", str(before))]
    digest = read.digest(LEDGER)
    read.sync_meta()
    assert read.digest(LEDGER) == digest


def test_the_log_tells_a_persons_edit_from_ours_once_our_sending_is_over(read: Loop) -> None:
    node = ad_set(read)
    read.queue(node, ours := (node.daily_budget or 0) + 100)
    read.execute()
    # given edits on the last moment at which the sending may be under way by either clock, and after it
    for seconds, value in ((120 + 60, 7777), (1, 8888), (60, ours)):
        read.advance(seconds=seconds)
        read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": value})
    read.advance(hours=1)
    read.sync_meta()
    assert sorted(row["new_value"] for row in edits(read)) == sorted(["8888", str(ours)])


def test_without_metas_log_the_run_goes_on_and_says_so(read: Loop) -> None:
    read.sandbox.meta.edit_by_person({"id": ad_set(read).id, "daily_budget": 7777})
    fault = read.sandbox.meta.faults.arm("graph_error", path="activities", code=200, message="no permission")
    report = read.sync_meta()
    assert fault.hits == 1
    assert [row["new_value"] for row in edits(read)] == ["7777"], "what stands at Meta is compared all the same"
    assert any("log of edits could not be read" in note for note in report.notes)
    assert not any("log of edits" in note for note in read.sync_meta().notes)


def test_what_a_person_replaced_counts_for_velocity_though_the_lease_is_over(read: Loop) -> None:
    # given a budget that a person has just cut to a half, and no lease
    read.configure("[accounts.main.limits]", "[accounts.main.limits]\nhands_off_hours = 0")
    node = ad_set(read)
    before = node.daily_budget or 0
    read.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": before // 2})
    read.advance(minutes=1)
    read.sync_meta()
    at = edits(read)[0]["edited_at"]
    read.queue(node, before // 2 * 11 // 10)
    read.execute()
    row = read.rows("pending_ad_changes")[0]
    assert (row["state"], read.posts()) == ("pending", [])
    assert row["state_reason"].startswith("velocity: ")
    assert row["earliest_execute_at"] == at + timedelta(hours=6)
    # then it goes once the old value has been gone for the window
    read.advance(hours=6)
    read.execute()
    assert read.rows("pending_ad_changes")[0]["state"] == "completed"


def test_a_plan_counts_what_a_person_replaced_too(synced: Loop) -> None:
    synced.configure("[accounts.main.limits]", "[accounts.main.limits]\nhands_off_hours = 0")
    owner = next(one for one in synced.owners() if isinstance(one, AdSet))
    before = owner.daily_budget or 0
    synced.sandbox.meta.edit_by_person({"id": owner.id, "daily_budget": before * 2})
    synced.advance(minutes=1)
    synced.sync()
    with synced.engine.connect() as connection:
        job = synced.job()
        context = guard_context.load(connection, job.profile, plan_limits(job), START, spare_learning=False)
    assert {value.value for value in context.values[owner.id]} == {before, before * 2}
