"""Changes in people's hands: list and show them, approve, cancel, and settle conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, audit, change_records, changes, entities
from adctl.adapters.store.change_records import Record
from adctl.domain.accounts import AccountProfile
from adctl.domain.change_rows import COLUMNS, change_row, value_shown
from adctl.domain.changes import Change, Reading, State, judge
from adctl.domain.counted import counted
from adctl.domain.money import show
from adctl.domain.ports import AdsPlatform
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.errors import UsageError

OPEN = (State.PROPOSED, State.PENDING, State.CLAIMED, State.EXECUTING, State.UNKNOWN, State.CONFLICT)
_CANCELLABLE = (State.PROPOSED, State.PENDING, State.UNKNOWN, State.CONFLICT)
_MOST_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The newest changes in one state, as many as are moved at once, and how many are `left` beyond them."""

    records: Sequence[Record]
    left: int

    def said(self, currency: str) -> str:
        """How many, and for how much money a day."""
        moves = [record.change.difference for record in self.records]
        up, down = sum(max(move, 0) for move in moves), sum(min(move, 0) for move in moves)
        statuses = sum(isinstance(record.change.target, str) for record in self.records)
        parts = (
            f"{len(moves)} change{'' if len(moves) == 1 else 's'}",
            f"{show(up + down, currency)} a day in all: {show(up, currency)} up, {show(down, currency)} down",
            f"ads paused or started: {statuses}" if statuses else "",
            f"left beyond them: {self.left}" if self.left else "",
        )
        return "; ".join(part for part in parts if part)


def survey(engine: Engine, profile: AccountProfile, state: State, *, most: int = _MOST_AT_ONCE) -> Survey:
    """What `--all` would move now, at most so many."""
    with transaction(engine, read_only=True, snapshot=True) as connection:
        accounts.check_pinned(connection, profile)
        records = change_records.by_state(connection, profile.account, [state], most=most)
        total = changes.counts(connection, profile.account).get(state, 0)
    return Survey(records=records, left=total - len(records))


# What became of one change: the state it is in now, and the sentence that says why.
_Moved = tuple[State, str]


def listed(engine: Engine, profile: AccountProfile, states: Sequence[State] = OPEN, *, most: int = 100) -> Report:
    """The newest changes in these states."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        found = change_records.by_state(connection, profile.account, states, most=most)
    return Report(
        command="changes list",
        account=profile.account,
        currency=profile.currency,
        summary=f"{counted(len(found), 'change')}{', the newest' if len(found) == most else ''}."
        if found
        else "No changes.",
        tables=(
            Table(
                key="changes",
                title="Changes",
                columns=(Column(key="id", label="id"), *COLUMNS, Column(key="since", label="since", kind=Kind.TIME)),
                rows=tuple(_listed_row(record, profile.currency) for record in found),
                empty="none is open; --state completed lists what was done" if states == OPEN else "none",
            ),
        ),
    )


def _listed_row(record: Record, currency: str) -> Mapping[str, Cell]:
    change = record.change
    return {
        **change_row(change, change.state, change.state_reason or change.reason, currency),
        "id": str(change.change_id)[:8],
        "since": change.updated_at,
        "earliest_execute_at": record.earliest_execute_at,
        "expires_at": record.expires_at,
    }


def shown(engine: Engine, profile: AccountProfile, identity: str) -> Report:
    """All that is kept about one change: what was wanted, what clipped it, every attempt, every move."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        record = change_records.one(connection, profile.account, identity)
        tries = change_records.attempts_of(connection, record.change)
        moves = audit.links(connection, profile.account, change_id=record.change.change_id, most=1000)
    change = record.change
    return Report(
        command="changes show",
        account=profile.account,
        currency=profile.currency,
        summary=(
            f"{change.kind} {change.entity_id}: {change.field} {value_shown(change.expected, profile.currency)} → "
            f"{value_shown(change.target, profile.currency)} is {change.state}."
        ),
        facts=_facts(record, profile.currency),
        tables=(
            Table(
                key="attempts",
                title="Attempts",
                columns=(
                    Column(key="attempt", label="attempt", kind=Kind.COUNT),
                    Column(key="authorised_at", label="authorised", kind=Kind.TIME),
                    Column(key="finished_at", label="answered", kind=Kind.TIME),
                    Column(key="outcome", label="outcome"),
                    Column(key="code", label="code"),
                    Column(key="detail", label="detail"),
                ),
                rows=tuple({name: getattr(one, name) for name in one.__slots__} for one in tries),
                empty="Nothing was sent.",
            ),
            Table(
                key="moves",
                title="Moves",
                columns=(
                    Column(key="seq", label="link", kind=Kind.COUNT),
                    Column(key="at", label="at", kind=Kind.TIME),
                    Column(key="from_state", label="from"),
                    Column(key="to_state", label="to"),
                    Column(key="actor", label="by"),
                    Column(key="observed", label="observed", kind=Kind.MONEY),
                    Column(key="reason", label="why"),
                ),
                rows=tuple(one.cells() for one in moves),
            ),
        ),
    )


def _facts(record: Record, currency: str) -> tuple[Fact, ...]:
    change = record.change
    clips = ", ".join(
        f"{clip['guard']} {value_shown(clip['before'], currency)} → {value_shown(clip['after'], currency)}"
        for clip in record.clipped_by
    )
    found: dict[str, Cell] = {
        "change_id": str(change.change_id),
        "state": change.state.value,
        "state_reason": change.state_reason,
        "why": change.reason,
        "expected": change.expected,
        "target": change.target,
        "wanted": record.wanted,
        "clipped_by": clips or None,
        "fuzz_ppm": record.fuzz_ppm,
        "jitter_ms": change.jitter_ms,
        "observed": record.observed,
        "decision_id": None if record.decision_id is None else str(record.decision_id),
        "run_id": str(record.run_id),
        "compensates": None if record.compensates is None else str(record.compensates),
        "created_at": record.created_at,
        "earliest_execute_at": record.earliest_execute_at,
        "expires_at": record.expires_at,
        "approved_by": record.approved_by,
        "approved_at": record.approved_at,
        "claimed_by": record.claimed_by,
        "claimed_at": record.claimed_at,
    }
    return tuple(
        Fact(key=key, label=key.replace("_", " "), value=value, kind=_kind(key, value))
        for key, value in found.items()
        if value is not None
    )


def _kind(key: str, value: Cell) -> Kind:
    if key.endswith("_at"):
        return Kind.TIME
    return Kind.MONEY if isinstance(value, int) and key in ("expected", "target", "wanted", "observed") else Kind.TEXT


def approve(
    engine: Engine,
    profile: AccountProfile,
    chosen: Sequence[str] | Survey,
    *,
    by: str,
    dry_run: bool = False,
) -> Report:
    """Lets proposed changes be sent; who and when are recorded. Approving again changes nothing."""

    def one(connection: Connection, change: Change) -> _Moved | None:
        if change.state is State.PROPOSED and (dry_run or change_records.approve(connection, change, by)):
            return State.PENDING, f"approved by {by}"
        return None

    return _each(engine, profile, "changes approve", chosen, one, dry_run=dry_run)


def cancel(
    engine: Engine,
    profile: AccountProfile,
    chosen: Sequence[str] | Survey,
    *,
    by: str,
    reason: str,
    dry_run: bool = False,
) -> Report:
    """Ends changes that no worker holds. One of unknown outcome ends only once no request can be on its way."""
    told = f"cancelled by {by}: {reason}"

    def one(connection: Connection, change: Change) -> _Moved | None:
        may = change.state in _CANCELLABLE and (
            change.state is not State.UNKNOWN or attempts.settled(connection, change)
        )
        if may and (
            dry_run
            or changes.move(
                connection, change, come_from=change.state, to=State.CANCELLED, actor="operator", reason=told
            )
        ):
            return State.CANCELLED, told
        return None

    return _each(engine, profile, "changes cancel", chosen, one, dry_run=dry_run)


def _each(
    engine: Engine,
    profile: AccountProfile,
    command: str,
    chosen: Sequence[str] | Survey,
    move: Callable[[Connection, Change], _Moved | None],
    *,
    dry_run: bool,
) -> Report:
    """Moves each of the changes; says of each what it is now."""
    rows: list[Mapping[str, Cell]] = []
    moved = left = money = 0
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        found = _found(connection, profile, chosen)
        if not dry_run:
            # Before the first move takes the head of the audit, for which a worker waits with its change in hand.
            found = change_records.locked(connection, profile.account, [one.change.change_id for one in found])
        for record in found:
            change, done = record.change, move(connection, record.change)
            state, reason = done or (change.state, f"is {change.state}: {change.state_reason or 'nothing to do'}")
            moved += done is not None
            money += change.difference if done else 0
            # Asking for what is so already is no failure.
            left += done is None and not _is_done(command, change)
            rows.append(change_row(change, state, reason, profile.currency))
    return Report(
        command=command,
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=f"{counted(moved, 'change')} {'would be ' if dry_run else ''}moved." if moved else "No changes.",
        facts=(
            Fact(key="moved", label="moved", value=moved, kind=Kind.COUNT),
            Fact(key="difference", label="what they change a day", value=money, kind=Kind.MONEY),
        ),
        tables=(Table(key="changes", title="Changes", columns=COLUMNS, rows=tuple(rows), empty="No changes."),),
        notes=(f"Left beyond these: {chosen.left}. The same again takes them.",)
        if isinstance(chosen, Survey) and chosen.left
        else (),
        exit_code=3 if left else 0,
    )


def _found(connection: Connection, profile: AccountProfile, chosen: Sequence[str] | Survey) -> Sequence[Record]:
    if isinstance(chosen, Survey):
        return chosen.records
    return [change_records.one(connection, profile.account, identity) for identity in chosen]


def _is_done(command: str, change: Change) -> bool:
    if command == "changes cancel":
        return change.state is State.CANCELLED
    return change.state in (State.PENDING, State.CLAIMED, State.EXECUTING, State.UNKNOWN, State.COMPLETED)


def resolve(
    engine: Engine,
    profile: AccountProfile,
    platform: AdsPlatform,
    identity: str,
    to: State,
    *,
    by: str,
    reason: str,
    dry_run: bool = False,
) -> Report:
    """Settles a conflict: completed when Meta, read just now, holds the target; cancelled to leave Meta as it is.

    Raises UsageError for a change that is not in conflict (any more), and when Meta does not hold the target.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        change = change_records.one(connection, profile.account, identity).change
    if change.state is to:
        return _resolved(profile, change, to, None, dry_run=dry_run)
    if change.state is not State.CONFLICT:
        unknown = change.state is State.UNKNOWN
        fix = "adctl reconcile finds out what became of it" if unknown else f"adctl changes show {identity}"
        raise UsageError(f"change {identity} is {change.state}, not in conflict", fix=fix)
    state = platform.read(change.kind, change.entity_id)
    observed = None if state is None else change.observed(state)
    if to is State.COMPLETED and judge(change, state) is not Reading.AT_TARGET:
        raise UsageError(
            f"Meta holds {'nothing' if observed is None else value_shown(observed, profile.currency)}, not the target",
            fix="set it there first, or resolve it as cancelled",
        )
    told = f"resolved by {by}: {reason}"
    if not dry_run:
        with transaction(engine) as connection:
            done = changes.move(
                connection, change, come_from=State.CONFLICT, to=to, actor="operator", reason=told, observed=observed
            )
            if done and to is State.COMPLETED:
                entities.remember(connection, change, accounts.now(connection))
        if not done:
            raise UsageError(f"change {identity} was moved meanwhile", fix="adctl changes show says by whom")
    return _resolved(profile, change, to, told, dry_run=dry_run)


def _resolved(profile: AccountProfile, change: Change, to: State, told: str | None, *, dry_run: bool) -> Report:
    row = change_row(change, to, told or change.state_reason, profile.currency)
    return Report(
        command="changes resolve",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary="No changes." if told is None else f"The change {'would be' if dry_run else 'is'} {to}.",
        tables=(Table(key="changes", title="Changes", columns=COLUMNS, rows=(row,)),),
    )
