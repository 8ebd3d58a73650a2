"""The default text embedder: hashed words and character n-grams, weighted by rarity, projected by random signs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adctl.domain.embedding.embedder import Vectors, unit_rows
from adctl.domain.embedding.features import Features, UInt64s, features, mix

IDF_BUCKETS: Final = 1 << 18
# One step of the table's uint8 is 1/24: the weights run from 1 to 11.6, enough for a million documents.
IDF_STEPS_PER_UNIT: Final = 24
_CHUNK_TEXTS: Final = 512
_CHUNK_CHARACTERS: Final = 200_000
_MAX_COUNT: Final = 1024
# A table, not np.log per batch: vectorised logarithms may differ in the last bit by position, vectors must not.
_COUNT_WEIGHTS: Final = 1 + np.log(np.arange(1, _MAX_COUNT + 1))
# Each feature lands in one place of each of these equal blocks of the vector, with a sign of its own.
_BLOCKS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RarityTable:
    """How rare a feature is in advertising English: weight = 1 + steps[hash mod 2^18] / 24.

    `name` becomes part of the model id, since another table makes other vectors.
    """

    name: str
    steps: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.steps.shape != (IDF_BUCKETS,) or self.steps.dtype != np.uint8:
            raise ValueError(f"a rarity table has {IDF_BUCKETS} steps of uint8, this one {self.steps.shape}")

    def weights(self, hashes: UInt64s) -> NDArray[np.float64]:
        return 1 + self.steps[(hashes & np.uint64(IDF_BUCKETS - 1)).astype(np.int64)] / IDF_STEPS_PER_UNIT


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedTextEmbedder:
    """Stateless: needs no fit, knows every alphabet, and the same text has the same bytes in any batch.

    The cosine of two rows is half that of their weighted words and half that of their n-grams, with a random error
    of about 1/sqrt(dims). `dims` must be a multiple of 8.
    """

    rarity: RarityTable
    dims: int = 448
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        if self.dims <= 0 or self.dims % _BLOCKS:
            raise ValueError(f"dims is a positive multiple of {_BLOCKS}, not {self.dims}")
        object.__setattr__(self, "model_id", f"hashed-text-1:{self.rarity.name}:{self.dims}")

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (len(texts), dims); rows of unit length, or zero for a text without a single word."""
        rows = [self._encode_chunk(chunk) for chunk in _chunks(texts)]
        return np.concatenate(rows) if rows else np.empty((0, self.dims), np.float32)

    def _encode_chunk(self, texts: Sequence[str]) -> Vectors:
        found = features(texts)
        return unit_rows(_project(found, self._weights(found, len(texts)), len(texts), self.dims))

    def _weights(self, found: Features, texts: int) -> NDArray[np.float64]:
        """Damped count times rarity, scaled so that words and n-grams of a text have unit length each."""
        weights = _COUNT_WEIGHTS[np.minimum(found.counts, _MAX_COUNT) - 1] * self.rarity.weights(found.hashes)
        block = 2 * found.rows + found.kinds
        lengths = np.sqrt(np.bincount(block, weights=weights * weights, minlength=2 * texts))
        scaled: NDArray[np.float64] = weights / lengths[block]
        return scaled


def _project(found: Features, weights: NDArray[np.float64], texts: int, dims: int) -> NDArray[np.float64]:
    width = dims // _BLOCKS
    draws = (mix(found.hashes + np.uint64(1 << 62)), mix(found.hashes + np.uint64(1 << 63)))
    blocks = []
    for block in range(_BLOCKS):
        draw = (draws[block % 2] >> np.uint64(16 * (block // 2))) & np.uint64(0xFFFF)
        place = ((draw >> np.uint64(1)) * np.uint64(width) >> np.uint64(15)).astype(np.int64)
        signed = np.where(draw & np.uint64(1), weights, -weights)
        sums = np.bincount(found.rows * width + place, weights=signed, minlength=texts * width)
        # Without any feature bincount forgets the weights' type.
        blocks.append(sums.astype(np.float64).reshape(texts, width))
    return np.concatenate(blocks, axis=1)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Bounds the memory of a batch: 50 kB texts come a few at a time."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        if chunk and (len(chunk) == _CHUNK_TEXTS or characters + len(text) > _CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text)
    if chunk:
        yield chunk
