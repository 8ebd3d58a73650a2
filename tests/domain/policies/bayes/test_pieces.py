"""Columns made some thousand ads at a time are those made at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from adctl.domain.policies.bayes.pieces import PIECE, by_pieces, chosen, some
from adctl.domain.policies.protocol import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    flat: Floats
    wide: Floats
    number: float


@pytest.mark.parametrize("ads", [0, 5, PIECE, PIECE + 1, 2 * PIECE + 7])
def test_pieces_put_together_are_the_whole(ads: int) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    whole = Columns(flat=rng.random(ads), wide=rng.random((ads, 3)), number=4.0)

    found = by_pieces(ads, lambda part: some(whole, part))

    assert np.array_equal(found.flat, whole.flat)
    assert np.array_equal(found.wide, whole.wide)
    assert found.number == 4.0


def test_those_chosen_of_many_meet_every_pattern_that_repeats() -> None:
    for of in (8_000, 9_001, 100_000, 10_000_019):
        found = chosen(of, 4_000)
        assert isinstance(found, np.ndarray)
        assert len(found) == 4_000
        assert np.diff(found).min() > 0
        assert 0 <= found[0] < found[-1] < of
        for every in (2, 3, 4, 5, 24, 25, 26, 30):
            assert np.bincount(found % every, minlength=every).min() > 0.6 * 4_000 / every
    assert chosen(7_999, 4_000) == slice(None)
