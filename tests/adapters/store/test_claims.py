"""claim_pending_ad_change: each change once, its entity locked for as long as the claimer lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from threading import Barrier
from uuid import uuid4

from sqlalchemy import Engine, text

from adctl.adapters.store import changes
from adctl.domain.changes import Change, NewChange, SendVerdict, State
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import HOUR, NOON, SECOND, Driver, budget, driving, open_account, status

WORKERS = 8
ROUNDS = 20


@contextmanager
def crew(engine: Engine) -> Iterator[tuple[ThreadPoolExecutor, list[Driver]]]:
    """Eight workers, each with a thread and a session of its own."""
    with ThreadPoolExecutor(WORKERS) as pool, ExitStack() as stack:
        workers = [stack.enter_context(driving(engine, worker=f"w{number}")) for number in range(WORKERS)]
        yield pool, workers


def at_once(crew: tuple[ThreadPoolExecutor, list[Driver]], task: Callable[[Driver], object]) -> None:
    """Lets all workers begin the task at the same moment and waits for all."""
    pool, workers = crew
    start = Barrier(WORKERS)

    def begin(worker: Driver) -> None:
        start.wait(10)
        task(worker)

    for done in [pool.submit(begin, worker) for worker in workers]:
        done.result(60)


# One worker


def test_the_function_names_its_columns_without_ambiguity(driver: Driver) -> None:
    driver.queue(wanted := budget(1100))
    change = driver.claim()
    assert change is not None
    assert (change.change_id, change.state) == (wanted.change_id, State.CLAIMED)
    assert driver.value("select claimed_by from pending_ad_changes") == "w1"
    assert driver.value("select claimed_at from pending_ad_changes") == NOON


def test_what_is_due_longest_comes_first_and_what_is_not_due_not_at_all(driver: Driver) -> None:
    ids = {}
    for name, due in (("s3", 3), ("s1", 1), ("s2", 2), ("later", 4)):
        driver.queue(wanted := budget(1100, of=name))
        ids[wanted.change_id] = name
        driver.sql(
            "update pending_ad_changes set earliest_execute_at = adctl_now() + :span where entity_id = :name",
            name=name,
            span=due * HOUR,
        )
    driver.at(NOON + HOUR - SECOND)
    assert driver.claim() is None
    driver.at(NOON + 3 * HOUR)
    claimed = [driver.claim() for _ in range(4)]
    assert [ids[one.change_id] if one else None for one in claimed] == ["s1", "s2", "s3", None]


def test_several_are_claimed_at_once_when_asked_and_what_others_hold_is_passed_over(
    engine: Engine, driver: Driver
) -> None:
    driver.queue(*(budget(1100, of=f"s{number}") for number in range(5)))
    taken = [driver.claim() for _ in range(2)]
    for one in taken:
        assert one is not None
        driver.move(one, State.CLAIMED, State.PENDING)
    with driving(engine, worker="w2") as other, other.session.begin():
        ask = text("select entity_id from claim_pending_ad_change('main', 'w2', 2)")
        first, rest = set(other.session.scalars(ask)), set(other.session.scalars(ask))
        # Nothing was sent yet: the claim itself need not have reached the disk.
        assert other.session.scalar(text("show synchronous_commit")) == "off"
    free = {f"s{number}" for number in range(5)} - {one.entity_id for one in taken if one}
    assert (len(first), len(rest), first | rest) == (2, 1, free)
    assert driver.value("show synchronous_commit") == "on"


def test_what_a_claim_sets_for_itself_is_as_before_when_it_is_committed(driver: Driver) -> None:
    driver.queue(budget(1100))
    assert driver.claim() is not None
    settings = "select current_setting('synchronous_commit'), current_setting('plan_cache_mode'), current_actor()"
    with driver.session.begin():
        assert driver.session.exec_driver_sql(settings).one() == ("on", "auto", None)


def test_a_change_that_another_transaction_holds_is_passed_over_without_waiting(driver: Driver) -> None:
    driver.queue(budget(1100, of="s1"), budget(1100, of="s2"))
    ask = "select entity_id from claim_pending_ad_change('main', 'w1', 2)"
    with driver.engine.connect() as other, other.begin(), driver.session.begin():
        other.exec_driver_sql("select from pending_ad_changes where entity_id = 's1' for update")
        # Whoever waits fails.
        driver.session.exec_driver_sql("set local lock_timeout = '1 s'")
        assert driver.session.exec_driver_sql(ask).scalars().all() == ["s2"]
    with driver.session.begin():
        assert driver.session.exec_driver_sql(ask).scalars().all() == ["s1"]


def test_what_expired_is_not_claimed(driver: Driver) -> None:
    driver.queue(budget(1100), expire=HOUR)
    driver.at(NOON + HOUR)
    assert driver.claim() is None
    driver.at(NOON + HOUR - SECOND)
    assert driver.claim() is not None


def test_another_account_is_not_touched(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    open_account(engine, Account("other"))
    with driving(engine, Account("other")) as other:
        assert other.claim() is None


def test_the_claimer_holds_the_entity_until_it_gives_it_back(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with driving(engine, worker="w2") as second:
        assert not _lockable(second, change)
        driver.release(change)
        assert _lockable(second, change)


def settle(worker: Driver, change: Change, to: State, *, actor: str = "execute") -> bool:
    return changes.move(
        worker.session,
        change,
        come_from=State.CLAIMED,
        to=to,
        actor=actor,
        reason="so",
        observed=change.target if to is State.COMPLETED else None,
        release=actor == "execute",
    )


def test_the_move_that_ends_the_work_gives_the_entity_back_and_one_that_did_nothing_does_not(
    engine: Engine, driver: Driver
) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with driving(engine, worker="w2") as other:
        with driver.session.begin():
            assert not settle(driver, replace(change, change_id=uuid4()), State.COMPLETED)
        with other.session.begin():
            assert not changes.try_lock(other.session, change)
        with driver.session.begin():
            assert settle(driver, change, State.COMPLETED)
        with other.session.begin():
            assert changes.try_lock(other.session, change)


def test_whoever_takes_the_entity_before_the_commit_finds_the_change_moved(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    change = driver.claim()
    assert change is not None
    with driving(engine, worker="w2") as other, ThreadPoolExecutor(1) as pool:
        with other.session.begin():
            pid = other.session.scalar(text("select pg_backend_pid()"))
        with driver.session.begin():
            assert settle(driver, change, State.COMPLETED)
            other.session.begin()
            assert changes.try_lock(other.session, change)
            taken = pool.submit(settle, other, change, State.PENDING, actor="reconcile")
            while not driver.value("select exists (select from pg_locks where pid = :pid and not granted)", pid=pid):
                assert not taken.done()
        assert taken.result(60) is False
        other.session.rollback()
    assert driver.state(change.change_id) == "completed"


def test_two_fields_of_an_entity_are_never_in_two_hands(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100, of="x"))
    driver.sql(
        """
        insert into pending_ad_changes (account, change_id, run_id, entity_kind, entity_id, campaign_id, field,
          expected_status, target_status, reason, jitter_ms, earliest_execute_at, expires_at, created_at, updated_at)
        values ('main', gen_random_uuid(), gen_random_uuid(), 'ad', 'x', 'c1', 'status', 'ACTIVE', 'PAUSED', 'x', 0,
          adctl_now(), adctl_now() + interval '1 day', adctl_now(), adctl_now())
        """,
        actor="enqueue",
    )
    driver.queue(status(of="y"))
    with driving(engine, worker="w2") as second:
        held = [driver.claim(), second.claim(), second.claim(), second.claim()]
        assert sorted((one.kind, one.entity_id) for one in held if one) == [("ad", "x"), ("ad", "y"), ("ad_set", "x")]
        assert held[3] is None


def test_a_change_whose_entity_is_held_is_passed_over_and_not_lost(engine: Engine, driver: Driver) -> None:
    driver.queue(first := budget(1100))
    driver.at(NOON + SECOND)
    driver.queue(second := budget(1100, of="s2"))
    change = driver.claim()
    assert change is not None
    driver.move(change, State.CLAIMED, State.PENDING)
    with driving(engine, worker="w2") as other:
        found = other.claim()
        assert found is not None
        assert (found.change_id, other.claim()) == (second.change_id, None)
        driver.release(change)
        again = other.claim()
        assert again is not None
        assert again.change_id == first.change_id


def test_a_killed_session_frees_its_entity(engine: Engine, driver: Driver) -> None:
    driver.queue(budget(1100))
    with driving(engine, worker="w2") as doomed:
        with doomed.session.begin():
            pid = doomed.session.scalar(text("select pg_backend_pid()"))
        change = doomed.claim()
        assert change is not None
        assert not _lockable(driver, change)
        assert driver.value("select pg_terminate_backend(:pid, 5000)", pid=pid)
        assert _lockable(driver, change)
        doomed.session.invalidate()
    driver.move(change, State.CLAIMED, State.PENDING, actor="reconcile")
    assert driver.claim() is not None


def _lockable(driver: Driver, change: Change) -> bool:
    with driver.session.begin():
        return changes.try_lock(driver.session, change)


# Eight workers at once


def test_of_eight_workers_each_change_is_claimed_by_one_and_none_is_lost(engine: Engine, driver: Driver) -> None:
    with crew(engine) as workers:
        for number in range(ROUNDS):
            wanted = [budget(1100, of=f"s{number}.{place}") for place in range(12)]
            driver.queue(*wanted)
            claimed: list[Change] = []

            def claim_all(worker: Driver, claimed: list[Change] = claimed) -> None:
                while change := worker.claim():
                    claimed.append(change)

            at_once(workers, claim_all)
            assert Counter(c.change_id for c in claimed) == Counter(w.change_id for w in wanted)
    moves = "select count(*) from ad_change_history where from_state = 'pending' and to_state = 'claimed'"
    assert driver.value(moves) == ROUNDS * 12


def test_eight_workers_never_send_an_ad_set_more_than_its_rate(engine: Engine, driver: Driver) -> None:
    with crew(engine) as workers:
        for number in range(ROUNDS):
            ad_set = f"s{number}"
            verdicts: list[SendVerdict] = []

            def send(worker: Driver, ad_set: str = ad_set, verdicts: list[SendVerdict] = verdicts) -> None:
                for _ in range(300):
                    if len(verdicts) > 5:
                        return
                    if change := worker.claim():
                        verdicts.append(_send(worker, change))
                    else:
                        worker.queue(budget(1100, of=ad_set, campaign=ad_set))

            at_once(workers, send)
            assert len(verdicts) > 3, "more was tried than may pass"
            assert Counter(v.verdict for v in verdicts)["send"] == 3
            assert {v.guard for v in verdicts} == {None, "rate per ad set"}


def _send(worker: Driver, change: Change) -> SendVerdict:
    """Judges a claimed change; sent ones are refused, so that the next may expect the same value."""
    verdict = worker.authorise(change)
    if verdict.verdict == "send":
        worker.answer(change, WriteOutcome.REFUSED)
    else:
        worker.move(change, State.CLAIMED, State.BLOCKED)
    worker.release(change)
    return verdict


def race(engine: Engine, driver: Driver, wanted: Callable[[int, int], NewChange]) -> list[list[SendVerdict]]:
    """Round by round, eight workers authorise eight different changes at the same moment."""
    found = []
    with crew(engine) as workers:
        for number in range(ROUNDS):
            driver.at(NOON + number * timedelta(days=2))
            driver.queue(*(wanted(number, place) for place in range(WORKERS)))
            verdicts: list[SendVerdict] = []

            def authorise(worker: Driver, verdicts: list[SendVerdict] = verdicts) -> None:
                change = worker.claim()
                assert change is not None
                verdicts.append(worker.authorise(change))

            at_once(workers, authorise)
            found.append(verdicts)
    return found


def test_eight_workers_never_pass_the_rate_of_a_campaign(engine: Engine, driver: Driver) -> None:
    driver.limit(rate_per_campaign=5)
    ids = count()
    for verdicts in race(engine, driver, lambda number, place: status(of=f"a{next(ids)}", campaign=f"c{number}")):
        assert Counter((v.verdict, v.guard) for v in verdicts) == {("send", None): 5, ("wait", "rate per campaign"): 3}


def test_eight_workers_never_pass_the_cap(engine: Engine, driver: Driver) -> None:
    driver.limit(cap_increase=399)
    ids = count()
    for verdicts in race(engine, driver, lambda number, place: budget(1100, of=f"s{next(ids)}", campaign=f"c{place}")):
        assert Counter((v.verdict, v.guard) for v in verdicts) == {("send", None): 3, ("wait", "cap"): 5}


def test_once_halted_no_worker_of_eight_sends(engine: Engine, driver: Driver) -> None:
    with crew(engine) as workers:
        for number in range(ROUNDS):
            driver.queue(*(budget(1100, of=f"s{number}.{place}", campaign=f"c{place}") for place in range(WORKERS)))
            written: list[int] = []

            def authorise(worker: Driver, written: list[int] = written) -> None:
                change = worker.claim()
                assert change is not None
                if worker.worker == "w0":
                    worker.sql("update controls set halted = true where account = '*'")
                    written.append(worker.value("select count(*) from change_attempts"))
                else:
                    worker.authorise(change)

            at_once(workers, authorise)
            assert driver.value("select count(*) from change_attempts") == written[0]
            driver.sql("update controls set halted = false where account = '*'")
