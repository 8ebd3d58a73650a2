"""What one deal is worth where it stands, or what any deal is worth in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, deals, revenue
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Deal
from adctl.domain.ids import DealId
from adctl.domain.report import Fact, Kind, Report
from adctl.domain.revenue import StageValue, StageValues, SyntheticRevenue, synthetic_revenue
from adctl.errors import ConfigurationError, UsageError


def run(engine: Engine, profile: AccountProfile, asked: str, configured: Sequence[StageValue]) -> Report:
    """`asked` is a deal's id, or a stage as STAGE or PIPELINE/STAGE. Reads only.

    Raises UsageError for what is neither, and ConfigurationError for a deal whose stage or currency gives no value.
    """
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        values = revenue.stage_values(connection, profile.account, planned=configured, at=now)
        deal = deals.one(connection, profile.account, DealId(asked))
    summary, facts = _of_deal(profile, deal, values, now) if deal else _of_stage(profile, asked, values, now)
    return Report(
        command="stages value", account=profile.account, currency=profile.currency, summary=summary, facts=facts
    )


def _of_deal(profile: AccountProfile, deal: Deal, values: StageValues, now: datetime) -> tuple[str, tuple[Fact, ...]]:
    found = synthetic_revenue(deal, values, at=now, currency=profile.currency)
    if not isinstance(found, SyntheticRevenue):
        raise ConfigurationError(str(found), fix="adctl stages check names every stage without a value")
    return f"Deal {deal.deal_id} stands in {deal.pipeline}/{deal.stage}.", (
        Fact(key="value", label="value", value=found.value, kind=Kind.MONEY),
        Fact(key="cash", label="of it won", value=found.cash, kind=Kind.MONEY),
        Fact(key="confidence", label="confidence", value=found.confidence, kind=Kind.RATIO),
        Fact(key="pipeline", label="pipeline", value=deal.pipeline),
        Fact(key="stage", label="stage", value=deal.stage),
    )


def _of_stage(profile: AccountProfile, asked: str, values: StageValues, now: datetime) -> tuple[str, tuple[Fact, ...]]:
    in_force = values.in_force(now)
    found = [v for v in in_force if asked in (v.stage, f"{v.pipeline}/{v.stage}")]
    if not found:
        known = ", ".join(f"{v.pipeline}/{v.stage}" for v in in_force) or "none"
        raise UsageError(f"{asked!r} is no deal and no stage with a value", fix=f"stages with a value: {known}")
    if len(found) > 1:
        names = ", ".join(f"{v.pipeline}/{asked}" for v in found)
        raise UsageError(f"stage {asked!r} is in several pipelines", fix=f"name one: {names}")
    (value,) = found
    return f"A deal in {value.pipeline}/{value.stage} is worth:", (
        Fact(key="value", label="value", value=value.value, kind=Kind.MONEY),
        Fact(key="confidence", label="confidence", value=value.confidence, kind=Kind.RATIO),
        Fact(key="outcome", label="outcome", value=value.outcome.value),
        Fact(key="effective_from", label="in force from", value=value.effective_from, kind=Kind.TIME),
    )
