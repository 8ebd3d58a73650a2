"""Words that were fitted on an account's own texts: stored once, so that every host embeds alike."""

from __future__ import annotations

import zlib
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, text

from adctl.domain.embedding.own_words import DIMS, OwnWords, fit_digest
from adctl.domain.ids import Account


def newest(connection: Connection, account: Account) -> OwnWords | None:
    """The account's last fit, None before the first."""
    row = connection.execute(
        text(
            """
            select vocabulary, vectors, common from fitted_words
            where account = :account order by fitted_at desc, digest limit 1
            """
        ),
        {"account": account},
    ).one_or_none()
    if row is None:
        return None
    vocabulary = tuple(zlib.decompress(row.vocabulary).decode("utf-8", "surrogatepass").split("\n"))
    return OwnWords(
        vocabulary=vocabulary,
        vectors=np.frombuffer(row.vectors, "<f4").reshape(len(vocabulary), DIMS),
        common=np.frombuffer(row.common, "<f4"),
    )


def fitted_on(connection: Connection, account: Account) -> bytes | None:
    """The digest of the texts that the last fit was made of."""
    found = connection.scalar(
        text("select texts from fitted_words where account = :account order by fitted_at desc, digest limit 1"),
        {"account": account},
    )
    return None if found is None else bytes(found)


def add(connection: Connection, account: Account, fitted: OwnWords, texts: bytes, at: datetime) -> None:
    """Stores a fit beside the earlier ones; `texts` is the digest of what it was made of."""
    connection.execute(
        text(
            """
            insert into fitted_words (account, digest, texts, vocabulary, vectors, common, fitted_at)
            values (:account, :digest, :texts, :vocabulary, :vectors, :common, :at)
            on conflict (account, digest) do update set fitted_at = excluded.fitted_at, texts = excluded.texts
            """
        ),
        {
            "account": account,
            "digest": fit_digest(fitted),
            "texts": texts,
            "vocabulary": zlib.compress("\n".join(fitted.vocabulary).encode("utf-8", "surrogatepass")),
            "vectors": np.ascontiguousarray(fitted.vectors, "<f4").tobytes(),
            "common": np.ascontiguousarray(fitted.common, "<f4").tobytes(),
            "at": at,
        },
    )
