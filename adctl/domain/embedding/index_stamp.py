"""What an index file says it holds, so that it can be compared with PostgreSQL, which knows what it should hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from adctl.domain.ids import Account


class IndexFault(StrEnum):
    """Why an index file cannot be used; each is answered by a rebuild from PostgreSQL."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    OTHER_VERSION = "other_version"
    OTHER_ACCOUNT = "other_account"
    OTHER_MODEL = "other_model"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexProblem:
    """`detail` is one sentence for stderr that names the file."""

    fault: IndexFault
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStamp:
    """The identity of an index: two equal stamps hold the same vectors under the same ids.

    `digest` is hex blake2b-16 over the (id, content hash) pairs in id order.
    """

    account: Account
    model_id: str
    dims: int
    count: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One embedding found by a search; `cosine` is rounded to six places, the precision of the order."""

    embedding_id: int
    cosine: float


def embedding_id(content: bytes) -> int:
    """The id of a content hash, 0 to 2^63 − 1: the same content has the same id in every database and file.

    Two contents share one with a chance below one in a million up to three million creatives; PostgreSQL's keys
    refuse that.
    """
    return int.from_bytes(content[:8], "little") >> 1


def index_stamp(account: Account, model_id: str, dims: int, pairs: Iterable[tuple[int, bytes]]) -> IndexStamp:
    """The stamp of the (embedding id, content hash) pairs, given in any order. Raises ValueError for an id twice."""
    ordered = sorted(pairs)
    if len({number for number, _ in ordered}) != len(ordered):
        raise ValueError("an embedding id occurs twice")
    state = hashlib.blake2b(digest_size=16)
    for number, content in ordered:
        state.update(number.to_bytes(8, "little", signed=True) + len(content).to_bytes(2, "little") + content)
    return IndexStamp(account=account, model_id=model_id, dims=dims, count=len(ordered), digest=state.hexdigest())
