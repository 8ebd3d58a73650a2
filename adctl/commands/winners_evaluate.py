"""Find out whether similar creatives tell anything of new ads on this account, and let the engine use it only then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, neighbours
from adctl.adapters.store.neighbours import Outcome
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.embedding.embedder import Embedder
from adctl.domain.neighbour_evaluation import LEAST_ADS, LEAST_CAMPAIGNS, LEAST_EVENTS, Evaluation, evaluate
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table

_SAID = {Outcome.LEADS: "leads for the money", Outcome.CLICKS: "clicks for the impressions"}


def run(engine: Engine, profile: AccountProfile, embedder: Embedder, *, dry_run: bool = False) -> Report:
    """Judges every new ad of the last year by what was known when it was new, and stores the verdicts.

    An account that has too little to judge by is told so, and its neighbours stay off.
    """
    with transaction(engine, read_only=dry_run) as connection:
        accounts.check_pinned(connection, profile)
        now = accounts.now(connection)
        today = now.astimezone(ZoneInfo(profile.timezone)).date()
        ads = neighbours.embedded_ads(connection, profile.account, embedder.model_id, embedder.dims, today)
    seed = int.from_bytes(hashlib.blake2b(profile.account.encode(), digest_size=8).digest())
    found = {outcome: evaluate(ads.trials(outcome), seed) for outcome in Outcome}
    written = 0
    if not dry_run:
        with transaction(engine) as connection:
            accounts.ensure(connection, profile)
            written = neighbours.store(connection, profile.account, embedder.model_id, embedder.dims, found, now)
    return Report(
        command="winners evaluate",
        account=profile.account,
        dry_run=dry_run,
        summary=_summary(found, written, dry_run=dry_run),
        facts=(
            Fact(key="embedded_ads", label="ads with results and a vector", value=len(ads.ad_ids), kind=Kind.COUNT),
            Fact(key="model", label="model", value=embedder.model_id),
            *(Fact(key=o.value, label=_SAID[o], value=_state(one)) for o, one in found.items()),
        ),
        tables=(_table(found),),
        notes=("Differences are of log-loss in nats per new ad; below 0 is better. The interval is 95 %.",),
    )


def _state(one: Evaluation) -> str:
    if one.helps:
        return "on: neighbours help"
    if not one.enough:
        ads, campaigns = counted(one.ads, "new ad"), counted(one.campaigns, "campaign")
        seen = f"{ads} of {campaigns} with {counted(one.events, 'event')}"
        return f"off: {seen} to judge by; {LEAST_ADS}, {LEAST_CAMPAIGNS} and {LEAST_EVENTS} needed"
    return "off: the interval of what neighbours add does not exclude 0"


def _summary(found: Mapping[Outcome, Evaluation], written: int, *, dry_run: bool) -> str:
    told = "; ".join(f"{_SAID[outcome]} {'on' if one.helps else 'off'}" for outcome, one in found.items())
    if dry_run:
        return f"Neighbours: {told}; nothing written."
    return f"Neighbours: {told}." if written else f"Neighbours: {told}. No changes."


def _table(found: Mapping[Outcome, Evaluation]) -> Table:
    return Table(
        key="evaluations",
        title="What was known of new ads before they ran",
        columns=(
            Column(key="outcome", label="outcome"),
            Column(key="ads", label="new ads", kind=Kind.COUNT),
            Column(key="campaigns", label="campaigns", kind=Kind.COUNT),
            Column(key="compared", label="compared"),
            Column(key="mean", label="difference", kind=Kind.RATIO),
            Column(key="low", label="from", kind=Kind.RATIO),
            Column(key="high", label="to", kind=Kind.RATIO),
        ),
        rows=tuple(row for outcome, one in found.items() for row in _rows(outcome, one)),
    )


def _rows(outcome: Outcome, one: Evaluation) -> list[Mapping[str, Cell]]:
    compared = {
        "recent ads' mean − mean of all": one.recent,
        "neighbours − recent ads' mean": one.neighbours,
        "placebo neighbours − recent ads' mean": one.placebo,
        "neighbours − placebo neighbours": one.own,
    }
    return [
        {
            "outcome": outcome.value,
            "ads": one.ads,
            "campaigns": one.campaigns,
            "compared": name,
            "mean": round(interval.mean, 4),
            "low": round(interval.low, 4),
            "high": round(interval.high, 4),
            "strength": round(one.strength, 3),
            "weight": one.rule.weight,
            "noise": one.rule.noise,
        }
        for name, interval in compared.items()
    ]
