"""execute: what was decided reaches Meta once, as the stored integer, and nobody else's value is overwritten."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adctl.adapters.store import changes
from adctl.domain.changes import Change
from adctl.errors import BusyError, ConfigurationError, DeniedError, UnavailableError
from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from tests.builders import ACCOUNT, LEDGER, SMALL, Loop, fact, table

SETTLE = 120
YEN = {**SMALL, "currency": "JPY"}
WITH_LIFETIME = {**SMALL, "lifetime_ad_set": True}


def ad_sets(loop: Loop) -> list[AdSet]:
    """Those that own a daily budget."""
    return [one for one in loop.sandbox.world.tree.ad_sets if one.daily_budget is not None]


def ad_of(loop: Loop) -> Ad:
    return next(one for one in loop.sandbox.world.tree.ads if one.status == "ACTIVE")


def raised(node: AdSet | Campaign, percent: int = 10) -> int:
    assert node.daily_budget is not None
    return node.daily_budget * (100 + percent) // 100


def queue_raise(loop: Loop, percent: int = 10, jitter_ms: int = 0) -> AdSet:
    """Queues a raise of the first ad set."""
    node = ad_sets(loop)[0]
    loop.queue(node, raised(node, percent), jitter_ms=jitter_ms)
    return node


def states(loop: Loop) -> list[str]:
    return sorted(row["state"] for row in loop.rows("pending_ad_changes"))


def the_change(loop: Loop) -> dict[str, Any]:
    (row,) = loop.rows("pending_ad_changes")
    return row


def history(loop: Loop) -> list[str]:
    return [row["to_state"] for row in sorted(loop.rows("ad_change_history"), key=lambda row: row["seq"])]


# --- the straight way ------------------------------------------------------------------------------------------------


def test_a_budget_is_read_written_once_as_stored_and_read_back(loop: Loop) -> None:
    node = ad_sets(loop)[0]
    before, target = node.daily_budget, raised(node)
    loop.queue(node, target)

    report = loop.execute()

    methods = [(one.method, one.path.rpartition("/")[2]) for one in loop.sandbox.meta_log]
    assert methods == [("GET", node.id), ("POST", node.id), ("GET", node.id)]
    (post,) = loop.posts()
    assert {**post.params, **post.body} == {"daily_budget": str(target)}
    assert node.daily_budget == target
    row = the_change(loop)
    assert (row["state"], row["observed_budget"], row["target_budget"], row["attempts"]) == (
        "completed",
        target,
        target,
        1,
    )
    assert history(loop) == ["pending", "claimed", "executing", "completed"]
    assert before is not None
    assert (fact(report, "sent"), fact(report, "confirmed"), fact(report, "budget_moved")) == (1, 1, target - before)
    assert report.exit_code == 0


def test_the_attempt_says_what_was_sent_and_what_it_proved(loop: Loop) -> None:
    node = queue_raise(loop)
    loop.execute()
    (attempt,) = loop.rows("change_attempts")
    assert (attempt["entity_id"], attempt["target_budget"], attempt["outcome"]) == (
        node.id,
        node.daily_budget,
        "accepted",
    )
    assert attempt["finished_at"] == attempt["authorised_at"] == loop.sandbox.world.now


def test_what_was_confirmed_is_what_the_next_decision_starts_from(loop: Loop) -> None:
    loop.sync_meta()
    node, ad = queue_raise(loop), ad_of(loop)
    loop.queue(ad, "PAUSED")
    loop.execute()
    assert {row["ad_set_id"]: row["daily_budget"] for row in loop.rows("ad_sets")}[node.id] == node.daily_budget
    assert {row["ad_id"]: row["status"] for row in loop.rows("ads")}[ad.id] == "PAUSED"


def test_executing_twice_changes_nothing(loop: Loop) -> None:
    queue_raise(loop)
    loop.execute()
    before, sent = loop.digest(LEDGER), len(loop.sandbox.meta_log)
    report = loop.execute()
    assert report.summary == "No changes."
    assert loop.digest(LEDGER) == before
    assert len(loop.sandbox.meta_log) == sent


def test_a_dry_run_reads_and_writes_nothing_here_and_there(loop: Loop) -> None:
    node = queue_raise(loop)
    before = loop.digest()
    report = loop.execute(dry_run=True)
    assert [(row["entity"], row["reason"]) for row in table(report, "due").rows] == [
        (f"ad_set {node.id}", "as expected")
    ]
    assert report.summary == "1 change would be judged and sent."
    assert loop.posts() == []
    assert loop.digest() == before


def test_the_budget_of_a_campaign_goes_to_the_campaign(loop: Loop) -> None:
    node = next(one for one in loop.sandbox.world.tree.campaigns if one.daily_budget)
    target = raised(node)
    loop.queue(node, target)
    loop.execute()
    assert [one.path.rpartition("/")[2] for one in loop.posts()] == [node.id]
    assert node.daily_budget == target


def test_an_ad_is_paused_and_seen_paused(loop: Loop) -> None:
    ad = ad_of(loop)
    loop.queue(ad, "PAUSED")
    loop.execute()
    assert [one.body for one in loop.posts()] == [{"status": "PAUSED"}]
    assert (the_change(loop)["state"], the_change(loop)["observed_status"], ad.status) == (
        "completed",
        "PAUSED",
        "PAUSED",
    )


@pytest.mark.parametrize("loop", [YEN], indirect=True)
def test_yen_are_sent_as_plain_yen(loop: Loop) -> None:
    loop.configure('cap_increase_per_24h = "300.00"', "cap_increase_per_24h = 1000000")
    node = ad_sets(loop)[0]
    before = node.daily_budget
    target = raised(node)
    loop.queue(node, target)
    loop.execute()
    (post,) = loop.posts()
    assert before is not None
    assert post.body == {"daily_budget": str(target)}
    assert before < target < before * 2
    assert the_change(loop)["state"] == "completed"


def test_a_limit_leaves_the_rest_for_the_next_run(loop: Loop) -> None:
    queue_raise(loop)
    loop.queue(ad_of(loop), "PAUSED")
    first = loop.execute(limit=1)
    assert (fact(first, "sent"), fact(first, "waiting")) == (1, 1)
    assert states(loop) == ["completed", "pending"]
    loop.execute()
    assert states(loop) == ["completed", "completed"]


def test_a_change_of_tomorrow_is_not_touched_today(loop: Loop) -> None:
    queue_raise(loop)
    loop.run_sql("update pending_ad_changes set earliest_execute_at = adctl_now() + interval '1 hour'")
    assert loop.execute().summary == "No changes."
    loop.advance(hours=1)
    assert fact(loop.execute(), "confirmed") == 1


def test_what_could_not_be_sent_in_time_expires(loop: Loop) -> None:
    queue_raise(loop)
    loop.advance(hours=24)
    report = loop.execute()
    assert fact(report, "expired") == 1
    assert (states(loop), loop.posts()) == (["expired"], [])


# --- what stands at Meta --------------------------------------------------------------------------------------------


def test_what_is_at_its_target_already_is_completed_without_a_write(loop: Loop) -> None:
    node = queue_raise(loop)
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": raised(node)})
    report = loop.execute()
    assert (states(loop), loop.posts(), report.exit_code) == (["completed"], [], 0)
    assert the_change(loop)["observed_budget"] == the_change(loop)["target_budget"]


def test_a_strangers_value_is_a_conflict_and_stays(loop: Loop) -> None:
    node = queue_raise(loop)
    loop.queue(ad_of(loop), "PAUSED")
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    report = loop.execute()
    assert report.exit_code == 3
    assert states(loop) == ["completed", "conflict"]
    assert [one.body for one in loop.posts()] == [{"status": "PAUSED"}]
    assert node.daily_budget == 7777
    assert any("Meta holds 77.77 USD" in str(row["reason"]) for row in table(report, "changes").rows)


def test_an_edit_during_the_pause_before_the_write_is_not_overwritten(loop: Loop) -> None:
    node = queue_raise(loop, jitter_ms=5_000)
    edit = {"id": node.id, "daily_budget": 7777}
    fault = loop.sandbox.meta.faults.arm("person_edits", method="GET", path=f"{node.id}$", edit=edit)
    paused: list[float] = []
    report = loop.execute(sleep=paused.append)
    assert (fault.hits, paused) == (1, [5.0])
    assert (states(loop), loop.posts(), report.exit_code) == (["conflict"], [], 3)
    assert node.daily_budget == 7777


def test_a_budget_that_moves_to_the_campaign_between_the_reading_and_the_write_is_refused_by_meta(loop: Loop) -> None:
    node = queue_raise(loop)
    before = node.daily_budget
    edit = {"id": node.campaign.id, "daily_budget": 33_000}
    fault = loop.sandbox.meta.faults.arm("person_edits", method="GET", path=f"{node.id}$", edit=edit)
    report = loop.execute()
    assert (fault.hits, states(loop), report.exit_code) == (1, ["failed"], 3)
    assert "100/1885621" in the_change(loop)["state_reason"]
    assert (len(loop.posts()), node.daily_budget, node.campaign.daily_budget) == (1, before, 33_000)


def test_a_pause_longer_than_a_reading_stays_fresh_does_not_block_the_change(loop: Loop) -> None:
    queue_raise(loop, jitter_ms=90_000)
    report = loop.execute(sleep=lambda seconds: loop.advance(seconds=seconds), limit=3)
    assert (fact(report, "confirmed"), states(loop)) == (1, ["completed"])


def test_a_reading_that_takes_longer_than_it_stays_fresh_is_tried_again_later_and_not_for_ever(loop: Loop) -> None:
    first, _ = pair(loop)
    loop.queue(first, "PAUSED")
    # given ads that take a minute and a second to be listed
    waiting = loop.sandbox.meta.faults.arm("latency", method="GET", path="/ads$", seconds=2)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(loop.execute, limit=3)
        wait_for(lambda: waiting.hits == 1)
        loop.set_clock(loop.sandbox.world.now + timedelta(seconds=61))
        running.result(60)
    row = the_change(loop)
    assert (row["state"], loop.posts()) == ("pending", [])
    assert row["state_reason"].startswith("freshness: ")
    assert row["earliest_execute_at"] - loop.sandbox.world.now == timedelta(seconds=61, minutes=5)


@pytest.mark.parametrize("status", ["ARCHIVED", "DELETED"])
def test_what_is_gone_at_meta_is_blocked(loop: Loop, status: str) -> None:
    node = queue_raise(loop)
    loop.sandbox.meta.edit_by_person({"id": node.id, "status": status})
    report = loop.execute()
    assert (states(loop), loop.posts(), report.exit_code) == (["blocked"], [], 3)


def test_an_object_meta_does_not_know_is_blocked(loop: Loop) -> None:
    loop.queue(replace(ad_sets(loop)[0], id="99"), raised(ad_sets(loop)[0]))
    assert loop.execute().exit_code == 3
    assert (states(loop), loop.posts()) == (["blocked"], [])


@pytest.mark.parametrize("loop", [WITH_LIFETIME], indirect=True)
def test_a_lifetime_budget_is_never_written(loop: Loop) -> None:
    node = next(one for one in loop.sandbox.world.tree.ad_sets if one.lifetime_budget)
    lifetime = node.lifetime_budget
    loop.queue(replace(node, daily_budget=10_000), 11_000)
    loop.execute()
    assert (states(loop), loop.posts()) == (["blocked"], [])
    assert (node.daily_budget, node.lifetime_budget) == (None, lifetime)


# --- what a write's answer proves ------------------------------------------------------------------------------------


def test_a_refusal_is_a_failure(loop: Loop) -> None:
    node = queue_raise(loop)
    before = node.daily_budget
    loop.sandbox.meta.faults.arm("graph_error", method="POST", code=100, subcode=1885272, message="too low")
    report = loop.execute()
    assert (states(loop), report.exit_code) == (["failed"], 3)
    assert "100/1885272 too low" in the_change(loop)["state_reason"]
    assert node.daily_budget == before
    assert loop.execute().summary == "No changes."


LOST = ("hang", "html", "close", "status", "garbage", "redirect", "throttled", "success_false")


@pytest.mark.parametrize("kind", LOST)
def test_a_write_that_was_applied_but_not_answered_is_unknown_until_it_is_seen(loop: Loop, kind: str) -> None:
    if kind == "hang":
        loop.configure("write_deadline_seconds = 10", "write_deadline_seconds = 1")
    node = queue_raise(loop)
    fault = loop.sandbox.meta.faults.arm(kind, method="POST", apply=True, seconds=2)

    report = loop.execute()
    assert (fault.hits, states(loop), report.exit_code) == (1, ["unknown"], 3)
    assert node.daily_budget == the_change(loop)["target_budget"]

    loop.advance(seconds=SETTLE - 1)
    loop.execute()
    assert states(loop) == ["unknown"]

    loop.advance(seconds=1)
    report = loop.execute()
    assert (states(loop), report.exit_code) == (["completed"], 0)
    assert the_change(loop)["observed_budget"] == the_change(loop)["target_budget"]
    assert len(loop.posts()) == 1


@pytest.mark.parametrize("kind", ["close", "no_effect"])
def test_a_write_that_was_not_applied_is_sent_again_as_the_same_integer_once_that_is_sure(
    loop: Loop, kind: str
) -> None:
    node = queue_raise(loop)
    fault = loop.sandbox.meta.faults.arm(kind, method="POST")
    loop.execute()
    assert (fault.hits, states(loop)) == (1, ["unknown"])
    loop.execute()
    assert len(loop.posts()) == 1

    loop.advance(seconds=SETTLE)
    loop.execute()

    assert states(loop) == ["completed"]
    assert [one.body for one in loop.posts()] == [{"daily_budget": str(node.daily_budget)}] * 2


def test_a_third_value_after_a_lost_write_is_a_conflict(loop: Loop) -> None:
    node = queue_raise(loop)
    loop.sandbox.meta.faults.arm("close", method="POST", apply=True)
    loop.execute()
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
    loop.advance(seconds=SETTLE)
    report = loop.execute()
    assert (states(loop), report.exit_code, node.daily_budget) == (["conflict"], 3, 7777)
    assert len(loop.posts()) == 1


def test_a_read_back_that_fails_leaves_the_outcome_unknown(loop: Loop) -> None:
    node = queue_raise(loop)
    loop.sandbox.meta.faults.arm("status", method="GET", path=f"{node.id}$", skip=1, times=None)
    loop.execute()
    assert states(loop) == ["unknown"]
    loop.sandbox.meta.faults.clear()
    loop.advance(seconds=SETTLE)
    loop.execute()
    assert (states(loop), len(loop.posts())) == (["completed"], 1)


def test_the_hourly_limit_of_an_ad_set_blocks_that_ad_set_for_an_hour_and_no_other(loop: Loop) -> None:
    first, second = ad_sets(loop)[:2]
    loop.sandbox.meta.faults.arm(
        "graph_error", method="POST", path=f"{first.id}$", code=613, subcode=1487632, message="4 times an hour"
    )
    for node in (first, second):
        loop.queue(node, raised(node))
    assert fact(loop.execute(), "confirmed") == 1
    rows = {row["entity_id"]: row for row in loop.rows("pending_ad_changes")}
    assert (rows[first.id]["state"], rows[second.id]["state"]) == ("pending", "completed")
    assert (rows[first.id]["earliest_execute_at"] - loop.sandbox.world.now).total_seconds() == 3600
    assert loop.execute().summary == "No changes."
    loop.advance(seconds=3600)
    loop.execute()
    assert states(loop) == ["completed", "completed"]


def test_a_throttle_stops_every_run_of_the_account_until_its_time_and_uses_up_no_try(loop: Loop) -> None:
    loop.configure('cap_increase_per_24h = "300.00"', 'cap_increase_per_24h = "300.00"\nmax_attempts = 1')
    for node in ad_sets(loop)[:2]:
        loop.queue(node, raised(node))
    loop.sandbox.meta.faults.arm("graph_error", method="POST", code=80004, message="too many calls")
    with pytest.raises(BusyError, match="Meta limits this account: 80004"):
        loop.execute()
    asked = len(loop.sandbox.meta_log)
    loop.advance(seconds=298)
    with pytest.raises(BusyError, match="throttled of account 'main' rests until"):
        loop.execute()
    assert len(loop.sandbox.meta_log) == asked, "Meta is not even asked"
    loop.advance(seconds=2)
    loop.execute()
    assert states(loop) == ["completed", "completed"]


def test_a_usage_header_that_asks_for_rest_ends_the_run_after_the_change_in_hand(loop: Loop) -> None:
    for node in ad_sets(loop)[:2]:
        loop.queue(node, raised(node))
    fault = loop.sandbox.meta.faults.arm("usage", times=None)
    report = loop.execute()
    assert (fault.hits, fact(report, "confirmed"), fact(report, "waiting")) == (3, 1, 1)
    assert report.notes == ("Meta asked for a rest: what is left waits for a later run.",)
    loop.advance(minutes=20)
    with pytest.raises(BusyError, match="rests until"):
        loop.execute()
    loop.sandbox.meta.faults.clear()
    loop.advance(minutes=6)
    assert fact(loop.execute(), "confirmed") == 1


def test_limits_on_reading_figures_stop_no_change(loop: Loop) -> None:
    queue_raise(loop)
    loop.run_sql(
        """
        insert into meta_waits (account, use_case, not_before, noted_at)
        values ('main', 'ads_insights', adctl_now() + interval '1 hour', adctl_now())
        """
    )
    assert fact(loop.execute(), "confirmed") == 1


@pytest.mark.parametrize("code", [190, 10, 200])
def test_without_rights_nothing_more_is_sent_and_no_try_is_used_up(loop: Loop, code: int) -> None:
    loop.configure('cap_increase_per_24h = "300.00"', 'cap_increase_per_24h = "300.00"\nmax_attempts = 1')
    for node in ad_sets(loop)[:2]:
        loop.queue(node, raised(node))
    loop.sandbox.meta.faults.arm("graph_error", method="POST", code=code, message="no rights")
    with pytest.raises(DeniedError) as denied:
        loop.execute()
    assert denied.value.exit_code == 77
    assert (states(loop), len(loop.posts())) == (["pending", "pending"], 1)
    loop.advance(minutes=5)
    loop.execute()
    assert states(loop) == ["completed", "completed"]


def test_a_block_for_policy_reasons_halts_the_account_until_a_person_resumes(loop: Loop) -> None:
    queue_raise(loop)
    loop.sandbox.meta.faults.arm("graph_error", method="POST", code=368, message="temporarily blocked")
    with pytest.raises(DeniedError, match="sending is halted"):
        loop.execute()
    loop.advance(hours=1)
    with pytest.raises(BusyError, match="halted"):
        loop.execute()
    assert (states(loop), len(loop.posts())) == (["pending"], 1)
    assert "Meta blocks writes: 368 temporarily blocked" in loop.value(
        "select reason from controls where account = 'main'"
    )


def test_a_write_that_is_never_applied_becomes_a_conflict_after_its_last_try(loop: Loop) -> None:
    node = queue_raise(loop)
    before = node.daily_budget
    fault = loop.sandbox.meta.faults.arm("no_effect", method="POST", times=None)
    for _ in range(4):
        loop.execute()
        loop.advance(seconds=SETTLE)
    assert (states(loop), fault.hits, node.daily_budget) == (["conflict"], 3, before)
    assert the_change(loop)["state_reason"] == "was not applied, and no try is left after 3"


def test_without_an_answer_to_the_read_nothing_is_sent_and_the_change_waits(loop: Loop) -> None:
    queue_raise(loop)
    loop.sandbox.meta.faults.arm("status", method="GET", times=None)
    with pytest.raises(UnavailableError):
        loop.execute()
    assert (states(loop), loop.posts()) == (["pending"], [])
    loop.sandbox.meta.faults.clear()
    loop.execute()
    assert states(loop) == ["completed"]


# --- guards at the moment of sending ---------------------------------------------------------------------------------


def test_an_object_that_meta_refuses_to_show_does_not_keep_others_from_being_sent(loop: Loop) -> None:
    first, second = ad_sets(loop)[:2]
    loop.queue(first, raised(first))
    loop.advance(seconds=1)
    loop.queue(second, raised(second))
    loop.sandbox.meta.faults.arm("graph_error", method="GET", path=f"{first.id}$", code=100, times=None)
    with pytest.raises(ConfigurationError, match="error 100"):
        loop.execute()
    assert fact(loop.execute(), "confirmed") == 1
    assert {row["entity_id"]: row["state"] for row in loop.rows("pending_ad_changes")} == {
        first.id: "pending",
        second.id: "completed",
    }


def test_nothing_is_sent_while_sending_is_halted(loop: Loop) -> None:
    queue_raise(loop)
    loop.run_sql("update controls set halted = true, reason = 'test' where account = 'main'")
    with pytest.raises(BusyError) as halted:
        loop.execute()
    assert halted.value.exit_code == 75
    assert (states(loop), loop.posts()) == (["pending"], [])


def test_nothing_is_sent_while_nobody_has_set_a_cap(loop: Loop) -> None:
    loop.configure('cap_increase_per_24h = "300.00"', "# no cap")
    queue_raise(loop)
    loop.execute()
    assert (states(loop), loop.posts()) == (["pending"], [])
    assert the_change(loop)["state_reason"].startswith("cap: not set")


@pytest.mark.parametrize(("percent", "state"), [(20, "completed"), (21, "blocked")])
def test_velocity_is_judged_on_the_first_change_too(loop: Loop, percent: int, state: str) -> None:
    queue_raise(loop, percent)
    loop.execute()
    assert states(loop) == [state]
    assert len(loop.posts()) == (state == "completed")


def test_raises_beyond_the_cap_wait_until_a_day_has_passed(loop: Loop) -> None:
    first, second = ad_sets(loop)[:2]
    most = raised(first) - (first.daily_budget or 0)
    loop.configure('cap_increase_per_24h = "300.00"', f'cap_increase_per_24h = "{most / 100:.2f}"')
    loop.queue(first, raised(first))
    loop.execute()
    loop.queue(second, raised(second))
    loop.execute()
    assert states(loop) == ["completed", "pending"]
    assert len(loop.posts()) == 1


def test_in_the_accounts_quiet_hours_what_was_queued_before_waits(loop: Loop) -> None:
    # given a world whose account has 6:00 on its clock
    local = loop.sandbox.world.now.astimezone(ZoneInfo(loop.settings.account().timezone))
    loop.configure("[accounts.main.limits]", f'[accounts.main.limits]\nquiet_hours = "22:00-{local:%H}:30"')
    queue_raise(loop)
    loop.execute()
    row = the_change(loop)
    assert (row["state"], loop.posts()) == ("pending", [])
    assert row["state_reason"].startswith(f"quiet hours: {local:%H:%M}, limit 22:00-{local:%H}:30, passes at 2026-")
    assert row["earliest_execute_at"] - loop.sandbox.world.now == timedelta(minutes=30)
    loop.advance(minutes=30)
    assert fact(loop.execute(), "confirmed") == 1


# --- several at once, and signals ------------------------------------------------------------------------------------


def test_of_eight_sessions_at_once_each_change_is_claimed_by_one(loop: Loop) -> None:
    node = ad_sets(loop)[0]
    for number in range(24):
        loop.queue(replace(node, id=str(100 + number)), raised(node))

    def claim_all(worker: int) -> list[Change]:
        found: list[Change] = []
        with loop.engine.connect() as session:
            while True:
                with session.begin():
                    change = changes.claim(session, ACCOUNT, f"worker {worker}")
                if change is None:
                    return found
                found.append(change)

    with ThreadPoolExecutor(8) as pool:
        claimed = [change.change_id for found in pool.map(claim_all, range(8)) for change in found]

    assert len(claimed) == 24
    assert Counter(claimed).most_common(1)[0][1] == 1
    assert states(loop) == ["claimed"] * 24


def test_a_change_whose_worker_died_before_sending_is_carried_out_by_the_next_run(loop: Loop) -> None:
    queue_raise(loop)
    with loop.engine.connect() as session, session.begin():
        assert changes.claim(session, ACCOUNT, "a worker that dies") is not None
    assert states(loop) == ["claimed"]
    loop.execute()
    assert (states(loop), len(loop.posts())) == (["completed"], 1)


def test_what_a_run_found_out_in_two_moves_needs_no_look(loop: Loop) -> None:
    # Its limits, which an authorisation asks for.
    loop.execute()
    node = queue_raise(loop)
    with loop.engine.connect() as session:
        with session.begin():
            change = changes.claim(session, ACCOUNT, "a worker that dies")
            assert change is not None
        with session.begin():
            at = loop.sandbox.world.now
            sent = changes.authorise(session, change, "a worker that dies", read_at=at, observed=change.expected)
            assert sent.verdict == "send"
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": change.target})
    loop.advance(seconds=SETTLE)
    report = loop.execute()
    assert [row["state"] for row in table(report, "changes").rows] == ["unknown", "completed"]
    assert (fact(report, "confirmed"), fact(report, "in_trouble"), report.exit_code) == (1, 0, 0)


def test_a_change_whose_owner_lives_is_left_alone(loop: Loop) -> None:
    queue_raise(loop)
    with loop.engine.connect() as session:
        with session.begin():
            assert changes.claim(session, ACCOUNT, "a worker that lives") is not None
        assert loop.execute().summary == "No changes."
        assert (states(loop), loop.posts()) == (["claimed"], [])


def test_sigterm_finishes_the_change_in_hand_and_takes_no_new_one(loop: Loop) -> None:
    for node in ad_sets(loop)[:2]:
        loop.queue(node, raised(node))
    loop.queue(ad_of(loop), "PAUSED")
    loop.sandbox.meta.faults.arm("latency", method="POST", times=None, seconds=0.6)
    running = loop.command_line().start("execute", "--json")
    deadline = time.monotonic() + 30
    while not loop.posts() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, b"")
    assert b'"confirmed": 1' in out or b'"confirmed":1' in out
    assert states(loop) == ["completed", "pending", "pending"]
    assert len(loop.posts()) == 1
    assert loop.value("select exit_code from job_runs") == 0


def in_doubt(loop: Loop, count: int = 3) -> None:
    """Changes whose sendings were lost on their way back, now settled."""
    for node in loop.owners()[:count]:
        loop.queue(node, (node.daily_budget or 0) + 100)
    loop.sandbox.meta.faults.arm("close", method="POST", apply=True, times=count)
    loop.execute()
    assert states(loop) == ["unknown"] * count
    loop.advance(seconds=SETTLE)


def test_a_run_told_to_stop_finds_out_about_the_change_in_hand_and_leaves_the_rest_to_the_next(loop: Loop) -> None:
    in_doubt(loop)
    told = iter([False, True, True])
    report = loop.execute(stop=lambda: next(told))
    assert (states(loop), report.exit_code) == (["completed", "unknown", "unknown"], 0)
    assert report.notes == ("Stopped before every change in flight was looked at: the next run goes on.",)
    told = iter([False, True])
    assert loop.reconcile(stop=lambda: next(told)).notes == report.notes
    assert states(loop) == ["completed", "completed", "unknown"]
    assert loop.execute().notes == ()
    assert (states(loop), len(loop.posts())) == (["completed"] * 3, 3)


def test_sigterm_ends_reconcile_after_the_change_in_hand(loop: Loop) -> None:
    in_doubt(loop)
    asked = len(loop.sandbox.meta_log)
    loop.sandbox.meta.faults.arm("latency", method="GET", times=None, seconds=0.6)
    running = loop.command_line().start("reconcile")
    deadline = time.monotonic() + 60
    while len(loop.sandbox.meta_log) == asked and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert b"the next run goes on" in out
    assert states(loop) == ["completed", "unknown", "unknown"]
    assert loop.value("select exit_code from job_runs") == 0


# --- what others do between enqueue and execute ----------------------------------------------------------------------


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert happened()


def pair(loop: Loop) -> tuple[Ad, Ad]:
    """The only two active ads of an ad set."""
    ads = loop.sandbox.world.tree.ads
    chosen = next(one.ad_set for one in ads if one.status == "ACTIVE" and sum(o.ad_set is one.ad_set for o in ads) > 1)
    first, second, *others = [one for one in ads if one.ad_set is chosen]
    for one in (first, second):
        loop.sandbox.meta.edit_by_person({"id": one.id, "status": "ACTIVE"})
    for one in others:
        loop.sandbox.meta.edit_by_person({"id": one.id, "status": "PAUSED"})
    return first, second


def test_an_ad_that_became_the_last_active_one_of_its_ad_set_since_it_was_queued_is_not_paused(loop: Loop) -> None:
    first, second = pair(loop)
    loop.queue(first, "PAUSED")
    loop.sandbox.meta.edit_by_person({"id": second.id, "status": "PAUSED"})
    report = loop.execute()
    assert (states(loop), loop.posts(), report.exit_code, first.status) == (["blocked"], [], 3, "ACTIVE")
    assert the_change(loop)["state_reason"] == (
        f"last active ad: none would be left in ad set {first.ad_set.id}, limit one active ad"
    )


def test_an_ad_beside_one_that_meta_has_ended_is_the_last(loop: Loop) -> None:
    first, second = pair(loop)
    loop.queue(first, "PAUSED")
    loop.sandbox.meta.edit_by_person({"id": second.id, "review": "DISAPPROVED"})
    loop.execute()
    assert (states(loop), first.status) == (["blocked"], "ACTIVE")


def test_of_the_last_two_ads_two_workers_pause_one(loop: Loop) -> None:
    first, second = pair(loop)
    for one in (first, second):
        loop.queue(one, "PAUSED")
    # Both read, whoever is sent first, that the other is active.
    fault = loop.sandbox.meta.faults.arm("no_effect", method="POST", times=None)
    loop.execute()
    assert fault.hits == 1
    assert states(loop) == ["blocked", "unknown"]


def test_the_last_ad_is_paused_where_that_is_allowed(loop: Loop) -> None:
    loop.configure("[accounts.main.limits]", "[accounts.main.limits]\nkill_last_ad = true")
    first, second = pair(loop)
    for one in (first, second):
        loop.queue(one, "PAUSED")
    loop.execute()
    assert (first.status, second.status) == ("PAUSED", "PAUSED")


def test_ads_that_cannot_be_listed_leave_the_change_waiting(loop: Loop) -> None:
    first, _ = pair(loop)
    loop.queue(first, "PAUSED")
    loop.sandbox.meta.faults.arm("status", method="GET", path="/ads$", times=None)
    with pytest.raises(UnavailableError):
        loop.execute()
    assert (states(loop), loop.posts()) == (["pending"], [])


def test_a_value_that_a_person_put_back_after_a_lost_write_is_not_overwritten(loop: Loop) -> None:
    node = queue_raise(loop)
    before = node.daily_budget
    loop.sandbox.meta.faults.arm("close", method="POST", apply=True)
    loop.execute()
    loop.advance(seconds=60)
    loop.sandbox.meta.edit_by_person({"id": node.id, "daily_budget": before})
    loop.advance(seconds=SETTLE)
    report = loop.execute()
    assert (states(loop), len(loop.posts()), node.daily_budget, report.exit_code) == (["conflict"], 1, before, 3)
    assert the_change(loop)["state_reason"].endswith("as before, and was edited since the sending")
