"""What an embedder is: a named model that turns creatives, or texts, into rows of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from adctl.domain.creatives import Creative

Vectors = NDArray[np.float32]


class TextEmbedder(Protocol):
    """What people bring when they have a language model of their own: it reads texts only.

    `model_id` names the model and everything that changes its output; a new one re-embeds what lacks it.
    """

    @property
    def model_id(self) -> str: ...
    @property
    def dims(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (len(texts), dims), finite, rows of unit length or zero where there is nothing to encode."""
        ...


class Embedder(Protocol):
    """What the winner index needs: whole creatives as vectors whose inner product is their similarity."""

    @property
    def model_id(self) -> str: ...
    @property
    def dims(self) -> int: ...
    def encode(self, creatives: Sequence[Creative]) -> Vectors:
        """float32 (len(creatives), dims), finite, rows of unit length or zero where there is nothing to encode."""
        ...


def unit_rows(matrix: NDArray[np.float64]) -> Vectors:
    """Each row divided by its length, as float32; a zero row stays zero and is similar to nothing."""
    lengths = np.sqrt(np.square(matrix).sum(axis=1, keepdims=True))
    rows: NDArray[np.float64] = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return rows.astype(np.float32)
