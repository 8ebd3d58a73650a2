"""What an index file says it holds, so that it can be compared with PostgreSQL, which knows what it should hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adctl.domain.ids import Account

CONTENT_BYTES: Final = 16


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

    `digest` is hex blake2b-16 over the content hashes in rising order, of which the ids are made.
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


def index_stamp(account: Account, model_id: str, dims: int, contents: bytes) -> IndexStamp:
    """The stamp of the content hashes, 16 bytes each, that `contents` holds one after the other in rising order."""
    digest = hashlib.blake2b(contents, digest_size=16).hexdigest()
    count = len(contents) // CONTENT_BYTES
    return IndexStamp(account=account, model_id=model_id, dims=dims, count=count, digest=digest)
