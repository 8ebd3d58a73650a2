"""The account's own words: fitted once, the same again, and halves of one unit vector."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from adctl.adapters.rarity_table import read_rarity_table
from adctl.domain.embedding.hashed_text import HashedTextEmbedder
from adctl.domain.embedding.own_words import OwnWords, OwnWordsEmbedder, fit_digest, fit_own_words

_THEMES = (("yoga", "stretch", "calm", "breath", "mat"), ("barbell", "squat", "power", "lift", "plates"))


@cache
def texts() -> list[str]:
    """2,400 texts of two themes, among 200 words that belong to neither."""
    rng = np.random.Generator(np.random.PCG64(1))
    found = []
    for number in range(2400):
        theme = [*rng.choice(_THEMES[number % 2], 3)]
        filler = [f"word{at}" for at in rng.integers(0, 200, 5)]
        found.append(" ".join(rng.permutation([*theme, *filler])) + f" {number}")
    return found


@cache
def fitted() -> OwnWords:
    return fit_own_words(texts())


def embedder() -> OwnWordsEmbedder:
    return OwnWordsEmbedder(hashed=HashedTextEmbedder(rarity=read_rarity_table(), dims=384), words=fitted())


def test_words_of_one_theme_are_similar_without_a_shared_letter_group() -> None:
    vectors = embedder().encode(["yoga calm", "stretch breath mat", "squat plates lift"])

    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2]) + 0.2


def test_rows_have_length_one_and_a_text_of_unknown_words_keeps_the_hashed_part_alone() -> None:
    vectors = embedder().encode(["yoga calm", "zzyzx", "", "💪", "x\x00y", "yoga " * 9000])

    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0, 1, 1, 1], atol=1e-5)
    assert not vectors[1, 384:].any()
    assert embedder().encode([]).shape == (0, 512)


def test_own_words_count_for_less_where_some_words_were_not_fitted() -> None:
    known, half = embedder().encode(["yoga calm mat breath", "yoga calm zzyzx qwrtp"])[:, 384:]

    assert float(known @ known) == pytest.approx(1 / 3)
    assert float(half @ half) == pytest.approx(1 / 3 / 2**4)


def test_the_same_texts_in_another_order_give_the_same_fit() -> None:
    assert fit_digest(fit_own_words(texts()[::-1])) == fit_digest(fitted())


def test_another_fit_is_another_model() -> None:
    other = fit_own_words([*texts(), *(f"pilates ring {n}" for n in range(50))])

    named = OwnWordsEmbedder(hashed=HashedTextEmbedder(rarity=read_rarity_table(), dims=384), words=other).model_id
    assert named != embedder().model_id
    assert named.startswith("hashed-text-1:idf-1:384+own-words-2:")


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="1999 different texts, 2000 needed"):
        fit_own_words([*texts()[:1999], texts()[0]])
    with pytest.raises(ValueError, match="more than 128 needed"):
        fit_own_words([f"{'a' * (n % 50 + 1)} {n}" for n in range(2000)])
