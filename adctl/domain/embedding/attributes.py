"""Creative attributes as short vectors: each name=value is a row of random signs, their sum the creative."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from adctl.domain.embedding.embedder import Vectors, unit_rows

ATTRIBUTE_DIMS: Final = 64


def encode_attributes(creatives: Sequence[Mapping[str, str]]) -> Vectors:
    """float32 (len(creatives), 64), rows of unit length, zero where no attribute is present.

    The cosine of two rows is about the share of attributes that are present in both and equal, with a random error
    of 1/8 divided among the rest.
    """
    known = sorted({pair for attributes in creatives for pair in attributes.items()})
    signs = _signs(known)
    position = {pair: index for index, pair in enumerate(known)}
    sums = np.zeros((len(creatives), ATTRIBUTE_DIMS))
    for row, attributes in enumerate(creatives):
        sums[row] = signs[[position[pair] for pair in attributes.items()]].sum(axis=0)
    return unit_rows(sums)


def _signs(pairs: Sequence[tuple[str, str]]) -> Vectors:
    """The 64 bits of a pair's blake2b are its 64 signs."""
    digests = b"".join(
        hashlib.blake2b(f"{name}={value}".encode("utf-8", "surrogatepass"), digest_size=ATTRIBUTE_DIMS // 8).digest()
        for name, value in pairs
    )
    bits = np.unpackbits(np.frombuffer(digests, np.uint8)).reshape(len(pairs), ATTRIBUTE_DIMS)
    return 2 * bits.astype(np.float32) - 1
