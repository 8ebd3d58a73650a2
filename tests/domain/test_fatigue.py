"""Fatigue: a falling click rate and a rising frequency over three points or more, and nothing less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from adctl.domain.fatigue import Fatigue, Points, find_fatigue

Story = Sequence[tuple[int, int, int]]


def found(*stories: Story) -> Fatigue:
    """Each ad's points as (impressions, clicks, reach), the oldest first."""
    rows = [(ad, len(s) - 1 - at, *point) for ad, s in enumerate(stories) for at, point in enumerate(s)]
    ad, span, impressions, clicks, reach = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return find_fatigue(Points(ads=len(stories), ad=ad, span=span, impressions=impressions, clicks=clicks, reach=reach))


WORN = [(10_000, 300, 8_000), (10_000, 240, 6_000), (10_000, 180, 5_000), (10_000, 150, 4_000)]


def test_an_ad_that_wears_is_flagged_with_its_evidence() -> None:
    fatigue = found(WORN)

    assert fatigue.flagged.tolist() == [True]
    assert fatigue.says(0) == "CTR 3.00% → 1.50% while frequency 1.25 → 2.50 over 4 points of 3 days"


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(WORN[:2], id="two points are no trend"),
        pytest.param([(i, c, i) for i, c, _ in WORN], id="the frequency stays"),
        pytest.param([(i, c, r) for (i, c, _), (_, _, r) in zip(WORN, WORN[::-1], strict=True)], id="it falls"),
        pytest.param([(i, 240, r) for i, _, r in WORN], id="the click rate stays"),
        pytest.param([(i, c, r) for (_, c, _), (i, _, r) in zip(WORN[::-1], WORN, strict=True)], id="it rises"),
        pytest.param([(400, 12, 300), (400, 10, 250), (400, 9, 200)], id="a fall that chance explains"),
        pytest.param([(1_000_000, 30_000 - 400 * n, 500_000 - 9_000 * n) for n in range(4)], id="a small fall"),
        pytest.param([(200, 60, 180), (200, 30, 150), (200, 5, 100)], id="too few impressions"),
        pytest.param([(10_000, 300, 0)] * 4, id="no reach"),
        pytest.param([], id="no rows"),
    ],
)
def test_an_ad_without_both_trends_is_not_flagged(story: Story) -> None:
    assert found(story).flagged.tolist() == [False]


def test_noise_rarely_looks_like_fatigue() -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    stories = [[(4_000, int(rng.poisson(80)), int(rng.uniform(2_000, 3_900))) for _ in range(7)] for _ in range(2_000)]

    assert found(*stories).flagged.mean() < 0.01


def test_ads_without_points_have_no_figures() -> None:
    fatigue = found(WORN, [])

    assert np.isnan([fatigue.ctr_first[1], fatigue.frequency_last[1], fatigue.score[1]]).all()
    assert fatigue.points.tolist() == [4, 0]
