"""authorise_send where sendings meet: of two accounts, of two sessions, of one change twice, at a window's edge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.domain.changes import State
from adctl.domain.entities import EntityKind
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import DAY, HOUR, NOON, SECOND, SETTLE, Driver, budget, driving, open_account
from tests.adapters.store.test_authorise import WINDOW, held, passes, passes_exactly_at
from tests.adapters.store.test_staging import wait_until_blocked

OTHER = Account("other")


def test_what_another_account_sends_counts_in_no_limit(engine: Engine, driver: Driver) -> None:
    driver.limit(rate_per_campaign=3, cap_increase=100)
    open_account(engine, OTHER)
    with driving(engine, OTHER) as other:
        for number in range(3):
            assert passes(other.ask(budget(1101 + number, 1100 + number)))
    assert passes(driver.ask(budget(1100)))


def test_accounts_with_ids_and_changes_alike_have_limits_and_moves_of_their_own(engine: Engine, driver: Driver) -> None:
    open_account(engine, OTHER, rate_per_campaign=0)
    wanted = budget(1100)
    with driving(engine, OTHER) as other:
        for one in (driver, other):
            assert one.queue(wanted) == 1
        ours, theirs = driver.claim(), other.claim()
        assert ours is not None
        assert theirs is not None
        assert held(other.authorise(theirs)) == ("wait", "rate per campaign", None)
        assert passes(driver.authorise(ours))
        assert (driver.state(wanted.change_id), other.state(wanted.change_id)) == ("executing", "claimed")
    driver.answer(ours, WriteOutcome.UNKNOWN)
    assert driver.value("select string_agg(account, '') from change_attempts") == "main"


def test_quiet_hours_are_told_by_the_accounts_own_clock(engine: Engine, driver: Driver) -> None:
    # It is 21:00 in Tokyo when it is noon by UTC.
    open_account(engine, OTHER)
    driver.sql("update accounts set timezone = 'Asia/Tokyo' where account = :account", account=OTHER)
    driver.limit(quiet_from="20:00", quiet_until="22:00")
    assert passes(driver.ask(budget(1100)))


def test_a_change_that_is_sent_again_raises_once_and_from_then_on(driver: Driver) -> None:
    driver.limit(cap_increase=200)
    driver.queue(budget(1200))
    for attempt, outcome in enumerate((WriteOutcome.UNKNOWN, WriteOutcome.ACCEPTED), start=1):
        change = driver.claim()
        assert change is not None
        assert driver.authorise(change).attempt == attempt
        driver.answer(change, outcome, attempt)
        driver.release(change)
        if outcome is WriteOutcome.UNKNOWN:
            driver.at(NOON + SETTLE)
            driver.move(change, State.UNKNOWN, State.PENDING, actor="reconcile")
    judged = driver.ask(budget(1001, of="s2"))
    assert (held(judged), judged.value) == (("wait", "cap", NOON + SETTLE + DAY), "201")


def test_room_under_the_cap_that_is_exactly_enough_is_enough(driver: Driver) -> None:
    driver.limit(cap_increase=500)
    for number, raised in enumerate((200, 100, 200)):
        driver.at(NOON + number * HOUR)
        assert passes(driver.ask(budget(1000 + raised, of=f"s{number}")))
    passes_exactly_at(driver, budget(2300, 2000, of="s9"), "cap", NOON + HOUR + DAY)


def test_a_campaigns_own_budget_has_no_rate_of_ad_sets(driver: Driver) -> None:
    driver.limit(rate_per_ad_set=0)
    assert passes(driver.ask(replace(budget(1100, of="c1"), kind=EntityKind.CAMPAIGN, ad_set_id=None)))


def test_a_value_from_before_the_window_is_not_hidden_by_what_others_sent_since(engine: Engine, driver: Driver) -> None:
    driver.ask(budget(1200), WriteOutcome.UNKNOWN)
    driver.at(NOON + HOUR)
    assert passes(driver.ask(budget(1100, of="s2")))
    assert passes(driver.ask(replace(budget(1100, of="s1"), kind=EntityKind.CAMPAIGN, ad_set_id=None)))
    assert passes(driver.ask(budget(1100), WriteOutcome.REFUSED))
    open_account(engine, OTHER)
    driver.at(NOON + HOUR)
    with driving(engine, OTHER) as other:
        assert passes(other.ask(budget(1100)))
    driver.at(NOON + 5 * HOUR)
    driver.ask(budget(990))
    driver.at(NOON + 9 * HOUR)
    passes_exactly_at(driver, budget(959, 990), "velocity", NOON + 5 * HOUR + WINDOW)


def test_a_lost_value_counts_although_it_was_replaced_before_it_had_settled_in_the_window(driver: Driver) -> None:
    driver.ask(budget(1200), WriteOutcome.UNKNOWN)
    driver.at(NOON + 180 * SECOND)
    assert passes(driver.ask(budget(990)))
    driver.at(NOON + WINDOW + 100 * SECOND)
    passes_exactly_at(driver, budget(959, 990), "velocity", NOON + 180 * SECOND + WINDOW)


def test_a_velocity_that_holds_names_the_least_and_the_greatest_value_in_the_way(driver: Driver) -> None:
    driver.ask(budget(1100))
    driver.ask(budget(1150, 1100))
    judged = driver.ask(budget(1321, 1150))
    assert (judged.value, judged.allowed) == ("1321", "1000..1150 ± 20 %")


def test_an_authorisation_waits_for_another_of_the_account_and_counts_it(engine: Engine, driver: Driver) -> None:
    driver.limit(cap_increase=150)
    driver.queue(budget(1100), budget(1100, of="s2"))
    first = driver.claim()
    assert first is not None
    with driving(engine, worker="w2") as late, ThreadPoolExecutor(1) as pool:
        second = late.claim()
        assert second is not None
        with driver.session.begin() as under_way:
            verdict = driver.session.execute(_AUTHORISE, {"change": first.change_id, "at": NOON}).one()
            assert verdict.verdict == "send"
            judged = pool.submit(late.authorise, second, read_at=NOON)
            wait_until_blocked(engine)
            under_way.commit()
        assert held(judged.result(60)) == ("wait", "cap", NOON + DAY)


def test_the_change_is_locked_before_the_head_as_by_every_move(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as mover:
            mover.execute(text("select 1 from pending_ad_changes for update"))
            judged = pool.submit(driver.authorise, change, read_at=NOON)
            wait_until_blocked(engine)
            # What waits for the change holds nothing that the mover needs.
            mover.execute(text("select 1 from audit_heads for update nowait"))
        assert passes(judged.result(60))


_AUTHORISE = text("select * from authorise_send('main', :change, 'w1', :at, 1000, null)")
