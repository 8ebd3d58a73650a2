"""Rows found by the hashes of their ids: numbers that PostgreSQL makes and numpy looks up, where a join of texts would
cost more than all else about a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from psycopg import sql
from sqlalchemy import Connection, TextClause, text

from adctl.adapters.store.packed import NEVER, Packed, read_columns
from adctl.domain.ids import Account
from adctl.errors import InvariantError

_ADS = sql.SQL(
    """
    select hashtextextended(ad_id, 0) as hash from ads where account = %(account)s order by ad_id collate "C"
    """
)
_THESE_ADS = text(
    "select ad_id from ads where account = :account and hashtextextended(ad_id, 0) = :hash order by ad_id"
)


class TwinHashError(Exception):
    """Two ids have one hash, `hash`; among a million the chance is less than one in 30 million."""

    def __init__(self, hash: int) -> None:
        super().__init__(f"two ids have the hash {hash}")
        self.hash = hash


class Places:
    """The place of each id by the hash of it, which PostgreSQL's `hashtextextended(id, 0)` makes.

    Raises TwinHashError when two ids have one hash.
    """

    def __init__(self, hash: Packed) -> None:
        order = np.argsort(hash)
        # The end is nobody's, and nothing is sought beyond it.
        self._hash, self._place = np.append(hash[order], NEVER), np.append(order.astype(np.int32), np.int32(-1))
        twins = self._hash[1:] == self._hash[:-1]
        if twins.any():
            raise TwinHashError(int(self._hash[int(np.argmax(twins))]))
        # Hashes are spread evenly, so the first bits of one nearly say where it stands among all in order.
        self._bits = len(hash).bit_length() + 1
        before = np.bincount(self._bucket(self._hash), minlength=1 << self._bits)
        self._first = (np.cumsum(before) - before).astype(np.int32)

    def __len__(self) -> int:
        return len(self._hash) - 1

    def _bucket(self, hash: Packed) -> Packed:
        return (hash >> (64 - self._bits)) + (1 << (self._bits - 1))

    def of(self, hash: Packed) -> Packed:
        """The place of each, -1 where none is known by it."""
        at = self._first[self._bucket(hash)]
        short = np.flatnonzero(self._hash[at] < hash)
        while len(short):
            at[short] += 1
            short = short[self._hash[at[short]] < hash[short]]
        return np.where(self._hash[at] == hash, self._place[at], np.int32(-1))


def ad_places(connection: Connection, account: Account) -> Places:
    """The ads in the order of their ids. Raises InvariantError, naming them, when two have one hash."""
    asked = {"account": account}
    try:
        return Places(read_columns(connection, _ADS, {"hash": "bigint"}, asked)["hash"])
    except TwinHashError as twins:
        fix = "report it: until then nothing can be decided for this account"
        raise twins_of(connection, _THESE_ADS, asked, twins, "ads", fix) from twins


def twins_of(
    connection: Connection, query: TextClause, asked: Mapping[str, object], twins: TwinHashError, what: str, fix: str
) -> InvariantError:
    """The error that names the ids of which `query` says that they have the hash."""
    ids = " and ".join(repr(row[0]) for row in connection.execute(query, {**asked, "hash": twins.hash}))
    return InvariantError(f"{what} {ids}: adctl cannot tell them apart, since their ids have one hash", fix=fix)
