"""The table of the normal distribution says what scipy's functions do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from adctl.domain.policies.bayes import normal

PLACES = np.linspace(-45.0, 45.0, 90_001)


def test_chances_are_those_of_the_function_itself_far_out_too() -> None:
    found, exact = normal.below(PLACES), ndtr(PLACES)

    assert np.abs(found - exact).max() < 5e-16
    inside = np.abs(PLACES) < 36
    assert np.allclose(found[inside], exact[inside], rtol=1e-7, atol=0.0)


def test_infinities_are_certain_and_what_is_no_number_has_no_chance() -> None:
    assert normal.below(np.array([-np.inf, np.inf, np.nan])) == pytest.approx([0.0, 1.0, 0.0])


def test_what_is_expected_above_nothing_is_the_integral() -> None:
    found, chance = normal.excess(2 * PLACES, np.full(len(PLACES), 2.0))

    density = np.exp(-0.5 * PLACES**2) / np.sqrt(2 * np.pi)
    assert np.allclose(found, 2 * (PLACES * ndtr(PLACES) + density), rtol=1e-12, atol=2e-12)
    assert np.allclose(chance, ndtr(PLACES), rtol=0.0, atol=1e-6)
