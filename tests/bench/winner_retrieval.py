"""Measures retrieval on real headlines beside exact sparse TF-IDF, and texts per second on one core.

Run from the checkout with the extra `bench`: `python -m tests.bench.winner_retrieval PATH/upworthy_headlines.csv`.
Two tasks: headlines of one test are relevant to each other (nDCG@10), and a headline with words swapped, dropped and
misspelt must find its original. Own words are fitted on all texts of the account, as in use for its own ads; on all but
those that are asked for, as for a draft; and on other tests' headlines only, as long after a fit. Which headlines
belong together is seen by no method. The shipped rarity table was computed from these headlines, too; the reference's
is fitted on what it searches.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from adctl.cli.wiring import creative_embedder
from adctl.domain.embedding.embedder import TextEmbedder
from adctl.domain.embedding.hashed_text import HashedTextEmbedder
from adctl.domain.embedding.own_words import OwnWordsEmbedder, fit_own_words

Cosines = NDArray[np.float64]
Scorer = Callable[[Sequence[str], Sequence[str]], Cosines]
_DEPTH = 10
_QUERIES = 1500
_TESTS = 1500


def by_test(source: Path) -> Mapping[str, list[str]]:
    """The distinct headlines of each test that has at least two."""
    found: dict[str, set[str]] = defaultdict(set)
    with source.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found[row["test_id"]].add(row["headline"])
    return {test: sorted(headlines) for test, headlines in sorted(found.items()) if len(headlines) > 1}


def ndcg(cosines: Cosines, relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """nDCG@10 per query, ties in the order of the columns."""
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :_DEPTH]
    gains = np.take_along_axis(relevant, order, axis=1)
    discounts = 1 / np.log2(np.arange(_DEPTH) + 2)
    ideal = np.cumsum(discounts)[np.minimum(relevant.sum(axis=1), _DEPTH) - 1]
    return np.asarray((gains @ discounts) / ideal, dtype=np.float64)


def retold(headline: str, rng: np.random.Generator) -> str:
    """The headline as another hand would have it: a sixth of the words dropped, two swapped, two misspelt."""
    words = [word for word in headline.split() if rng.random() > 1 / 6] or headline.split()
    if len(words) > 1:
        at = int(rng.integers(0, len(words) - 1))
        words[at : at + 2] = words[at : at + 2][::-1]
    for at in rng.integers(0, len(words), 2):
        word = words[int(at)]
        cut = int(rng.integers(0, len(word) + 1))
        words[int(at)] = word[:cut] + word[cut + 1 :]
    return " ".join(words)


def exact(queries: Sequence[str], documents: Sequence[str]) -> Cosines:
    """The reference: sparse TF-IDF over words and character 3- to 5-grams, half each."""
    both = FeatureUnion(
        [
            ("words", TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")),
            ("grams", TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5))),
        ]
    ).fit(documents)
    found = both.transform(queries) @ both.transform(documents).T
    return np.asarray(found.toarray() / 2, dtype=np.float64)


def of(embedder: TextEmbedder) -> Scorer:
    def score(queries: Sequence[str], documents: Sequence[str]) -> Cosines:
        return (embedder.encode(queries) @ embedder.encode(documents).T).astype(np.float64)

    return score


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("headlines", type=Path)
    tests = by_test(parser.parse_args().headlines)
    rng = np.random.Generator(np.random.PCG64(1))
    names = rng.permutation(sorted(tests)).tolist()
    held_out, own = names[:_TESTS], [headline for name in names[_TESTS:] for headline in tests[name]]
    documents = [headline for name in held_out for headline in tests[name]]
    test_of = np.array([at for at, name in enumerate(held_out) for _ in tests[name]])
    picked = rng.choice(len(documents), _QUERIES, replace=False)
    rarity = creative_embedder().rarity
    shipped = HashedTextEmbedder(rarity=rarity)
    hashed = HashedTextEmbedder(rarity=rarity, dims=384)
    learned = OwnWordsEmbedder(hashed=hashed, words=fit_own_words([*own, *documents]))
    not_asked = np.delete(np.arange(len(documents)), picked).tolist()
    drafts = OwnWordsEmbedder(hashed=hashed, words=fit_own_words([*own, *(documents[at] for at in not_asked)]))
    others = OwnWordsEmbedder(hashed=hashed, words=fit_own_words(own))
    rewritten = [retold(documents[at], rng) for at in picked]
    say(f"{len(documents)} headlines of {_TESTS} held-out tests, {len(own)} others for own words, {_QUERIES} queries")
    say(f"{'method':24} {'same test':>10} {'retold':>10} {'mean':>10}")
    methods: Mapping[str, Scorer] = {
        "exact sparse TF-IDF": exact,
        f"hashed, {shipped.dims} dims": of(shipped),
        f"own words, {learned.dims} dims": of(learned),
        "own words, asked unseen": of(drafts),
        "own words, all unseen": of(others),
    }
    for name, score in methods.items():
        same = score([documents[at] for at in picked], documents)
        same[np.arange(_QUERIES), picked] = -1.0
        relevant = test_of[picked][:, None] == test_of[None, :]
        relevant[np.arange(_QUERIES), picked] = False
        copies = score(rewritten, documents)
        found = ndcg(same, relevant), ndcg(copies, picked[:, None] == np.arange(len(documents))[None, :])
        a, b = (float(one.mean()) for one in found)
        say(f"{name:24} {a:10.4f} {b:10.4f} {(a + b) / 2:10.4f}")
    for name, embedder in (("hashed", shipped), ("with own words", learned)):
        began = time.process_time()
        embedder.encode(own)
        say(f"{name}: {len(own) / (time.process_time() - began):,.0f} texts per second of CPU on one core")


if __name__ == "__main__":
    main()
