"""Bands of stated chances: counted right, and with intervals that a table of Clopper and Pearson confirms."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.calibration import bands, exact_interval


def test_verdicts_fall_into_the_band_that_begins_at_what_they_said() -> None:
    said = np.array([0.05, 0.07, 0.0999, 0.1, 1.0])
    found = bands(said, np.array([True, False, False, True, True]), np.arange(5))
    assert [(band.least, band.most, band.verdicts) for band in found] == [(0.05, 0.1, 3), (0.1, 0.2, 1), (0.5, 1.0, 1)]
    assert found[0].said == pytest.approx((0.05 + 0.07 + 0.0999) / 3)
    assert found[0].wrong == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 10, 0.0025, 0.4450), (8, 100, 0.0352, 0.1516)],
)
def test_the_interval_is_the_exact_one(successes: int, trials: int, low: float, high: float) -> None:
    assert exact_interval(successes, trials) == pytest.approx((low, high), abs=6e-5)


def test_an_ad_judged_every_day_counts_once() -> None:
    many = bands(np.full(100, 0.07), np.zeros(100, dtype=np.bool_), np.arange(100))
    same = bands(np.full(100, 0.07), np.zeros(100, dtype=np.bool_), np.zeros(100, dtype=np.int64))
    assert (many[0].verdicts, same[0].verdicts) == (100, 100)
    assert (many[0].ads, same[0].ads) == (100, 1)
    assert many[0].high < 0.04 < 0.9 < same[0].high


def test_calibrated_chances_fit_and_boasts_do_not() -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    said = rng.uniform(0, 1, 20_000)
    wrong = rng.random(20_000) < said
    ad = np.arange(20_000)
    assert sum(band.fits for band in bands(said, wrong, ad)) >= 6
    assert not any(band.fits for band in bands(said / 3, wrong, ad) if band.verdicts > 1_000)


def test_no_verdict_gives_no_band() -> None:
    assert bands(np.empty(0), np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.int64)) == ()
