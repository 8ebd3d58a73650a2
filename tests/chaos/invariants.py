"""What must hold after any crash, race or fault: judged from PostgreSQL and from what the Meta stand-in itself saw.

The numbers are those of the promises about money. Each check computes its figure anew; none asks adctl's own guards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from adctl.adapters.db import transaction
from adctl.adapters.store import audit
from tests.builders import ACCOUNT, Loop
from tests.chaos.witness import Arrival, Reading, Sight, Writing

IN_FLIGHT = frozenset({"claimed", "executing", "unknown", "conflict"})
OPEN = frozenset({"pending", "claimed", "executing", "unknown"})
_HOUR = timedelta(hours=1)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is known of one account's sendings, in the order it happened."""

    changes: Mapping[UUID, Row]
    attempts: tuple[Row, ...]
    history: tuple[Row, ...]
    transitions: frozenset[tuple[str | None, str, str]]
    limits: Row
    sights: tuple[Sight, ...]
    edited: frozenset[str]

    @property
    def arrivals(self) -> list[Arrival]:
        return [sight for sight in self.sights if isinstance(sight, Arrival)]


_TABLES = {
    "changes": text("select * from pending_ad_changes where account = :account"),
    "attempts": text("select * from change_attempts where account = :account order by authorised_at, attempt"),
    "history": text("select * from ad_change_history where account = :account order by seq"),
    "transitions": text("select from_state, to_state, actor from legal_transitions"),
    "limits": text("select * from limits where account = :account"),
}


def evidence_of(engine: Engine, account: str, sights: list[Sight], edited: frozenset[str]) -> Evidence:
    """`edited` names the entities that a person changed meanwhile."""
    with transaction(engine, read_only=True) as connection:
        rows: dict[str, list[Row]] = {
            name: [
                dict(row)
                for row in connection.execute(
                    query, {"account": account} if ":account" in query.text else {}
                ).mappings()
            ]
            for name, query in _TABLES.items()
        }
    return Evidence(
        changes={row["change_id"]: row for row in rows["changes"]},
        attempts=tuple(rows["attempts"]),
        history=tuple(rows["history"]),
        transitions=frozenset((t["from_state"], t["to_state"], t["actor"]) for t in rows["transitions"]),
        limits=rows["limits"][0],
        sights=tuple(sights),
        edited=edited,
    )


def violations(loop: Loop, sights: list[Sight], edited: frozenset[str] = frozenset()) -> list[str]:
    """Every promise that was broken, in words; an empty list is what a test wants."""
    found = judged(evidence_of(loop.engine, ACCOUNT, sights, edited))
    return found + list(_audit_chain(loop)) + list(_secrets(loop))


def judged(evidence: Evidence) -> list[str]:
    """What the evidence alone shows to be broken."""
    checks = (
        _intent_first,
        _one_integer,
        _single_flight,
        _no_blind_retry,
        _never_over_a_stranger,
        _completed_means_seen,
        _velocity,
        _rates,
        _cap,
        _legal_moves,
        _nothing_but_targets,
        _books_agree_with_meta,
    )
    return [trouble for check in checks for trouble in check(evidence)]


def _named(row: Row) -> str:
    return f"{row['entity_kind']} {row['entity_id']}"


def _wanted(row: Row, which: str) -> str:
    """The old or new value as text, whether budget or status."""
    budget = row[f"{which}_budget"]
    return str(budget) if budget is not None else str(row[f"{which}_status"])


def _intent_first(evidence: Evidence) -> Iterator[str]:
    """I1: when a write arrives its attempt is committed and has no answer, and no attempt is sent twice."""
    sent: set[tuple[UUID, int]] = set()
    for arrival in evidence.arrivals:
        attempt = arrival.attempt
        if attempt is None or not attempt.under_way:
            yield f"I1: a write to {arrival.entity} arrived without a committed attempt under way: {attempt}"
            continue
        if (key := (attempt.change_id, attempt.attempt)) in sent:
            yield f"I1: attempt {key} was sent twice"
        sent.add(key)
    known = {(row["change_id"], row["attempt"]) for row in evidence.attempts}
    if sent - known:
        yield f"I1: attempts vanished: {sent - known}"
    per_change = Counter(row["change_id"] for row in evidence.attempts)
    for change_id, row in evidence.changes.items():
        if row["attempts"] != per_change[change_id]:
            yield f"I1: {_named(row)} counts {row['attempts']} attempts, {per_change[change_id]} are written down"


def _one_integer(evidence: Evidence) -> Iterator[str]:
    """I2 and I15: every write of a change carries its frozen target, a whole number in ASCII digits."""
    for arrival in evidence.arrivals:
        if arrival.attempt is None:
            continue
        row = evidence.changes[arrival.attempt.change_id]
        wanted = {row["field"]: _wanted(row, "target")}
        if arrival.sent != wanted or arrival.attempt.target != _wanted(row, "target"):
            yield f"I2: {_named(row)} wants {wanted}, was sent {arrival.sent}"
        if row["field"] == "daily_budget" and not (
            arrival.sent[row["field"]].isascii() and wanted["daily_budget"].isdigit()
        ):
            yield f"I15: {arrival.sent} is no whole number"


def _single_flight(evidence: Evidence) -> Iterator[str]:
    """I3: never two changes of one field in flight, at any moment of the history."""
    flying: dict[tuple[str, str], UUID] = {}
    for move in evidence.history:
        place = (move["entity_id"], move["field"])
        if move["to_state"] in IN_FLIGHT:
            if flying.setdefault(place, move["change_id"]) != move["change_id"]:
                yield f"I3: two changes of {place} in flight at {move['seq']}"
        elif flying.get(place) == move["change_id"]:
            del flying[place]


def _no_blind_retry(evidence: Evidence) -> Iterator[str]:
    """I4: after an outcome that is not known, the next attempt waits until no request can be on its way."""
    last: dict[UUID, Row] = {}
    unproven: Counter[UUID] = Counter()
    for row in evidence.attempts:
        before = last.get(row["change_id"])
        if before is not None and before["outcome"] in (None, "unknown", "accepted"):
            waited = row["authorised_at"] - before["authorised_at"]
            if waited < evidence.limits["settle"]:
                yield f"I4: {_named(row)} was sent again after {waited}"
        unproven[row["change_id"]] += row["outcome"] != "deferred"
        last[row["change_id"]] = row
    for change_id, count in unproven.items():
        if count > evidence.limits["max_attempts"]:
            yield f"I4: {_named(evidence.changes[change_id])} was tried {count} times"


def _never_over_a_stranger(evidence: Evidence) -> Iterator[str]:
    """I4 and I5: between two writes to an entity it was read, and the last read showed the expected old value."""
    read: dict[str, str | None] = {}
    for sight in evidence.sights:
        match sight:
            case Reading():
                read[sight.entity] = sight.held
            case Arrival() if sight.attempt is not None:
                held = read.pop(sight.entity, "nothing: it was not read")
                if held != sight.attempt.expected:
                    yield f"I5: a write to {sight.entity} expected {sight.attempt.expected}, the last read was {held}"


def _completed_means_seen(evidence: Evidence) -> Iterator[str]:
    """I6: after the last write of a completed change a read returned its target."""
    places: dict[UUID, int] = {}
    for place, sight in enumerate(evidence.sights):
        if isinstance(sight, Arrival) and sight.attempt is not None:
            places[sight.attempt.change_id] = place
    for change_id, row in evidence.changes.items():
        if row["state"] != "completed":
            continue
        later = evidence.sights[places.get(change_id, 0) :]
        target = _wanted(row, "target")
        if not any(isinstance(one, Reading) and one.entity == row["entity_id"] and one.held == target for one in later):
            yield f"I6: {_named(row)} is completed, but its target {target} was never read"


def _velocity(evidence: Evidence) -> Iterator[str]:
    """I7: each budget sent lies within the percentage of every value really in force in the window."""
    window, percent = evidence.limits["velocity_window"], evidence.limits["velocity_percent"]
    values: dict[str, list[tuple[datetime, str | None]]] = defaultdict(list)
    for sight in evidence.sights:
        if isinstance(sight, Writing):
            # What was replaced was in force until now.
            values[sight.entity] += [(sight.at, sight.before)]
        elif isinstance(sight, Arrival) and "daily_budget" in sight.sent and sight.entity not in evidence.edited:
            sent = int(sight.sent["daily_budget"])
            for until, value in values[sight.entity]:
                if until > sight.at - window and not _within(sent, int(value or 0), percent):
                    yield f"I7: {sight.entity} was sent {sent}, {value} was in force until {until}"


def _within(sent: int, value: int, percent: Any) -> bool:
    return bool(value * (100 - percent) <= sent * 100 <= value * (100 + percent))


def _rates(evidence: Evidence) -> Iterator[str]:
    """I8: at most so many writes to an ad set and to a campaign in any hour that ends with a write."""
    for ours, name in (("entity_id", "rate_per_ad_set"), ("campaign_id", "rate_per_campaign")):
        times: dict[str, list[datetime]] = defaultdict(list)
        for row in evidence.attempts:
            if name == "rate_per_ad_set" and (row["entity_kind"], row["field"]) != ("ad_set", "daily_budget"):
                continue
            times[row[ours]].append(row["authorised_at"])
        for place, moments in times.items():
            for moment in moments:
                count = sum(moment - _HOUR < other <= moment for other in moments)
                if count > evidence.limits[name]:
                    yield f"I8: {count} writes to {place} in the hour before {moment}"


def _cap(evidence: Evidence) -> Iterator[str]:
    """I9: what was raised, or may have been, in any 24 hours stays below the cap; a change raises once."""
    raises = [
        row
        for row in evidence.attempts
        if row["target_budget"]
        and row["target_budget"] > row["expected_budget"]
        and row["outcome"] not in ("refused", "deferred")
    ]
    for last in raises:
        day = {
            row["change_id"]: row["target_budget"] - row["expected_budget"]
            for row in raises
            if last["authorised_at"] - 24 * _HOUR < row["authorised_at"] <= last["authorised_at"]
        }
        if sum(day.values()) > evidence.limits["cap_increase"]:
            yield f"I9: {sum(day.values())} raised in the 24 hours before {last['authorised_at']}"


def _legal_moves(evidence: Evidence) -> Iterator[str]:
    """I11 and I12: the history has no gap, moves along the table alone, and ends where the changes stand."""
    states: dict[UUID, str] = {}
    for place, move in enumerate(evidence.history, start=1):
        if move["seq"] != place:
            yield f"I12: link {move['seq']} stands at place {place}"
        come_from = states.get(move["change_id"])
        if move["from_state"] != come_from or (come_from, move["to_state"], move["actor"]) not in evidence.transitions:
            yield f"I11: {move['actor']} moved {_named(move)} from {come_from} to {move['to_state']}"
        states[move["change_id"]] = move["to_state"]
    stand = {change_id: row["state"] for change_id, row in evidence.changes.items()}
    if stand != states:
        yield f"I12: the history ends at {states}, the changes stand at {stand}"


def _held(evidence: Evidence) -> dict[str, str | None]:
    """What Meta holds of each entity that was written to and that nobody else changed."""
    written = [sight for sight in evidence.sights if isinstance(sight, Writing)]
    return {one.entity: one.after for one in written if one.entity not in evidence.edited}


def _nothing_but_targets(evidence: Evidence) -> Iterator[str]:
    """I2: whatever Meta came to hold was wanted, or was there before."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in evidence.changes.values():
        wanted[row["entity_id"]] |= {_wanted(row, "expected"), _wanted(row, "target")}
    for entity, value in _held(evidence).items():
        if value not in wanted[entity]:
            yield f"I2: {entity} came to hold {value}, wanted by nobody"


def _books_agree_with_meta(evidence: Evidence) -> Iterator[str]:
    """I6: Meta holds what the last ended change of an entity says."""
    held = _held(evidence)
    for change_id, row in evidence.changes.items():
        if row["state"] not in ("completed", "failed") or _is_followed(evidence, change_id):
            continue
        wanted = _wanted(row, "target" if row["state"] == "completed" else "expected")
        if held.get(row["entity_id"], wanted) != wanted:
            yield f"I6: {_named(row)} is {row['state']}, yet Meta holds {held[row['entity_id']]}"


def _is_followed(evidence: Evidence, change_id: UUID) -> bool:
    """Whether a later change of the same entity was sent."""
    row = evidence.changes[change_id]
    moment = max(
        (a["authorised_at"] for a in evidence.attempts if a["change_id"] == change_id), default=row["created_at"]
    )
    return any(
        a["entity_id"] == row["entity_id"] and a["change_id"] != change_id and a["authorised_at"] >= moment
        for a in evidence.attempts
    )


def _audit_chain(loop: Loop) -> Iterator[str]:
    """I12: the hashes fit and lead to the head."""
    with transaction(loop.engine, read_only=True) as connection:
        checked = audit.verify(connection, ACCOUNT)
    if not checked.holds:
        yield f"I12: {checked}"


def _secrets(loop: Loop) -> Iterator[str]:
    """I17: the token stands in no row."""
    for table in ("pending_ad_changes", "change_attempts", "ad_change_history", "job_runs"):
        with transaction(loop.engine, read_only=True) as connection:
            count = connection.scalar(
                text(f"select count(*) from {table} t where t::text like :token"),
                {"token": f"%{loop.sandbox.meta_token}%"},
            )
        if count:
            yield f"I17: the token stands in {count} rows of {table}"
