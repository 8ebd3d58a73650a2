"""Near-copies: creatives so similar that people would call them one ad are shown once, variants are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adctl.domain.embedding.embedder import Vectors

COPY_COSINE: Final = 0.95
VARIANT_COSINE: Final = 0.85
NOISE_COSINE: Final = 0.15


class Relation(StrEnum):
    COPY = "copy"
    VARIANT = "variant"
    SIMILAR = "similar"
    NOISE = "noise"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyGroup:
    """`leader` and `copies` are positions in the list that was grouped; `variant_of` is the leader of another group.

    Every copy has a cosine of .95 or more with its leader, not only with another copy, so that a chain of small
    changes does not end up as one ad.
    """

    leader: int
    copies: tuple[int, ...]
    variant_of: int | None


def relation(cosine: float) -> Relation:
    """What a cosine means: from .95 a copy, from .85 a variant, from .15 similar, below that chance."""
    if cosine >= COPY_COSINE:
        return Relation.COPY
    if cosine >= VARIANT_COSINE:
        return Relation.VARIANT
    return Relation.SIMILAR if cosine >= NOISE_COSINE else Relation.NOISE


def group_copies(vectors: Vectors) -> list[CopyGroup]:
    """Groups unit rows that come in order of preference: each row joins its nearest earlier leader or leads itself.

    Meant for a list of matches; the cost is rows times groups.
    """
    leaders: list[int] = []
    copies: dict[int, list[int]] = {}
    variants: dict[int, int | None] = {}
    for row in range(len(vectors)):
        nearest, cosine = _nearest(vectors, leaders, row)
        if cosine >= COPY_COSINE:
            copies[nearest].append(row)
            continue
        leaders.append(row)
        copies[row] = []
        variants[row] = nearest if cosine >= VARIANT_COSINE else None
    return [CopyGroup(leader=row, copies=tuple(copies[row]), variant_of=variants[row]) for row in leaders]


def _nearest(vectors: Vectors, leaders: Sequence[int], row: int) -> tuple[int, float]:
    """The first of the most similar leaders; rounded, since a copy's own cosine may be .99999994 of itself."""
    if not leaders:
        return -1, -1.0
    cosines: NDArray[np.float64] = np.round((vectors[list(leaders)] @ vectors[row]).astype(np.float64), 6)
    best = int(np.argmax(cosines))
    return leaders[best], float(cosines[best])
