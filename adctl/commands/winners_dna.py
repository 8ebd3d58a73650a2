"""Rank what creatives are made of by what it brought, winners beside losers, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, embeddings, media, winners
from adctl.adapters.store.winners import Standing
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.dna import dna
from adctl.domain.lifts import FALSE_SHARE, LEAST_CREATIVES, Lift, Traced, lifts
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.winners import WinnerState


class By(StrEnum):
    """What is compared: value per spend, or clicks per impression."""

    ROAS = "roas"
    CTR = "ctr"


def run(engine: Engine, profile: AccountProfile, *, by: By = By.ROAS) -> Report:
    """Compares the mature records of index-winners; says nothing of a cause, and nothing of what is not known."""
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        standings = winners.standings(connection, profile.account)
        shown = embeddings.contents(connection, profile.account, [s.content_hash for s in standings])
        shapes = media.shapes(connection, profile.account)
        lengths = media.lengths(connection, profile.account)
    traced = [
        _traced(s, dna(creative, shapes.get(creative.image_hash or ""), lengths.get(creative.video_id or "")), by)
        for s in standings
        if s.content_hash in shown
        for creative in (shown[s.content_hash].creative,)
    ]
    found = lifts(traced)
    standing = sum(lift.stands for lift in found)
    return Report(
        command="winners dna",
        account=profile.account,
        summary=_summary(traced, found, standing),
        facts=(
            Fact(key="creatives", label="creatives with a record", value=len(traced), kind=Kind.COUNT),
            Fact(key="winners", label="winners among them", value=sum(one.won for one in traced), kind=Kind.COUNT),
            Fact(key="looks", label="traits looked at", value=len(found), kind=Kind.COUNT),
            Fact(key="stands", label="traits that stand out", value=standing, kind=Kind.COUNT),
        ),
        tables=(_table(found, by),),
        notes=(
            f"A trait stands out when q is at most {FALSE_SHARE:g}: of such traits that share is expected to be luck. "
            "A lift goes along with a trait; only a test tells whether it comes from it.",
        ),
    )


def _traced(standing: Standing, traits: Mapping[str, str], by: By) -> Traced:
    brought, cost = (standing.clicks, standing.impressions) if by is By.CTR else (standing.value, standing.spend)
    won = standing.state is WinnerState.WINNER
    return Traced(traits=traits, brought=float(brought), cost=float(cost), won=won)


def _summary(traced: list[Traced], found: tuple[Lift, ...], standing: int) -> str:
    if not traced:
        return "No creative was judged yet: run adctl index-winners."
    if not found:
        return f"Nothing to compare: no trait is had and lacked by {LEAST_CREATIVES} creatives with a record."
    return f"{standing} of {counted(len(found), 'trait')} stand out among {counted(len(traced), 'creative')}."


def _table(found: tuple[Lift, ...], by: By) -> Table:
    rate = "CTR" if by is By.CTR else "ROAS"
    kind = Kind.PERCENT if by is By.CTR else Kind.RATIO
    return Table(
        key="traits",
        title="Traits by lift",
        columns=(
            Column(key="attribute", label="attribute"),
            Column(key="value", label="value"),
            Column(key="lift", label="lift", kind=Kind.RATIO),
            Column(key="low", label="from", kind=Kind.RATIO),
            Column(key="high", label="to", kind=Kind.RATIO),
            Column(key="q", label="q", kind=Kind.RATIO),
            Column(key="stands", label="stands out"),
            Column(key="winners", label="winners with", kind=Kind.COUNT),
            Column(key="creatives", label="of", kind=Kind.COUNT),
            Column(key="other_winners", label="winners without", kind=Kind.COUNT),
            Column(key="others", label="of", kind=Kind.COUNT),
            Column(key="rate", label=f"{rate} with", kind=kind),
            Column(key="other_rate", label="without", kind=kind),
        ),
        rows=tuple(_row(lift) for lift in found),
        empty="No trait can be compared yet.",
        shown=30,
    )


def _row(lift: Lift) -> Mapping[str, Cell]:
    return {
        "attribute": lift.attribute,
        "value": lift.value,
        "lift": round(lift.lift, 4),
        "low": round(lift.low, 4),
        "high": round(lift.high, 4),
        "p": round(lift.p, 6),
        "q": round(lift.q, 6),
        "stands": "yes" if lift.stands else "no",
        "creatives": lift.creatives,
        "winners": lift.winners,
        "others": lift.others,
        "other_winners": lift.other_winners,
        "rate": round(lift.rate, 6),
        "other_rate": round(lift.other_rate, 6),
    }
