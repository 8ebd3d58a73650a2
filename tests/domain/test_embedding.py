"""The default embedder: pinned numbers, sane similarities, exact explanations, and texts nobody would write."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.adapters.rarity_table import read_rarity_table
from adctl.domain.creatives import Creative, creative_of_text
from adctl.domain.embedding.attributes import encode_attributes
from adctl.domain.embedding.creative_embedder import CreativeEmbedder
from adctl.domain.embedding.embedder import Embedder
from adctl.domain.embedding.features import features, words
from adctl.domain.embedding.hashed_text import HashedTextEmbedder, RarityTable
from adctl.domain.ids import CreativeId

RARITY = read_rarity_table()
TEXTS = HashedTextEmbedder(rarity=RARITY)
CREATIVES = CreativeEmbedder(text=TEXTS, rarity=RARITY)

COACH = (
    "Train with a certified coach three times a week and see the first results after 30 days. "
    "Book your free trial session in our studio today, no contract and no hidden fees."
)
COACH_RETOUCHED = (
    "Train with a certified coach three times a week and see the first results after 30 days! "
    "Book your FREE trial session in our studio today – no contract, no hidden fees 💪"
)
UNRELATED = [
    COACH,
    "Compare 40 suppliers of solar roofs within five minutes and get an offer for your own house by email.",
    "Your winter jacket is waiting: 20% off everything until Sunday",
    "How our finance chief cut invoicing from nine days to two",
    "Fresh vegetables from farms near you, delivered on Fridays",
    "Learn Spanish on the train",
    "احجز جلستك التجريبية المجانية اليوم",
    "今すぐ無料トライアルを予約",
]
TRIAL = Creative(
    creative_id=CreativeId("1"),
    headline="Free trial session?",
    body=COACH,
    call_to_action="BOOK_NOW",
    format="image",
    image_hash="a1",
)
SOLAR = Creative(creative_id=CreativeId("2"), headline="Solar roof", body=UNRELATED[1], format="image")


def cosine(one: str, other: str) -> float:
    left, right = TEXTS.encode([one, other])
    return float(left @ right)


def test_the_default_model_has_512_dims_and_a_name_for_each_of_its_parts() -> None:
    embedder: Embedder = CREATIVES

    assert embedder.dims == 512
    assert embedder.model_id == "hashed-text-1:idf-1:448+attributes-1:64"


def test_text_vectors_are_the_same_on_every_platform() -> None:
    vector = TEXTS.encode(["Book your free trial today"])[0]

    largest = np.flatnonzero(np.abs(vector) > 0.16)
    assert largest.tolist() == [26, 147, 257, 304, 447]
    np.testing.assert_allclose(
        vector[largest], [0.16226614, 0.16487412, -0.22246403, 0.18813850, -0.21707407], atol=1e-6
    )


def test_attribute_vectors_are_the_same_on_every_platform() -> None:
    vector = encode_attributes([{"format": "image"}])[0]

    assert np.packbits(vector > 0).tobytes().hex() == "aeb41dbad21c6b52"
    np.testing.assert_allclose(np.abs(vector), 1 / 8, atol=1e-7)


def test_a_text_has_the_same_bytes_alone_and_in_any_batch() -> None:
    texts = [*UNRELATED, "", "🔥", *(f"Offer {number} of the week" for number in range(600))]

    together = TEXTS.encode(texts)

    alone = np.concatenate([TEXTS.encode([text]) for text in texts])
    assert together.tobytes() == alone.tobytes()


def test_a_retouched_text_is_a_near_copy() -> None:
    assert cosine(COACH, COACH_RETOUCHED) >= 0.95


def test_unrelated_texts_are_below_the_noise_limit() -> None:
    vectors = TEXTS.encode(UNRELATED)

    others = (vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)]
    assert np.abs(others).max() < 0.15


def test_a_rewritten_text_lies_between_noise_and_near_copy() -> None:
    rewritten = "Train with a certified coach twice a week and see first results after 4 weeks. Book a free trial now."

    assert 0.4 < cosine(COACH, rewritten) < 0.85


def test_case_form_and_punctuation_do_not_matter() -> None:
    assert cosine("Don't wait: GRÜSSE!", unicodedata.normalize("NFD", "dont wait grüße")) == pytest.approx(1, abs=1e-6)


def test_a_rare_shared_word_counts_more_than_a_frequent_one() -> None:
    assert cosine("the kettlebell", "a kettlebell") > cosine("the kettlebell", "the garden") + 0.3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("?! … – \0\n", []),
        ("🔥🔥💪", ["🔥", "🔥", "💪"]),
        ("sale🔥now", ["sale", "🔥", "now"]),
        ("free\0trial", ["free", "trial"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("هل أنت مستعد؟", ["هل", "أنت", "مستعد"]),
        ("हिन्दी में सीखें।", ["हिन्दी", "में", "सीखें"]),
        ("\ud800", ["\ud800"]),
        ("It’s 50% off", ["its", "50", "off"]),
    ],
)
def test_words_are_found_in_every_alphabet(text: str, found: list[str]) -> None:
    assert words(text) == found
    length = float(np.linalg.norm(TEXTS.encode([text])[0]))
    assert length == pytest.approx(1 if found else 0, abs=1e-6)


def test_fifty_kilobytes_are_one_unit_vector() -> None:
    long = TEXTS.encode([" ".join(f"word{number}" for number in range(6_000)), "y" * 50_000])

    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1, atol=1e-6)


def test_one_word_repeated_is_that_word() -> None:
    # "buy buy" has no n-gram across the blank, so that only the damped counts differ, and they do so alike.
    assert cosine("buy", "buy " * 10_000) == pytest.approx(1, abs=1e-6)


def test_no_texts_are_an_empty_matrix() -> None:
    assert TEXTS.encode([]).shape == (0, 448)
    assert CREATIVES.encode([]).shape == (0, 512)


def test_a_creative_that_shows_nothing_is_similar_to_nothing() -> None:
    vectors = CREATIVES.encode([Creative(creative_id=CreativeId("1")), TRIAL])

    assert not vectors[0].any()
    assert float(vectors[0] @ vectors[1]) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
def test_any_text_gives_finite_rows_of_length_one_or_zero(texts: list[str]) -> None:
    vectors = CREATIVES.encode([creative_of_text(text) for text in texts])

    lengths = np.linalg.norm(vectors, axis=1)
    assert vectors.dtype == np.float32
    assert all(length == 0 or abs(length - 1) < 1e-5 for length in lengths.tolist())


def test_the_features_of_a_text_are_distinct_and_counted() -> None:
    found = features(["buy now buy", ""])

    assert len(set(found.hashes.tolist())) == found.hashes.size
    assert sorted(found.counts[found.kinds == 1].tolist()) == [1, 2]
    assert set(found.rows.tolist()) == {0}


def test_the_cosine_is_three_quarters_text_and_one_quarter_attributes_exactly() -> None:
    vectors = CREATIVES.encode([TRIAL, SOLAR])

    explained = CREATIVES.explain(TRIAL, SOLAR)

    assert [explained.text_share, explained.attribute_share] == pytest.approx([0.75, 0.25])
    assert explained.cosine == pytest.approx(0.75 * explained.text_cosine + 0.25 * explained.attribute_cosine)
    assert explained.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert explained.text_cosine == pytest.approx(float(vectors[0, :448] @ vectors[1, :448]) / 0.75, abs=1e-6)


def test_an_explanation_names_what_is_equal_and_the_rarest_words_first() -> None:
    other = replace(TRIAL, body="Book a session with a certified coach", call_to_action="LEARN_MORE", image_hash=None)

    explained = CREATIVES.explain(TRIAL, other)

    assert explained.equal_attributes == {"format": "image", "asks": "question", "headline_length": "short"}
    assert len(explained.shared_words) == 5
    assert "certified" in explained.shared_words[:2]
    assert "a" not in explained.shared_words


def test_words_against_attributes_only_share_nothing_and_say_so() -> None:
    text, image = creative_of_text("Free trial"), Creative(creative_id=CreativeId("2"), image_hash="a1")

    explained = CREATIVES.explain(text, image)

    assert (explained.cosine, explained.text_share, explained.attribute_share) == (0, 0, 0)


def test_equal_images_are_similar_without_any_word() -> None:
    one, other = (Creative(creative_id=CreativeId(name), image_hash="a1") for name in "12")

    assert CREATIVES.explain(one, other).cosine == pytest.approx(1, abs=1e-6)


def test_people_can_bring_their_own_text_model() -> None:
    class Lengths:
        model_id = "lengths"
        dims = 2

        def encode(self, texts: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            assert isinstance(texts, list)
            return np.array([[0.6, 0.8] for _ in texts], np.float32)

    embedder = CreativeEmbedder(text=Lengths(), rarity=RARITY)

    assert embedder.model_id == "lengths+attributes-1:64"
    assert embedder.encode([TRIAL]).shape == (1, 66)


@pytest.mark.parametrize("dims", [0, -8, 100])
def test_dims_that_do_not_split_into_blocks_are_refused(dims: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        HashedTextEmbedder(rarity=RARITY, dims=dims)


def test_a_rarity_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="262144 steps"):
        RarityTable(name="short", steps=np.zeros(10, np.uint8))
