"""Each guard of authorise_send at its boundary, on the integer that is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adctl.adapters.db import transaction
from adctl.adapters.store import changes
from adctl.domain.changes import Change, NewChange, SendVerdict, State
from adctl.domain.entities import EntityKind
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import DAY, HOUR, NOON, SECOND, SETTLE, Driver, budget, driving, open_account, status
from tests.domain.guards.wall_clocks import CLOCKS_THAT_ARE_SET

WINDOW = timedelta(hours=6)


def passes(verdict: SendVerdict) -> bool:
    return verdict.verdict == "send"


def held(verdict: SendVerdict) -> tuple[str, str | None, datetime | None]:
    return verdict.verdict, verdict.guard, verdict.until


def passes_exactly_at(driver: Driver, wanted: NewChange, guard: str, until: datetime) -> None:
    """The guard says `until`, still holds a second before, and lets it pass then."""
    assert held(driver.ask(wanted)) == ("wait", guard, until)
    driver.at(until - SECOND)
    assert held(driver.ask(again(wanted))) == ("wait", guard, until)
    driver.at(until)
    assert passes(driver.ask(again(wanted)))


def again(wanted: NewChange) -> NewChange:
    """The same wish as a new change."""
    fresh = budget(1) if isinstance(wanted.target, int) else status()
    return replace(wanted, change_id=fresh.change_id, decision_id=fresh.decision_id)


# Velocity


def test_the_first_change_of_a_window_moves_at_most_a_fifth(driver: Driver) -> None:
    driver.limit(ceiling_budget=2**62, cap_increase=2**62)
    great = 10**17
    for expected, allowed, beyond in (
        (1000, 800, 799),
        (1000, 1200, 1201),
        (999, 800, 799),
        (999, 1198, 1199),
        (great, great * 12 // 10, great * 12 // 10 + 1),
    ):
        place = f"{expected} to {allowed}"
        assert passes(driver.ask(budget(allowed, expected, of=place, campaign=place)))
        judged = driver.ask(budget(beyond, expected, of=f"{place}+", campaign=place))
        assert (judged.verdict, judged.guard) == ("block", "velocity"), place
        assert (judged.value, judged.allowed) == (str(beyond), f"{expected} ± 20 %")
    assert driver.ask(budget(1, 0, of="nothing")).guard == "velocity", "any raise of nothing is more than a fifth"


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (1200, 1199, "send"),
        (1200, 960, "send"),
        (1100, 1200, "send"),
        (1100, 1201, "wait"),
        (800, 801, "send"),
        (800, 960, "send"),
        (900, 800, "send"),
        (900, 799, "wait"),
    ],
)
def test_the_value_that_was_replaced_counts_for_six_hours(
    driver: Driver, first: int, second: int, verdict: str
) -> None:
    assert passes(driver.ask(budget(first)))
    driver.at(NOON + WINDOW - SECOND)
    assert driver.ask(budget(second, first)).verdict == verdict
    driver.at(NOON + WINDOW)
    if verdict == "wait":
        assert passes(driver.ask(budget(second, first)))


def test_the_time_that_velocity_gives_is_the_time_when_it_passes(driver: Driver) -> None:
    driver.ask(budget(1100))
    driver.at(NOON + HOUR)
    driver.ask(budget(1150, 1100))
    driver.at(NOON + 2 * HOUR)
    passes_exactly_at(driver, budget(1320, 1150), "velocity", NOON + WINDOW)


def test_the_time_is_that_of_the_last_value_in_the_way(driver: Driver) -> None:
    driver.ask(budget(1100))
    driver.at(NOON + HOUR)
    driver.ask(budget(1150, 1100))
    driver.at(NOON + 2 * HOUR)
    passes_exactly_at(driver, budget(1321, 1150), "velocity", NOON + HOUR + WINDOW)


@pytest.mark.parametrize(("target", "verdict"), [(960, "send"), (959, "wait")])
def test_an_unknown_outcome_counts_as_applied(driver: Driver, target: int, verdict: str) -> None:
    assert passes(driver.ask(budget(1200), WriteOutcome.UNKNOWN))
    assert driver.ask(budget(target)).verdict == verdict
    if verdict == "wait":
        driver.at(NOON + HOUR)
        passes_exactly_at(driver, budget(target), "velocity", NOON + SETTLE + WINDOW)


def test_a_value_that_may_have_been_in_force_counts_until_it_was_replaced(driver: Driver) -> None:
    driver.ask(budget(1200), WriteOutcome.UNKNOWN)
    driver.at(NOON + 5 * HOUR)
    driver.ask(budget(990))
    driver.at(NOON + 9 * HOUR)
    passes_exactly_at(driver, budget(959, 990), "velocity", NOON + 5 * HOUR + WINDOW)


def test_what_was_set_before_the_window_counts_while_it_was_in_force_in_it(driver: Driver) -> None:
    driver.ask(budget(1200))
    driver.at(NOON + 8 * HOUR)
    driver.ask(budget(1000, 1200))
    driver.at(NOON + 9 * HOUR)
    assert held(driver.ask(budget(959, 1000))) == ("wait", "velocity", NOON + 8 * HOUR + WINDOW)
    assert passes(driver.ask(budget(960, 1000)))


@pytest.mark.parametrize("outcome", [WriteOutcome.REFUSED, WriteOutcome.DEFERRED])
def test_what_was_provably_not_done_moves_nothing(driver: Driver, outcome: WriteOutcome) -> None:
    driver.limit(cap_increase=200)
    assert passes(driver.ask(budget(1200), outcome))
    assert passes(driver.ask(budget(800)))
    driver.at(NOON + WINDOW)
    assert passes(driver.ask(budget(960, 800)))


def test_velocity_knows_entities_kinds_and_accounts_apart(engine: Engine, driver: Driver) -> None:
    driver.ask(budget(1200))
    assert passes(driver.ask(budget(900, of="s2")))
    campaign = replace(budget(900, of="s1"), kind=EntityKind.CAMPAIGN, ad_set_id=None)
    assert passes(driver.ask(campaign))
    open_account(engine, Account("other"))
    with driving(engine, Account("other")) as other:
        assert passes(other.ask(budget(900)))


def test_a_change_that_is_sent_again_is_not_in_its_own_way(driver: Driver) -> None:
    driver.limit(cap_increase=200)
    wanted = budget(1200)
    driver.queue(wanted)
    change = driver.claim()
    assert change is not None
    assert passes(driver.authorise(change))
    driver.answer(change, WriteOutcome.UNKNOWN)
    driver.at(NOON + SETTLE)
    driver.move(change, State.UNKNOWN, State.PENDING, actor="reconcile")
    second = driver.claim()
    assert second is not None
    assert driver.authorise(second).attempt == 2
    assert driver.value("select count(distinct target_budget) from change_attempts") == 1


# Rates


def test_the_fourth_change_of_an_ad_set_waits_for_the_first_to_be_an_hour_old(driver: Driver) -> None:
    for number in range(3):
        driver.at(NOON + number * 10 * SECOND)
        assert passes(driver.ask(budget(1001 + number, 1000 + number)))
    passes_exactly_at(driver, budget(1004, 1003), "rate per ad set", NOON + HOUR)


def test_every_sending_counts_whatever_came_of_it(driver: Driver) -> None:
    for outcome in (WriteOutcome.REFUSED, WriteOutcome.DEFERRED, WriteOutcome.UNKNOWN):
        assert passes(driver.ask(budget(1001), outcome))
    assert held(driver.ask(budget(1001))) == ("wait", "rate per ad set", NOON + HOUR)


def test_one_more_is_kept_for_taking_a_change_back(driver: Driver) -> None:
    for number in range(3):
        last = budget(1001 + number, 1000 + number)
        assert passes(driver.ask(last))
    assert driver.ask(budget(1004, 1003)).guard == "rate per ad set"
    undone = driver.undo(last.change_id)
    assert passes(driver.ask(None))
    driver.undo(undone)
    assert held(driver.ask(None)) == ("wait", "rate per ad set", NOON + HOUR)


def test_the_sixteenth_change_in_a_campaign_waits(driver: Driver) -> None:
    for number in range(15):
        driver.at(NOON + number * SECOND)
        assert passes(driver.ask(status(of=f"a{number}")))
    assert passes(driver.ask(status(of="b", campaign="c2")))
    passes_exactly_at(driver, budget(1001), "rate per campaign", NOON + HOUR)


def test_after_a_limit_was_lowered_as_many_must_leave(driver: Driver) -> None:
    for number in range(3):
        driver.at(NOON + number * 60 * SECOND)
        driver.ask(budget(1001 + number, 1000 + number))
    driver.limit(rate_per_ad_set=1)
    passes_exactly_at(driver, budget(1004, 1003), "rate per ad set", NOON + HOUR + 120 * SECOND)


def test_a_rate_of_nothing_lets_nothing_pass_and_promises_no_time(driver: Driver) -> None:
    driver.limit(rate_per_campaign=0)
    assert held(driver.ask(budget(1001))) == ("wait", "rate per campaign", None)


def test_of_two_guards_the_one_that_passes_last_is_named(driver: Driver) -> None:
    for target in (1100, 1101, 1102):
        driver.ask(budget(target, 1000 if target == 1100 else target - 1))
    assert held(driver.ask(budget(1201, 1102))) == ("wait", "velocity", NOON + WINDOW)
    assert driver.ask(budget(1323, 1102)).verdict == "block"


# Cap, floor, ceiling


def test_the_cap_is_reached_exactly_and_not_by_one_more(driver: Driver) -> None:
    driver.limit(cap_increase=300)
    driver.ask(budget(1200, of="s1"))
    assert held(driver.ask(budget(1101, of="s2"))) == ("wait", "cap", NOON + DAY)
    assert passes(driver.ask(budget(1100, of="s2")))
    assert driver.ask(budget(1001, of="s3")).guard == "cap"
    assert passes(driver.ask(budget(900, of="s3"))), "a cut needs no room"


def test_the_time_that_the_cap_gives_is_the_time_when_it_passes(driver: Driver) -> None:
    driver.limit(cap_increase=500)
    for number, raised in enumerate((200, 100, 200)):
        driver.at(NOON + number * HOUR)
        assert passes(driver.ask(budget(1000 + raised, of=f"s{number}")))
    passes_exactly_at(driver, budget(2250, 2000, of="s9"), "cap", NOON + HOUR + DAY)


def test_a_cut_makes_no_room_for_a_raise(driver: Driver) -> None:
    driver.limit(cap_increase=200)
    driver.ask(budget(1200))
    driver.ask(budget(800, of="s2"))
    assert driver.ask(budget(1001, of="s3")).guard == "cap"


def test_a_raise_beyond_the_whole_cap_waits_for_another_cap(driver: Driver) -> None:
    driver.limit(cap_increase=199)
    driver.ask(budget(1100, of="s2"))
    judged = driver.ask(budget(1200))
    assert held(judged) == ("wait", "cap", None)
    assert (judged.value, judged.allowed) == ("300", "199")


def test_an_unknown_raise_counts_and_a_refused_one_does_not(driver: Driver) -> None:
    driver.limit(cap_increase=200)
    driver.ask(budget(1200, of="s1"), WriteOutcome.REFUSED)
    driver.ask(budget(1200, of="s2"), WriteOutcome.UNKNOWN)
    assert driver.ask(budget(1001, of="s3")).guard == "cap"


@pytest.mark.parametrize(
    ("limit", "guard", "target", "verdict"),
    [
        ("floor_budget", "floor", 900, "send"),
        ("floor_budget", "floor", 899, "block"),
        ("ceiling_budget", "ceiling", 900, "send"),
        ("ceiling_budget", "ceiling", 901, "block"),
    ],
)
def test_what_no_waiting_helps_is_blocked(driver: Driver, limit: str, guard: str, target: int, verdict: str) -> None:
    driver.limit(**{limit: 900}, velocity_percent=100)
    expected = 1000 if limit != "ceiling_budget" else 850
    judged = driver.ask(budget(target, expected))
    assert (judged.verdict, judged.guard) == (verdict, None if verdict == "send" else guard)


# Halt, limits, freshness, attempts, ownership


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("update controls set halted = true, reason = 'audit' where account = '*'", "halted: audit"),
        ("update controls set halted = true where account = 'main'", "halted: no reason given"),
        ("delete from controls where account = '*'", "no control row"),
        ("delete from controls where account = 'main'", "no control row"),
        ("update controls set armed_until = adctl_now() where account = 'main'", "armed until 2026-03-02 12:00:00+00"),
        ("update controls set armed_until = adctl_now() where account = '*'", "armed until 2026-03-02 12:00:00+00"),
        # of two that both hold, the one that began first, or by name
        (
            "update controls set armed_until = adctl_now() - case account when '*' then '0' else interval '1 hour' end",
            "armed until 2026-03-02 11:00:00+00",
        ),
        ("update controls set halted = true, reason = 'by ' || account", "halted: by *"),
    ],
)
def test_without_a_running_control_nothing_is_sent(driver: Driver, statement: str, value: str) -> None:
    driver.sql(statement)
    judged = driver.ask(budget(1100))
    assert held(judged) == ("wait", "halt", None)
    assert judged.value == value
    assert driver.value("select count(*) from change_attempts") == 0


def test_a_halt_of_another_account_and_a_running_arming_hold_nothing(engine: Engine, driver: Driver) -> None:
    open_account(engine, Account("other"))
    driver.sql("update controls set halted = true where account = 'other'")
    driver.sql("update controls set armed_until = adctl_now() + interval '1 second'")
    assert passes(driver.ask(budget(1100)))


def test_a_halt_waits_for_an_authorisation_under_way_and_stops_the_next(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100), budget(1100, of="s2"))
    change = driver.claim()
    assert change is not None
    halt = text("update controls set halted = true where account = '*'")
    with driver.session.begin() as under_way:
        driver.session.execute(_AUTHORISE, {"change": change.change_id, "at": NOON})
        with engine.connect() as operator:
            operator.execute(text("set local lock_timeout = '100ms'"))
            with pytest.raises(DBAPIError) as waits:
                operator.execute(halt)
        assert isinstance(waits.value.orig, psycopg.errors.LockNotAvailable)
        under_way.commit()
    with transaction(engine) as operator:
        operator.execute(halt)
    assert driver.ask(None).guard == "halt"
    assert driver.value("select count(*) from change_attempts") == 1


_AUTHORISE = text("select * from authorise_send('main', :change, 'w1', :at, 1000, null)")


def test_without_limits_or_a_cap_nothing_is_sent(driver: Driver) -> None:
    driver.limit(cap_increase=None)
    judged = [driver.ask(wanted) for wanted in (budget(1100), budget(900))]
    assert [held(one) for one in judged] == [("wait", "cap", None)] * 2
    driver.sql("delete from limits")
    assert held(driver.ask(budget(1100))) == ("wait", "limits", None)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(seconds=60), "send"),
        (timedelta(seconds=60, microseconds=1), "wait"),
        (timedelta(0), "send"),
        (timedelta(microseconds=-1), "wait"),
    ],
)
def test_what_was_read_is_fresh_for_a_minute_and_never_in_the_future(
    driver: Driver, age: timedelta, verdict: str
) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    judged = driver.authorise(change, read_at=NOON - age)
    assert (judged.verdict, judged.guard) == (verdict, None if verdict == "send" else "freshness")


@pytest.mark.parametrize(
    ("quiet", "timezone", "until"),
    [
        ("12:00-13:00", "UTC", NOON + HOUR),
        ("11:00-12:01", "UTC", NOON + 60 * SECOND),
        ("11:00-12:00", "UTC", None),
        ("12:01-13:00", "UTC", None),
        ("12:00-12:00", "UTC", None),
        ("12:00-06:00", "UTC", NOON + 18 * HOUR),
        ("22:00-12:01", "UTC", NOON + 60 * SECOND),
        ("22:00-12:00", "UTC", None),
        ("12:01-06:00", "UTC", None),
        # given 21:00 on the account's clock
        ("20:00-23:00", "Asia/Tokyo", NOON + 2 * HOUR),
        ("12:00-13:00", "Asia/Tokyo", None),
    ],
)
def test_quiet_hours_are_the_accounts_and_may_pass_midnight(
    driver: Driver, quiet: str, timezone: str, until: datetime | None
) -> None:
    driver.sql("update accounts set timezone = :timezone where account = 'main'", timezone=timezone)
    begin, _, end = quiet.partition("-")
    driver.limit(quiet_from=begin, quiet_until=end)
    judged = driver.ask(budget(1100))
    if until is None:
        assert passes(judged)
    else:
        assert (held(judged), judged.allowed) == (("wait", "quiet hours", until), quiet)


@pytest.mark.parametrize(("quiet", "zone", "now", "until"), CLOCKS_THAT_ARE_SET)
def test_quiet_hours_end_as_the_clock_on_the_wall_says_when_it_is_set(
    driver: Driver, quiet: str, zone: str, now: str, until: str | None
) -> None:
    driver.sql("update accounts set timezone = :zone where account = 'main'", zone=zone)
    begin, _, end = quiet.partition("-")
    driver.limit(quiet_from=begin, quiet_until=end)
    driver.at(datetime.fromisoformat(f"{now}+00:00"))
    found = driver.value("select (quiet_verdict('main', l)).until from limits l where l.account = 'main'")
    assert found == (None if until is None else datetime.fromisoformat(f"{until}+00:00"))


def test_a_change_without_a_try_left_is_blocked_and_what_meta_put_off_was_none(driver: Driver) -> None:
    driver.queue(wanted := budget(1100))
    outcomes = (WriteOutcome.UNKNOWN, WriteOutcome.DEFERRED, WriteOutcome.UNKNOWN)
    for attempt, outcome in enumerate(outcomes, start=1):
        driver.at(NOON + attempt * HOUR)
        change = driver.claim()
        assert change is not None
        assert driver.authorise(change).attempt == attempt
        driver.answer(change, outcome, attempt)
        if outcome is WriteOutcome.UNKNOWN:
            driver.at(NOON + attempt * HOUR + SETTLE)
            driver.move(change, State.UNKNOWN, State.PENDING, actor="reconcile")
    # given that fewer tries are allowed than when it was put back
    driver.limit(max_attempts=2)
    last = driver.claim()
    assert last is not None
    judged = driver.authorise(last)
    assert (judged.verdict, judged.guard, judged.value, judged.allowed) == ("block", "attempts", "2", "2")
    driver.move(last, State.CLAIMED, State.BLOCKED)
    assert driver.state(wanted.change_id) == "blocked"


def refused(driver: Driver, change: Change) -> str:
    with pytest.raises(DBAPIError) as error:
        driver.authorise(change)
    return str(error.value.orig)


def test_only_the_session_that_claimed_a_change_may_send_it(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with driving(engine) as without_the_lock:
        assert "is not claimed by w1" in refused(without_the_lock, change)
    with driving(engine, worker="w2") as another:
        assert "is not claimed by w2" in refused(another, change)
    assert passes(driver.authorise(change))
    assert "is not claimed by w1" in refused(driver, change), "once it is on the wire"


def test_another_value_than_the_expected_one_is_never_written_over(driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    assert "what was read is not what was expected" in refused(driver, replace(change, expected=1001))


def test_a_status_is_judged_by_halt_and_rates_but_by_no_amount(driver: Driver) -> None:
    driver.limit(floor_budget=5000, ceiling_budget=5000, cap_increase=0)
    assert passes(driver.ask(status()))


def test_the_floor_and_ceiling_of_a_single_ad_set_count_beside_the_accounts(driver: Driver) -> None:
    driver.limit(floors={"s1": 950, "s3": 1}, ceilings={"s2": 1050, "s3": 10**12}, floor_budget=900)
    for entity, target, guard, allowed in (
        ("s1", 949, "floor", "950"),
        ("s1", 950, None, None),
        ("s2", 1051, "ceiling", "1050"),
        ("s2", 1050, None, None),
        ("s3", 899, "floor", "900"),
    ):
        verdict = driver.ask(budget(target, of=entity))
        told = (guard, str(target) if guard else None, allowed)
        assert (verdict.guard, verdict.value, verdict.allowed) == told, (entity, target)


@pytest.mark.parametrize(("usual", "then"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
def test_what_is_sent_is_on_the_disk_before_whatever_the_server_usually_waits_for(
    driver: Driver, usual: str, then: str
) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with driver.session.begin():
        driver.session.execute(text(f"set synchronous_commit = {usual}"))
        assert passes(changes.authorise(driver.session, change, driver.worker, read_at=NOON, observed=1000))
        assert driver.session.scalar(text("show synchronous_commit")) == then
    with driver.session.begin():
        settings = text("select current_setting('synchronous_commit') as waits_for, current_actor() as actor")
        after = driver.session.execute(settings).one()
    assert (after.waits_for, after.actor) == (usual, None), "a setting is for the transaction alone"


# The last active ad


def pauses(driver: Driver, of: str, others: tuple[str, ...], outcome: WriteOutcome = WriteOutcome.ACCEPTED) -> str:
    """Judges a pause of an ad beside these active ones; what passes ends in `outcome`. Returns the guard, if any."""
    driver.queue(status(of=of))
    change = driver.claim()
    assert change is not None
    verdict = driver.authorise(change, others=others)
    if passes(verdict):
        driver.answer(change, outcome)
    else:
        driver.move(change, State.CLAIMED, State.BLOCKED)
    driver.release(change)
    assert (verdict.verdict, verdict.until) in (("send", None), ("block", None))
    return verdict.guard or ""


def test_the_last_active_ad_of_an_ad_set_is_not_paused_unless_that_is_allowed(driver: Driver) -> None:
    assert pauses(driver, "a1", ()) == "last active ad"
    assert pauses(driver, "a2", ("a9",)) == ""
    driver.limit(kill_last_ad=True)
    assert pauses(driver, "a3", ()) == ""


def test_neither_a_start_nor_a_budget_asks_for_other_ads(driver: Driver) -> None:
    for wanted in (status("ACTIVE", "PAUSED", of="a1"), budget(1100)):
        driver.queue(wanted)
        change = driver.claim()
        assert change is not None
        assert passes(driver.authorise(change, others=()))
        driver.answer(change, WriteOutcome.ACCEPTED)
        driver.release(change)


@pytest.mark.parametrize(
    ("outcome", "guard"),
    [
        (WriteOutcome.ACCEPTED, "last active ad"),
        (WriteOutcome.UNKNOWN, "last active ad"),
        (WriteOutcome.REFUSED, ""),
    ],
)
def test_an_ad_whose_pause_may_have_been_sent_counts_as_active_no_more(
    driver: Driver, outcome: WriteOutcome, guard: str
) -> None:
    assert pauses(driver, "a1", ("a2", "a3"), outcome) == ""
    assert pauses(driver, "a2", ("a1",)) == guard


def test_once_a_pause_is_settled_what_was_read_counts_again(driver: Driver) -> None:
    assert pauses(driver, "a1", ("a2",)) == ""
    driver.at(NOON + SETTLE - SECOND)
    assert pauses(driver, "a2", ("a1",)) == "last active ad"
    driver.at(NOON + SETTLE)
    assert pauses(driver, "a2", ("a1",)) == ""


def test_of_two_last_ads_that_two_sessions_pause_at_once_one_stays(driver: Driver) -> None:
    driver.queue(status(of="a1"), status(of="a2"))
    with driving(driver.engine, worker="w2") as other:
        one, two = driver.claim(), other.claim()
        assert one is not None
        assert two is not None
        first = driver.authorise(one, others=(two.entity_id,))
        second = other.authorise(two, others=(one.entity_id,))
        assert (first.verdict, second.verdict, second.guard) == ("send", "block", "last active ad")
        assert second.value == "none would be left in ad set s1"


# What a person replaced


def edited(
    driver: Driver, at: datetime, old: str = "1000", new: str = "1100", *, of: str = "ad_set s1 daily_budget"
) -> None:
    kind, entity_id, field = of.split()
    driver.sql(
        "insert into person_edits values ('main', :kind, :id, :field, :old, :new, :at, :at)",
        kind=kind,
        id=entity_id,
        field=field,
        old=old,
        new=new,
        at=at,
    )


def test_what_a_person_replaced_counts_for_six_hours(driver: Driver) -> None:
    edited(driver, NOON - HOUR, "1000", "1100")
    passes_exactly_at(driver, budget(1201, 1100), "velocity", NOON + 5 * HOUR)


def test_of_all_that_persons_replaced_the_span_in_the_way_is_told_and_when_the_last_of_it_ends(driver: Driver) -> None:
    edited(driver, NOON - 3 * HOUR, "900", "1000")
    edited(driver, NOON - 2 * HOUR, "1000", "950")
    edited(driver, NOON - HOUR, "1050", "1100")
    judged = driver.ask(budget(1201, 1100))
    assert held(judged) == ("wait", "velocity", NOON - 2 * HOUR + WINDOW)
    assert (judged.value, judged.allowed) == ("1201", "900..1000 ± 20 %")


@pytest.mark.parametrize(("old", "target"), [("1000", 1200), ("900", 1080), ("ACTIVE", 1320), ("", 1320)])
def test_what_is_within_a_fifth_of_what_a_person_replaced_or_is_no_amount_passes(
    driver: Driver, old: str, target: int
) -> None:
    edited(driver, NOON - HOUR, old, "1100")
    for of in ("ad_set s2 daily_budget", "campaign s1 daily_budget", "ad_set s1 lifetime_budget"):
        edited(driver, NOON - HOUR, "10", "20", of=of)
    assert passes(driver.ask(budget(target, 1100)))
