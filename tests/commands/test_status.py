"""What `status` says of runs, freshness, the queue and the money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from adctl.adapters.db import job_lock, transaction
from adctl.adapters.store import accounts, attempts, changes, entities, queue, runs
from adctl.commands import status
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Change, NewChange, State
from adctl.domain.entities import AdSet, Campaign, EntityKind, Field
from adctl.domain.ids import Account, AdSetId, CampaignId
from adctl.domain.report import Cell, Report

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MAIN = AccountProfile(
    account=Account("main"), meta_ad_account="act_1", hubspot_portal="1", currency="USD", timezone="UTC"
)
EXPECTED = status.Expectations(insights_age=timedelta(hours=36), crm_age=timedelta(hours=36), cap=10000)
LIMITS: Mapping[str, object] = {
    "rate_per_campaign": 15,
    "rate_per_ad_set": 3,
    "velocity_percent": 20,
    "velocity_window": timedelta(hours=6),
    "floor_budget": 1,
    "ceiling_budget": 10**9,
    "cap_increase": 10000,
    "freshness": timedelta(seconds=60),
    "settle": timedelta(seconds=120),
    "max_attempts": 3,
}


@pytest.fixture(autouse=True)
def account(engine: Engine) -> None:
    """The account, at noon by a simulated clock."""
    with transaction(engine) as connection:
        accounts.ensure(connection, MAIN)
    at(engine, NOON)


def at(engine: Engine, moment: datetime) -> None:
    with transaction(engine) as connection:
        accounts.simulate(connection, moment)


def read(engine: Engine, expected: status.Expectations = EXPECTED) -> Report:
    return status.run(engine, MAIN, expected)


def rows(report: Report, key: str) -> tuple[Mapping[str, Cell], ...]:
    return next(tuple(table.rows) for table in report.tables if table.key == key)


def facts(report: Report) -> dict[str, Cell]:
    return {fact.key: fact.value for fact in report.facts}


def ran(engine: Engine, job: str, *, exit_code: int | None, summary: str = "") -> None:
    run_id = uuid4()
    with transaction(engine) as connection:
        runs.start(connection, MAIN.account, job, run_id, host="host", pid=1)
        if exit_code is not None:
            runs.finish(connection, MAIN.account, run_id, exit_code=exit_code, summary=summary, facts={})


def all_read(engine: Engine) -> None:
    with transaction(engine) as connection:
        for source in ("meta.insights", "hubspot.deals"):
            runs.advance_watermark(connection, MAIN.account, source, NOON)


def budget_change(number: int, expected: int, target: int) -> NewChange:
    return NewChange(
        change_id=(decision := uuid4()),
        decision_id=decision,
        decision_day=date(2026, 3, 2),
        kind=EntityKind.AD_SET,
        entity_id=f"s{number}",
        campaign_id="c1",
        ad_set_id=f"s{number}",
        field=Field.DAILY_BUDGET,
        expected=expected,
        target=target,
        wanted=target,
        reason="ROAS 4 is above 3",
        clipped_by=(),
        fuzz_ppm=0,
        jitter_ms=0,
    )


def queue_up(engine: Engine, *wanted: NewChange) -> None:
    with transaction(engine) as connection:
        added = queue.enqueue(connection, MAIN.account, uuid4(), wanted, expire=timedelta(hours=24))
    assert added == len(wanted)


def send(engine: Engine) -> Change:
    """Claims the next change and authorises its sending, as `execute` does."""
    with transaction(engine) as connection:
        attempts.sync_limits(connection, MAIN.account, LIMITS)
    with engine.connect() as session:
        with session.begin():
            change = changes.claim(session, MAIN.account, "worker")
        assert change is not None
        with session.begin():
            moment = accounts.now(session)
            verdict = changes.authorise(session, change, "worker", read_at=moment, observed=change.expected)
        assert verdict.verdict == "send"
    return change


def test_an_account_without_runs_says_so(engine: Engine) -> None:
    report = read(engine)
    assert report.summary == "No job has run yet for this account."
    assert {row["state"] for row in rows(report, "freshness")} == {"never read"}
    assert report.exit_code == 0


def test_each_job_shows_how_its_last_run_ended_and_how_long_ago(engine: Engine) -> None:
    ran(engine, "decide", exit_code=69)
    at(engine, NOON + timedelta(hours=1))
    ran(engine, "decide", exit_code=0, summary="2 keep.")
    ran(engine, "execute", exit_code=3)
    ran(engine, "sync-meta", exit_code=77)
    ran(engine, "undo", exit_code=2)
    at(engine, NOON + timedelta(hours=4, minutes=5))
    found = {row["job"]: row for row in rows(read(engine), "jobs")}
    assert {job: row["state"] for job, row in found.items()} == {
        "decide": "done",
        "execute": "partly done",
        "sync-meta": "failed",
        "undo": "wrong use",
    }
    assert "1 job failed, 1 job partly done" in read(engine).summary
    assert found["decide"]["age"] == "3 h 5 min"
    assert found["decide"]["summary"] == "2 keep."
    assert found["sync-meta"]["exit_code"] == 77


def test_an_unended_run_is_running_while_its_lock_is_held_and_crashed_without_it(engine: Engine) -> None:
    all_read(engine)
    with job_lock(engine, "execute", MAIN.account):
        ran(engine, "execute", exit_code=None)
        held = read(engine)
    free = read(engine)
    assert [row["state"] for row in rows(held, "jobs")] == ["running"]
    assert held.summary == "All is well; nothing waits to be sent."
    assert [row["state"] for row in rows(free, "jobs")] == ["crashed"]
    assert free.summary == "Needs a look: 1 job crashed."


def test_data_is_stale_beyond_its_limit_and_fresh_on_it(engine: Engine) -> None:
    all_read(engine)
    ran(engine, "sync-meta", exit_code=0)
    at(engine, NOON + timedelta(hours=36))
    on_the_limit = read(engine)
    at(engine, NOON + timedelta(hours=36, seconds=1))
    beyond = read(engine)
    assert [row["state"] for row in rows(on_the_limit, "freshness")] == ["fresh", "fresh"]
    assert [row["age"] for row in rows(on_the_limit, "freshness")] == ["36 h", "36 h"]
    assert [row["state"] for row in rows(beyond, "freshness")] == ["stale", "stale"]
    assert beyond.summary == "Needs a look: Meta insights: stale, HubSpot deals: stale."


def test_a_newer_file_counts_for_the_crm_as_it_does_for_the_guards(engine: Engine) -> None:
    all_read(engine)
    with transaction(engine) as connection:
        runs.advance_watermark(connection, MAIN.account, "crm.file", NOON + timedelta(hours=30))
    at(engine, NOON + timedelta(hours=40))
    crm = rows(read(engine), "freshness")[1]
    assert (crm["source"], crm["state"], crm["age"]) == ("CRM file", "fresh", "10 h")


def test_the_queue_shows_states_and_the_age_of_what_is_in_flight(engine: Engine) -> None:
    queue_up(engine, budget_change(1, 1000, 1100), budget_change(2, 1000, 1100), budget_change(3, 1000, 1100))
    first = send(engine)
    with transaction(engine) as connection:
        changes.move(connection, first, come_from=State.EXECUTING, to=State.UNKNOWN, actor="execute", reason="timeout")
    at(engine, NOON + timedelta(minutes=10))
    with transaction(engine) as connection:
        second = changes.claim(connection, MAIN.account, "worker")
        assert second is not None
        changes.move(connection, second, come_from=State.CLAIMED, to=State.CONFLICT, actor="execute", reason="edited")
    at(engine, NOON + timedelta(hours=2))
    ran(engine, "execute", exit_code=3)
    report = read(engine)
    assert {row["state"]: (row["changes"], row["oldest"]) for row in rows(report, "queue")} == {
        "pending": (1, None),
        "unknown": (1, "2 h"),
        "conflict": (1, "1 h 50 min"),
    }
    assert "1 change in unknown, 1 change in conflict" in report.summary
    newest = rows(report, "changes")[0]
    assert (newest["state"], newest["reason"], newest["before"], newest["after"]) == ("conflict", "edited", 1000, 1100)


def test_a_raise_counts_from_its_authorisation_for_24_hours_and_once(engine: Engine) -> None:
    queue_up(engine, budget_change(1, 1000, 1150))
    change = send(engine)
    at(engine, NOON + timedelta(minutes=5))
    with transaction(engine) as connection:
        changes.move(connection, change, come_from=State.EXECUTING, to=State.UNKNOWN, actor="execute")
        changes.move(
            connection, change, come_from=State.UNKNOWN, to=State.PENDING, actor="reconcile", observed=change.expected
        )
    send(engine)
    queue_up(engine, budget_change(2, 1000, 900))
    send(engine)
    assert facts(read(engine))["raised"] == 150
    at(engine, NOON + timedelta(hours=24, minutes=5))
    assert facts(read(engine))["raised"] == 0


def test_a_refused_raise_does_not_count(engine: Engine) -> None:
    queue_up(engine, budget_change(1, 1000, 1150))
    send(engine)
    with transaction(engine) as connection:
        connection.execute(text("update change_attempts set outcome = 'refused'"))
    assert facts(read(engine))["raised"] == 0


def test_the_budget_in_force_leaves_out_what_is_paused(engine: Engine) -> None:
    def campaign(number: int, status: str, budget: int | None = None) -> Campaign:
        return Campaign(
            campaign_id=CampaignId(f"c{number}"), name="", status=status, effective_status=status, daily_budget=budget
        )

    def ad_set(number: int, of: int, status: str, budget: int) -> AdSet:
        return AdSet(
            ad_set_id=AdSetId(f"s{number}"),
            campaign_id=CampaignId(f"c{of}"),
            name="",
            status=status,
            effective_status=status,
            daily_budget=budget,
        )

    with transaction(engine) as connection:
        entities.upsert_campaigns(
            connection, MAIN.account, [campaign(1, "ACTIVE"), campaign(2, "PAUSED"), campaign(3, "ACTIVE", 501)], NOON
        )
        entities.upsert_ad_sets(
            connection,
            MAIN.account,
            [ad_set(1, 1, "ACTIVE", 1000), ad_set(2, 1, "PAUSED", 2000), ad_set(3, 2, "ACTIVE", 4000)],
            NOON,
        )
    found = facts(read(engine))
    assert found["daily_budget"] == 1501
    assert found["worst_case"] == 1877, "1.25 times, rounded up"


def test_sending_is_on_only_with_a_cap_and_without_a_halt(engine: Engine) -> None:
    assert facts(read(engine))["sending"] == "on"
    without = status.Expectations(insights_age=EXPECTED.insights_age, crm_age=EXPECTED.crm_age, cap=None)
    assert facts(read(engine, without))["sending"] == "off: limits.cap_increase_per_24h is not set"
    with transaction(engine) as connection:
        connection.execute(text("update controls set halted = true, reason = 'an audit' where account = '*'"))
    assert facts(read(engine))["sending"] == "halted: an audit"


def test_deals_that_do_not_count_are_watched(engine: Engine) -> None:
    with transaction(engine) as connection:
        for number, (stage, ad) in enumerate(
            (("won", "31"), ("won", None), ("won", None), ("odd", None), ("won", None))
        ):
            connection.execute(text(_DEAL), {"deal": str(number), "stage": stage, "archived": number == 4})
            connection.execute(text(_TIE), {"deal": str(number), "ad": ad, "method": "url_param" if ad else "none"})
        connection.execute(text(_WORTH))
    ran(engine, "ingest-crm", exit_code=0)
    found = read(engine, replace(EXPECTED, unattributed=0.7))
    assert (facts(found)["unattributed"], facts(found)["unmapped"]) == (0.75, 1)
    assert "75% of the deals have no ad" in found.summary
    assert "1 deal in a stage without a value" in found.summary
    assert "have no ad" not in read(engine, replace(EXPECTED, unattributed=0.75)).summary


_DEAL = """
insert into deals (account, deal_id, pipeline, stage, currency, modified_at, archived, source, read_at)
values ('main', :deal, 'default', :stage, 'USD', now(), :archived, 'file', now())
"""
_TIE = """
insert into attributions (account, deal_id, ad_id, method, confidence, evidence, attributed_at)
values ('main', :deal, :ad, :method, 0, '{}', now())
"""
_WORTH = """
insert into synthetic_revenue_config
  (account, pipeline, stage, effective_from, value, confidence, outcome, origin, recorded_at)
values ('main', 'default', 'won', '2000-01-01', 1, 1, 'won', 'configured', now())
"""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172799, "47 h 59 min"),
        (180000, "2 d 2 h"),
    ],
)
def test_ages_are_told_in_two_units_at_most(seconds: int, shown: str) -> None:
    assert status.age(timedelta(seconds=seconds)) == shown


def test_an_account_that_nobody_has_read_says_so_in_words(engine: Engine) -> None:
    new = replace(MAIN, account=Account("new"))
    assert facts(status.run(engine, new, EXPECTED))["sending"] == "off: nothing was read for this account yet"
