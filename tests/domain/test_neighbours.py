"""Neighbours: what they may say, how little they count, and that only what was known then is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.embedding.embedder import unit_rows
from adctl.domain.neighbour_evaluation import Evaluation, evaluate
from adctl.domain.neighbour_trials import FRESH_DAYS, LAG_DAYS, Trials, allowed, moment_of, past_moments
from adctl.domain.neighbours import Counts, NeighbourRule, neighbour_counts

RULE = NeighbourRule()


def said(cosines: list[float], events: list[float], expected: list[float], strength: float = 100.0) -> Counts:
    """What candidates of these cosines say of one ad."""
    row = np.array([cosines], dtype=np.float32)
    known = Counts(events=np.array(events), expected=np.array(expected))
    return neighbour_counts(row, np.ones_like(row, dtype=np.bool_), known, RULE, strength)


def test_a_neighbour_counts_by_its_nearness_squared() -> None:
    counts = said([0.65], [20.0], [10.0])

    assert counts.expected[0] == pytest.approx(0.02 * 0.25 * 10, rel=1e-5)
    assert counts.events[0] == pytest.approx(2 * counts.expected[0])


def test_what_is_far_or_a_copy_says_nothing() -> None:
    assert said([0.29, 0.3, 0.86, 1.0], [9.0] * 4, [3.0] * 4).expected[0] == pytest.approx(0, abs=1e-12)


def test_only_the_nearest_ten_speak() -> None:
    ten = said([0.6] * 10, [2.0] * 10, [1.0] * 10)
    more = said([0.6] * 10 + [0.5] * 30, [2.0] * 10 + [50.0] * 30, [1.0] * 40)

    assert more.events[0] == pytest.approx(ten.events[0])


def test_a_neighbour_brings_no_more_than_thirty_expected_events() -> None:
    assert said([0.65], [6000.0], [3000.0]).expected == pytest.approx(said([0.65], [60.0], [30.0]).expected)


def test_all_together_never_outweigh_half_of_the_prior() -> None:
    counts = said([0.84] * 10, [60.0] * 10, [30.0] * 10, strength=2.0)

    assert counts.expected[0] == pytest.approx(1.0)
    assert counts.events[0] == pytest.approx(2.0)


def trials(ads: int = 600, *, themes: int = 12, told: float = 0.6, seed: int = 1) -> Trials:
    """Ads of 60 campaigns over 200 days: their theme moves their rate by exp(±told), their vector tells the theme."""
    rng = np.random.Generator(np.random.PCG64(seed))
    theme = rng.integers(0, themes, ads)
    # Themes of equal popularity whose effects cancel out: the account's usual rate stays what it is.
    effect = told * np.where(np.arange(themes) % 2, 1.0, -1.0)
    centres = rng.standard_normal((themes, 16))
    vectors = unit_rows(centres[theme] + 0.5 * rng.standard_normal((ads, 16)))
    born = np.sort(rng.integers(0, 200, ads))
    exposure = rng.uniform(500, 1500, ads)
    events = rng.poisson(exposure * 0.02 * np.exp(effect[theme] + 0.2 * rng.standard_normal(ads))).astype(np.float64)
    return Trials(
        vectors=vectors,
        campaign=rng.integers(0, 60, ads),
        born=born,
        row_ad=np.arange(ads),
        row_day=born,
        row_events=events,
        row_exposure=exposure,
        today=230,
    )


@pytest.fixture(scope="module")
def helpful() -> Evaluation:
    return evaluate(trials(), seed=1)


def test_neighbours_that_tell_something_are_found_to_help_and_placebos_are_not(helpful: Evaluation) -> None:
    assert helpful.helps
    assert helpful.neighbours.high < 0
    assert helpful.neighbours.mean < -0.02
    assert helpful.own.high < 0
    assert helpful.placebo.high > -0.005


def test_the_same_past_gives_the_same_verdict(helpful: Evaluation) -> None:
    assert evaluate(trials(), seed=1) == helpful


def test_neighbours_that_tell_nothing_stay_off() -> None:
    assert not any(evaluate(trials(told=0.0, seed=seed), seed=1).helps for seed in (3, 4))


def test_a_level_that_is_off_is_no_merit_of_neighbours() -> None:
    past = trials()

    silent = evaluate(replace(past, row_events=np.zeros(len(past.born))), seed=1)

    assert silent.neighbours.high < 0
    assert not silent.helps


@pytest.mark.parametrize("ads", [0, 5, 60])
def test_too_few_ads_are_no_proof(ads: int) -> None:
    few = trials(ads)

    found = evaluate(few, seed=1)

    assert (found.helps, found.ads <= 30) == (False, True)


def test_nothing_that_came_later_is_known() -> None:
    past = trials()
    later = replace(past, row_events=np.where(past.row_day > 100, 1e6, past.row_events))

    one = {int(m.targets[0]): m for m in past_moments(past)}
    other = {int(m.targets[0]): m for m in past_moments(later)}

    early = [ad for ad, m in one.items() if past.born[ad] <= 100 + LAG_DAYS]
    assert early
    assert all(one[ad].known.events.tolist() == other[ad].known.events.tolist() for ad in early)
    assert all(one[ad].rate == other[ad].rate for ad in early)


def test_ads_whose_first_weeks_are_not_complete_are_not_judged() -> None:
    past = trials()

    judged = np.concatenate([m.targets for m in past_moments(past)])

    assert past.born[judged].max() <= past.today - FRESH_DAYS - LAG_DAYS


def test_an_ads_own_campaign_has_no_say() -> None:
    past = trials()
    moment = moment_of(past, 150, np.array([590, 591]))

    may = allowed(past, moment)

    assert may.shape == (2, len(moment.older))
    assert not may[0][past.campaign[moment.older] == past.campaign[590]].any()
    assert may[0].any()
