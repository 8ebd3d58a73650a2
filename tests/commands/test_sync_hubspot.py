"""sync-hubspot: every deal with every stage move, again only what moved, and never a write to the CRM."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adctl.adapters.db import transaction
from adctl.adapters.store import runs
from adctl.commands import sync_hubspot
from adctl.errors import BusyError, ConfigurationError, UnavailableError
from tests.builders import ACCOUNT, LEDGER, Loop, fact, table
from tests.commands.hubspot_reading import deals_of, only_reads, sync, watermark


def test_every_deal_is_stored_beyond_the_first_hundred(synced: Loop) -> None:
    stored = {row["deal_id"]: row for row in synced.rows("deals")}
    world = deals_of(synced)
    assert len(world) > 500
    assert {deal_id: (row["pipeline"], row["stage"]) for deal_id, row in stored.items()} == {
        str(deal_id): (deal.properties["pipeline"], deal.properties["dealstage"]) for deal_id, deal in world.items()
    }
    won = synced.value(
        """
        select count(*) from deals d join crm_stages s
          on (s.account, s.pipeline, s.stage) = (d.account, d.pipeline, d.stage) and s.outcome = 'won'
        """
    )
    assert won == synced.sandbox.world.totals().won > 0


def test_the_stage_moves_of_every_deal_are_whole(synced: Loop) -> None:
    stored: dict[str, list[str]] = {}
    for row in sorted(synced.rows("stage_moves"), key=lambda row: row["at"]):
        stored.setdefault(row["deal_id"], []).append(row["stage"])
    assert stored == {
        str(deal_id): [version.value for version in deal.history["dealstage"]]
        for deal_id, deal in deals_of(synced).items()
    }


def test_the_contacts_of_deals_are_stored_without_personal_data(synced: Loop) -> None:
    names = {"account", "contact_id", "created_at", "first_url_ad_id", "click_id"}
    assert {key for row in synced.rows("contacts") for key in row} == names
    linked = {str(contact) for deal in deals_of(synced).values() for contact in deal.links.get("contacts", {})}
    assert {row["contact_id"] for row in synced.rows("contacts")} == linked


def test_a_second_run_reads_little_and_changes_nothing(synced: Loop) -> None:
    before = synced.digest(LEDGER)
    report = synced.sync_hubspot()
    assert fact(report, "written") == 0
    assert isinstance(deals := fact(report, "deals"), int)
    assert deals < 20
    assert report.summary.endswith("No changes.")
    assert synced.digest(LEDGER) == before


def test_a_full_run_reads_all_again_and_changes_nothing(synced: Loop) -> None:
    before = synced.digest(LEDGER)
    report = synced.sync_hubspot(full=True)
    assert fact(report, "deals") == len(deals_of(synced))
    assert fact(report, "written") == 0
    assert synced.digest(LEDGER) == before


def test_a_later_run_takes_in_what_moved_since(synced: Loop) -> None:
    synced.advance(days=1)
    report = synced.sync_hubspot()
    assert isinstance(read := fact(report, "deals"), int)
    assert 0 < read < len(deals_of(synced)) / 2
    assert {row["deal_id"]: row["stage"] for row in synced.rows("deals")} == {
        str(deal_id): deal.properties["dealstage"] for deal_id, deal in deals_of(synced).items()
    }
    assert only_reads(synced)


def test_deals_that_moved_while_a_clock_was_wrong_are_read_once_it_is_right(loop: Loop) -> None:
    # given a run under a clock that is three days ahead, which is then set right
    right = loop.sandbox.world.now
    loop.set_clock(right + timedelta(days=3))
    loop.sync_hubspot()
    loop.set_clock(right)
    with transaction(loop.engine, read_only=True) as connection:
        assert runs.watermark(connection, ACCOUNT, "hubspot.deals") is None
    # when deals move on both of the next days, with a run after each
    for _ in range(2):
        loop.advance(days=1)
        loop.sync_hubspot()
        assert {row["deal_id"]: row["stage"] for row in loop.rows("deals")} == {
            str(deal_id): deal.properties["dealstage"] for deal_id, deal in deals_of(loop).items()
        }
        assert watermark(loop) <= loop.sandbox.world.now


def test_a_dry_run_writes_nothing_here_and_there(synced: Loop) -> None:
    synced.advance(days=1)
    before = synced.digest()
    report = synced.sync_hubspot(dry_run=True)
    assert isinstance(read := fact(report, "deals"), int)
    assert read > 0
    assert report.summary.endswith("nothing written.")
    assert synced.digest() == before
    assert only_reads(synced)


def test_an_archived_deal_counts_no_more_and_a_merged_one_names_its_winner(loop: Loop) -> None:
    first, second, third = loop.sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    sync(loop)
    loop.sandbox.hubspot.edit_by_person({"archive": first})
    loop.sandbox.hubspot.edit_by_person({"merge": second, "into": third})
    loop.advance(hours=24)

    sync(loop)

    stored = {row["deal_id"]: row for row in loop.rows("deals")}
    assert (stored[first]["archived"], stored[first]["merged_into"]) == (True, None)
    assert (stored[second]["archived"], stored[second]["merged_into"]) == (True, third)
    assert (stored[third]["archived"], stored[third]["merged_into"]) == (False, None)
    before = loop.digest(LEDGER)
    assert fact(sync(loop), "written") == 0
    assert loop.digest(LEDGER) == before


def lists_of_archived_deals(loop: Loop) -> int:
    return sum(one.params.get("archived") == "true" for one in loop.sandbox.hubspot_log)


def test_the_bin_is_walked_once_a_day_and_a_deal_archived_in_between_is_found_by_then(loop: Loop) -> None:
    first, second, third = loop.sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    archived = "select archived from deals where deal_id = :deal"
    sync(loop)
    walked = lists_of_archived_deals(loop)
    loop.advance(hours=1)
    loop.sandbox.hubspot.edit_by_person({"archive": first})
    loop.sandbox.hubspot.edit_by_person({"merge": second, "into": third})
    loop.advance(minutes=30)
    sync(loop)
    assert lists_of_archived_deals(loop) == walked
    # A merge changes its winner, an archived deal changes nothing that a search could find.
    assert loop.value("select merged_into from deals where deal_id = :deal", deal=second) == third
    assert (loop.value(archived, deal=second), loop.value(archived, deal=first)) == (True, False)
    loop.advance(hours=21)
    sync(loop)
    assert lists_of_archived_deals(loop) == walked
    loop.advance(minutes=30)
    sync(loop)
    assert lists_of_archived_deals(loop) > walked
    assert loop.value(archived, deal=first) is True
    walked = lists_of_archived_deals(loop)
    loop.advance(hours=1)
    sync(loop)
    assert lists_of_archived_deals(loop) == walked
    sync(loop, full=True)
    assert lists_of_archived_deals(loop) > walked


def test_a_walk_through_the_bin_that_died_is_gone_on_with_and_counts_from_its_beginning(loop: Loop) -> None:
    begun = loop.sandbox.world.now
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    loop.sandbox.hubspot.faults.arm("status", content="archived.{1,4}true", times=None)
    with pytest.raises(UnavailableError):
        sync(loop)
    loop.sandbox.hubspot.faults.clear()
    loop.sandbox.hubspot.edit_by_person({"archive": deal})
    loop.advance(hours=2)
    sync(loop)
    assert loop.value("select archived from deals where deal_id = :deal", deal=deal) is True
    assert loop.value("select until from sync_watermarks where source = 'hubspot.archived'") == begun


def test_what_was_read_in_part_is_listed(loop: Loop) -> None:
    (added,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    loop.sandbox.hubspot.edit_by_person({"id": added, "properties": {"amount": "1e5"}})

    (table,) = [table for table in sync(loop).tables if table.key == "complaints"]

    (row,) = table.rows
    assert str(row["complaint"]).startswith(f"deal {added}: ")


def test_a_deal_moved_right_before_the_last_run_is_found_by_the_overlap(loop: Loop) -> None:
    (moved,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    sync(loop)
    loop.sandbox.hubspot.edit_by_person({"id": moved, "properties": {"dealstage": "closedwon", "amount": "912.50"}})
    loop.advance(minutes=10)
    sync(loop)
    assert loop.value("select stage from deals where deal_id = :deal", deal=moved) == "closedwon"
    assert loop.value("select amount from deals where deal_id = :deal", deal=moved) == 91_250


def test_errors_end_the_run_and_leave_the_watermark(loop: Loop) -> None:
    sync(loop)
    reached = watermark(loop)
    loop.advance(hours=2)
    fault = loop.sandbox.hubspot.faults.arm("status", path="batch/read", times=None)

    with pytest.raises(UnavailableError) as failed:
        sync(loop)

    assert failed.value.exit_code == 69
    assert fault.hits > 1
    assert watermark(loop) == reached
    loop.sandbox.hubspot.faults.clear()
    sync(loop)
    assert watermark(loop) == loop.sandbox.world.now - sync_hubspot.LAG


def test_a_used_up_daily_limit_is_busy_and_leaves_the_watermark(loop: Loop) -> None:
    sync(loop)
    reached = watermark(loop)
    loop.advance(hours=2)
    loop.sandbox.hubspot.faults.arm("rate_limited", policy="DAILY", retry_after=36000)
    outcome = loop.command_line()("sync-hubspot")
    assert outcome.code == BusyError.exit_code
    assert "daily limit" in outcome.err
    assert watermark(loop) == reached


def test_faults_on_the_way_that_pass_are_not_noticed(loop: Loop) -> None:
    for kind, skip in (("close", 1), ("html", 3), ("rate_limited", 5), ("garbage", 7)):
        loop.sandbox.hubspot.faults.arm(kind, skip=skip)
    sync(loop)
    assert len(loop.rows("deals")) == len(deals_of(loop))
    assert {one["hits"] for one in loop.sandbox.hubspot.faults.summaries()} == {1}
    assert only_reads(loop)


# --- a run that dies -------------------------------------------------------------------------------------------------


def test_the_run_after_a_dead_one_goes_on_behind_its_last_page(loop: Loop) -> None:
    loop.sandbox.hubspot.edit_by_person({"add_deals": 700})
    loop.sandbox.hubspot.faults.arm("status", path="objects/deals$", skip=14, times=None)
    with pytest.raises(UnavailableError):
        sync(loop)
    stored = len(loop.rows("deals"))
    loop.sandbox.hubspot.faults.clear()
    asked = len(loop.sandbox.hubspot_log)

    report = sync(loop)

    assert 0 < stored < len(deals_of(loop))
    assert fact(report, "resumed") is True
    lists = [one for one in loop.sandbox.hubspot_log[asked:] if one.path.endswith("objects/deals")]
    assert lists[0].params["after"] == str(sorted(deals_of(loop))[stored - 1])
    assert len(loop.rows("deals")) == len(deals_of(loop))


def test_what_changed_while_a_walk_lay_dead_is_read_by_the_run_that_ends_it(loop: Loop) -> None:
    loop.sandbox.hubspot.edit_by_person({"add_deals": 700})
    loop.sandbox.hubspot.faults.arm("status", path="objects/deals$", skip=14, times=None)
    with pytest.raises(UnavailableError):
        sync(loop)
    loop.sandbox.hubspot.faults.clear()
    passed = loop.value("select min(deal_id) from deals")
    loop.advance(hours=3)
    loop.sandbox.hubspot.edit_by_person({"id": passed, "properties": {"dealstage": "closedwon"}})

    sync(loop)

    assert loop.value("select stage from deals where deal_id = :deal", deal=passed) == "closedwon"
    assert watermark(loop) == loop.sandbox.world.now - sync_hubspot.LAG


def test_a_walk_whose_cursor_is_refused_begins_again(loop: Loop) -> None:
    loop.sandbox.hubspot.edit_by_person({"add_deals": 700})
    loop.sandbox.hubspot.faults.arm("status", path="objects/deals$", skip=14, times=None)
    with pytest.raises(UnavailableError):
        sync(loop)
    loop.sandbox.hubspot.faults.clear()
    loop.sandbox.hubspot.faults.arm("status", path="objects/deals$", content="after=", status=400)
    sync(loop)
    assert len(loop.rows("deals")) == len(deals_of(loop))


# --- the safety net --------------------------------------------------------------------------------------------------


def test_a_full_walk_names_what_the_index_gave_too_late(loop: Loop) -> None:
    first, second, untouched = loop.sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    sync(loop)
    loop.advance(hours=1)
    loop.sandbox.hubspot.edit_by_person({"id": first, "properties": {"dealstage": "closedwon", "amount": "100"}})
    loop.sandbox.hubspot.edit_by_person({"id": second, "properties": {"dealname": "adctl does not read this"}})
    loop.sandbox.hubspot.faults.arm("late_index", path="search", times=None, seconds=7200)
    for _ in range(3):
        loop.advance(minutes=30)
        sync(loop)
    assert loop.value("select stage from deals where deal_id = :deal", deal=first) != "closedwon"

    report = loop.sync_hubspot(full=True)

    missed = {row["deal_id"] for row in table(report, "missed").rows}
    assert first in missed
    assert not {second, untouched} & missed
    assert fact(report, "missed") == len(missed)
    assert report.exit_code == 0
    assert loop.value("select stage from deals where deal_id = :deal", deal=first) == "closedwon"
    assert {row["object_id"] for row in loop.rows("sync_misses")} == missed
    loop.advance(minutes=5)
    assert fact(loop.sync_hubspot(full=True), "missed") == 0


def test_a_deal_indexed_within_the_overlap_is_missed_by_no_run(loop: Loop) -> None:
    (late,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    sync(loop)
    loop.advance(hours=1)
    loop.sandbox.hubspot.edit_by_person({"id": late, "properties": {"dealstage": "closedwon"}})
    loop.sandbox.hubspot.faults.arm("late_index", path="search", times=1, seconds=1100)
    loop.advance(minutes=1)
    sync(loop)
    loop.advance(minutes=18)
    sync(loop)
    assert loop.value("select stage from deals where deal_id = :deal", deal=late) == "closedwon"


def test_a_stage_moved_twice_between_two_runs_leaves_both_moves(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    sync(loop)
    for stage in ("contractsent", "appointmentscheduled"):
        loop.advance(minutes=40)
        loop.sandbox.hubspot.edit_by_person({"id": deal, "properties": {"dealstage": stage}})
    sync(loop)
    moves = sorted((row["at"], row["stage"]) for row in loop.rows("stage_moves") if row["deal_id"] == deal)
    assert [stage for _, stage in moves] == ["appointmentscheduled", "contractsent", "appointmentscheduled"]


def test_a_full_walk_finds_what_was_deleted_for_good_and_it_counts_no_more(loop: Loop) -> None:
    first, second, last = loop.sandbox.hubspot.edit_by_person({"add_deals": 3})["ids"]
    sync(loop)
    for erased in (first, last):
        loop.sandbox.hubspot.edit_by_person({"erase": erased})
    loop.advance(hours=1)
    assert fact(sync(loop), "gone") == 0

    report = sync(loop, full=True)

    assert fact(report, "gone") == 2
    stored = {row["deal_id"]: row["archived"] for row in loop.rows("deals")}
    assert (stored[first], stored[second], stored[last]) == (True, False, True)
    assert {deal for deal, archived in stored.items() if not archived} == {str(one) for one in deals_of(loop)}
    again = sync(loop, full=True)
    assert (fact(again, "gone"), fact(again, "written")) == (0, 0)


def test_a_deal_that_hubspot_failed_to_read_ends_the_run_and_is_not_taken_for_gone(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    sync(loop)
    reached = watermark(loop)
    loop.advance(hours=1)
    loop.sandbox.hubspot.edit_by_person({"id": deal, "properties": {"dealstage": "closedwon"}})
    loop.sandbox.hubspot.faults.arm("partial", path="deals/batch/read")
    with pytest.raises(UnavailableError, match="in part only: INTERNAL_ERROR"):
        sync(loop)
    assert watermark(loop) == reached
    sync(loop)
    assert loop.value("select stage from deals where deal_id = :deal", deal=deal) == "closedwon"


def test_a_token_of_another_portal_takes_no_deal_away(loop: Loop) -> None:
    loop.sandbox.hubspot.edit_by_person({"add_deals": 60})
    sync(loop)
    stored = loop.digest()["deals"]
    for deal in list(deals_of(loop))[1:]:
        loop.sandbox.hubspot.edit_by_person({"erase": deal})
    with pytest.raises(ConfigurationError, match="do not exist in this portal"):
        sync(loop, full=True)
    assert loop.digest()["deals"] == stored
