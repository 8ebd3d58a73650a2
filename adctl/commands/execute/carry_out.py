"""One change after the other: claim, read, pause, authorise, write, read back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from adctl.adapters.db import bound
from adctl.adapters.store import attempts, changes, exposure
from adctl.commands.execute.session import Session, observed_in
from adctl.domain.changes import Change, Reading, SendVerdict, State, judge
from adctl.domain.entities import EntityState
from adctl.domain.ports import Stops, WriteAnswer, WriteOutcome
from adctl.errors import AdctlError, BusyError, DeniedError, UnavailableError

# How long after a guard without a time of its own (a missing row, a halt), or a read that Meta refused, the next tick
# may look again.
_LOOK_AGAIN = timedelta(minutes=5)
_SHORTEST_WAIT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """The worker of one run; others take what it sent for decided after `settle` seconds. `sleep` takes seconds."""

    session: Session
    worker: str
    settle: float
    sleep: Callable[[float], None]

    def take_next(self) -> bool:
        """Claims the next due change and carries it out; False when nothing is due."""
        connection = self.session.connection
        with connection.begin():
            change = changes.claim(connection, self.session.profile.account, self.worker)
        if change is None:
            return False
        with self.session.holding(change):
            self._carry_out(change)
        return True

    def _carry_out(self, change: Change) -> None:
        read_at, state = self._read_claimed(change)
        if judge(change, state) is Reading.AS_EXPECTED and change.jitter_ms:
            self.sleep(change.jitter_ms / 1000)
            # A person may have changed it during the pause, and a long one outlasts the freshness of what was read.
            read_at, state = self._read_claimed(change)
        settle, observed = self.session.settle, observed_in(change, state)
        match judge(change, state):
            case Reading.AT_TARGET:
                settle(change, State.CLAIMED, State.COMPLETED, reason="was there already", observed=change.target)
            case Reading.STRANGER:
                reason = f"Meta holds {self.session.shown(observed)}, expected {self.session.shown(change.expected)}"
                settle(change, State.CLAIMED, State.CONFLICT, reason=reason, observed=observed)
            case Reading.GONE:
                settle(change, State.CLAIMED, State.BLOCKED, reason="archived, deleted or not found at Meta")
            case Reading.UNWRITABLE:
                settle(change, State.CLAIMED, State.BLOCKED, reason="holds no daily budget of its own")
            case Reading.AS_EXPECTED:
                self._send(change, read_at)

    def _read_claimed(self, change: Change) -> tuple[datetime, EntityState | None]:
        """The object as it is now, and the moment before it was read; without an answer the change is given back."""
        read_at = self.session.now()
        with self._given_back_unread(change):
            return read_at, self.session.platform.read(change.kind, change.entity_id)

    @contextmanager
    def _given_back_unread(self, change: Change) -> Iterator[None]:
        try:
            yield
        except AdctlError as error:
            # What no later answer mends goes behind the others, which it would keep from being sent.
            passes = isinstance(error, UnavailableError | BusyError)
            until = None if passes else self.session.now() + _LOOK_AGAIN
            reason = f"could not be read: {error.what}"
            self.session.settle(change, State.CLAIMED, State.PENDING, reason=reason, not_before=until)
            raise

    def _others_active(self, change: Change) -> Collection[str]:
        """Of the ads beside one that is to be paused those that are on: people may have paused them since enqueue."""
        if change.target != "PAUSED" or change.ad_set_id is None:
            return ()
        with self._given_back_unread(change):
            return set(self.session.platform.active_ads(change.ad_set_id)) - {change.entity_id}

    def _send(self, change: Change, read_at: datetime) -> None:
        connection = self.session.connection
        others = self._others_active(change)
        # Reconcile takes what is older than `settle` for decided: a process frozen since must not send any more.
        not_after = time.monotonic() + self.settle
        with bound(connection):
            verdict = changes.authorise(
                connection, change, self.worker, read_at=read_at, observed=change.expected, others=others
            )
        if verdict.verdict != "send" or verdict.attempt is None:
            self._hold_back(change, verdict)
            return
        answer = self.session.platform.write(change.entity_id, change.field, change.target, not_after=not_after)
        self.session.sent += 1
        with connection.begin():
            attempts.finish(connection, change, verdict.attempt, answer.outcome, code=answer.code, detail=answer.detail)
        self._after(change, answer)

    def _hold_back(self, change: Change, verdict: SendVerdict) -> None:
        if verdict.verdict == "block":
            self.session.settle(
                change, State.CLAIMED, State.BLOCKED, reason=verdict.sentence(self.session.profile.currency)
            )
            return
        now = self.session.now()
        # What passes at once by its own word, as a reading that took too long, would be taken up again without an end.
        until = verdict.until if verdict.until is not None and verdict.until > now else now + _LOOK_AGAIN
        self.session.settle(
            change,
            State.CLAIMED,
            State.PENDING,
            reason=verdict.sentence(self.session.profile.currency),
            not_before=until,
        )
        if verdict.guard == "halt":
            raise BusyError("sending is halted", fix="run adctl resume once the reason is gone")

    def _after(self, change: Change, answer: WriteAnswer) -> None:
        why = f"{answer.code} {answer.detail}".strip()
        match answer.outcome:
            case WriteOutcome.ACCEPTED:
                self._read_back(change)
            case WriteOutcome.REFUSED:
                self.session.settle(change, State.EXECUTING, State.FAILED, reason=why)
            case WriteOutcome.DEFERRED:
                until = self.session.now() + timedelta(seconds=max(answer.retry_after, _SHORTEST_WAIT))
                self.session.settle(change, State.EXECUTING, State.PENDING, reason=why, not_before=until)
                if answer.stops is not Stops.OBJECT:
                    self._stop(answer.stops, why)
            case WriteOutcome.UNKNOWN:
                self.session.settle(change, State.EXECUTING, State.UNKNOWN, reason=why)

    def _stop(self, stops: Stops, why: str) -> NoReturn:
        """Ends the run: the next write would meet the same answer."""
        if stops is Stops.ACCOUNT:
            raise BusyError(f"Meta limits this account: {why}", fix="the next tick goes on")
        if stops is Stops.NETWORK:
            raise UnavailableError(f"Meta cannot be reached: {why}", fix="check the network and the base URL")
        if stops is Stops.RIGHTS:
            raise DeniedError(f"Meta lets us write no more: {why}", fix="renew the token or grant ads_management")
        account, connection = self.session.profile.account, self.session.connection
        with connection.begin():
            exposure.set_halted(connection, account, halted=True, reason=f"Meta blocks writes: {why}")
        raise DeniedError(
            f"Meta blocks writes, and sending is halted: {why}", fix="settle it with Meta, then adctl resume"
        )

    def _read_back(self, change: Change) -> None:
        settle = self.session.settle
        try:
            state = self.session.platform.read(change.kind, change.entity_id)
        except AdctlError as error:
            settle(change, State.EXECUTING, State.UNKNOWN, reason=f"not read back: {error.what}")
            return
        observed = observed_in(change, state)
        if observed == change.target:
            settle(change, State.EXECUTING, State.COMPLETED, reason="read back", observed=observed)
        else:
            settle(
                change, State.EXECUTING, State.UNKNOWN, reason=f"reads {self.session.shown(observed)} after the write"
            )
