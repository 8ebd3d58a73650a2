"""Find the creatives that are most like an ad, a text or a draft, each with why it matches and how it did."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts, attributions, embeddings, entities, winners
from adctl.adapters.store.embeddings import Content
from adctl.adapters.store.winners import Standing
from adctl.adapters.winner_index import WinnerIndex, build_index, index_path, read_index
from adctl.domain.accounts import AccountProfile
from adctl.domain.creatives import Creative, content_hash
from adctl.domain.embedding.copies import NOISE_COSINE, CopyGroup, group_copies, relation
from adctl.domain.embedding.creative_embedder import CreativeEmbedder
from adctl.domain.embedding.embedder import Vectors
from adctl.domain.embedding.index_stamp import IndexProblem, Neighbour, embedding_id, index_stamp
from adctl.domain.ids import AdId
from adctl.domain.report import Cell, Column, Fact, Kind, Report, Table
from adctl.domain.winners import WinnerState
from adctl.errors import UsageError

# Enough that the near-copies of what is shown are among them; an exact search costs the same for one and for hundreds.
_FETCHED_PER_MATCH = 16
_FETCHED_AT_LEAST = 256

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The creative whose like is looked for; `itself` is the embedding id that is no answer."""

    creative: Creative
    vector: Vectors
    itself: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The nearest creatives that may be an answer, their content hashes by embedding id, and their groups."""

    neighbours: list[Neighbour]
    contents: Mapping[int, bytes]
    groups: list[CopyGroup]

    def content(self, place: int) -> bytes:
        return self.contents[self.neighbours[place].embedding_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """A group of near-copies: the one nearest to what was asked, and the others. `variant_of` is a match's number."""

    number: int
    cosine: float
    shown: Content
    standing: Standing | None
    copies: tuple[Standing, ...]
    ads: int
    variant_of: int | None


def run(
    engine: Engine,
    profile: AccountProfile,
    embedder: CreativeEmbedder,
    query: AdId | Creative,
    *,
    index_directory: Path,
    k: int = 10,
    winners_only: bool = False,
) -> Report:
    """The k nearest creatives, near-copies of each other shown once; what is below chance (cosine .15) is left out.

    The file is only a cache: when it is not what PostgreSQL says it should be, that is said in the log and the answer
    comes from PostgreSQL. Raises UsageError for an ad that is not known or a query that shows nothing.
    """
    # One snapshot: the file is compared with what the answer is read from.
    with transaction(engine, read_only=True, snapshot=True) as connection:
        accounts.check_pinned(connection, profile)
        asked = _asked(connection, profile, embedder, query)
        contents = embeddings.embedded(connection, profile.account, embedder.model_id)
        if not contents:
            return _report(profile, embedder, asked, (), _nothing_indexed(connection, profile), winners_only)
        winning = None
        if winners_only:
            winning = embeddings.shown(connection, profile.account, embedder.model_id, winning=True)
            index = _index_of(connection, profile, embedder, winning)
        else:
            index = _index(connection, profile, embedder, contents, index_directory)
        found = _find(connection, index, asked, k, winning)
        members = [found.content(at) for group in found.groups for at in (group.leader, *group.copies)]
        shown = embeddings.contents(connection, profile.account, members)
        standings = {s.content_hash: s for s in winners.standings(connection, profile.account, members)}
    matches = _matches(found, shown, standings)
    none_wins = winning is not None and not winning.keys() - {asked.itself}
    return _report(profile, embedder, asked, matches, _none_found(none_wins=none_wins), winners_only)


def _asked(
    connection: Connection, profile: AccountProfile, embedder: CreativeEmbedder, query: AdId | Creative
) -> _Asked:
    creative = query if isinstance(query, Creative) else _creative_of(connection, profile, query)
    vector = embedder.encode([creative])
    if not vector.any():
        raise UsageError("there is nothing to compare: no word and no attribute", fix="give a text with words in it")
    itself = None if isinstance(query, Creative) else embedding_id(content_hash(creative))
    return _Asked(creative=creative, vector=vector, itself=itself)


def _creative_of(connection: Connection, profile: AccountProfile, ad_id: AdId) -> Creative:
    creative = entities.creative_of_ad(connection, profile.account, ad_id)
    if creative is not None:
        return creative
    if ad_id in attributions.known_ads(connection, profile.account):
        raise UsageError(f"ad {ad_id}: its creative is not known", fix="run adctl sync-meta, or give --text")
    raise UsageError(f"ad {ad_id}: not known in account {profile.account!r}", fix="run adctl sync-meta")


def _index(
    connection: Connection,
    profile: AccountProfile,
    embedder: CreativeEmbedder,
    contents: bytes,
    directory: Path,
) -> WinnerIndex:
    stamp = index_stamp(profile.account, embedder.model_id, embedder.dims, contents)
    found = read_index(index_path(directory, profile.account), stamp)
    if not isinstance(found, IndexProblem):
        return found
    _LOG.warning("%s: answered from PostgreSQL; adctl index-winners writes it anew", found.detail)
    ids, vectors = embeddings.vectors(connection, profile.account, embedder.model_id, embedder.dims)
    return build_index(stamp, ids, vectors)


def _index_of(
    connection: Connection, profile: AccountProfile, embedder: CreativeEmbedder, winning: Mapping[int, bytes]
) -> WinnerIndex:
    """Winners are few: they are read from PostgreSQL, whatever the file is like."""
    stamp = index_stamp(profile.account, embedder.model_id, embedder.dims, b"".join(sorted(winning.values())))
    ids = list(winning)
    vectors = embeddings.vectors_of(connection, profile.account, embedder.model_id, embedder.dims, ids)
    return build_index(stamp, ids, vectors)


def _find(
    connection: Connection, index: WinnerIndex, asked: _Asked, k: int, winning: Mapping[int, bytes] | None
) -> _Found:
    """Fetches more until k groups are together, or all that is above chance has been seen.

    Limit: a copy that is much further from the query than the one shown may not be among those fetched.
    """
    stamp = index.stamp
    fetched = _FETCHED_PER_MATCH * k + _FETCHED_AT_LEAST
    while True:
        (nearest,) = index.search(asked.vector, fetched)
        ids = [n.embedding_id for n in nearest]
        contents = embeddings.shown(connection, stamp.account, stamp.model_id, ids) if winning is None else winning
        vectors = embeddings.vectors_of(connection, stamp.account, stamp.model_id, stamp.dims, ids)
        if index.rounded:
            nearest, vectors = _exactly(nearest, vectors, asked.vector)
        may = [
            n.embedding_id in contents and n.embedding_id != asked.itself and n.cosine >= NOISE_COSINE for n in nearest
        ]
        # One more than is shown: then no copy of what is shown is far behind.
        groups = group_copies(vectors[may], k + 1)
        if len(groups) > k or fetched >= stamp.count or nearest[-1].cosine < NOISE_COSINE:
            return _Found(neighbours=list(compress(nearest, may)), contents=contents, groups=groups[:k])
        fetched *= 4


def _exactly(found: list[Neighbour], vectors: Vectors, asked: Vectors) -> tuple[list[Neighbour], Vectors]:
    """The neighbours with their cosines taken from the stored vectors, and these, in the order that this gives."""
    cosines = np.round((vectors @ asked[0]).astype(np.float64), 6)
    order = np.lexsort(([n.embedding_id for n in found], -cosines))
    return [replace(found[at], cosine=float(cosines[at])) for at in order.tolist()], vectors[order]


def _matches(found: _Found, shown: Mapping[bytes, Content], standings: Mapping[bytes, Standing]) -> tuple[_Match, ...]:
    number_of = {group.leader: number for number, group in enumerate(found.groups, 1)}
    return tuple(
        _Match(
            number=number_of[group.leader],
            cosine=found.neighbours[group.leader].cosine,
            shown=shown[found.content(group.leader)],
            standing=standings.get(found.content(group.leader)),
            copies=tuple(standings[found.content(at)] for at in group.copies if found.content(at) in standings),
            ads=sum(len(shown[found.content(at)].ad_ids) for at in (group.leader, *group.copies)),
            variant_of=None if group.variant_of is None else number_of.get(group.variant_of),
        )
        for group in found.groups
    )


def _nothing_indexed(connection: Connection, profile: AccountProfile) -> str:
    others = embeddings.models(connection, profile.account)
    if others:
        return f"The creatives are indexed by another model ({', '.join(others)}): run adctl index-winners."
    return "No creative is indexed yet: run adctl index-winners."


def _none_found(*, none_wins: bool) -> str:
    if none_wins:
        return "No other creative is a winner at present."
    return "Nothing similar: every other creative is as far away as chance would have it."


def _report(
    profile: AccountProfile,
    embedder: CreativeEmbedder,
    asked: _Asked,
    matches: tuple[_Match, ...],
    empty: str,
    winners_only: bool,
) -> Report:
    kind = "winner" if winners_only else "creative"
    rows = tuple(_row(match, embedder, asked.creative) for match in matches)
    tables = [Table(key="matches", title=f"Similar {kind}s", columns=_COLUMNS, rows=rows, empty="")]
    if rows:
        reasons = tuple({column.key: row[column.key] for column in _REASONS} for row in rows)
        tables.append(Table(key="reasons", title="Why they match", columns=_REASONS, rows=reasons))
    found = f"{len(rows)} similar {kind}{'s' if len(rows) > 1 else ''}; likeness is no cause of a result."
    return Report(
        command="winners similar",
        account=profile.account,
        currency=profile.currency,
        summary=found if rows else empty,
        facts=(Fact(key="model", label="model", value=embedder.model_id),),
        tables=tuple(tables),
    )


_COLUMNS = (
    Column(key="number", label="#", kind=Kind.COUNT),
    Column(key="cosine", label="cosine", kind=Kind.RATIO),
    Column(key="relation", label="is a"),
    Column(key="creative", label="creative"),
    Column(key="ads", label="ads", kind=Kind.COUNT),
    Column(key="state", label="state"),
    Column(key="probability", label="P", kind=Kind.RATIO),
    Column(key="impressions", label="impressions", kind=Kind.COUNT),
    Column(key="spend", label="mature spend", kind=Kind.MONEY),
    Column(key="copies", label="near-copies", kind=Kind.COUNT),
    Column(key="variant_of", label="variant of #", kind=Kind.COUNT),
)
_REASONS = (
    Column(key="number", label="#", kind=Kind.COUNT),
    Column(key="text_cosine", label="text", kind=Kind.RATIO),
    Column(key="attribute_cosine", label="attributes", kind=Kind.RATIO),
    Column(key="shared_words", label="shared words"),
    Column(key="equal_attributes", label="equal attributes"),
)


def _row(match: _Match, embedder: CreativeEmbedder, asked: Creative) -> Mapping[str, Cell]:
    """Impressions and spend are those of all near-copies; P and state are of the one that is shown."""
    why = embedder.explain(asked, match.shown.creative)
    records = [s for s in (match.standing, *match.copies) if s is not None]
    return {
        "number": match.number,
        "cosine": match.cosine,
        "relation": relation(match.cosine).value,
        "creative": match.shown.title,
        "content": match.shown.content_hash.hex(),
        "ad_ids": ", ".join(match.shown.ad_ids),
        "ads": match.ads,
        "state": match.standing.state.value if match.standing else WinnerState.NONE.value,
        "probability": round(match.standing.probability, 4) if match.standing else None,
        "impressions": sum(s.impressions for s in records),
        "spend": sum(s.spend for s in records),
        "copies": len(match.copies),
        "variant_of": match.variant_of,
        "text_cosine": round(why.text_cosine, 6),
        "attribute_cosine": round(why.attribute_cosine, 6),
        "text_share": round(why.text_share, 6),
        "attribute_share": round(why.attribute_share, 6),
        "shared_words": ", ".join(why.shared_words),
        "equal_attributes": ", ".join(f"{name} {value}" for name, value in why.equal_attributes.items()),
    }
