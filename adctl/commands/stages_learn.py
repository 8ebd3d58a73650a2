"""Learn what each stage is worth from the account's own deals, and show how far the values in force are from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, revenue
from adctl.adapters.store.history import pipeline_deals
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.deals import Outcome
from adctl.domain.money import offset
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import StageValue
from adctl.domain.stage_learning import LEAST_WON, LearnedStage, learn_stages
from adctl.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A stage as learned, and the value in force for it now, if there is one."""

    pipeline: str
    learned: LearnedStage
    current: StageValue | None
    outcome: Outcome

    @property
    def drifted(self) -> bool:
        """The value in force lies outside of what the deals allow."""
        return self.current is None or not self.learned.low <= self.current.value <= self.learned.high


def run(
    engine: Engine, profile: AccountProfile, *, write: bool = False, start: date | None = None, dry_run: bool = False
) -> Report:
    """Learns every pipeline's values. With `write` they hold from the account day `start` on, from this moment when
    that is today or not given; what was before keeps its values. Raises UsageError for a day that is past.
    """
    zone = ZoneInfo(profile.timezone)
    with transaction(engine, read_only=not write or dry_run, snapshot=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        today = now.astimezone(zone).date()
        first = start or today
        if first < today:
            what = f"--from {first} is past: what was decided then stood on other values"
            raise UsageError(what, fix=f"--from {today} or later")
        lines, short = _learned(connection, profile, now)
        written = 0
        if write and not dry_run:
            begins = max(datetime.combine(first, time(), zone), now)
            values = revenue.stage_values(connection, profile.account)
            wanted = [_value(line, begins) for line in lines]
            new = [one for one in wanted if _differs(one, values.at(one.pipeline, one.stage, begins))]
            written = revenue.record_learned(connection, profile.account, new, now)
    return _report(profile, lines, short, first if write else None, written, dry_run=dry_run)


def _learned(connection: Connection, profile: AccountProfile, now: datetime) -> tuple[list[_Line], list[str]]:
    """All stages that something was learned of, and the pipelines that tell too little."""
    values = revenue.stage_values(connection, profile.account)
    lines: list[_Line] = []
    short: list[str] = []
    for pipeline in sorted({count.pipeline for count in deals.stage_counts(connection, profile.account)}):
        stages, found, worth = pipeline_deals(connection, profile, pipeline)
        learned = (
            learn_stages(stages, found.entered, found.lost, found.age, worth.cash, offset(profile.currency))
            if stages
            else ()
        )
        if not learned:
            short.append(pipeline)
        lines += [
            _Line(
                pipeline=pipeline,
                learned=one,
                current=values.at(pipeline, one.stage, now),
                outcome=Outcome.WON if one is learned[-1] else Outcome.OPEN,
            )
            for one in learned
        ]
    return lines, short


def _value(line: _Line, begins: datetime) -> StageValue:
    return StageValue(
        pipeline=line.pipeline,
        stage=line.learned.stage,
        value=line.learned.value,
        confidence=round(line.learned.chance, 3),
        outcome=line.outcome,
        effective_from=begins,
    )


def _differs(wanted: StageValue, current: StageValue | None) -> bool:
    """Whether it says anything else than what will be in force anyway."""
    return current is None or replace(current, effective_from=wanted.effective_from) != wanted


def _report(
    profile: AccountProfile, lines: list[_Line], short: list[str], first: date | None, written: int, *, dry_run: bool
) -> Report:
    drifted = sum(line.drifted for line in lines)
    notes = [f"Pipeline {name}: fewer than {LEAST_WON} won deals with an amount, nothing is learned." for name in short]
    summary = (
        f"{counted(len(lines), 'stage')} learned, {counted(drifted, 'value')} in force outside of what the deals allow."
    )
    if first is not None and not dry_run:
        summary += f" {counted(written, 'value')} written, in force from {first}." if written else " No changes."
    return Report(
        command="stages learn",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=summary,
        facts=(
            Fact(key="learned", label="stages learned", value=len(lines), kind=Kind.COUNT),
            Fact(key="drifted", label="values outside", value=drifted, kind=Kind.COUNT),
            Fact(key="written", label="values written", value=written, kind=Kind.COUNT),
        ),
        tables=(_table(lines),),
        notes=tuple(notes),
    )


def _table(lines: list[_Line]) -> Table:
    return Table(
        key="stages",
        title="What deals were worth",
        columns=(
            Column(key="pipeline", label="pipeline"),
            Column(key="stage", label="stage"),
            Column(key="deals", label="deals", kind=Kind.COUNT),
            Column(key="chance", label="P(won)", kind=Kind.PERCENT),
            Column(key="learned", label="learned", kind=Kind.MONEY),
            Column(key="low", label="5 % below", kind=Kind.MONEY),
            Column(key="high", label="5 % above", kind=Kind.MONEY),
            Column(key="in_force", label="in force", kind=Kind.MONEY),
            Column(key="drift", label="of learned", kind=Kind.PERCENT),
            Column(key="outside", label="outside"),
        ),
        rows=tuple(_row(line) for line in lines),
        empty="No pipeline has enough won deals yet.",
    )


def _row(line: _Line) -> Mapping[str, Cell]:
    now = line.current.value if line.current else None
    return {
        "pipeline": line.pipeline,
        "stage": line.learned.stage,
        "deals": line.learned.deals,
        "chance": line.learned.chance,
        "learned": line.learned.value,
        "low": line.learned.low,
        "high": line.learned.high,
        "in_force": now,
        "drift": None if now is None or not line.learned.value else now / line.learned.value,
        "outside": line.drifted,
    }
