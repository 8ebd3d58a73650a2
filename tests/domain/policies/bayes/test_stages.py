"""Open deals count by their age, exactly at the ends and to second order between them."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.delays import fit_delays
from adctl.domain.policies.bayes.fitting import view_of
from adctl.domain.policies.bayes.funnel import funnel_of
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.stages import fit_stages, fractions, stage_posterior, tally
from adctl.domain.policies.protocol import AdHistory, Floats
from tests.domain.policies.bayes.stories import NAN, Deal, Story, told


def column(*values: float) -> Floats:
    return np.array(values)


def simulated(*, chance: float, marked: float, ads: int = 40, leads: int = 60, seen: int = 30) -> AdHistory:
    """One real step (qualified) of lognormal delays, seen after so many days; all that qualify win at once."""
    rng = np.random.Generator(np.random.PCG64(3))
    stories = []
    for place in range(ads):
        made = []
        for came in rng.uniform(0, seen, leads):
            if rng.random() < chance:
                left = came - 4 * np.exp(0.8 * rng.standard_normal())
                made.append(Deal(came=came, qualified=left, won=left) if left > 0 else Deal(came=came))
            else:
                left = came - 5 * np.exp(rng.standard_normal())
                made.append(Deal(came=came, lost=left if left > 0 and rng.random() < marked else NAN))
        stories.append(Story(ad_id=f"ad{place:02}", days=seen, deals=tuple(made)))
    return told(*stories)


def test_the_ends_are_exact() -> None:
    success, failure = fractions(column(0.3), column(0.0, 0.7, 0.4), column(0.5, 0.0, 0.4))

    assert success.tolist() == [0.0, 1.0, 0.0]
    assert failure.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("chance", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(("later", "unmarked"), [(0.9, 0.5), (0.2, 0.7), (0.999, 0.3), (0.01, 0.31)])
def test_fractions_have_the_score_and_curvature_of_what_is_known(chance: float, later: float, unmarked: float) -> None:
    success, failure = (float(x[0]) for x in fractions(column(chance), column(later), column(unmarked)))

    score = success / chance - failure / (1 - chance)
    curvature = -success / chance**2 - failure / (1 - chance) ** 2
    edge = (later - unmarked) / (chance * later + (1 - chance) * unmarked)
    assert score == pytest.approx(edge)
    assert curvature == pytest.approx(-(edge**2))


@pytest.mark.parametrize("marked", [0.7, 0.3])
@pytest.mark.parametrize("chance", [0.25, 0.6])
def test_the_chance_is_found_though_many_deals_are_open_and_many_losses_unmarked(chance: float, marked: float) -> None:
    history = simulated(chance=chance, marked=marked)

    fitted = view_of(history, BayesParameters(), None).fitted

    assert fitted.stages.chance[0] == pytest.approx(chance, rel=0.12)
    assert np.exp(fitted.delays.log_median[0]) == pytest.approx(4.0, rel=0.2)
    assert fitted.delays.marked[0] == pytest.approx(marked, abs=0.12)


def test_in_a_crm_that_never_marks_losses_time_alone_tells() -> None:
    view = view_of(simulated(chance=0.4, marked=0.0, seen=120), BayesParameters(), None)

    assert view.fitted.delays.never_marked
    assert view.fitted.stages.chance[0] == pytest.approx(0.4, rel=0.12)


def test_an_ad_that_is_good_at_one_step_is_expected_to_be_good_at_the_next() -> None:
    # given ads whose deals are old; half of them pass each step twice as often, and one of each has none beyond
    stories = []
    for place in range(30):
        chance = 6 if place % 2 else 3
        made = [
            Deal(came=60, qualified=58, won=55 if rank < chance * 4 else NAN, lost=NAN if rank < chance * 4 else 50)
            if rank < chance * 10
            else Deal(came=60, lost=55)
            for rank in range(100)
        ]
        if place < 2:
            made = [Deal(came=5, qualified=0.01) if deal.qualified == 58 else Deal(came=60, lost=55) for deal in made]
        stories.append(Story(ad_id=f"ad{place:02}", days=70, deals=tuple(made)))
    history = told(*stories)

    view = view_of(history, BayesParameters(), None)

    assert view.terms.steps[1, 1] > view.terms.steps[0, 1] + 0.01
    assert view.fitted.stages.quality_variance > 0


def test_more_deals_make_an_ad_surer() -> None:
    few, many = simulated(chance=0.5, marked=0.7, leads=5), simulated(chance=0.5, marked=0.7, leads=200)

    def spread(history: AdHistory) -> float:
        funnel = funnel_of(history)
        counted = tally(funnel, fit_delays(funnel, history.campaign, 1, 30), history.campaign)
        clicks = np.zeros(funnel.ads)
        model = fit_stages(counted, np.zeros(funnel.length), clicks)
        return float(stage_posterior(model, counted, clicks).own_variance[:, 0].mean())

    assert spread(many) < spread(few) / 3


def test_where_many_clicks_mean_poor_leads_an_ad_without_deals_is_expected_to_be_poorer_for_its_clicks() -> None:
    # given ads of which those with three times the clicks pass half as often, and two without any deals
    def story(place: int, clicks: int, passed: int) -> Story:
        made = [
            Deal(came=60, qualified=58, won=55 if rank < passed // 2 else NAN, lost=NAN if rank < passed // 2 else 50)
            if rank < passed
            else Deal(came=60, lost=55)
            for rank in range(20)
        ]
        return Story(ad_id=f"ad{place:02}", days=70, clicks=clicks, deals=tuple(made))

    some = [story(place, 120 if place % 2 else 40, 6 if place % 2 else 12) for place in range(24)]
    many, few = (Story(ad_id=name, days=70, clicks=clicks) for name, clicks in (("x", 120), ("y", 40)))

    view = view_of(told(*some, many, few), BayesParameters(), None)

    assert view.fitted.stages.click_odds < -0.2
    assert view.terms.steps[24].sum() < view.terms.steps[25].sum() - 0.2
    assert view.fitted.stages.click_odds_variance > 0
