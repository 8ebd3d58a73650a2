"""Plausible figures: a last day that moved as no day does is not believed."""

from __future__ import annotations

import pytest

from adctl.domain.guards.plausible import crm_doubt, doubt

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
        ([1, 1, 1, 1, 0], 5, "0%"),
        ([1, 1, 1, 1, 6], 5, "6.0 times"),
        ([], 5, None),
    ],
)
def test_spend_is_doubted_beyond_the_factor_and_only_when_the_usual_is_known(
    days: list[int], factor: int, word: str | None
) -> None:
    found = doubt(days, factor)
    assert (found is None) if word is None else (found is not None and word in found)


FORTNIGHT = [3, 1, 4, 2, 1, 2, 3, 2, 1, 4, 2, 2, 1, 3]


@pytest.mark.parametrize(
    ("days", "factor", "word"),
    [
        ([*FORTNIGHT, 2], 5, None),
        ([*FORTNIGHT, 20], 5, None),
        ([*FORTNIGHT, 21], 5, "new deals of the last day: 5.2 times the greatest day before, more than 5"),
        ([*FORTNIGHT, 21], 0, None),
        ([*FORTNIGHT, 0], 5, "new deals of the last day: none"),
        ([*FORTNIGHT, 1], 5, None),
        ([*FORTNIGHT, 0], 0, None),
        # A day without any is known where there was one before.
        ([0, *FORTNIGHT, 0], 5, None),
        ([0, *FORTNIGHT, 21], 5, "5.2 times"),
        # Thirteen days with something are too few.
        ([*FORTNIGHT[1:], 0], 5, None),
        ([*FORTNIGHT[1:], 0, 21], 5, None),
        ([0] * 15, 5, None),
        ([], 5, None),
    ],
)
def test_a_day_of_the_crm_is_doubted_when_it_tops_all_before_or_is_empty_as_none_was(
    days: list[int], factor: int, word: str | None
) -> None:
    found = crm_doubt("new deals", days, factor)
    assert (found is None) if word is None else (found is not None and word in found)
