"""The history: append-only, without gaps, chained, and enough to say where every change stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import audit
from adctl.adapters.store.audit import Verification
from adctl.domain.changes import State
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import MAIN, Driver, budget, driving, open_account, status


def verify(driver: Driver) -> Verification:
    with transaction(driver.engine, read_only=True) as connection:
        return audit.verify(connection, driver.account)


def some_history(driver: Driver) -> None:
    """Eleven links: a change sent and seen, one of unknown outcome, one that waits."""
    driver.ask(budget(1100))
    driver.queue(status())
    change = driver.claim()
    assert change is not None
    driver.authorise(change)
    driver.answer(change, WriteOutcome.UNKNOWN)
    driver.queue(budget(1100, of="s2"))
    driver.release(change)
    waiting = driver.claim()
    assert waiting is not None
    driver.move(waiting, State.CLAIMED, State.PENDING, reason="ünclear\nnow")
    driver.release(waiting)


def tampered(driver: Driver, *statements: str) -> Verification:
    """What is found when somebody with every right rewrites rows; nothing is left of it."""
    with driver.engine.connect() as connection:
        for table in ("ad_change_history", "audit_heads", "pending_ad_changes"):
            connection.exec_driver_sql(f"alter table {table} disable trigger user")
        for statement in statements:
            connection.exec_driver_sql(statement)
        return audit.verify(connection, driver.account)


def test_an_untouched_history_holds(driver: Driver) -> None:
    assert verify(driver) == Verification(links=0, broken=None, trouble=None, strays=())
    some_history(driver)
    found = verify(driver)
    assert found.holds
    assert found == Verification(links=11, broken=None, trouble=None, strays=())
    with transaction(driver.engine) as connection:
        assert audit.head(connection, MAIN).startswith("11:")


def test_the_chain_can_be_computed_outside_the_database(driver: Driver) -> None:
    driver.at(moment := datetime(2026, 3, 2, 23, 4, 5, 678, tzinfo=UTC))
    with driver.session.begin():
        driver.session.exec_driver_sql("set time zone 'Asia/Tokyo'")
    wanted = (budget(1100, 1000, of="s1"), status("PAUSED", "ACTIVE", of="a1"))
    said = []
    for change, what in zip(wanted, ("ad_set,s1,daily_budget,1000,1100", "ad,a1,status,ACTIVE,PAUSED"), strict=True):
        driver.queue(change)
        claimed = driver.claim()
        assert claimed is not None
        driver.move(claimed, State.CLAIMED, State.COMPLETED, reason="as is")
        said += [
            f"(main,{change.change_id},,pending,enqueue,{what},,0,)",
            f"(main,{change.change_id},pending,claimed,execute,{what},,0,)",
            f'(main,{change.change_id},claimed,completed,execute,{what},{change.target},0,"as is")',
        ]
    hashed = b""
    for place, row in enumerate(said, start=1):
        hashed = sha256(hashed + f"{place} {moment:%Y-%m-%d %H:%M:%S.%f} {row}".encode()).digest()
    with transaction(driver.engine) as connection:
        assert audit.head(connection, MAIN) == f"6:{hashed.hex()}"
    assert verify(driver).holds


def test_every_column_of_a_link_is_under_its_hash(driver: Driver) -> None:
    some_history(driver)
    for assignment in [
        "account = account || 'x'",
        "at = at + interval '1 microsecond'",
        "change_id = gen_random_uuid()",
        "from_state = 'x'",
        "to_state = 'failed'",
        "actor = 'x'",
        "entity_kind = 'x'",
        "entity_id = 'x'",
        "field = 'x'",
        "expected = '1'",
        "target = '1'",
        "observed = '1'",
        "attempt = 9",
        "reason = 'x'",
        "reason = coalesce(reason, '') || ' '",
        "hash = sha256('x')",
        "previous_hash = sha256('x')",
    ]:
        found = tampered(driver, f"update ad_change_history set {assignment} where seq = 4")
        assert found.broken == 4, assignment
    assert verify(driver).holds


_REHASH = "update ad_change_history h set hash = audit_hash(previous_hash, h) where seq = 4"


_TAMPERINGS: tuple[tuple[list[str], int, str | None], ...] = (
    (["update ad_change_history set reason = 'x' where seq = 1"], 1, "was rewritten"),
    (["update ad_change_history set reason = 'x' where seq = 11"], 11, "was rewritten"),
    (["update ad_change_history set reason = 'x' where seq in (9, 4)"], 4, "was rewritten"),
    (["update ad_change_history set reason = 'x' where seq = 4", _REHASH], 5, "does not follow the one before"),
    (["delete from ad_change_history where seq = 1"], 1, "is missing"),
    (["delete from ad_change_history where seq = 6"], 6, "is missing"),
    (["delete from ad_change_history where seq = 11"], 11, "is missing"),
    (["delete from ad_change_history"], 1, "is missing"),
    (["update ad_change_history set seq = 40 where seq = 4"], 4, "is missing"),
    (
        [
            "alter table ad_change_history drop constraint ad_change_history_pkey",
            "insert into ad_change_history select * from ad_change_history where seq = 4",
        ],
        4,
        None,
    ),
    (["update audit_heads set hash = sha256('x')"], 11, "is not the head's"),
    (["update audit_heads set seq = 12"], 12, "is missing"),
    (["update audit_heads set seq = 9"], 9, None),
    (["delete from audit_heads"], 11, "is beyond the head"),
)


def test_the_first_link_that_does_not_hold_is_named(driver: Driver) -> None:
    some_history(driver)
    for statements, broken, trouble in _TAMPERINGS:
        found = tampered(driver, *statements)
        assert not found.holds
        assert found.broken == broken, statements
        assert trouble is None or found.trouble == trouble, statements
    assert verify(driver).holds


def test_a_state_that_the_history_does_not_know_is_a_stray(driver: Driver) -> None:
    some_history(driver)
    key = driver.value("select change_id from pending_ad_changes where state = 'completed'")
    found = tampered(driver, "update pending_ad_changes set state = 'failed' where state = 'completed'")
    assert (found.broken, found.strays, found.holds) == (None, (key,), False)


def test_replaying_the_history_gives_the_states_of_now(driver: Driver) -> None:
    some_history(driver)
    with transaction(driver.engine) as connection:
        rows = connection.exec_driver_sql("select * from ad_change_history order by seq").mappings().all()
        current = connection.exec_driver_sql("select change_id, state, attempts from pending_ad_changes").all()
    assert [row["seq"] for row in rows] == list(range(1, 12))
    states: dict[object, tuple[str, int]] = {}
    for row in rows:
        before = states.get(row["change_id"])
        assert row["from_state"] == (before[0] if before else None)
        states[row["change_id"]] = (row["to_state"], row["attempt"])
    assert states == {row.change_id: (row.state, row.attempts) for row in current}
    assert {row["actor"] for row in rows} == {"enqueue", "execute", "authorise"}


def test_two_accounts_have_two_chains(engine: Engine, driver: Driver) -> None:
    open_account(engine, Account("other"))
    with driving(engine, Account("other")) as other:
        driver.ask(budget(1100))
        other.ask(budget(1100))
        assert [verify(one) for one in (driver, other)] == [
            Verification(links=4, broken=None, trouble=None, strays=())
        ] * 2
        hashes = "select count(distinct hash) from ad_change_history"
        assert driver.value(hashes) == 8, "the same moves, other hashes"
        forged = "update ad_change_history set reason = 'x' where account = 'main' and seq = 2"
        assert tampered(driver, forged).broken == 2
        assert tampered(other, forged).holds


def test_a_batch_is_a_link_for_each_move_and_what_is_only_noted_is_none(driver: Driver) -> None:
    driver.queue(*(budget(1100, of=f"s{number}") for number in range(3)))
    driver.sql("select claim_pending_ad_change('main', 'w1', 2)")
    driver.sql("update pending_ad_changes set state_reason = 'still looking'")
    links = "select string_agg(coalesce(from_state, 'new'), ' ' order by seq) from ad_change_history"
    assert driver.value(links) == "new new new pending pending"


def test_a_move_that_is_rolled_back_leaves_no_gap(driver: Driver) -> None:
    driver.queue(budget(1100))
    with driver.session.begin() as begun:
        driver.session.exec_driver_sql("select claim_pending_ad_change('main', 'w1')")
        begun.rollback()
    assert driver.claim() is not None
    assert verify(driver) == Verification(links=2, broken=None, trouble=None, strays=())


def test_eight_at_once_write_one_chain(engine: Engine, driver: Driver) -> None:
    def work(number: int) -> None:
        with driving(engine, worker=f"w{number}") as worker:
            for place in range(5):
                worker.queue(budget(1100, of=f"s{number}.{place}", campaign=f"c{number}"))
                worker.claim()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert verify(driver) == Verification(links=80, broken=None, trouble=None, strays=())
