"""Say what is indexed, by which model, and whether the index file is what PostgreSQL says it should be."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, embeddings, winners
from adctl.adapters.winner_index import index_path, read_index
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.embedding.embedder import Embedder
from adctl.domain.embedding.index_stamp import IndexProblem, index_stamp
from adctl.domain.report import Column, Fact, Kind, Report, Table
from adctl.domain.winners import WinnerState


def run(engine: Engine, profile: AccountProfile, embedder: Embedder, *, index_directory: Path) -> Report:
    """Counts by state and by model, and the state of the file; writes nothing, whatever is wrong."""
    path = index_path(index_directory, profile.account)
    with transaction(engine, read_only=True) as connection:
        accounts.check_pinned(connection, profile)
        shown, lacking = embeddings.count_lacking(connection, profile.account, embedder.model_id)
        models = embeddings.models(connection, profile.account)
        indexed = embeddings.embedded(connection, profile.account, embedder.model_id)
        standings = winners.standings(connection, profile.account)
    stamp = index_stamp(profile.account, embedder.model_id, embedder.dims, indexed)
    found = read_index(path, stamp)
    problem = found if isinstance(found, IndexProblem) else None
    states = [s.state for s in standings]
    return Report(
        command="winners stats",
        account=profile.account,
        currency=profile.currency,
        summary=_summary(stamp.count, states, problem),
        facts=(
            Fact(key="creatives", label="different creatives", value=shown, kind=Kind.COUNT),
            Fact(key="indexed", label="indexed", value=stamp.count, kind=Kind.COUNT),
            Fact(key="not_indexed", label="not indexed", value=lacking, kind=Kind.COUNT),
            *(Fact(key=s.value, label=s.value, value=states.count(s), kind=Kind.COUNT) for s in WinnerState),
            Fact(
                key="judged_at",
                label="last change of a record",
                value=max((s.judged_at for s in standings), default=None),
            ),
            Fact(key="model", label="model", value=embedder.model_id),
            Fact(key="dims", label="numbers in a vector", value=embedder.dims, kind=Kind.COUNT),
            Fact(key="index", label="index file", value=problem.fault.value if problem else "right"),
        ),
        tables=(
            Table(
                key="models",
                title="Embeddings by model",
                columns=(Column(key="model", label="model"), Column(key="embeddings", label="n", kind=Kind.COUNT)),
                rows=tuple({"model": model, "embeddings": n} for model, n in models.items()),
            ),
        ),
        notes=(f"{problem.detail}; adctl index-winners writes it anew.",) if problem and indexed else (),
    )


def _summary(indexed: int, states: list[WinnerState], problem: IndexProblem | None) -> str:
    if not indexed:
        return "No creative is indexed yet: run adctl index-winners."
    file = "the index file is right" if problem is None else "the index file is not usable"
    return f"{counted(indexed, 'creative')} indexed, {counted(states.count(WinnerState.WINNER), 'winner')}; {file}."
