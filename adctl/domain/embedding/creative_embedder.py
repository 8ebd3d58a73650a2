"""The creative's vector: a text block and an attribute block whose shares of each similarity stay exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adctl.domain.creatives import Creative, creative_attributes, creative_text
from adctl.domain.embedding.attributes import ATTRIBUTE_DIMS, encode_attributes
from adctl.domain.embedding.embedder import TextEmbedder, Vectors
from adctl.domain.embedding.features import word_hashes, words
from adctl.domain.embedding.hashed_text import RarityTable

TEXT_SHARE: Final = 0.75
_SHARED_WORDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why two creatives are as similar as they are: cosine = text_share·text_cosine + attribute_share·attribute_cosine.

    The shares are .75 and .25 where both creatives have words and attributes; what only one of them has lowers the
    sum of the shares below 1. `shared_words` are the rarest first; nothing here is a cause of a result.
    """

    cosine: float
    text_cosine: float
    attribute_cosine: float
    text_share: float
    attribute_share: float
    equal_attributes: dict[str, str]
    shared_words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreativeEmbedder:
    """An `Embedder` made of any text embedder and the attribute block: √.75·text ⊕ √.25·attributes.

    A creative without words, or without attributes, has the other block at full length. `rarity` only orders the
    shared words of an explanation.
    """

    text: TextEmbedder
    rarity: RarityTable
    model_id: str = field(init=False)
    dims: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", self.text.dims + ATTRIBUTE_DIMS)
        object.__setattr__(self, "model_id", f"{self.text.model_id}+attributes-1:{ATTRIBUTE_DIMS}")

    def encode(self, creatives: Sequence[Creative]) -> Vectors:
        """float32 (len(creatives), dims), rows of unit length; zero for a creative that shows nothing at all."""
        text, attributes, shares = self._blocks(creatives)
        return np.concatenate([text * shares[:, :1], attributes * shares[:, 1:]], axis=1)

    def explain(self, one: Creative, other: Creative) -> Explanation:
        """The parts of the inner product of their two vectors, and what in them is equal."""
        text, attributes, shares = self._blocks([one, other])
        text_cosine, attribute_cosine = float(text[0] @ text[1]), float(attributes[0] @ attributes[1])
        text_share, attribute_share = (float(share) for share in shares[0] * shares[1])
        left, right = creative_attributes(one), creative_attributes(other)
        return Explanation(
            cosine=text_share * text_cosine + attribute_share * attribute_cosine,
            text_cosine=text_cosine,
            attribute_cosine=attribute_cosine,
            text_share=text_share,
            attribute_share=attribute_share,
            equal_attributes={name: value for name, value in left.items() if right.get(name) == value},
            shared_words=self._shared_words(creative_text(one), creative_text(other)),
        )

    def _blocks(self, creatives: Sequence[Creative]) -> tuple[Vectors, Vectors, NDArray[np.float32]]:
        text = self.text.encode([creative_text(creative) for creative in creatives])
        attributes = encode_attributes([creative_attributes(creative) for creative in creatives])
        return text, attributes, _shares(text, attributes)

    def _shared_words(self, one: str, other: str) -> tuple[str, ...]:
        shared = sorted(set(words(one)) & set(words(other)))
        weights = self.rarity.weights(word_hashes(shared)).tolist()
        return tuple(word for _, word in sorted(zip([-w for w in weights], shared, strict=True))[:_SHARED_WORDS])


def _shares(text: Vectors, attributes: Vectors) -> NDArray[np.float32]:
    """The weights of both blocks by creative: their squares add up to 1 unless both blocks are zero."""
    has_text, has_attributes = (np.any(block != 0, axis=1) for block in (text, attributes))
    text_weights = np.where(has_attributes, np.sqrt(TEXT_SHARE), 1.0) * has_text
    attribute_weights = np.where(has_text, np.sqrt(1 - TEXT_SHARE), 1.0) * has_attributes
    return np.stack([text_weights, attribute_weights], axis=1).astype(np.float32)
