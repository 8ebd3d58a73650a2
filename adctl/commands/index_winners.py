"""Embed every creative, find the winners among those with a mature record, and refresh the index file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, added_creatives, embeddings, winner_figures, winners
from adctl.adapters.store.embeddings import Content
from adctl.adapters.winner_index import build_index, index_path, read_index, write_index
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.creatives import creative_attributes, creative_text
from adctl.domain.embedding.embedder import Embedder
from adctl.domain.embedding.index_stamp import CONTENT_BYTES, IndexFault, IndexProblem, index_stamp
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.winner_plan import Judged, account_prior, judge_contents, pooled_records, retired, stranger_prior
from adctl.domain.winners import WinnerRule, WinnerState

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a run would do. `lacking` are contents that the model has not embedded, `unshown` embeddings to remove."""

    now: datetime
    contents: Mapping[bytes, Content]
    known: int
    lacking: tuple[bytes, ...]
    unshown: int
    judged: tuple[Judged, ...]
    changes: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a run did. `problem` says why the index file was written anew, None when it was right."""

    removed: int
    records: int
    problem: IndexProblem | None


def run(
    engine: Engine,
    profile: AccountProfile,
    embedder: Embedder,
    rule: WinnerRule,
    *,
    index_directory: Path,
    lag_days: int = winner_figures.ATTRIBUTION_LAG_DAYS,
    dry_run: bool = False,
) -> Report:
    """Embeds what the model lacks, moves winners in and out, and writes the index file when it differs.

    The same again changes nothing, to the byte. Spend of the last `lag_days` is not judged, nor are leads of that time.
    A file that is lost, damaged or somebody else's is said in the log and written anew from PostgreSQL.
    """
    if dry_run:
        with transaction(engine, read_only=True) as connection:
            return _report(profile, _plan(connection, profile, embedder, rule, lag_days), None)
    with winners.only_one(engine, profile.account):
        with transaction(engine, read_only=True) as connection:
            plan = _plan(connection, profile, embedder, rule, lag_days)
        # Outside of any transaction: a first run over many creatives takes longer than one may stand idle.
        vectors = embedder.encode([plan.contents[content].creative for content in plan.lacking])
        with transaction(engine) as connection:
            accounts.ensure(connection, profile)
            embeddings.add(connection, profile.account, embedder.model_id, plan.lacking, vectors, plan.now)
            removed = embeddings.remove_unshown(connection, profile.account)
            records = winners.store_records(connection, profile.account, plan.judged, plan.now)
            winners.move(connection, profile.account, plan.changes, plan.now)
        problem = _refresh(engine, profile, embedder, index_directory)
        _say(problem, plan, removed)
    return _report(profile, plan, _Done(removed=removed, records=records, problem=problem))


def _plan(
    connection: Connection, profile: AccountProfile, embedder: Embedder, rule: WinnerRule, lag_days: int
) -> _Plan:
    accounts.check_pinned(connection, profile)
    now = accounts.now(connection)
    found = embeddings.contents(connection, profile.account)
    shown = {content: entry for content, entry in found.items() if _shows_something(entry)}
    known = embeddings.embedded(connection, profile.account, embedder.model_id)
    have = frozenset(known[at : at + CONTENT_BYTES] for at in range(0, len(known), CONTENT_BYTES))
    figures, win_values = winner_figures.mature(connection, profile, now, lag_days)
    added = added_creatives.figures(connection, profile.account)
    content_of = {ad_id: content for content, entry in shown.items() for ad_id in entry.ad_ids}
    content_of |= {figure.ad_id: content for content, figure in added.items()}
    previous = winners.states(connection, profile.account)
    records = pooled_records((*figures, *added.values()), content_of, shown, rule)
    # What was added happened elsewhere and tells nothing of this account's usual return, unless that is all there is.
    prior = account_prior(figures, win_values) or stranger_prior(records.values(), rule.target_roas)
    judged = judge_contents(rule, records, prior, previous)
    return _Plan(
        now=now,
        contents=shown,
        known=len(have),
        lacking=tuple(content for content in shown if content not in have),
        unshown=len(have - found.keys()),
        judged=judged,
        changes=(*(j for j in judged if j.changed), *retired(rule, shown, previous)),
    )


def _shows_something(content: Content) -> bool:
    return bool(creative_text(content.creative) or creative_attributes(content.creative))


def _refresh(engine: Engine, profile: AccountProfile, embedder: Embedder, directory: Path) -> IndexProblem | None:
    path = index_path(directory, profile.account)
    with transaction(engine, read_only=True) as connection:
        contents = embeddings.embedded(connection, profile.account, embedder.model_id)
        stamp = index_stamp(profile.account, embedder.model_id, embedder.dims, contents)
        found = read_index(path, stamp)
        if not isinstance(found, IndexProblem):
            return None
        ids, vectors = embeddings.vectors(connection, profile.account, embedder.model_id, embedder.dims)
    write_index(path, build_index(stamp, ids, vectors))
    return found


def _say(problem: IndexProblem | None, plan: _Plan, removed: int) -> None:
    """A file that is missing or behind because of this very run is no news; any other problem is."""
    if problem is None:
        return
    first = not plan.known and problem.fault in (IndexFault.MISSING, IndexFault.OTHER_MODEL)
    own = (plan.lacking or removed) and problem.fault is IndexFault.STALE
    if not (first or own):
        _LOG.warning("%s: written anew from PostgreSQL", problem.detail)


def _report(profile: AccountProfile, plan: _Plan, done: _Done | None) -> Report:
    states = [j.verdict.state for j in plan.judged]
    removed = done.removed if done else plan.unshown
    facts = [
        Fact(key="creatives", label="different creatives", value=len(plan.contents), kind=Kind.COUNT),
        Fact(key="embedded", label="embedded", value=len(plan.lacking), kind=Kind.COUNT),
        Fact(key="removed", label="no longer shown, removed", value=removed, kind=Kind.COUNT),
        Fact(key="winners", label="winners", value=states.count(WinnerState.WINNER), kind=Kind.COUNT),
        Fact(key="promising", label="promising", value=states.count(WinnerState.PROMISING), kind=Kind.COUNT),
        Fact(key="changed", label="won or demoted now", value=len(plan.changes), kind=Kind.COUNT),
    ]
    if done:
        facts += [
            Fact(key="records", label="records that moved", value=done.records, kind=Kind.COUNT),
            Fact(key="index", label="index file", value="written" if done.problem else "as it was"),
        ]
    return Report(
        command="index-winners",
        account=profile.account,
        currency=profile.currency,
        dry_run=done is None,
        summary=_summary(plan, done, states, removed),
        facts=tuple(facts),
        tables=(_table(plan),),
    )


def _summary(plan: _Plan, done: _Done | None, states: Sequence[WinnerState], removed: int) -> str:
    if not plan.contents:
        told = "No creatives are known: run adctl sync-meta."
        return told if not removed else f"{told} {counted(removed, 'creative')} left the index."
    told = f"{len(plan.lacking):,} of {counted(len(plan.contents), 'creative')} embedded, "
    told += f"{counted(states.count(WinnerState.WINNER), 'winner')}"
    if done is None:
        return f"{told}; nothing written."
    moved = plan.lacking or plan.changes or removed or done.records or done.problem
    return f"{told}." if moved else f"{told}. No changes."


def _table(plan: _Plan) -> Table:
    return Table(
        key="changes",
        title="Won or demoted",
        columns=(
            Column(key="creative", label="creative"),
            Column(key="state", label="state"),
            Column(key="probability", label="P", kind=Kind.RATIO),
            Column(key="spend", label="mature spend", kind=Kind.MONEY),
            Column(key="wins", label="wins", kind=Kind.COUNT),
            Column(key="reason", label="why"),
        ),
        rows=tuple(_row(change, plan.contents.get(change.content_hash)) for change in plan.changes),
        empty="No creative became a winner or stopped being one.",
        shown=20,
    )


def _row(change: Judged, content: Content | None) -> Mapping[str, Cell]:
    return {
        "content": change.content_hash.hex(),
        "creative": content.title if content else change.content_hash.hex(),
        "ads": ", ".join(content.ad_ids) if content else "",
        "state": change.verdict.state.value,
        "probability": round(change.verdict.probability, 4),
        "spend": change.record.spend,
        "wins": change.record.wins,
        "reason": change.verdict.reason,
    }
