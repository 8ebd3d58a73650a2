"""Drives changes through the queue as `execute` does, one step at a time, under a clock that stands still."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, changes, queue
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Change, NewChange, SendVerdict, State
from adctl.domain.entities import EntityKind, Field
from adctl.domain.ids import Account
from adctl.domain.ports import WriteOutcome

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=120)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MAIN = Account("main")
LIMITS: Mapping[str, object] = {
    "rate_per_campaign": 15,
    "rate_per_ad_set": 3,
    "velocity_percent": 20,
    "velocity_window": timedelta(hours=6),
    "floor_budget": 1,
    "ceiling_budget": 10**9,
    "cap_increase": 10**9,
    "freshness": timedelta(seconds=60),
    "settle": SETTLE,
    "max_attempts": 3,
}
_AFTER = {
    WriteOutcome.ACCEPTED: State.COMPLETED,
    WriteOutcome.REFUSED: State.FAILED,
    WriteOutcome.DEFERRED: State.PENDING,
    WriteOutcome.UNKNOWN: State.UNKNOWN,
}
_UNDO = text(
    """
    insert into pending_ad_changes (account, change_id, run_id, entity_kind, entity_id, campaign_id, ad_set_id, field,
      expected_budget, target_budget, reason, jitter_ms, earliest_execute_at, expires_at, compensates, created_at,
      updated_at)
    select account, :new, run_id, entity_kind, entity_id, campaign_id, ad_set_id, field, target_budget, expected_budget,
      'undo', 0, adctl_now(), adctl_now() + interval '1 day', change_id, adctl_now(), adctl_now()
    from pending_ad_changes where account = :account and change_id = :change
    """
)


def budget(target: int, expected: int = 1000, *, of: str = "s1", campaign: str = "c1") -> NewChange:
    """A change of an ad set's daily budget, minor units."""
    return NewChange(
        change_id=(decision := uuid4()),
        decision_id=decision,
        decision_day=date(2026, 3, 2),
        kind=EntityKind.AD_SET,
        entity_id=of,
        campaign_id=campaign,
        ad_set_id=of,
        field=Field.DAILY_BUDGET,
        expected=expected,
        target=target,
        wanted=target,
        reason="a test wants it",
        clipped_by=(),
        fuzz_ppm=0,
        jitter_ms=0,
    )


def status(target: str = "PAUSED", expected: str = "ACTIVE", *, of: str = "a1", campaign: str = "c1") -> NewChange:
    """A change of an ad's status."""
    return NewChange(
        change_id=(decision := uuid4()),
        decision_id=decision,
        decision_day=date(2026, 3, 2),
        kind=EntityKind.AD,
        entity_id=of,
        campaign_id=campaign,
        ad_set_id="s1",
        field=Field.STATUS,
        expected=expected,
        target=target,
        wanted=None,
        reason="a test wants it",
        clipped_by=(),
        fuzz_ppm=0,
        jitter_ms=0,
    )


@dataclass(slots=True, kw_only=True)
class Driver:
    """One account's queue and the session of one worker."""

    engine: Engine
    session: Connection
    account: Account = MAIN
    worker: str = "w1"

    def at(self, moment: datetime) -> None:
        with transaction(self.engine) as connection:
            accounts.simulate(connection, moment)

    def limit(self, **limits: object) -> None:
        with transaction(self.engine) as connection:
            attempts.sync_limits(connection, self.account, {**LIMITS, **limits})

    def sql(self, statement: str, *, actor: str = "", **parameters: object) -> None:
        with transaction(self.engine) as connection:
            changes.act_as(connection, actor)
            connection.execute(text(statement), parameters)

    def die(self) -> None:
        """Gives every lock back at once, as PostgreSQL does for a session whose process is gone."""
        with self.session.begin():
            self.session.execute(text("select pg_advisory_unlock_all()"))

    def value(self, statement: str, **parameters: object) -> Any:
        with transaction(self.engine, read_only=True) as connection:
            return connection.scalar(text(statement), parameters)

    def queue(self, *wanted: NewChange, expire: timedelta = DAY) -> int:
        with transaction(self.engine) as connection:
            return queue.enqueue(connection, self.account, uuid4(), wanted, expire=expire)

    def claim(self) -> Change | None:
        with self.session.begin():
            return changes.claim(self.session, self.account, self.worker)

    def authorise(
        self, change: Change, *, read_at: datetime | None = None, others: Collection[str] = ("another",)
    ) -> SendVerdict:
        with self.session.begin():
            read_at = read_at or accounts.now(self.session)
            return changes.authorise(
                self.session, change, self.worker, read_at=read_at, observed=change.expected, others=others
            )

    def answer(self, change: Change, outcome: WriteOutcome, attempt: int = 1) -> None:
        """Writes down what the attempt proved and moves the change accordingly."""
        with self.session.begin():
            attempts.finish(self.session, change, attempt, outcome, code="", detail="")
        self.move(change, State.EXECUTING, _AFTER[outcome])

    def move(self, change: Change, come_from: State, to: State, actor: str = "execute", reason: str = "so") -> None:
        observed = change.target if to is State.COMPLETED else change.expected if come_from is State.UNKNOWN else None
        with self.session.begin():
            assert changes.move(
                self.session, change, come_from=come_from, to=to, actor=actor, reason=reason, observed=observed
            )

    def release(self, change: Change) -> None:
        with self.session.begin():
            changes.release(self.session, change)

    def ask(self, wanted: NewChange | None, outcome: WriteOutcome = WriteOutcome.ACCEPTED) -> SendVerdict:
        """Queues a change (None: what is queued), has it judged, and ends it in the way of the verdict and `outcome`.

        After an unknown outcome an operator gives the change up once it is settled, by moving the clock on.
        """
        if wanted is not None:
            assert self.queue(wanted) == 1
        change = self.claim()
        assert change is not None
        assert wanted is None or change.change_id == wanted.change_id
        verdict = self.authorise(change)
        if verdict.verdict == "send":
            assert verdict.attempt is not None
            self.answer(change, outcome, verdict.attempt)
        else:
            self.move(change, State.CLAIMED, State.PENDING)
        self.release(change)
        self._give_up(change)
        return verdict

    def _give_up(self, change: Change) -> None:
        state = State(self.state(change.change_id))
        if state is State.UNKNOWN:
            with transaction(self.engine) as connection:
                now = accounts.now(connection)
            self.at(now + SETTLE)
        if state in (State.UNKNOWN, State.PENDING):
            self.move(change, state, State.CANCELLED, actor="operator", reason="given up")

    def state(self, change_id: UUID) -> str:
        return str(
            self.value(
                "select state from pending_ad_changes where account = :account and change_id = :id",
                account=self.account,
                id=change_id,
            )
        )

    def undo(self, change_id: UUID) -> UUID:
        """Queues what takes a completed change back."""
        new = uuid4()
        with transaction(self.engine) as connection:
            changes.act_as(connection, "undo")
            assert connection.execute(_UNDO, {"account": self.account, "change": change_id, "new": new}).rowcount == 1
        return new


def open_account(engine: Engine, account: Account = MAIN, **limits: object) -> None:
    """An account that may send, at noon."""
    profile = AccountProfile(
        account=account, meta_ad_account=f"act_{account}", hubspot_portal="", currency="USD", timezone="UTC"
    )
    with transaction(engine) as connection:
        accounts.ensure(connection, profile)
        accounts.simulate(connection, NOON)
        attempts.sync_limits(connection, account, {**LIMITS, **limits})


@contextmanager
def driving(engine: Engine, account: Account = MAIN, worker: str = "w1") -> Iterator[Driver]:
    """A worker with a session of its own."""
    with engine.connect() as session:
        yield Driver(engine=engine, session=session, account=account, worker=worker)
