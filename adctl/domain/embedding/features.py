"""Texts as hashed features: words and character 3- to 5-grams, each a number that is the same on every platform."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]

# A feature's number has 48 bits: one for its kind (1 = word), 47 of hash; 16 bits are left for the text's row.
HASH_BITS: Final = 48
_WORD_BIT: Final = np.uint64(1 << (HASH_BITS - 1))
MAX_TEXTS: Final = 1 << 16

_PICTOGRAPHS: Final = "\u2190-\u2bff\U0001f000-\U0001faff"
# White space, controls, punctuation of the alphabets that have their own, variation selectors and tags. Marks that
# belong to letters (Devanagari vowels, Arabic points) are not in it, so that words stay whole in every alphabet.
_SEPARATORS: Final = (
    "\\s\\x00-/:-@\\[-`{-\xbf\u037e\u055a-\u055f\u05be\u05c0\u05c3\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965"
    "\u2000-\u206f\u2e00-\u2e7f\u3000-\u303f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f"
)
_TOKEN: Final = re.compile(f"[{_PICTOGRAPHS}]|[^{_SEPARATORS}{_PICTOGRAPHS}]+")
_APOSTROPHES: Final = {ord("'"): None, ord("\u2019"): None}
_SPACE: Final = np.uint64(ord(" "))
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_GRAMS: Final = (3, 4, 5)
# What tells the characters of an n-gram apart by their place. As an array, since numpy warns when a scalar overflows.
_PLACES: Final = np.arange(1, max(_GRAMS) + 1, dtype=np.uint64) * _STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The distinct features of some texts, ordered by text and number; three arrays of equal length.

    `rows` is the text's position, `hashes` the 48-bit number, `counts` how often the text holds the feature.
    """

    rows: Int64s
    hashes: UInt64s
    counts: Int64s

    @property
    def kinds(self) -> Int64s:
        """1 where the feature is a word, 0 where it is a character n-gram."""
        return (self.hashes >> np.uint64(HASH_BITS - 1)).astype(np.int64)


def words(text: str) -> list[str]:
    """The words of a text, folded in case and form (NFKC); a pictograph is a word, punctuation and NUL are none."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES))


def mix(values: UInt64s) -> UInt64s:
    """The finaliser of splitmix64: a bijection of 64-bit numbers whose output bits all depend on all input bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def word_hashes(tokens: Sequence[str]) -> UInt64s:
    """The number of each word, as `features` numbers it."""
    characters = _characters([f" {token} " for token in tokens])
    return _words(characters)[1] if tokens else np.empty(0, np.uint64)


def features(texts: Sequence[str]) -> Features:
    """The features of at most 65,536 texts. A text without a single word has none."""
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"{len(texts)} texts at once, at most {MAX_TEXTS}")
    lines = [f" {' '.join(words(text))} " for text in texts]
    characters = _characters(lines)
    rows = np.repeat(np.arange(len(lines), dtype=np.uint64), [len(line) for line in lines]) << np.uint64(HASH_BITS)
    starts, hashes = _words(characters)
    return _distinct(np.concatenate([rows[starts] | hashes, *(rows[at] | found for at, found in _grams(characters))]))


def _distinct(keys: UInt64s) -> Features:
    keys.sort()
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if keys.size else np.empty(0, np.int64)
    distinct = keys[first]
    return Features(
        rows=(distinct >> np.uint64(HASH_BITS)).astype(np.int64),
        hashes=distinct & np.uint64((1 << HASH_BITS) - 1),
        counts=np.diff(first, append=keys.size),
    )


def _characters(lines: Sequence[str]) -> UInt64s:
    """The code points of all lines; lone surrogates, which JSON can bring, count as characters."""
    return np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)


def _words(characters: UInt64s) -> tuple[Int64s, UInt64s]:
    """Where each word starts and its number: mixed characters with their place in the word, summed, mixed again."""
    spaces = characters == _SPACE
    starts = np.flatnonzero(~spaces & np.concatenate([[True], spaces[:-1]]))
    if not starts.size:
        return starts, np.empty(0, np.uint64)
    lengths = np.diff(starts, append=characters.size)
    place = np.arange(starts[0], characters.size) - np.repeat(starts, lengths) + 1
    mixed = mix(characters[starts[0] :] + place.astype(np.uint64) * _STEP)
    mixed[spaces[starts[0] :]] = 0
    sums = np.add.reduceat(mixed, starts - starts[0])
    return starts, (mix(sums) >> np.uint64(65 - HASH_BITS)) | _WORD_BIT


def _grams(characters: UInt64s) -> list[tuple[Int64s, UInt64s]]:
    """Per length, where each n-gram starts and its number. An n-gram touches the blanks around a word, never both
    sides of one, so that the order of words does not matter."""
    blanks = np.concatenate([[0], np.cumsum(characters == _SPACE)])
    mixed = [mix(characters + place) for place in _PLACES]
    return [_grams_of(length, blanks, mixed) for length in _GRAMS if characters.size >= length]


def _grams_of(length: int, blanks: Int64s, mixed: Sequence[UInt64s]) -> tuple[Int64s, UInt64s]:
    count = mixed[0].size - length + 1
    inner_blanks = blanks[length - 1 : length - 1 + count] - blanks[1 : 1 + count]
    at = np.flatnonzero(inner_blanks == 0)
    total = mixed[0][at] + np.uint64(length)
    for place in range(1, length):
        total += mixed[place][at + place]
    return at, mix(total) >> np.uint64(65 - HASH_BITS)
