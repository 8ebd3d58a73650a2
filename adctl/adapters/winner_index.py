"""The FAISS file of one account: a cache of PostgreSQL that proves what it holds, or says why it cannot be used.

Layout: magic (8 bytes), version (u32), length of the header (u32), the header (JSON: the stamp and the payload's size),
the payload (a FAISS `IDMap,Flat` over inner products, above 50,000 creatives an `IDMap,PQfs` of two bits per number),
and blake2b-32 of all that precedes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import faiss
import numpy as np
from numpy.typing import NDArray

from adctl.adapters.replaced_file import remove_leftovers, replace_file
from adctl.domain.counted import counted
from adctl.domain.embedding.embedder import Vectors
from adctl.domain.embedding.index_stamp import IndexFault, IndexProblem, IndexStamp, Neighbour
from adctl.domain.ids import Account
from adctl.errors import BusyError, InputRejectedError, UnavailableError, UsageError

VERSION: Final = 3
_MAGIC: Final = b"ADCTLIDX"
_PREAMBLE: Final = struct.Struct("<8sII")
_CHECKSUM_BYTES: Final = 32
_COSINE_PLACES: Final = 6
# Up to here the exact index answers within some 5 ms; above it two bits per number are a sixteenth of the file, a
# fifth of the time, and enough to have the ten nearest among the first hundred.
FLAT_LIMIT: Final = 50_000
# Fetched beyond k, so that the order among equal cosines is ours and not that of the heap.
_EXTRA: Final = 16
_AT_ONCE: Final = 4_096
# What two bits say of a number, in units of its usual size: the four levels that lose least of a normal distribution
# (Max 1960, "Quantizing for minimum distortion"). Given, not trained: the same everywhere, and nothing to wait for.
_LEVELS: Final = np.array([-1.510, -0.4528, 0.4528, 1.510], np.float32)
# One in so many vectors tells how large the numbers of a place usually are.
_SAMPLED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WinnerIndex:
    """A searchable index in memory; `stamp` says whose it is and what it holds."""

    stamp: IndexStamp
    faiss_index: Any

    @property
    def rounded(self) -> bool:
        """True where a number has two bits: cosines are then estimates, a tenth too low, to be taken again exactly."""
        return not isinstance(faiss.downcast_index(self.faiss_index.index), faiss.IndexFlat)

    def search(self, queries: Vectors, k: int) -> list[list[Neighbour]]:
        """Per query row the k nearest, or all when there are fewer, by (−cosine to six places, id).

        Raises InputRejectedError for other dims than the index has or a value that is not finite, UsageError for
        k < 1.
        """
        if k < 1:
            raise UsageError(f"{k} neighbours asked for", fix="ask for 1 or more")
        checked = _checked(queries, self.stamp.dims)
        if not self.stamp.count:
            return [[] for _ in checked]
        return [self._search_one(query[np.newaxis, :], min(k, self.stamp.count)) for query in _in_pairs(checked)]

    def _search_one(self, query: Vectors, k: int) -> list[Neighbour]:
        fetched = min(self.stamp.count, k + _EXTRA)
        while True:
            cosines, ids = self.faiss_index.search(query, fetched)
            rounded = np.round(cosines[0].astype(np.float64), _COSINE_PLACES) + 0.0
            # Whatever ties with the k-th place must have been fetched, or an unseen smaller id would belong there.
            if fetched == self.stamp.count or rounded[-1] < rounded[k - 1]:
                break
            fetched = min(self.stamp.count, 2 * fetched)
        order = np.lexsort((ids[0], -rounded))[:k]
        return [Neighbour(embedding_id=int(ids[0][at]), cosine=float(rounded[at])) for at in order]


def index_path(directory: Path, account: Account) -> Path:
    """The one file of an account; any account name gives a file inside the directory."""
    return directory / f"{quote(account, safe='')}.winners"


def build_index(
    stamp: IndexStamp, ids: Sequence[int] | NDArray[np.int64], vectors: Vectors, *, flat_limit: int = FLAT_LIMIT
) -> WinnerIndex:
    """The index of these vectors, the same bytes for the same content in any order.

    Above `flat_limit` vectors each number is rounded to two bits.

    Raises InputRejectedError for wrong dims or a value that is not finite, ValueError when ids, vectors and stamp
    do not belong together.
    """
    checked = _checked(vectors, stamp.dims)
    order = np.argsort(np.asarray(ids, np.int64))
    positions = np.asarray(ids, np.int64)[order]
    if not len(positions) == len(checked) == stamp.count or (positions[1:] == positions[:-1]).any():
        raise ValueError(f"{len(ids)} ids, {len(checked)} vectors, {stamp.count} stamped: distinct ids, equal counts")
    paired = _in_pairs(checked)
    flat = stamp.count <= flat_limit
    inner: Any = faiss.IndexFlatIP(paired.shape[1]) if flat else _two_bits(paired[order[::_SAMPLED]])
    mapped = faiss.IndexIDMap(inner)
    # Some at a time: what they are on the way stays in the cache.
    for start in range(0, stamp.count, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        mapped.add_with_ids(paired[order[part]], positions[part])
    # The map refers to the inner index without owning it.
    mapped.own_fields = True
    inner.this.disown()
    return WinnerIndex(stamp=stamp, faiss_index=mapped)


def _two_bits(sample: Vectors) -> Any:
    """An empty index that rounds each number to one of four levels of its place; two numbers make one code of FAISS."""
    dims = sample.shape[1]
    usual = np.sqrt(np.square(sample).mean(axis=0)).reshape(-1, 1, 2)
    pairs = np.stack(np.meshgrid(_LEVELS, _LEVELS), axis=-1).reshape(1, 16, 2)
    empty: Any = faiss.IndexPQFastScan(dims, dims // 2, 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector((usual * pairs).ravel(), empty.pq.centroids)
    empty.is_trained = True
    return empty


def write_index(path: Path, index: WinnerIndex) -> None:
    """Replaces the file in one step: a reader, or a crash at any moment, finds the old file or the new one, whole.

    The caller holds the account's lock. Raises UnavailableError when the directory cannot be written, BusyError when
    another writer was there all the same.
    """
    payload = faiss.serialize_index(index.faiss_index)
    facts = {**asdict(index.stamp), "bytes": payload.nbytes}
    header = json.dumps(facts, sort_keys=True).encode("ascii")
    parts: list[bytes | memoryview] = [_PREAMBLE.pack(_MAGIC, VERSION, len(header)), header, payload.data]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(path)
        replace_file(path, [*parts, _checksum(*parts)])
    except FileNotFoundError as error:
        raise BusyError(f"{path}: another run writes it", fix="nothing was lost; run again") from error
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}", fix="free or open the place") from error


def read_index(path: Path, expected: IndexStamp) -> WinnerIndex | IndexProblem:
    """The file's index when every byte is as written and its stamp is the expected one, else the reason why not."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= _PREAMBLE.size + _CHECKSUM_BYTES:
                return _problem(path, IndexFault.DAMAGED, "is cut short")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
                return _decode(path, content, expected)
    except FileNotFoundError:
        return _problem(path, IndexFault.MISSING, "does not exist")
    except OSError as error:
        return _problem(path, IndexFault.UNREADABLE, f"cannot be read: {error.strerror}")


def _decode(path: Path, content: memoryview, expected: IndexStamp) -> WinnerIndex | IndexProblem:
    magic, version, header_bytes = _PREAMBLE.unpack_from(content)
    if magic != _MAGIC:
        return _problem(path, IndexFault.DAMAGED, "is no winner index")
    if version != VERSION:
        return _problem(path, IndexFault.OTHER_VERSION, f"has version {version}, this adctl writes {VERSION}")
    end = len(content) - _CHECKSUM_BYTES
    with content[:end] as covered:
        intact = _checksum(covered) == bytes(content[end:])
    if not intact:
        return _problem(path, IndexFault.DAMAGED, "is damaged or cut short: its checksum differs")
    start = _PREAMBLE.size + header_bytes
    header = json.loads(bytes(content[_PREAMBLE.size : start]))
    if fault := _mismatch(path, header, expected):
        return fault
    payload = np.frombuffer(content[start : start + header["bytes"]], np.uint8).copy()
    return WinnerIndex(stamp=expected, faiss_index=faiss.deserialize_index(payload))


def _mismatch(path: Path, header: dict[str, Any], expected: IndexStamp) -> IndexProblem | None:
    found = IndexStamp(**{name: value for name, value in header.items() if name != "bytes"})
    if found == expected:
        return None
    if found.account != expected.account:
        return _problem(path, IndexFault.OTHER_ACCOUNT, f"belongs to account {found.account!r}")
    if (found.model_id, found.dims) != (expected.model_id, expected.dims):
        return _problem(path, IndexFault.OTHER_MODEL, f"was made by {found.model_id} with {found.dims} dims")
    return _problem(
        path, IndexFault.STALE, f"holds {counted(found.count, 'creative')}, not the database's {expected.count}"
    )


def _problem(path: Path, fault: IndexFault, reason: str) -> IndexProblem:
    return IndexProblem(fault=fault, detail=f"{path} {reason}")


def _checksum(*parts: bytes | memoryview) -> bytes:
    state = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def _in_pairs(vectors: Vectors) -> Vectors:
    """The vectors with a zero at their end where the number of dims is odd."""
    return np.pad(vectors, ((0, 0), (0, 1))) if vectors.shape[1] % 2 else vectors


def _largest(vectors: Vectors) -> float:
    """The largest number without its sign, not finite where one is not; no copy is made."""
    return float(np.maximum(vectors.max(initial=0.0), -vectors.min(initial=0.0)))


def _checked(vectors: Vectors, dims: int) -> NDArray[np.float32]:
    """The vectors as FAISS wants them; FAISS itself answers wrong dims with an empty error and never finds NaN."""
    matrix = np.ascontiguousarray(vectors, np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != dims:
        raise InputRejectedError(f"vectors of shape {matrix.shape}, the index has {dims} dims", fix="use its own model")
    if not np.isfinite(_largest(matrix)):
        raise InputRejectedError("a vector holds a value that is not finite", fix="check the embedder")
    return matrix
