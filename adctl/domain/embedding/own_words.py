"""A text block that learns from the account's own texts which words go together: PPMI of words, 128 dims by SVD."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.linalg import svds

from adctl.domain.embedding.embedder import TextEmbedder, Vectors, unit_rows
from adctl.domain.embedding.features import words

DIMS: Final = 128
# Fewer texts do not tell which words go together.
LEAST_TEXTS: Final = 2000
_MOST_WORDS: Final = 20_000
# Wide enough for most texts as a whole: an ad has one subject.
_WINDOW: Final = 20
# Of the cosine; found on headlines, where a half weighs the own words too much and a tenth too little.
OWN_SHARE: Final = 1 / 3
# The share falls with this power of how many of a text's words were fitted: a vector of half a text misleads.
_TRUST: Final = 4
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWords:
    """The fitted words in order with their vectors, float32 (len(vocabulary), 128), weighted by rarity.

    `common` is the direction that all texts share, shape (128,): it is taken out of every text.
    """

    vocabulary: tuple[str, ...]
    vectors: Vectors
    common: Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWordsEmbedder:
    """Two thirds hashed text, a third own words where all words were fitted; less of these where some were not.

    `model_id` names the fit by its digest: another fit is another model, and what lacks it is embedded again.
    """

    hashed: TextEmbedder
    words: OwnWords
    model_id: str = field(init=False)
    dims: int = field(init=False)
    _place: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", self.hashed.dims + DIMS)
        object.__setattr__(self, "model_id", f"{self.hashed.model_id}+own-words-2:{fit_digest(self.words)}")
        object.__setattr__(self, "_place", {word: at for at, word in enumerate(self.words.vocabulary)})

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (len(texts), dims); rows of unit length, or zero for a text without a single word."""
        hashed = self.hashed.encode(texts)
        rows = [self._both(texts[at : at + _BATCH], hashed[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
        return np.concatenate(rows) if rows else np.empty((0, self.dims), np.float32)

    def _both(self, texts: Sequence[str], hashed: Vectors) -> Vectors:
        said = [words(text) for text in texts]
        own = _text_vectors(said, self._place, self.words)
        fitted = np.array([sum(word in self._place for word in text) / max(len(text), 1) for text in said])
        share = (OWN_SHARE * fitted**_TRUST * own.any(axis=1))[:, None]
        return np.concatenate([hashed * np.sqrt(1 - share), own * np.sqrt(share)], axis=1).astype(np.float32)


def fit_own_words(texts: Sequence[str]) -> OwnWords:
    """Learns from the texts, the same from the same texts in any order. Raises ValueError below 2,000 texts.

    Positive pointwise mutual information of words within twenty words of each other, contexts smoothed by the power
    .75, factored by SVD; a word's vector is its row of U·√S times how rare it is in these texts (log texts / texts with
    the word).
    """
    distinct = sorted(set(texts))
    if len(distinct) < LEAST_TEXTS:
        raise ValueError(f"{len(distinct)} different texts, {LEAST_TEXTS} needed")
    said = [words(text) for text in distinct]
    counts = Counter(word for text in said for word in text)
    kept = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    vocabulary = tuple(sorted(kept[:_MOST_WORDS]))
    if len(vocabulary) <= DIMS:
        raise ValueError(f"{len(vocabulary)} words that occur twice, more than {DIMS} needed")
    place = {word: at for at, word in enumerate(vocabulary)}
    factors = _factors(_ppmi(said, place))
    holding = Counter(word for text in said for word in set(text))
    rarity = np.log([(1 + len(said)) / (1 + holding[word]) for word in vocabulary])
    weighted = (factors * rarity[:, None]).astype(np.float32)
    plain = OwnWords(vocabulary=vocabulary, vectors=weighted, common=np.zeros(DIMS, np.float32))
    means = _text_vectors(said, place, plain).astype(np.float64)
    common = np.linalg.eigh(means.T @ means)[1][:, -1]
    return OwnWords(vocabulary=vocabulary, vectors=weighted, common=common.astype(np.float32))


def fit_digest(fitted: OwnWords) -> str:
    """Hex blake2b-8 of words and vectors."""
    state = hashlib.blake2b("\n".join(fitted.vocabulary).encode("utf-8", "surrogatepass"), digest_size=8)
    state.update(np.ascontiguousarray(fitted.vectors, "<f4").tobytes())
    state.update(np.ascontiguousarray(fitted.common, "<f4").tobytes())
    return state.hexdigest()


def _ppmi(said: Sequence[Sequence[str]], place: dict[str, int]) -> csr_matrix:
    """Sparse (words, words); a pair counts 1 / distance, in both directions."""
    pairs: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    known = [np.array([place[word] for word in text if word in place], dtype=np.int64) for text in said]
    ends = np.cumsum([0, *(len(text) for text in known)])
    flat = np.concatenate(known)
    text_of = np.repeat(np.arange(len(known)), [last - first for first, last in pairwise(ends.tolist())])
    for distance in range(1, _WINDOW + 1):
        together = text_of[distance:] == text_of[:-distance]
        one, other = flat[:-distance][together], flat[distance:][together]
        pairs.append(np.stack([np.concatenate([one, other]), np.concatenate([other, one])]))
        weights.append(np.full(2 * len(one), 1 / distance))
    row, column = np.concatenate(pairs, axis=1)
    size = len(place)
    found = coo_matrix((np.concatenate(weights), (row, column)), shape=(size, size)).tocsr().tocoo()
    sums = np.bincount(found.row, weights=found.data, minlength=size)
    context = sums**0.75
    context /= context.sum()
    information = np.log(found.data / (sums[found.row] * context[found.col]))
    positive = information > 0
    return csr_matrix((information[positive], (found.row[positive], found.col[positive])), shape=(size, size))


def _factors(matrix: csr_matrix) -> NDArray[np.float64]:
    # A fixed start makes the result repeatable on one machine; the fit is stored, so no other machine repeats it.
    start = np.full(matrix.shape[0], 1 / np.sqrt(matrix.shape[0]))
    left, values, _ = svds(matrix, k=DIMS, v0=start)
    return np.asarray(left * np.sqrt(np.maximum(values, 0)), dtype=np.float64)


def _text_vectors(texts: Sequence[Sequence[str]], place: dict[str, int], fitted: OwnWords) -> Vectors:
    """Unit rows of texts, each its words: the sum of their weighted vectors less the common direction, or zero."""
    said = [[place[word] for word in text if word in place] for text in texts]
    flat = np.array([at for text in said for at in text], dtype=np.int64)
    starts = np.cumsum([0, *(len(text) for text in said)])
    picked = csr_matrix((np.ones(len(flat)), flat, starts), shape=(len(texts), len(fitted.vocabulary)))
    sums = picked @ fitted.vectors.astype(np.float64)
    common = fitted.common.astype(np.float64)
    return unit_rows(sums - np.outer(sums @ common, common))
