"""Times the winner index at the size of a large account, beside hnswlib, usearch and pgvector in the same run.

Run from the checkout with the extra `bench`: `python -m tests.bench.winner_speed [--creatives 100000]`; `--rivals`
names those to run, since a graph of 100,000 takes minutes to build. It starts an embedded PostgreSQL of its own in a
temporary folder. Times are CPU seconds of this process on one thread, except for PostgreSQL's own work, which is wall
time; recall is the share of the exact ten nearest that were found.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import faiss
import hnswlib
import numpy as np
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from usearch.index import Index

from adctl.adapters import migrations
from adctl.adapters.db import open_engine, transaction
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.adapters.store import accounts, embeddings
from adctl.adapters.winner_index import WinnerIndex, build_index, index_path, read_index, write_index
from adctl.domain.accounts import AccountProfile
from adctl.domain.embedding.copies import group_copies
from adctl.domain.embedding.embedder import Vectors, unit_rows
from adctl.domain.embedding.index_stamp import Neighbour, embedding_id, index_stamp
from adctl.domain.ids import Account, digest

_DIMS = 512
_QUERIES = 50
_NEAREST = 10
# What `winners similar` fetches for ten.
_FETCHED = 416
_RIVALS = ("pgvector", "usearch", "hnswlib")
_NOW = datetime(2026, 3, 2, tzinfo=UTC)
_PROFILE = AccountProfile(
    account=Account("bench"), meta_ad_account="act_1", hubspot_portal="", currency="USD", timezone="UTC"
)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def timed(what: str, clock: Callable[[], float] = time.process_time, per: int = 1) -> Iterator[None]:
    began = clock()
    yield
    took = (clock() - began) / per
    say(f"{what:58} {took * 1000:10.2f} ms")


def creatives(count: int) -> Vectors:
    """Vectors in clusters, as an account's themes make them."""
    rng = np.random.Generator(np.random.PCG64(1))
    centres = rng.standard_normal((max(count // 50, 1), _DIMS)).astype(np.float32)
    noise = rng.standard_normal((count, _DIMS)).astype(np.float32)
    return unit_rows((centres[rng.integers(0, len(centres), count)] + noise).astype(np.float64))


def recall(found: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / _NEAREST for a, b in zip(found, right, strict=True)]))


def adctls_own(engine: Engine, vectors: Vectors, queries: Vectors, right: list[list[int]], folder: Path) -> None:
    """Stores, rebuilds, writes, reads and asks."""
    hashes = [bytes.fromhex(digest([number])) for number in range(len(vectors))]
    with timed("adctl: store in PostgreSQL (COPY)", time.perf_counter), transaction(engine) as connection:
        accounts.ensure(connection, _PROFILE)
        embeddings.add(connection, _PROFILE.account, "bench", hashes, vectors, _NOW)
    path = index_path(folder, _PROFILE.account)
    wall = timed("adctl: rebuild the file from PostgreSQL, wall", time.perf_counter)
    with timed("adctl: of that CPU of this process"), wall, transaction(engine) as connection:
        contents = embeddings.embedded(connection, _PROFILE.account, "bench")
        stamp = index_stamp(_PROFILE.account, "bench", _DIMS, contents)
        ids, read = embeddings.vectors(connection, _PROFILE.account, "bench", _DIMS)
        write_index(path, build_index(stamp, ids, read))
    with timed("adctl: read and check the file"):
        index = read_index(path, stamp)
    assert isinstance(index, WinnerIndex)
    place = {embedding_id(content): at for at, content in enumerate(hashes)}
    with timed("adctl: one query of the index", per=len(queries)):
        found = [index.search(query[None, :], _FETCHED)[0] for query in queries]
    with timed("adctl: the exact order of what it found", per=len(queries)), transaction(engine) as connection:
        exact = [ordered(connection, near, query) for near, query in zip(found, queries, strict=True)]
    with timed("adctl: its near-copies grouped", per=len(queries)):
        for _, of_one in exact:
            group_copies(of_one, _NEAREST + 1)
    say(f"adctl: file of {path.stat().st_size / 1e6:.0f} MB")
    own = [[place[number] for number in ids[:_NEAREST]] for ids, _ in exact]
    say(f"adctl: recall {recall(own, right):.3f}")


def ordered(connection: Connection, near: Sequence[Neighbour], query: Vectors) -> tuple[list[int], Vectors]:
    """Ids and vectors of what was found, the nearest first by the stored vectors, as `winners similar` takes them."""
    ids = [neighbour.embedding_id for neighbour in near]
    vectors = embeddings.vectors_of(connection, _PROFILE.account, "bench", _DIMS, ids)
    order = np.argsort(-(vectors @ query))
    return [ids[at] for at in order.tolist()], vectors[order]


def of_hnswlib(vectors: Vectors, queries: Vectors, right: list[list[int]]) -> None:
    index = hnswlib.Index(space="ip", dim=_DIMS)
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    index.set_num_threads(1)
    with timed("hnswlib: build"):
        index.add_items(vectors)
    index.set_ef(64)
    with timed("hnswlib: one query", per=len(queries)):
        found = [index.knn_query(query[None, :], _NEAREST)[0][0].tolist() for query in queries]
    say(f"hnswlib: recall {recall(found, right):.3f}")


def of_usearch(vectors: Vectors, queries: Vectors, right: list[list[int]]) -> None:
    index = Index(ndim=_DIMS, metric="ip", dtype="f32")
    with timed("usearch: build"):
        index.add(np.arange(len(vectors)), vectors, threads=1)
    with timed("usearch: one query", per=len(queries)):
        found = [index.search(query, _NEAREST, threads=1).keys.tolist() for query in queries]
    say(f"usearch: recall {recall(found, right):.3f}")


def of_pgvector(engine: Engine, vectors: Vectors, queries: Vectors, right: list[list[int]]) -> None:
    """The exact scan of pgvector, where the server has it."""
    try:
        with transaction(engine) as connection:
            connection.execute(text("create extension vector"))
    except DBAPIError as error:
        say(f"pgvector: not there ({str(error.orig).splitlines()[0]})")
        return
    with engine.begin() as connection:
        connection.execute(text(f"create table bench_vectors (id integer, v vector({_DIMS}))"))
        raw = connection.connection.driver_connection
        assert raw is not None
        stored = timed("pgvector: store (COPY as text)", time.perf_counter)
        with stored, raw.cursor() as cursor, cursor.copy("copy bench_vectors from stdin") as copy:
            for at, vector in enumerate(vectors):
                copy.write_row((at, str(vector.tolist())))
        nearest = text("select id from bench_vectors order by v <#> cast(:q as vector) limit :k")
        asked = queries[:10]
        with timed("pgvector: one query, exact, wall", time.perf_counter, per=len(asked)):
            found = [list(connection.scalars(nearest, {"q": str(query.tolist()), "k": _NEAREST})) for query in asked]
    say(f"pgvector: recall {recall(found, right[: len(asked)]):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--creatives", type=int, default=100_000)
    parser.add_argument("--rivals", nargs="*", choices=_RIVALS, default=_RIVALS)
    asked = parser.parse_args()
    count: int = asked.creatives
    faiss.omp_set_num_threads(1)
    vectors = creatives(count)
    queries = vectors[:: max(count // _QUERIES, 1)][:_QUERIES]
    say(f"{count} creatives, {_DIMS} dims, {len(queries)} queries for the {_NEAREST} nearest")
    right = np.argsort(-(queries @ vectors.T))[:, :_NEAREST].tolist()
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "server").attach() as running:
        engine = open_engine(running.libpq_url("postgres"))
        migrations.migrate(engine, migrations.available())
        adctls_own(engine, vectors, queries, right, Path(name))
        if "pgvector" in asked.rivals:
            of_pgvector(engine, vectors, queries, right)
        engine.dispose()
    if "usearch" in asked.rivals:
        of_usearch(vectors, queries, right)
    if "hnswlib" in asked.rivals:
        of_hnswlib(vectors, queries, right)


if __name__ == "__main__":
    main()
