"""Contents of creatives and their vectors by model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg.rows import args_row
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


def shown_hashes(connection: Connection, account: Account) -> frozenset[bytes]:
    """The content hashes that some creative shows at present."""
    rows = connection.scalars(
        text("select distinct content_hash from creatives where account = :account"), {"account": account}
    )
    return frozenset(bytes(content) for content in rows)


def embedded(connection: Connection, account: Account, model_id: str) -> dict[int, bytes]:
    """Content hash by embedding id of everything that the model has embedded."""
    rows = connection.execute(
        text("select id, content_hash from embeddings where account = :account and model_id = :model"),
        {"account": account, "model": model_id},
    )
    return {row.id: bytes(row.content_hash) for row in rows}


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


_VECTORS = """
    select id, vector from embeddings
    where account = %(account)s and model_id = %(model)s and (%(only)s::bigint[] is null or id = any(%(only)s))
    order by id
"""


def vectors(
    connection: Connection, account: Account, model_id: str, dims: int, only: Iterable[int] | None = None
) -> dict[int, Vectors]:
    """The vector, shape (dims,), of every embedding of the model, or of the given ids, in the order of the ids."""
    asked = None if only is None else list(only)
    with driver(connection).cursor(binary=True, row_factory=args_row(_entry)) as cursor:
        cursor.execute(_VECTORS, {"account": account, "model": model_id, "only": asked})
        return {number: np.frombuffer(vector, "<f4", count=dims) for number, vector in cursor}


def _entry(number: int, vector: bytes) -> tuple[int, bytes]:
    return number, vector
