"""Plausible figures: a last day that moved as no day does is not believed."""

from __future__ import annotations

import pytest

from adctl.domain.guards.plausible import doubt

WEEK = [100, 110, 90, 100, 100, 120, 80]


@pytest.mark.parametrize(
    ("days", "factor", "word"),
    [
        ([*WEEK, 100], 5, None),
        ([*WEEK, 500], 5, None),
        ([*WEEK, 501], 5, "5.0 times"),
        ([*WEEK, 20], 5, None),
        ([*WEEK, 19], 5, "19%"),
        ([*WEEK, 0], 5, "read in full"),
        ([*WEEK, 0], 0, None),
        ([100, 100, 100, 0], 5, None),
        ([100, 100, 100, 100, 0], 5, "0%"),
        ([0, 0, 0, 0, 100], 5, None),
        ([], 5, None),
    ],
)
def test_spend_is_doubted_beyond_the_factor_and_only_when_the_usual_is_known(
    days: list[int], factor: int, word: str | None
) -> None:
    found = doubt(days, factor)
    assert (found is None) if word is None else (found is not None and word in found)
