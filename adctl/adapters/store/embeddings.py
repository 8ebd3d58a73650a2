"""Contents of creatives and their vectors by model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from adctl.adapters.db import driver
from adctl.adapters.store.entities import creative_from_fields
from adctl.domain.creatives import Creative, creative_attributes
from adctl.domain.embedding.embedder import Vectors
from adctl.domain.embedding.index_stamp import embedding_id
from adctl.domain.ids import Account, AdId, CreativeId

_TITLE_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one or more creatives show; `creative` is one of them, `ad_ids` are all ads that show it."""

    content_hash: bytes
    creative: Creative
    ad_ids: tuple[AdId, ...]

    @property
    def title(self) -> str:
        """Its first words on one line, or its attributes where it has none."""
        shown = self.creative
        words = " ".join((shown.headline or shown.body or shown.description or "").split())
        if len(words) > _TITLE_CHARACTERS:
            return f"{words[: _TITLE_CHARACTERS - 1]}…"
        attributes = creative_attributes(self.creative)
        return words or ", ".join(f"{name} {value}" for name, value in attributes.items())


_CONTENTS = text(
    """
    select c.content_hash, min(c.creative_id) as creative_id, min(c.fields::text)::jsonb as fields,
      coalesce(array_agg(distinct a.ad_id) filter (where a.ad_id is not null), '{}') as ad_ids
    from creatives c
    left join ads a on a.account = c.account and a.creative_id = c.creative_id
    where c.account = :account and (cast(:only as bytea[]) is null or c.content_hash = any(:only))
    group by c.content_hash
    order by c.content_hash
    """
)


def contents(connection: Connection, account: Account, only: Collection[bytes] | None = None) -> dict[bytes, Content]:
    """What the account's creatives show, or those of the given content hashes."""
    rows = connection.execute(_CONTENTS, {"account": account, "only": None if only is None else list(only)})
    return {
        bytes(row.content_hash): Content(
            content_hash=bytes(row.content_hash),
            creative=creative_from_fields(CreativeId(row.creative_id), None, row.fields),
            ad_ids=tuple(AdId(ad_id) for ad_id in row.ad_ids),
        )
        for row in rows
    }


def count_lacking(connection: Connection, account: Account, model_id: str) -> tuple[int, int]:
    """How many different contents creatives show at present, and how many of them the model has not embedded."""
    row = connection.execute(
        text(
            """
            select count(*) as shown, count(*) filter (where e.id is null) as lacking
            from (select distinct content_hash from creatives where account = :account) c
            left join embeddings e
              on e.account = :account and e.model_id = :model and e.content_hash = c.content_hash
            """
        ),
        {"account": account, "model": model_id},
    ).one()
    return row.shown, row.lacking


def embedded(connection: Connection, account: Account, model_id: str) -> bytes:
    """The content hashes of everything that the model has embedded, in rising order, one after the other."""
    packed = connection.scalar(
        text(
            """
            select string_agg(content_hash, '' order by content_hash) from embeddings
            where account = :account and model_id = :model
            """
        ),
        {"account": account, "model": model_id},
    )
    return bytes(packed or b"")


_SHOWN = text(
    """
    select e.id, e.content_hash from embeddings e
    where e.account = :account and e.model_id = :model and (cast(:only as bigint[]) is null or e.id = any(:only))
      and exists (select from creatives c where c.account = e.account and c.content_hash = e.content_hash)
      and (not :winning or exists (
        select from winners w where w.account = e.account and w.content_hash = e.content_hash and w.state = 'winner'))
    """
)


def shown(
    connection: Connection, account: Account, model_id: str, only: Sequence[int] | None = None, *, winning: bool = False
) -> dict[int, bytes]:
    """Content hash by embedding id, of the given ids or all, of what some creative shows, or wins with, at present."""
    asked = {"account": account, "model": model_id, "only": only, "winning": winning}
    return {row.id: bytes(row.content_hash) for row in connection.execute(_SHOWN, asked)}


def models(connection: Connection, account: Account) -> dict[str, int]:
    """How many embeddings each model has made."""
    rows = connection.execute(
        text("select model_id, count(*) as n from embeddings where account = :account group by model_id order by 1"),
        {"account": account},
    )
    return {row.model_id: row.n for row in rows}


_COPY = """
    copy embeddings (account, id, model_id, content_hash, dims, vector, embedded_at) from stdin (format binary)
"""


def add(
    connection: Connection,
    account: Account,
    model_id: str,
    hashes: Sequence[bytes],
    vectors: Vectors,
    at: datetime,
) -> None:
    """Stores one row of `vectors` per content hash; the caller has made sure that the model lacks them."""
    if not hashes:
        return
    little = np.ascontiguousarray(vectors, "<f4")
    with driver(connection).cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(["text", "int8", "text", "bytea", "int4", "bytea", "timestamptz"])
        for content, vector in zip(hashes, little, strict=True):
            row = (account, embedding_id(content), model_id, content, little.shape[1], vector.tobytes(), at)
            copy.write_row(row)


def remove_unshown(connection: Connection, account: Account) -> int:
    """Removes the embeddings of every model whose content no creative shows any more; returns how many."""
    return connection.execute(
        text(
            """
            delete from embeddings e where e.account = :account and not exists (
              select from creatives c where c.account = e.account and c.content_hash = e.content_hash)
            """
        ),
        {"account": account},
    ).rowcount


# A binary COPY: a header, rows of one and the same length (number of fields, each field after its length), an end mark.
_HEADER_BYTES, _END_BYTES = 19, 2
_VECTORS = """
    copy (select id, vector from embeddings where account = %s and model_id = %s and dims = %s)
    to stdout (format binary)
"""


def vectors(connection: Connection, account: Account, model_id: str, dims: int) -> tuple[NDArray[np.int64], Vectors]:
    """Every embedding of the model in no order: ids (n,) and vectors (n, dims). A hundred thousand take a second."""
    fields = [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("vector_bytes", ">i4"), ("vector", "<f4", dims)]
    packed = bytearray()
    with driver(connection).cursor() as cursor, cursor.copy(_VECTORS, (account, model_id, dims)) as copy:
        for block in copy:
            packed += block
    rows = np.frombuffer(memoryview(packed)[_HEADER_BYTES:-_END_BYTES], np.dtype(fields))
    return rows["id"].astype(np.int64), rows["vector"].astype(np.float32)


_VECTORS_OF = """
    select string_agg(e.vector, '' order by k.place)
    from unnest(%s::bigint[]) with ordinality as k (id, place)
    join embeddings e on e.account = %s and e.model_id = %s and e.id = k.id
"""


def vectors_of(connection: Connection, account: Account, model_id: str, dims: int, ids: Sequence[int]) -> Vectors:
    """The vectors (len(ids), dims) of these ids, which are all there, in their order."""
    with driver(connection).cursor(binary=True) as cursor:
        row = cursor.execute(_VECTORS_OF, (list(ids), account, model_id)).fetchone()
    assert row is not None
    packed = row[0] or b""
    assert isinstance(packed, bytes)
    return np.frombuffer(packed, "<f4").reshape(len(ids), dims)
