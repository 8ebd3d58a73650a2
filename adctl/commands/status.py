"""What the last runs did, how fresh the data is, what waits, how much money is in play, and which ads wear out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attempts, attributions, changes, exposure, fatigue, runs
from adctl.adapters.store.attributions import Standing
from adctl.adapters.store.runs import Run
from adctl.domain.accounts import AccountProfile
from adctl.domain.changes import Change, State
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table

_DAY = timedelta(hours=24)
_CRM_SOURCES = {"hubspot.deals": "HubSpot deals", "crm.file": "CRM file"}
_NEEDS_A_LOOK = (State.UNKNOWN, State.CONFLICT)
# Wrong use was answered to the person who typed it; nobody else need look.
_ENDS = {0: "done", 2: "wrong use", 3: "partly done", 75: "held back"}
_NEWEST = 5

Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What the configuration of this host promises: how old data may be, how much may be raised in 24 hours (minor
    units, None when not set: nothing is sent then), and the share of deals without an ad (0..1) beyond which somebody
    should look.
    """

    insights_age: timedelta
    crm_age: timedelta
    cap: int | None
    unattributed: float = 1.0
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    now: datetime
    runs: Sequence[Run]
    freshness: Sequence[Row]
    counts: Mapping[str, int]
    in_flight: Sequence[Change]
    touched: Sequence[Change]
    budget: int
    raised: int
    halt: str | None
    armed_until: datetime | None
    caps_elsewhere: Mapping[str, int | None]
    standing: Standing
    worn: Mapping[str, str]


def run(engine: Engine, profile: AccountProfile, expectations: Expectations) -> Report:
    """Reads only; ages are counted to the database's now."""
    with transaction(engine, read_only=True) as connection:
        now = accounts.now(connection)
        found = _Found(
            now=now,
            runs=_last_runs(connection, profile),
            freshness=_freshness(connection, profile, expectations, now),
            counts=changes.counts(connection, profile.account),
            in_flight=changes.in_flight(connection, profile.account),
            touched=changes.touched_since(connection, profile.account, now - _DAY),
            budget=exposure.daily_budget(connection, profile.account),
            raised=exposure.raised_since(connection, profile.account, now - _DAY),
            halt=exposure.halt(connection, profile.account),
            armed_until=exposure.armed_until(connection, profile.account),
            caps_elsewhere=attempts.caps_elsewhere(connection, profile.account, expectations.host),
            standing=attributions.standing(connection, profile.account),
            worn=_worn(connection, profile, now),
        )
    return Report(
        command="status",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(found, expectations),
        facts=(*_money(found, expectations.cap), *_deals(found.standing)),
        tables=(_jobs(found), _freshness_table(found), _queue(found), _changes(found), *_worn_table(found.worn)),
    )


def _worn(connection: Connection, profile: AccountProfile, now: datetime) -> dict[str, str]:
    """The evidence of each ad that wears out, by its id."""
    ads = sorted(attributions.known_ads(connection, profile.account))
    found = fatigue.of_ads(connection, profile.account, ads, now.astimezone(ZoneInfo(profile.timezone)).date())
    return {ads[at]: found.says(at) for at in found.flagged.nonzero()[0].tolist()}


def _worn_table(worn: Mapping[str, str]) -> tuple[Table, ...]:
    if not worn:
        return ()
    columns = (Column(key="ad_id", label="ad"), Column(key="evidence", label="evidence"))
    rows = tuple({"ad_id": ad_id, "evidence": evidence} for ad_id, evidence in worn.items())
    return (Table(key="fatigue", title="Ads that wear out", columns=columns, rows=rows, shown=10),)


def _last_runs(connection: Connection, profile: AccountProfile) -> tuple[Run, ...]:
    found = runs.last_runs(connection, profile.account)
    if any(_state(run) == "crashed" for run in found):
        # A run may end between the reading of its row and that of its lock: a second look tells it from a dead one.
        found = runs.last_runs(connection, profile.account)
    return tuple(sorted(found, key=lambda run: run.started_at))


def _state(run: Run) -> str:
    if run.exit_code is None:
        return "running" if run.alive and run.ended_at is None else "crashed"
    return _ENDS.get(run.exit_code, "failed")


def _freshness(
    connection: Connection, profile: AccountProfile, expectations: Expectations, now: datetime
) -> tuple[Row, ...]:
    insights = runs.watermark(connection, profile.account, "meta.insights")
    crm = {source: runs.watermark(connection, profile.account, source) for source in _CRM_SOURCES}
    # Deals come from either source; what counts is the one that was read last.
    newest = max((at, source) for source, at in crm.items() if at is not None) if any(crm.values()) else None
    at, source = newest or (None, "hubspot.deals")
    return (
        _fresh("Meta insights", "meta.insights", insights, expectations.insights_age, now),
        _fresh(_CRM_SOURCES[source], source, at, expectations.crm_age, now),
    )


def _fresh(label: str, source: str, at: datetime | None, limit: timedelta, now: datetime) -> Row:
    state = "never read" if at is None else "fresh" if now - at <= limit else "stale"
    return {
        "source": label,
        "state": state,
        "age": None if at is None else age(now - at),
        "limit": age(limit),
        "watermark": source,
        "until": at,
    }


def _deals(standing: Standing) -> tuple[Fact, ...]:
    share = round(standing.unattributed, 4) if standing.judged else None
    return (
        Fact(key="unattributed", label="deals without an ad", value=share, kind=Kind.PERCENT),
        Fact(key="unmapped", label="deals in stages without a value", value=standing.unmapped, kind=Kind.COUNT),
    )


def _loose(standing: Standing, most: float) -> tuple[str, str]:
    """What keeps deals from counting."""
    share = f"{standing.unattributed:.0%} of the deals have no ad" if standing.unattributed > most else ""
    return share, _counted(standing.unmapped, "deal in a stage without a value", "deals in stages without a value")


def _summary(found: _Found, expectations: Expectations) -> str:
    states = Counter(_state(run) for run in found.runs)
    troubles = [
        *(_counted(states[state], f"job {state}", f"jobs {state}") for state in ("crashed", "failed", "partly done")),
        *(f"{row['source']}: {row['state']}" for row in found.freshness if row["state"] != "fresh"),
        *(_counted(found.counts.get(s, 0), f"change in {s}", f"changes in {s}") for s in _NEEDS_A_LOOK),
        *_loose(found.standing, expectations.unattributed),
        f"nothing is sent ({found.halt})" if found.halt else "",
    ]
    named = [trouble for trouble in troubles if trouble]
    if not found.runs:
        return "No job has run yet for this account."
    waiting = _counted(found.counts.get(State.PENDING, 0), "change waits", "changes wait") or "nothing waits"
    return f"Needs a look: {', '.join(named)}." if named else f"All is well; {waiting} to be sent."


def _counted(count: int, one: str, many: str) -> str:
    return "" if count == 0 else f"{count} {one if count == 1 else many}"


def _money(found: _Found, cap: int | None) -> tuple[Fact, ...]:
    sending, until = "on", found.armed_until
    # The least of all hosts' holds; one that has none lets nothing be sent.
    without = [host for host, theirs in found.caps_elsewhere.items() if theirs is None]
    if found.halt is not None:
        sending = found.halt
    elif cap is None or without:
        where = "" if cap is None else f" on {', '.join(without)}"
        sending = f"off: limits.cap_increase_per_24h is not set{where}"
    caps = [cap, *found.caps_elsewhere.values()]
    least = None if None in caps else min(one for one in caps if one is not None)
    return (
        Fact(key="sending", label="sending", value=sending),
        *([Fact(key="armed_until", label="armed until", value=until, kind=Kind.TIME)] if until else []),
        Fact(key="daily_budget", label="daily budget now", value=found.budget, kind=Kind.MONEY),
        # Meta may spend a quarter more than the daily budget on one day.
        Fact(key="worst_case", label="worst case of a day", value=-(-found.budget * 5 // 4), kind=Kind.MONEY),
        Fact(key="raised", label="raised in the last 24 h", value=found.raised, kind=Kind.MONEY),
        Fact(key="cap", label="cap on raises in 24 h", value=least, kind=Kind.MONEY),
    )


def _jobs(found: _Found) -> Table:
    return Table(
        key="jobs",
        title="Last runs",
        columns=(
            Column(key="job", label="job"),
            Column(key="state", label="state"),
            Column(key="exit_code", label="exit", kind=Kind.COUNT),
            Column(key="age", label="age"),
            Column(key="summary", label="summary"),
        ),
        rows=tuple(
            {
                "job": run.job,
                "state": _state(run),
                "exit_code": run.exit_code,
                "age": age(found.now - (run.ended_at or run.started_at)),
                "summary": run.summary,
                "run_id": str(run.run_id),
                "started_at": run.started_at,
                "ended_at": run.ended_at,
            }
            for run in found.runs
        ),
        empty="no job has run yet",
    )


def _freshness_table(found: _Found) -> Table:
    return Table(
        key="freshness",
        title="Freshness",
        columns=(
            Column(key="source", label="source"),
            Column(key="state", label="state"),
            Column(key="age", label="age"),
            Column(key="limit", label="limit"),
        ),
        rows=tuple(found.freshness),
    )


def _queue(found: _Found) -> Table:
    oldest: dict[State, datetime] = {}
    for change in found.in_flight:
        oldest[change.state] = min(change.updated_at, oldest.get(change.state, change.updated_at))
    return Table(
        key="queue",
        title="Changes",
        columns=(
            Column(key="state", label="state"),
            Column(key="changes", label="changes", kind=Kind.COUNT),
            Column(key="oldest", label="oldest"),
        ),
        rows=tuple(
            {
                "state": state.value,
                "changes": found.counts[state],
                "oldest": age(found.now - oldest[state]) if state in oldest else None,
                "since": oldest.get(state),
            }
            for state in State
            if state in found.counts
        ),
        empty="none was ever queued",
    )


def _changes(found: _Found) -> Table:
    return Table(
        key="changes",
        title="Moved in the last 24 hours, newest first",
        columns=(
            Column(key="age", label="age"),
            Column(key="entity", label="entity"),
            Column(key="before", label="before", kind=Kind.MONEY),
            Column(key="after", label="after", kind=Kind.MONEY),
            Column(key="state", label="state"),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_change(change, found.now) for change in reversed(found.touched)),
        empty="none",
        shown=_NEWEST,
    )


def _change(change: Change, now: datetime) -> Row:
    return {
        "age": age(now - change.updated_at),
        "entity": f"{change.kind} {change.entity_id}",
        "before": change.expected,
        "after": change.target,
        "state": change.state.value,
        # Why it was wanted, unless something came in between.
        "reason": change.reason if change.state is State.COMPLETED else change.state_reason or change.reason,
        "field": change.field.value,
        "change_id": str(change.change_id),
        "updated_at": change.updated_at,
    }


def age(span: timedelta) -> str:
    """`40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`, `36 h`; nothing is younger than 0 s."""
    seconds = max(int(span.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return _two(f"{seconds // 3600} h", seconds % 3600 // 60, "min")
    return _two(f"{seconds // 86400} d", seconds % 86400 // 3600, "h")


def _two(large: str, rest: int, unit: str) -> str:
    return f"{large} {rest} {unit}" if rest else large
