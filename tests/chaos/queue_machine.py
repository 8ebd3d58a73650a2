"""Every move that workers, reconcile, operators, age and strangers can make on one account, in any order.

The machine holds what is true at Meta and makes the same sights as the witness of the chaos tests, so that after each
step the same promises are judged.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, audit, changes
from adctl.domain.changes import Change, NewChange, State
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome
from tests.adapters.store.driver import DAY, HOUR, NOON, SECOND, SETTLE, Driver, budget, driving, open_account, status
from tests.chaos.invariants import IN_FLIGHT, evidence_of, judged
from tests.chaos.witness import Arrival, Attempt, Reading, Sight, Writing

WORKERS = ("w1", "w2", "w3")
# Two ad sets of one campaign, one of another that a stranger edits as well, and an ad.
CAMPAIGNS = {"s1": "c1", "s2": "c1", "s3": "c2", "a1": "c1"}
EDITED = "s3"
LIMITS: dict[str, Any] = {"rate_per_campaign": 5, "cap_increase": 500, "ceiling_budget": 5000, "floor_budget": 500}
# What becomes of a write: whether Meta applies it (None: later, or never), and what its answer proves.
FATES: dict[str, tuple[bool | None, WriteOutcome]] = {
    "applied": (True, WriteOutcome.ACCEPTED),
    "no effect": (False, WriteOutcome.ACCEPTED),
    "refused": (False, WriteOutcome.REFUSED),
    "deferred": (False, WriteOutcome.DEFERRED),
    "lost before": (False, WriteOutcome.UNKNOWN),
    "lost after": (True, WriteOutcome.UNKNOWN),
    "late": (None, WriteOutcome.UNKNOWN),
}
_ENDS = {
    WriteOutcome.REFUSED: State.FAILED,
    WriteOutcome.DEFERRED: State.PENDING,
    WriteOutcome.UNKNOWN: State.UNKNOWN,
}
_STATES = text("select change_id, state, entity_id from pending_ad_changes where account = :account order by change_id")


@dataclass(slots=True, kw_only=True)
class Hand:
    """The change a worker holds and how far it has come with it: claimed, authorised, accepted."""

    change: Change
    step: str = "claimed"
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A write on its way to Meta that nobody waits for any more."""

    entity: str
    value: str
    sent_at: datetime


class QueueMachine(RuleBasedStateMachine):
    """One account in a shared database; every example has an account of its own."""

    engine: ClassVar[Engine]
    numbers: ClassVar[count[int]] = count(1)

    def __init__(self) -> None:
        super().__init__()
        self.number = next(self.numbers)
        self.account = Account(f"m{self.number}")
        open_account(self.engine, self.account, **LIMITS)
        self.now = NOON
        self.halted = False
        self.held = {"s1": "1000", "s2": "1500", "s3": "1000", "a1": "ACTIVE"}
        self.sights: list[Sight] = []
        self.late: list[Late] = []
        self.ids = count(1)
        self.hands: dict[str, Hand] = {}
        self.stack = ExitStack()
        self.workers = {name: self._driver(name) for name in (*WORKERS, "reconciler")}
        for entity, percent in (("s1", 110), ("s2", 79), ("s3", 120)):
            self.enqueue_budget(entity, percent)

    def _driver(self, name: str) -> Driver:
        return self.stack.enter_context(driving(self.engine, self.account, name))

    def teardown(self) -> None:
        self.stack.close()

    # What enqueue, operators, age, time and strangers do

    @rule(entity=st.sampled_from(("s1", "s2", "s3")), percent=st.sampled_from((79, 80, 95, 101, 110, 120, 121)))
    def enqueue_budget(self, entity: str, percent: int) -> None:
        now = int(self.held[entity])
        self._queue(budget(now * percent // 100, now, of=entity, campaign=CAMPAIGNS[entity]))

    @rule()
    def enqueue_status(self) -> None:
        target = "PAUSED" if self.held["a1"] == "ACTIVE" else "ACTIVE"
        self._queue(status(target, self.held["a1"], of="a1", campaign=CAMPAIGNS["a1"]))

    def _queue(self, wanted: NewChange) -> None:
        if wanted.target != wanted.expected:
            own = self._id()
            self.workers["reconciler"].queue(
                replace(wanted, change_id=own, decision_id=own, decision_day=self.now.date())
            )

    def _id(self) -> UUID:
        """The next id: with random ones, who is claimed first would change from run to run."""
        return UUID(int=(self.number << 32) + next(self.ids))

    @rule(act=st.sampled_from(("approve", "decline", "cancel", "end conflict")), pick=st.integers(0, 20))
    def an_operator_acts(self, act: str, pick: int) -> None:
        match act:
            case "cancel":
                self._cancel(pick)
            case "end conflict":
                self._complete_conflicts_that_are_over()
            case _:
                self._propose(("s1", "s2")[pick % 2], _APPROVE if act == "approve" else _CANCEL)

    def _propose(self, entity: str, answer: str) -> None:
        before = {row.change_id for row in self._rows()}
        self._insert_proposed(entity)
        for row in self._rows():
            if row.change_id not in before:
                self.workers["reconciler"].sql(answer, actor="operator", change=row.change_id)

    def _insert_proposed(self, entity: str) -> None:
        now = int(self.held[entity])
        self.workers["reconciler"].sql(
            _PROPOSED,
            actor="enqueue",
            account=self.account,
            change=self._id(),
            entity=entity,
            campaign=CAMPAIGNS[entity],
            expected=now,
            target=now * 105 // 100,
        )

    def _cancel(self, pick: int) -> None:
        open_now = [row for row in self._rows() if row.state in ("pending", "unknown", "conflict")]
        if not open_now:
            return
        row = open_now[pick % len(open_now)]
        if row.state == "unknown" and not self._settled(row.change_id):
            return
        self.workers["reconciler"].sql(_CANCEL, actor="operator", change=row.change_id)

    def _complete_conflicts_that_are_over(self) -> None:
        for change in self._in_flight():
            if change.state is State.CONFLICT and self._read(change.entity_id) == str(change.target):
                self.workers["reconciler"].move(change, State.CONFLICT, State.COMPLETED, actor="operator")

    @rule(worker=st.sampled_from(WORKERS), resume=st.booleans())
    def halt(self, worker: str, resume: bool) -> None:
        """The worker in the midst of its work when it comes; most halts are over soon."""
        self._set_halted(True)
        self._step(worker, "applied")
        if resume:
            self._set_halted(False)

    @rule()
    def resume(self) -> None:
        self._set_halted(False)

    def _set_halted(self, halted: bool) -> None:
        self.halted = halted
        self.workers["reconciler"].sql(
            "update controls set halted = :halt where account = :account", halt=halted, account=self.account
        )

    @rule(value=st.integers(600, 2000))
    def a_stranger_edits(self, value: int) -> None:
        self.held[EDITED] = str(value)

    @rule(
        span=st.sampled_from((SECOND, 61 * SECOND, SETTLE - SECOND, SETTLE, HOUR, 6 * HOUR, DAY)),
        lands=st.booleans(),
    )
    def time_passes(self, span: timedelta, lands: bool) -> None:
        """No write is on its way for longer than settle."""
        self.now += span
        if any(one.sent_at + SETTLE <= self.now for one in self.late):
            self._arrive(lands)
        self.workers["reconciler"].at(self.now)
        with transaction(self.engine) as connection:
            changes.expire_old(connection, self.account)

    @rule()
    def what_was_late_lands(self) -> None:
        self._arrive(True)

    def _arrive(self, lands: bool) -> None:
        for one in self.late:
            if lands:
                self._write(one.entity, one.value)
        self.late = []

    # What workers do

    @rule(worker=st.sampled_from(WORKERS), fate=st.sampled_from(sorted(FATES)), steps=st.integers(1, 4))
    def work(self, worker: str, fate: str, steps: int) -> None:
        for _ in range(steps):
            self._step(worker, fate)

    @rule(fates=st.lists(st.sampled_from(sorted(FATES)), min_size=3, max_size=3))
    def everybody_works(self, fates: list[str]) -> None:
        for worker, fate in zip(WORKERS, fates, strict=True):
            self._step(worker, fate)

    @rule(worker=st.sampled_from(WORKERS), fate=st.sampled_from(sorted(FATES)))
    def work_until_let_go(self, worker: str, fate: str) -> None:
        self._step(worker, fate)
        while worker in self.hands:
            self._step(worker, fate)

    def _step(self, worker: str, fate: str) -> None:
        """The worker's next step of the protocol; `fate` is that of the write, if it is its turn."""
        hand = self.hands.get(worker)
        match hand.step if hand else "idle":
            case "idle":
                change = self.workers[worker].claim()
                if change is not None:
                    self.hands[worker] = Hand(change=change)
            case "claimed":
                self._read_and_authorise(worker, self.hands[worker])
            case "authorised":
                self._send(worker, self.hands[worker], fate)
            case _:
                self._read_back(worker, self.hands[worker])

    @rule(worker=st.sampled_from(WORKERS), sending=st.booleans(), lands=st.booleans())
    def a_worker_dies(self, worker: str, sending: bool, lands: bool) -> None:
        """With `sending` its request had left, and `lands` says whether it gets there."""
        hand = self.hands.pop(worker, None)
        if hand is None:
            return
        if sending and hand.step == "authorised":
            self._note_arrival(hand)
            self.late += [Late(entity=hand.change.entity_id, value=str(hand.change.target), sent_at=self.now)] * lands
        self.workers[worker].die()

    @rule()
    def reconcile(self) -> None:
        self._reconcile()

    @rule(lands=st.booleans())
    def reconcile_what_has_settled(self, lands: bool) -> None:
        self.time_passes(SETTLE, lands)
        self._reconcile()

    def _reconcile(self) -> None:
        reconciler = self.workers["reconciler"]
        for change in self._in_flight():
            with reconciler.session.begin():
                free = changes.try_lock(reconciler.session, change)
            if free:
                self._reconcile_one(reconciler, change)
                reconciler.release(change)

    def _reconcile_one(self, reconciler: Driver, change: Change) -> None:
        state = change.state
        if state is State.CLAIMED:
            reconciler.move(change, State.CLAIMED, State.PENDING, actor="reconcile")
            return
        if state is State.EXECUTING:
            reconciler.move(change, State.EXECUTING, State.UNKNOWN, actor="reconcile")
        if state is State.CONFLICT or not self._settled(change.change_id):
            return
        held = self._read(change.entity_id)
        if held == str(change.target):
            to = State.COMPLETED
        elif held == str(change.expected) and change.attempts < 3:
            to = State.PENDING
        else:
            to = State.CONFLICT
        reconciler.move(change, State.UNKNOWN, to, actor="reconcile")

    def _read_and_authorise(self, worker: str, hand: Hand) -> None:
        driver, change = self.workers[worker], hand.change
        held = self._read(change.entity_id)
        if held != str(change.expected):
            self._let_go(worker, State.CLAIMED, State.COMPLETED if held == str(change.target) else State.CONFLICT)
            return
        verdict = driver.authorise(change)
        assert not (self.halted and verdict.verdict == "send"), "I10: authorised while halted"
        if verdict.verdict == "send":
            hand.step, hand.attempt = "authorised", verdict.attempt or 0
        else:
            self._let_go(worker, State.CLAIMED, State.BLOCKED if verdict.verdict == "block" else State.PENDING)

    def _send(self, worker: str, hand: Hand, fate: str) -> None:
        applied, outcome = FATES[fate]
        change = hand.change
        self._note_arrival(hand)
        if applied is None:
            self.late.append(Late(entity=change.entity_id, value=str(change.target), sent_at=self.now))
        elif applied:
            self._write(change.entity_id, str(change.target))
        session = self.workers[worker].session
        with session.begin():
            attempts.finish(session, change, hand.attempt, outcome, code="", detail="")
        if outcome is WriteOutcome.ACCEPTED:
            hand.step = "accepted"
        else:
            self._let_go(worker, State.EXECUTING, _ENDS[outcome])

    def _read_back(self, worker: str, hand: Hand) -> None:
        seen = self._read(hand.change.entity_id) == str(hand.change.target)
        self._let_go(worker, State.EXECUTING, State.COMPLETED if seen else State.UNKNOWN)

    def _let_go(self, worker: str, come_from: State, to: State) -> None:
        hand = self.hands.pop(worker)
        self.workers[worker].move(hand.change, come_from, to)
        self.workers[worker].release(hand.change)

    # What Meta holds and sees

    def _read(self, entity: str) -> str:
        self.sights.append(Reading(entity=entity, held=self.held[entity]))
        return self.held[entity]

    def _write(self, entity: str, value: str) -> None:
        self.sights.append(Writing(entity=entity, before=self.held[entity], after=value, at=self.now))
        self.held[entity] = value

    def _note_arrival(self, hand: Hand) -> None:
        change = hand.change
        under_way = self.workers["reconciler"].value(_UNDER_WAY, change=change.change_id, attempt=hand.attempt)
        attempt = Attempt(
            change_id=change.change_id,
            attempt=hand.attempt,
            target=str(change.target),
            expected=str(change.expected),
            under_way=bool(under_way),
        )
        sent = {change.field.value: str(change.target)}
        self.sights.append(Arrival(entity=change.entity_id, sent=sent, at=self.now, attempt=attempt))

    def _rows(self) -> list[Any]:
        with transaction(self.engine, read_only=True) as connection:
            return list(connection.execute(_STATES, {"account": self.account}))

    def _in_flight(self) -> tuple[Change, ...]:
        with transaction(self.engine, read_only=True) as connection:
            return changes.in_flight(connection, self.account)

    def _settled(self, change_id: object) -> bool:
        return bool(
            self.workers["reconciler"].value(
                "select change_is_settled(:account, :change)", account=self.account, change=change_id
            )
        )

    # What must hold after each step

    @invariant()
    def every_promise_is_kept(self) -> None:
        evidence = evidence_of(self.engine, self.account, self.sights, frozenset({EDITED}))
        assert judged(evidence) == []

    @invariant()
    def the_audit_verifies(self) -> None:
        with transaction(self.engine, read_only=True) as connection:
            assert audit.verify(connection, self.account).holds
            assert accounts.now(connection) == self.now

    @invariant()
    def every_change_in_a_hand_is_in_flight(self) -> None:
        states = {row.change_id: row.state for row in self._rows()}
        assert all(states[hand.change.change_id] in IN_FLIGHT for hand in self.hands.values())


_APPROVE = "update pending_ad_changes set state = 'pending', approved_by = 'somebody' where change_id = :change"
_CANCEL = (
    "update pending_ad_changes set state = 'cancelled', state_reason = 'no longer wanted' where change_id = :change"
)
_UNDER_WAY = """
    select a.outcome is null and c.state = 'executing'
    from change_attempts a join pending_ad_changes c using (account, change_id)
    where a.change_id = :change and a.attempt = :attempt
"""
_PROPOSED = """
    insert into pending_ad_changes (account, change_id, decision_id, decision_day, run_id, entity_kind, entity_id,
      campaign_id, ad_set_id, field, expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at,
      created_at, state, updated_at)
    values (:account, :change, :change, adctl_now()::date, gen_random_uuid(), 'ad_set', :entity, :campaign,
      :entity, 'daily_budget', :expected, :target, 'a test wants it', 0, adctl_now(), adctl_now() + interval '1 day',
      adctl_now(), 'proposed', adctl_now())
    on conflict do nothing
"""
