"""Run the whole loop against a simulated world for some days, and say how good its decisions were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from adctl.domain.counted import counted
from adctl.domain.ports import Progress
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table

Step = Callable[[], Report]
# What was known when it was decided is told from what was done then only where the clock moves on between both.
_DECIDED_BEFORE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of the simulated ads at their present budgets, per day, in minor units."""

    spend: int
    value: int


class Theatre(Protocol):
    """A world that can be moved on and asked for its truth."""

    def advance_to(self, to: datetime) -> None:
        """Moves world and database clock to an instant."""
        ...

    def truth(self) -> Truth: ...

    def untouched(self) -> Truth:
        """What would be true now had nothing been changed: the same world, left alone."""
        ...


def run(
    theatre: Theatre, loop: Mapping[str, Step], mornings: Sequence[datetime], *, seed: int, progress: Progress
) -> Report:
    """Runs every step of the loop on every morning; the plan of the busiest day is shown with what became of it."""
    days: list[dict[str, Report]] = []
    for number, morning in enumerate(mornings, start=1):
        theatre.advance_to(morning - _DECIDED_BEFORE)
        done: dict[str, Report] = {}
        for name, step in loop.items():
            if name == "enqueue":
                theatre.advance_to(morning)
            progress(f"day {number} of {len(mornings)}: {name}")
            done[name] = step()
        days.append(done)
    return _report(days, mornings, theatre.untouched(), theatre.truth(), seed)


def _report(
    days: Sequence[Mapping[str, Report]], mornings: Sequence[datetime], alone: Truth, now: Truth, seed: int
) -> Report:
    rows = tuple(_day(morning, done) for morning, done in zip(mornings, days, strict=True))
    confirmed = sum(_count(done["execute"], "confirmed") for done in days)
    last = days[-1]
    busiest = max(range(len(days)), key=lambda place: _count(days[place]["enqueue"], "queued"))
    worst = max((report.exit_code for done in days for report in done.values()), default=0)
    return Report(
        command="demo",
        account=last["decide"].account,
        currency=last["decide"].currency,
        summary=(
            f"{len(days)} days of the whole loop: {counted(confirmed, 'change')} sent and confirmed. "
            f"The ads truly return {_roas(now):.2f} per unit of spend; left alone they would return {_roas(alone):.2f}."
        ),
        facts=(
            Fact(key="seed", label="seed", value=seed),
            Fact(key="confirmed", label="sent and confirmed", value=confirmed, kind=Kind.COUNT),
            Fact(key="waiting", label="waits in the queue", value=_fact(last["execute"], "waiting"), kind=Kind.COUNT),
            Fact(key="spend", label="spend a day now", value=now.spend, kind=Kind.MONEY),
            Fact(key="spend_alone", label="spend a day, left alone", value=alone.spend, kind=Kind.MONEY),
            Fact(key="value", label="true value a day now", value=now.value, kind=Kind.MONEY),
            Fact(key="value_alone", label="true value a day, left alone", value=alone.value, kind=Kind.MONEY),
            Fact(
                key="worst_case",
                label="worst case of a day",
                value=_fact(last["enqueue"], "worst_case"),
                kind=Kind.MONEY,
            ),
            Fact(key="audit_head", label="audit head", value=_fact(last["execute"], "audit_head")),
        ),
        tables=(
            _days_table(rows),
            *_plan_tables(days[busiest], mornings[busiest]),
            _winners_table([done["index-winners"] for done in days]),
        ),
        notes=("The same on an account of your own: adctl init, then the lines of crontab.example.",),
        exit_code=worst,
    )


def _plan_tables(done: Mapping[str, Report], morning: datetime) -> tuple[Table, ...]:
    """Why the ads of one day were judged so, its plan as a diff with each change's outcome, and what was held back."""
    outcomes = {row["entity"]: row["state"] for row in _table(done["execute"], "changes").rows}
    verdicts = _table(done["decide"], "ads")
    told = tuple(row for row in verdicts.rows if row["verdict"] in ("kill", "scale", "cut"))
    day = morning.date()
    return (
        replace(verdicts, title=f"{day}: verdicts", rows=told, shown=12, empty="Every ad is kept as it is."),
        _with_outcomes(_table(done["enqueue"], "budgets"), f"{day}: plan of budgets", outcomes),
        _with_outcomes(_table(done["enqueue"], "statuses"), f"{day}: plan of ads", outcomes),
        replace(_table(done["enqueue"], "held_back"), title=f"{day}: held back"),
    )


def _winners_table(reports: Sequence[Report]) -> Table:
    """Which creatives began or ceased to win, over all days."""
    tables = [_table(report, "changes") for report in reports]
    rows = tuple(row for table in tables for row in table.rows)
    return replace(tables[-1], key="winners", title="Winners found", rows=rows, empty="None yet.")


def _with_outcomes(plan: Table, title: str, outcomes: Mapping[Cell, Cell]) -> Table:
    *columns, why = plan.columns
    rows = tuple({**row, "outcome": outcomes.get(row["entity"], "waits")} for row in plan.rows)
    return replace(plan, title=title, columns=(*columns, Column(key="outcome", label="outcome"), why), rows=rows)


def _table(report: Report, key: str) -> Table:
    return next(table for table in report.tables if table.key == key)


def _count(report: Report, key: str) -> int:
    value = _fact(report, key)
    return value if isinstance(value, int) else 0


def _day(morning: datetime, done: Mapping[str, Report]) -> dict[str, Cell]:
    return {
        "day": morning.date(),
        "spend": _fact(done["sync-meta"], "spend"),
        "deals": _fact(done["sync-hubspot"], "deals"),
        "kill": _fact(done["decide"], "kill"),
        "scale": _fact(done["decide"], "scale"),
        "queued": _fact(done["enqueue"], "queued"),
        "held_back": _fact(done["enqueue"], "held_back"),
        "confirmed": _fact(done["execute"], "confirmed"),
        "in_trouble": _fact(done["execute"], "in_trouble"),
        "moved": _fact(done["execute"], "budget_moved"),
    }


def _days_table(rows: tuple[Mapping[str, Cell], ...]) -> Table:
    return Table(
        key="days",
        title="Day by day",
        columns=(
            Column(key="day", label="day"),
            Column(key="spend", label="spend read", kind=Kind.MONEY),
            Column(key="deals", label="deals read", kind=Kind.COUNT),
            Column(key="kill", label="to kill", kind=Kind.COUNT),
            Column(key="scale", label="to scale", kind=Kind.COUNT),
            Column(key="queued", label="queued", kind=Kind.COUNT),
            Column(key="held_back", label="held back", kind=Kind.COUNT),
            Column(key="confirmed", label="confirmed", kind=Kind.COUNT),
            Column(key="in_trouble", label="need a look", kind=Kind.COUNT),
            Column(key="moved", label="budget moved", kind=Kind.MONEY),
        ),
        rows=rows,
    )


def _roas(truth: Truth) -> float:
    return truth.value / truth.spend if truth.spend else 0.0


def _fact(report: Report, key: str) -> Cell:
    return next((fact.value for fact in report.facts if fact.key == key), None)
