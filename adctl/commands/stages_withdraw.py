"""Take back learned stage values that do not hold yet, such as those of a mistaken day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.revenue import StageValue, StageValues
from adctl.errors import UsageError


def run(engine: Engine, profile: AccountProfile, *, start: date | None = None, dry_run: bool = False) -> Report:
    """Withdraws every learned value that begins later than now, with `start` those of that account day.

    Raises UsageError for a day whose values hold already: decisions stand on them.
    """
    zone = ZoneInfo(profile.timezone)
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        stored = revenue.stored_values(connection, profile.account)
        learned = [
            one.value
            for one in stored
            if one.origin == "learned" and start in (None, one.value.effective_from.astimezone(zone).date())
        ]
        wanted = [value for value in learned if value.effective_from > now]
        if start and len(wanted) < len(learned):
            raise UsageError(
                f"--from {start}: these values hold already, decisions may stand on them",
                fix="adctl stages learn --write puts others in force from now on",
            )
        withdrawn = 0 if dry_run else revenue.withdraw_learned(connection, profile.account, wanted)
    left = StageValues(tuple(one.value for one in stored if one.value not in wanted))
    if not wanted:
        none = f"begins on {start}" if start else "is waiting for its day"
        summary = f"No learned value {none}. No changes."
    else:
        done = f"{counted(len(wanted), 'value')} would be" if dry_run else counted(withdrawn, "value")
        summary = f"{done} withdrawn."
    return _report(profile, wanted, left, withdrawn, summary, dry_run=dry_run)


def _report(
    profile: AccountProfile,
    wanted: Sequence[StageValue],
    left: StageValues,
    withdrawn: int,
    summary: str,
    *,
    dry_run: bool,
) -> Report:
    return Report(
        command="stages withdraw",
        account=profile.account,
        currency=profile.currency,
        dry_run=dry_run,
        summary=summary,
        facts=(Fact(key="withdrawn", label="values withdrawn", value=withdrawn, kind=Kind.COUNT),),
        tables=(
            Table(
                key="stages",
                title="Learned values that do not hold yet",
                columns=(
                    Column(key="pipeline", label="pipeline"),
                    Column(key="stage", label="stage"),
                    Column(key="effective_from", label="from", kind=Kind.TIME),
                    Column(key="value", label="withdrawn", kind=Kind.MONEY),
                    Column(key="stays", label="it stays at", kind=Kind.MONEY),
                ),
                rows=tuple(_row(value, left) for value in wanted),
                empty="None.",
            ),
        ),
    )


def _row(value: StageValue, left: StageValues) -> Mapping[str, Cell]:
    stays = left.at(value.pipeline, value.stage, value.effective_from)
    return {
        "pipeline": value.pipeline,
        "stage": value.stage,
        "effective_from": value.effective_from,
        "value": value.value,
        "stays": stays.value if stays else None,
    }
