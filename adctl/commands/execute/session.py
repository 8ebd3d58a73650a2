"""One run's session with the database and what happened in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from adctl.adapters.db import bound, transaction
from adctl.adapters.store import accounts, changes, entities, person_edits, reports
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import change_row, value_shown
from adctl.domain.changes import Change, State, Value
from adctl.domain.entities import EntityState
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Cell
from adctl.errors import BusyError

# Limits on reading figures stop no change.
_READING = frozenset({"ads_insights", "insights"})
_TROUBLE = frozenset({State.FAILED, State.CONFLICT, State.UNKNOWN, State.BLOCKED})


@dataclass(slots=True, kw_only=True)
class Session:
    """The connection outlives every change in hand: its advisory locks are how others see that this run lives.

    It commits each statement as it ends, unless `db.bound` makes one transaction of several.
    """

    connection: Connection
    profile: AccountProfile
    platform: AdsPlatform
    ended_as: dict[UUID, State] = field(default_factory=dict)
    lines: list[Mapping[str, Cell]] = field(default_factory=list)
    sent: int = 0
    moved: int = 0
    locked: bool = False

    @contextmanager
    def holding(self, change: Change) -> Iterator[None]:
        """Gives the lock on the change's entity back in the end, unless the last move did."""
        self.locked = True
        try:
            yield
        finally:
            if self.locked:
                with self.connection.begin():
                    changes.release(self.connection, change)

    def now(self) -> datetime:
        with self.connection.begin():
            return accounts.now(self.connection)

    def settle(
        self,
        change: Change,
        come_from: State,
        to: State,
        *,
        reason: str,
        actor: str = "execute",
        observed: Value | None = None,
        not_before: datetime | None = None,
    ) -> bool:
        """Moves a change in a transaction of its own and takes note; False when somebody else moved it before.

        A worker's move is its last with the change in hand, and gives the entity's lock back.
        """
        release = actor == "execute"
        with bound(self.connection):
            done = changes.move(
                self.connection,
                change,
                come_from=come_from,
                to=to,
                actor=actor,
                reason=reason,
                observed=observed,
                not_before=not_before,
                durable=False,
                release=release,
            )
            if done and to is State.CONFLICT and observed not in (None, change.expected, change.target):
                person_edits.note_conflict(self.connection, change, observed)
            if done and to is State.COMPLETED:
                entities.remember(self.connection, change, accounts.now(self.connection))
        if done:
            self.locked = self.locked and not release
            self.ended_as[change.change_id] = to
            self.lines.append(change_row(change, to, reason, self.profile.currency))
            if to is State.COMPLETED and isinstance(change.target, int) and isinstance(change.expected, int):
                self.moved += change.target - change.expected
        return done

    def shown(self, value: Value | None) -> str:
        """A budget or status as a person reads it."""
        return "nothing" if value is None else value_shown(value, self.profile.currency)

    def leave(self, change: Change, reason: str) -> None:
        """Takes note of a change whose outcome stays unknown."""
        self.ended_as[change.change_id] = State.UNKNOWN
        self.lines.append(change_row(change, State.UNKNOWN, reason, self.profile.currency))

    @property
    def troubled(self) -> int:
        """How many changes this run left in a state that somebody should look at."""
        return sum(state in _TROUBLE for state in self.ended_as.values())

    def must_rest(self) -> bool:
        """Whether Meta has just asked to be left alone with writes."""
        return bool(self.platform.usage().keys() - _READING)


def observed_in(change: Change, state: EntityState | None) -> Value | None:
    """The value of the change's field in what was read, None when there is nothing."""
    return None if state is None else change.observed(state)


def refuse_while_resting(engine: Engine, profile: AccountProfile) -> None:
    """Raises BusyError while Meta wants this account to be left alone with writes."""
    with transaction(engine, read_only=True) as connection:
        waits = reports.waits(connection, profile.account)
    resting = {use_case: until for use_case, until in waits.items() if use_case not in _READING}
    if resting:
        use_case, until = max(resting.items(), key=lambda item: item[1])
        raise BusyError(
            f"meta: {use_case} of account {profile.account!r} rests until {until:%Y-%m-%d %H:%M:%S} UTC",
            fix="a tick after that goes on",
        )


def note_usage(engine: Engine, profile: AccountProfile, platform: AdsPlatform) -> None:
    """Keeps what Meta said of its limits for every later run, whatever host it runs on."""
    if waits := platform.usage():
        with transaction(engine) as connection:
            reports.note_waits(connection, profile.account, waits)
