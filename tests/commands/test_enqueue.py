"""enqueue: what passes the guards is queued once, as an absolute integer; everything else says what holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from adctl.adapters.db import transaction
from adctl.adapters.store import decisions
from adctl.domain import money
from adctl.domain.report import Cell, Report
from adctl.errors import UsageError
from adctl.sandbox.ad_objects import AdSet
from tests.builders import ACCOUNT, LEDGER, START, Loop, fact, table

CAP = 'cap_increase_per_24h = "300.00"'


@pytest.fixture
def decided(synced: Loop) -> Loop:
    """An account whose day was decided just now."""
    synced.decide()
    return synced


def changes(loop: Loop) -> dict[str, dict[str, Any]]:
    return {str(row["decision_id"]): row for row in loop.rows("pending_ad_changes")}


def planned(report: Report) -> dict[str, Mapping[str, Cell]]:
    return {str(row["decision_id"]): row for key in ("budgets", "statuses") for row in table(report, key).rows}


def held(report: Report) -> dict[str, Cell]:
    """Which guard holds which decision."""
    return {str(row["decision_id"]): row["guard"] for row in table(report, "held_back").rows}


def decision_rows(loop: Loop) -> dict[str, dict[str, Any]]:
    return {str(row["decision_id"]): row for row in loop.rows("decisions")}


def test_a_dry_runs_plan_is_what_is_queued_then(decided: Loop) -> None:
    before = decided.digest()
    plan = decided.enqueue(dry_run=True)
    assert decided.digest() == before
    report = decided.enqueue()
    found = changes(decided)
    assert fact(report, "queued") == len(found) == len(planned(plan)) > 5
    assert {key: row["target_budget"] or row["target_status"] for key, row in found.items()} == {
        key: row["after"] for key, row in planned(plan).items()
    }
    assert plan.summary == f"{len(found)} changes would be queued."
    assert decided.posts() == []


def test_targets_are_absolute_integers_within_the_limits(decided: Loop) -> None:
    decided.enqueue()
    budgets = [row for row in changes(decided).values() if row["field"] == "daily_budget"]
    now = {one.id: one.daily_budget for one in decided.owners()}
    assert budgets
    for row in budgets:
        assert row["expected_budget"] == now[row["entity_id"]]
        assert 80 * row["expected_budget"] <= 100 * row["target_budget"] <= 120 * row["expected_budget"]
        assert row["target_budget"] != row["expected_budget"]
        assert row["wanted_budget"] == decision_rows(decided)[str(row["decision_id"])]["target_budget"]
    assert any(row["clipped_by"] for row in budgets)


def test_fuzz_and_jitter_are_stored_and_never_drawn_again(decided: Loop) -> None:
    decided.configure("jitter_ms = [0, 0]", "jitter_ms = [3000, 18000]")
    plans = [planned(decided.enqueue(dry_run=True)) for _ in range(2)]
    decided.enqueue()
    drawn = {key: (row["fuzz_ppm"], row["jitter_ms"]) for key, row in changes(decided).items()}
    budgets = {key for key, row in changes(decided).items() if row["field"] == "daily_budget"}
    for plan in plans:
        assert {key: (plan[key]["fuzz_ppm"], plan[key]["jitter_ms"]) for key in budgets} == {
            key: drawn[key] for key in budgets
        }
    assert all(3_000 <= jitter <= 18_000 for _, jitter in drawn.values())
    assert all(abs(fuzz) <= 30_000 for fuzz, _ in drawn.values())
    assert len({drawn[key] for key in budgets}) == len(budgets)
    assert decided.enqueue().summary == "No changes."
    assert {key: (row["fuzz_ppm"], row["jitter_ms"]) for key, row in changes(decided).items()} == drawn


def test_enqueueing_twice_changes_nothing(decided: Loop) -> None:
    decided.enqueue()
    # What waits is told the newest answer: once four are paused, it is known when the fifth may be.
    before = decided.digest(LEDGER | {"guard_answers"})
    report = decided.enqueue()
    assert (report.summary, fact(report, "queued")) == ("No changes.", 0)
    assert decided.digest(LEDGER | {"guard_answers"}) == before
    answers = decided.rows("guard_answers")
    decided.enqueue()
    assert decided.rows("guard_answers") == answers


def test_a_decision_is_queued_once_whatever_became_of_it(decided: Loop) -> None:
    decided.enqueue()
    decided.execute()
    done = set(changes(decided))
    decided.enqueue()
    assert set(changes(decided)) == done
    assert fact(decided.execute(), "sent") == 0


def test_a_newer_decision_cancels_older_changes_that_nobody_claimed(decided: Loop) -> None:
    decided.enqueue()
    yesterday = set(changes(decided))
    decided.advance(hours=23)
    decided.advance(hours=1)
    decided.sync()
    decided.decide()

    report = decided.enqueue()

    rows = changes(decided)
    assert {rows[key]["state"] for key in yesterday} == {"cancelled"}
    assert {rows[key]["state_reason"] for key in yesterday} == {"a newer decision replaces it"}
    assert {row["decision_day"] for key, row in rows.items() if key not in yesterday} == {START + timedelta(days=1)}
    assert fact(report, "replaced") == len(yesterday)
    assert "older ones cancelled" in report.summary


def test_a_newer_decision_that_keeps_a_value_cancels_the_older_change_too(decided: Loop) -> None:
    decided.enqueue()
    change = next(row for row in changes(decided).values() if row["field"] == "status")
    decided.advance(days=1)
    decided.sync()
    for deal in decided.rows("attributions"):
        if deal["ad_id"] == change["entity_id"]:
            decided.run_sql(
                "update deals set pipeline = 'default', stage = 'closedwon', amount = 900000 where deal_id = :deal",
                deal=deal["deal_id"],
            )
    decided.decide()
    decided.enqueue()
    assert changes(decided)[str(change["decision_id"])]["state"] == "cancelled"
    open_ones = [row for row in changes(decided).values() if row["state"] == "pending"]
    assert change["entity_id"] not in {row["entity_id"] for row in open_ones}


def test_an_older_days_decisions_cancel_nothing_newer(decided: Loop) -> None:
    decided.advance(days=1)
    decided.sync()
    decided.decide()
    decided.enqueue()
    newer = {key for key, row in changes(decided).items() if row["state"] == "pending"}
    decided.enqueue(as_of=START)
    assert {key for key, row in changes(decided).items() if row["state"] == "pending"} >= newer


def test_what_a_guard_of_money_holds_back_is_shown_as_money_and_is_minor_units_by_name(decided: Loop) -> None:
    decided.configure(CAP, 'cap_increase_per_24h = "0.01"')
    rows = [row for row in table(decided.enqueue(dry_run=True), "held_back").rows if row["guard"] == "cap"]
    assert rows
    for row in rows:
        assert (row["limit"], row["guard_limit"]) == ("0.01 USD", 1)
        assert isinstance(row["guard_value"], int)
        assert row["value"] == money.show(row["guard_value"], "USD")
        assert str(row["reason"]).startswith(f"a raise of {row['value']} alone exceeds")


def test_without_a_cap_nothing_is_queued(decided: Loop) -> None:
    decided.configure(CAP, "")
    report = decided.enqueue()
    assert (report.summary, changes(decided)) == ("No changes.", {})
    assert set(held(report).values()) == {"cap"}
    first = table(report, "held_back").rows[0]
    reason = first["reason"]
    # Minor units are for programs: a person reads money, in one way everywhere.
    before, target = first["before"], first["target"]
    assert isinstance(before, int)
    assert isinstance(target, int)
    assert first["wanted"] == f"{money.show(before, 'USD')} → {money.show(target, 'USD')}"
    assert reason == "nobody has set how much may be raised in 24 hours"


def test_no_more_is_raised_than_the_cap(decided: Loop) -> None:
    decided.configure(CAP, 'cap_increase_per_24h = "30.00"')
    report = decided.enqueue()
    raises = [
        row["target_budget"] - row["expected_budget"]
        for row in changes(decided).values()
        if row["field"] == "daily_budget" and row["target_budget"] > row["expected_budget"]
    ]
    assert sum(raises) <= 30_00
    assert "cap" in held(report).values()


def test_stale_figures_hold_raises_and_kills_back_but_not_cuts(synced: Loop) -> None:
    synced.advance(hours=40)
    synced.decide()
    report = synced.enqueue()
    rows = decision_rows(synced)
    for key, row in rows.items():
        is_raise = row["field"] == "daily_budget" and row["target_budget"] > row["current_budget"]
        if is_raise or row["target_status"] != row["current_status"]:
            assert held(report)[key] in ("freshness", "confidence", "learning phase")
    assert "freshness" in held(report).values()
    sent = changes(synced).values()
    assert sent
    assert all(row["target_budget"] < row["expected_budget"] for row in sent)


def test_without_a_credited_deal_nothing_is_raised_or_killed(synced: Loop) -> None:
    synced.decide()
    synced.run_sql("update attributions set ad_id = null, method = 'none'")
    report = synced.enqueue()
    assert "no deal is credited to any ad" in {row["reason"] for row in table(report, "held_back").rows}
    assert all(
        row["field"] == "daily_budget" and row["target_budget"] < row["expected_budget"]
        for row in changes(synced).values()
    )


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update deals set created_at = adctl_now() - interval '1 day' where hashtext(deal_id) % 2 = 0", "new deals"),
        ("update deals set amount = amount * 1000 where closed_at >= adctl_now()::date - 1", "money won"),
    ],
)
def test_nothing_is_raised_or_killed_on_a_crm_that_moved_as_no_day_does(
    synced: Loop, statement: str, says: str
) -> None:
    synced.decide()
    assert "freshness" not in held(synced.enqueue(dry_run=True)).values()
    synced.run_sql(statement)
    doubts = [row["reason"] for row in table(synced.enqueue(), "held_back").rows if row["guard"] == "freshness"]
    assert doubts
    assert all(str(doubt).startswith(says) for doubt in doubts)
    assert all(row["target_budget"] < row["expected_budget"] for row in changes(synced).values())
    synced.configure(CAP, f"{CAP}\nimplausible_crm_factor = 0")
    assert "freshness" not in held(synced.enqueue(dry_run=True)).values()


def test_ads_that_only_a_file_has_named_are_held_until_meta_was_asked(synced: Loop) -> None:
    synced.run_sql("update ads set status = 'UNKNOWN', effective_status = 'UNKNOWN'")
    synced.decide()
    report = synced.enqueue()
    assert "stale" in held(report).values()
    assert {row["field"] for row in changes(synced).values()} == {"daily_budget"}


def test_a_run_pauses_at_most_a_fifth_of_the_active_ads(decided: Loop) -> None:
    report = decided.enqueue()
    active = sum(ad.status == "ACTIVE" for ad in decided.sandbox.world.tree.ads)
    kills = [row for row in changes(decided).values() if row["field"] == "status"]
    assert 0 < len(kills) <= active // 5
    assert "kills per run" in held(report).values()


@pytest.mark.parametrize("approval", ["auto", "manual"])
def test_a_second_run_before_the_first_was_sent_does_not_pause_the_last_ad_either(decided: Loop, approval: str) -> None:
    decided.configure(CAP, f'{CAP}\nkills_per_run_percent = 100\napproval = "{approval}"')
    ad_set = decided.value("select ad_set_id from ads where status = 'ACTIVE' group by 1 having count(*) > 1 limit 1")
    decided.run_sql(
        """
        update decisions set confidence = 1, target_budget = current_budget,
          target_status = case when ad_set_id = :ad_set and current_status = 'ACTIVE' then 'PAUSED'
            else current_status end
        """,
        ad_set=ad_set,
    )
    first, second = decided.enqueue(), decided.enqueue()
    assert fact(first, "queued") == len(changes(decided)) > 0
    assert [list(held(report).values()) for report in (first, second)] == [["last active ad"]] * 2


@pytest.fixture
def stopping(decided: Loop) -> Loop:
    """An account of which the day is to raise one ad set by what stops with the ads of another."""
    decided.configure(CAP, f"{CAP}\nkills_per_run_percent = 100\nfuzz_percent = 0")
    up, off = [one for one in decided.owners() if isinstance(one, AdSet)][:2]
    decided.run_sql(
        """
        update decisions d set confidence = 1,
          target_budget = case when entity_id = :up then current_budget * 11 / 10 else current_budget end,
          target_status = case when ad_set_id = :off and current_status = 'ACTIVE' then 'PAUSED'
            else current_status end,
          evidence = case when entity_id = :off then evidence || '{"ads": 2, "ads_to_be_paused": 2}'
            else evidence || '{"ads": 2, "ads_to_be_paused": 0}' end
        """,
        up=up.id,
        off=off.id,
    )
    return decided


@pytest.mark.parametrize(("settings", "raised"), [("", 0), ("kill_last_ad = true", 1)])
def test_a_budget_that_goes_on_with_its_last_ad_pays_for_no_raise(stopping: Loop, settings: str, raised: int) -> None:
    stopping.configure(CAP, f"{CAP}\n{settings}")
    report = stopping.enqueue()
    assert len(table(report, "budgets").rows) == raised
    assert len(table(report, "statuses").rows) > 0
    assert set(held(report).values()) == (set() if raised else {"last active ad", "funding"})


def test_a_raise_waits_for_approval_with_the_pauses_that_pay_for_it(stopping: Loop) -> None:
    stopping.configure(CAP, f"{CAP}\nkill_last_ad = true\napproval_above_percent = 50")
    report = stopping.enqueue()
    assert fact(report, "planned") == fact(report, "proposed")
    assert {row["state"] for row in changes(stopping).values()} == {"proposed"}
    assert any("wait with" in note for note in report.notes)


def test_a_raise_waits_for_approval_with_the_cut_that_pays_for_it(decided: Loop) -> None:
    # given a cut by a fifth, which needs approval, and raises of two budgets by a tenth, which need none
    decided.configure(CAP, f"{CAP}\napproval_above_percent = 15\nfuzz_percent = 0")
    down, up, later = sorted(
        (one for one in decided.owners() if isinstance(one, AdSet)), key=lambda one: -(one.daily_budget or 0)
    )[:3]
    wanted = """
        update decisions set confidence = :confidence, target_status = current_status, target_budget = case
          when entity_id = :down then current_budget * 8 / 10
          when entity_id in (:up, :later) then current_budget * 11 / 10 else current_budget end
        where :entity in ('', entity_id)
        """
    ids = {"down": down.id, "up": up.id, "later": later.id}
    decided.run_sql(wanted, **ids, confidence=1, entity="")
    decided.run_sql(wanted, **ids, confidence=0, entity=later.id)

    def proposed() -> dict[str, str]:
        return {row["entity_id"]: row["state"] for row in changes(decided).values()}

    decided.enqueue()
    assert proposed() == {down.id: "proposed", up.id: "proposed"}
    # when the other raise passes in a later run
    decided.run_sql(wanted, **ids, confidence=1, entity=later.id)
    decided.enqueue()
    assert proposed()[later.id] == "proposed"


@pytest.mark.parametrize(("setting", "is_held"), [("true", True), ("false", False)])
def test_an_ad_set_in_its_learning_phase_is_left_alone_unless_configured(
    decided: Loop, setting: str, is_held: bool
) -> None:
    decided.configure(CAP, f"{CAP}\nlearning_phase = {setting}")
    decided.run_sql("update ad_sets set learning_stage = 'LEARNING'")
    report = decided.enqueue()
    assert ("learning phase" in held(report).values()) is is_held
    assert (changes(decided) == {}) is is_held


def test_the_loss_of_a_learning_ad_set_is_judged_by_what_bayes_believes_of_it(synced: Loop) -> None:
    synced.configure('policy = "blended"', 'policy = "bayes"')
    synced.configure(CAP, f"{CAP}\nlearning_loss = '1000.00'")
    synced.decide()
    synced.run_sql("update ad_sets set learning_stage = 'LEARNING'")
    synced.run_sql("update decisions set confidence = 1, target_status = current_status")
    learning = {key for key, guard in held(synced.enqueue()).items() if guard == "learning phase"}
    rows = {key: row for key, row in decision_rows(synced).items() if row["current_budget"] != row["target_budget"]}
    ads = [row for row in decision_rows(synced).values() if row["field"] == "status"]
    spared = set()
    for key, row in rows.items():
        fed = [ad["evidence"] for ad in ads if row["entity_id"] in (ad["ad_set_id"], ad["campaign_id"])]
        lost = sum(one["spend"] * (1 - one["roas"]) for one in fed if one["current_budget"])
        spared |= {key} if lost < 100_000 else set()
    assert learning == spared
    assert 0 < len(spared) < len(rows)


@pytest.mark.parametrize(
    "since",
    [
        "daily_budget = daily_budget + 100",
        # Its campaign owns the budget now.
        "daily_budget = null",
        "daily_budget = null, lifetime_budget = 100000",
        "status = 'ARCHIVED', effective_status = 'ARCHIVED'",
    ],
)
def test_what_has_changed_since_the_decision_is_decided_again(decided: Loop, since: str) -> None:
    decided.run_sql(f"update ad_sets set {since}")
    report = decided.enqueue()
    assert "stale" in held(report).values()
    assert not {row["entity_kind"] for row in changes(decided).values()} & {"ad_set"}


def test_an_entity_with_a_change_in_flight_waits(decided: Loop) -> None:
    decided.enqueue()
    decided.sandbox.meta.faults.arm("close", method="POST", apply=True, times=None)
    decided.execute()
    unknown = {row["entity_id"] for row in changes(decided).values() if row["state"] == "unknown"}
    decided.advance(days=1)
    decided.sync()
    decided.decide()
    report = decided.enqueue()
    rows = decision_rows(decided)
    waiting = {rows[key]["entity_id"] for key, guard in held(report).items() if guard == "duplicate"}
    assert unknown
    assert waiting
    assert waiting <= unknown
    assert unknown == {row["entity_id"] for row in changes(decided).values() if row["state"] == "unknown"}


def test_the_report_tells_the_worst_case_of_a_day(decided: Loop) -> None:
    report = decided.enqueue(dry_run=True)
    now, moved = fact(report, "budget_now"), fact(report, "budget_moved")
    assert isinstance(now, int)
    assert isinstance(moved, int)
    assert now == sum(one.daily_budget or 0 for one in decided.owners())
    assert fact(report, "worst_case") == round((now + moved) * 1.25)


def test_an_undecided_day_queues_nothing(synced: Loop) -> None:
    report = synced.enqueue()
    assert (report.summary, changes(synced)) == ("No changes.", {})


def test_of_a_days_decisions_only_those_that_want_a_change_are_read(decided: Loop) -> None:
    rows = {row["decision_id"]: row for row in decided.rows("decisions")}
    wants = {
        key
        for key, row in rows.items()
        if (row["current_budget"], row["current_status"]) != (row["target_budget"], row["target_status"])
    }
    kept = next(iter(rows.keys() - wants))
    with transaction(decided.engine, read_only=True) as connection:
        found = decisions.changing(connection, ACCOUNT, START)
        besides = decisions.changing(connection, ACCOUNT, START, besides=[kept])
    assert wants
    assert {one.decision_id for one in found} == wants
    assert {one.decision_id for one in besides} == wants | {kept}
    for one in found:
        stored = rows[one.decision_id]["evidence"]
        assert dict(one.evidence) == {key: stored[key] for key in ("spend", "pipeline", "roas") if key in stored}


def test_a_day_that_has_not_begun_is_refused(decided: Loop) -> None:
    with pytest.raises(UsageError, match="has not begun"):
        decided.enqueue(as_of=START + timedelta(days=1))
