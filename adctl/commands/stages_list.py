"""The value of every stage with the time from which it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, revenue
from adctl.adapters.store.deal_columns import crm_stages
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Cell, Column, Kind, Report, Table
from adctl.domain.revenue import StageValue, taken_out_note


def run(engine: Engine, profile: AccountProfile, configured: Sequence[StageValue], *, note: str = "") -> Report:
    """All values of all times. `configured` ones that were never recorded are named: they hold from the next ingest-crm
    on. `note` is what there is to know of the template they come from.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        stored = revenue.stored_values(connection, profile.account)
        labels = {(s.pipeline, s.stage): s.label for s in crm_stages(connection, profile.account)}
        gone = revenue.taken_out(connection, profile.account, configured, now)
        current = {
            (v.pipeline, v.stage, v.effective_from)
            for v in revenue.stage_values(connection, profile.account).in_force(now)
        }
    known = {(one.value.pipeline, one.value.stage) for one in stored}
    planned = [v for v in configured if (v.pipeline, v.stage) not in known]
    rows = tuple(
        {
            "pipeline": one.value.pipeline,
            "stage": one.value.stage,
            "label": labels.get((one.value.pipeline, one.value.stage)),
            "value": one.value.value,
            "confidence": one.value.confidence,
            "outcome": one.value.outcome.value,
            "effective_from": one.value.effective_from,
            "origin": one.origin,
            "in_force": (one.value.pipeline, one.value.stage, one.value.effective_from) in current,
        }
        for one in stored
    )
    notes = []
    if planned:
        notes.append(f"Not recorded yet: {counted(len(planned), 'configured stage')}; adctl ingest-crm does that.")
    later = sum(one.origin == "learned" and one.value.effective_from > now for one in stored)
    if later:
        notes.append(f"Not in force yet: {counted(later, 'learned value')}; adctl stages withdraw takes it back.")
    notes += taken_out_note(gone, profile.currency)
    return Report(
        command="stages list",
        account=profile.account,
        currency=profile.currency,
        summary=f"{counted(len(rows), 'value')} of {counted(len(known), 'stage')}.",
        tables=(_table(rows),),
        notes=tuple([*notes, note] if note else notes),
    )


def _table(rows: Sequence[Mapping[str, Cell]]) -> Table:
    return Table(
        key="stages",
        title="Stage values",
        columns=(
            Column(key="pipeline", label="pipeline"),
            Column(key="stage", label="stage"),
            Column(key="label", label="label"),
            Column(key="value", label="value", kind=Kind.MONEY),
            Column(key="confidence", label="confidence", kind=Kind.RATIO),
            Column(key="outcome", label="outcome"),
            Column(key="effective_from", label="from", kind=Kind.TIME),
            Column(key="origin", label="origin"),
            Column(key="in_force", label="in force"),
        ),
        rows=rows,
        empty="No stage has a value: set stage_template or stages in adctl.toml, then run adctl ingest-crm.",
    )
