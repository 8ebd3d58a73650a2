"""Which stages have no value, and how many deals stand in them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, revenue
from adctl.adapters.store.deal_columns import crm_stages
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.domain.revenue import StageValue, taken_out_note


def run(engine: Engine, profile: AccountProfile, configured: Sequence[StageValue]) -> Report:
    """Names every stage that the CRM defines or a deal stands in and that has no value, neither recorded nor
    `configured`. Exit code 3 when there is any: its deals count as worth nothing.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        values = revenue.stage_values(connection, profile.account, planned=configured, at=now)
        gone = revenue.taken_out(connection, profile.account, configured, now)
        standing = {(c.pipeline, c.stage): c.deals for c in deals.stage_counts(connection, profile.account)}
        labels = {(s.pipeline, s.stage): s.label for s in crm_stages(connection, profile.account)}
    every = sorted({*standing, *labels})
    unmapped = [key for key in every if values.at(*key, now) is None]
    lost = sum(standing.get(key, 0) for key in unmapped)
    return Report(
        command="stages check",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(len(unmapped), len(every)),
        facts=(
            Fact(key="stages", label="stages", value=len(every), kind=Kind.COUNT),
            Fact(key="unmapped", label="without a value", value=len(unmapped), kind=Kind.COUNT),
            Fact(key="deals", label="deals that stand in those", value=lost, kind=Kind.COUNT),
        ),
        tables=(
            Table(
                key="unmapped_stages",
                title="Stages without a value",
                columns=(
                    Column(key="pipeline", label="pipeline"),
                    Column(key="stage", label="stage"),
                    Column(key="label", label="label"),
                    Column(key="deals", label="deals", kind=Kind.COUNT),
                ),
                rows=tuple(
                    {"pipeline": key[0], "stage": key[1], "label": labels.get(key), "deals": standing.get(key, 0)}
                    for key in unmapped
                ),
                empty="None.",
            ),
        ),
        notes=tuple(taken_out_note(gone, profile.currency)),
        exit_code=3 if unmapped else 0,
    )


def _summary(unmapped: int, every: int) -> str:
    if not every:
        return "No stage is known yet: adctl sync-hubspot or adctl ingest-crm reads them."
    if unmapped:
        return f"Without a value: {unmapped} of {counted(every, 'stage')}; add what is missing to adctl.toml."
    return f"No value is missing: {counted(every, 'stage')}."
