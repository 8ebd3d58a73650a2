"""Near-copies: creatives so similar that people would call them one ad are shown once, variants are marked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

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


def group_copies(vectors: Vectors, most: int) -> list[CopyGroup]:
    """The first `most` groups of unit rows that come in order of preference, in that order.

    Each row joins the nearest leader before it, or leads a group of its own while there are fewer than `most`.
    """
    nearest = np.full(len(vectors), -1)
    cosines = np.full(len(vectors), -1.0)
    leaders: list[int] = []
    variants: list[int | None] = []
    for row in range(len(vectors)):
        if len(leaders) == most:
            break
        if cosines[row] >= COPY_COSINE:
            continue
        leaders.append(row)
        variants.append(int(nearest[row]) if cosines[row] >= VARIANT_COSINE else None)
        # Rounded, since a copy's own cosine may be .99999994 of itself; of equals the first leader stands.
        found = np.round((vectors[row + 1 :] @ vectors[row]).astype(np.float64), 6)
        nearer = row + 1 + np.flatnonzero(found > cosines[row + 1 :])
        nearest[nearer], cosines[nearer] = row, found[nearer - row - 1]
    joined = np.where(cosines >= COPY_COSINE, nearest, -1)
    return [
        CopyGroup(leader=row, copies=tuple(np.flatnonzero(joined == row).tolist()), variant_of=variant)
        for row, variant in zip(leaders, variants, strict=True)
    ]
