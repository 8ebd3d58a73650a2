"""List the creatives that win, those that may, and those that stopped."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, embeddings, fatigue, winners
from adctl.adapters.store.embeddings import Content
from adctl.adapters.store.winners import Standing
from adctl.domain.accounts import AccountProfile
from adctl.domain.ids import AdId
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.winners import WinnerState

_ORDER = (WinnerState.WINNER, WinnerState.PROMISING, WinnerState.DEMOTED)


def run(engine: Engine, profile: AccountProfile) -> Report:
    """Winners first, each group by P(ROAS > target) as last judged by index-winners."""
    with transaction(engine, read_only=True) as connection:
        today = accounts.now(connection).astimezone(ZoneInfo(profile.timezone)).date()
        accounts.check_pinned(connection, profile)
        standings = winners.standings(connection, profile.account)
        listed = sorted((s for s in standings if s.state in _ORDER), key=lambda s: _ORDER.index(s.state))
        shown = embeddings.contents(connection, profile.account, [s.content_hash for s in listed])
        ads = [ad_id for content in shown.values() for ad_id in content.ad_ids]
        tired = fatigue.of_ads(connection, profile.account, ads, today)
    said = {ads[at]: tired.says(at) for at in tired.flagged.nonzero()[0].tolist()}
    counts = {state: sum(s.state is state for s in listed) for state in _ORDER}
    told = ", ".join(f"{state.value} {count}" for state, count in counts.items() if count)
    empty = "No creative wins yet." if standings else "No creative was judged yet: run adctl index-winners."
    return Report(
        command="winners list",
        account=profile.account,
        currency=profile.currency,
        summary=f"Of {len(standings)} different creatives: {told}." if told else empty,
        facts=tuple(Fact(key=s.value, label=s.value, value=n, kind=Kind.COUNT) for s, n in counts.items()),
        tables=(_table(listed, shown, said, empty),),
        notes=tuple(f"Ad {ad_id} wears out: {evidence}." for ad_id, evidence in said.items()),
    )


def _table(listed: list[Standing], shown: Mapping[bytes, Content], said: Mapping[AdId, str], empty: str) -> Table:
    return Table(
        key="winners",
        title="Winners",
        columns=(
            Column(key="creative", label="creative"),
            Column(key="ads", label="ads", kind=Kind.COUNT),
            Column(key="state", label="state"),
            Column(key="probability", label="P", kind=Kind.RATIO),
            Column(key="spend", label="mature spend", kind=Kind.MONEY),
            Column(key="value", label="value", kind=Kind.MONEY),
            Column(key="wins", label="wins", kind=Kind.COUNT),
            Column(key="since", label="since", kind=Kind.TIME),
            Column(key="until", label="until", kind=Kind.TIME),
            Column(key="tired", label="ads that wear out", kind=Kind.COUNT),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_row(s, shown.get(s.content_hash), said) for s in listed),
        empty=empty,
        shown=50,
    )


def _row(standing: Standing, content: Content | None, said: Mapping[AdId, str]) -> Mapping[str, Cell]:
    ad_ids = content.ad_ids if content else ()
    return {
        "content": standing.content_hash.hex(),
        "creative": content.title if content else "(no longer shown by any creative)",
        "ads": len(ad_ids),
        "ad_ids": ", ".join(ad_ids),
        "state": standing.state.value,
        "probability": round(standing.probability, 4),
        "impressions": standing.impressions,
        "clicks": standing.clicks,
        "spend": standing.spend,
        "value": standing.value,
        "wins": int(standing.wins) if standing.wins.is_integer() else standing.wins,
        "since": standing.since,
        "until": standing.until,
        "tired": sum(ad_id in said for ad_id in ad_ids),
        "reason": standing.reason,
    }
