"""How far campaigns differ: learned from the account, with a prior while it has few of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, nbinom

from adctl.domain.policies.bayes import campaigns
from adctl.domain.policies.bayes.campaigns import fit_campaign_leads, sampled
from adctl.domain.policies.protocol import Floats, Ints


def account(groups: int, each: int, shape: float, alike: float) -> tuple[Floats, Floats, Ints]:
    """Leads, expected leads and campaigns of ads whose factors have these shapes."""
    rng = np.random.Generator(np.random.PCG64(7))
    campaign = np.arange(groups * each, dtype=np.int64) % groups
    expected = rng.uniform(2, 30, len(campaign))
    factor = rng.gamma(alike, 1 / alike, groups)[campaign] * rng.gamma(shape, 1 / shape, len(campaign))
    return rng.poisson(expected * factor).astype(np.float64), expected, campaign


@pytest.mark.parametrize(("shape", "alike"), [(2.0, 1.5), (2.0, 12.0), (8.0, 3.0), (1.2, 30.0)])
def test_how_far_campaigns_differ_is_learned(shape: float, alike: float) -> None:
    assert fit_campaign_leads(*account(60, 15, shape, alike), usual_leads=6.0) == pytest.approx(alike, rel=0.35)


def test_one_campaign_says_nothing_of_how_campaigns_differ() -> None:
    assert fit_campaign_leads(*account(1, 400, 4.0, 1.0), usual_leads=6.0) == pytest.approx(6.0, rel=0.4)


def test_the_likelihood_is_the_integral_over_each_campaigns_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    leads, expected, campaign = np.array([3.0, 0.0, 9.0]), np.array([2.0, 1.5, 4.0]), np.array([0, 0, 1])
    # Two shapes of each kind, so that the sums can be done beside it.
    monkeypatch.setattr(campaigns, "LOG_SHAPES", np.log(2.5) + np.array([0.0, 0.8]))
    monkeypatch.setattr(campaigns, "SHAPE_PRIOR", np.array([0.0, -0.5]))
    monkeypatch.setattr(campaigns, "_LEADS_STEPS", np.array([0.0, -1.0]))

    def likelihood(shape: float, alike: float) -> float:
        def of(ads: list[int]) -> float:
            def density(factor: float) -> float:
                chance = nbinom.pmf(leads[ads], shape, shape / (shape + expected[ads] * factor)).prod()
                return float(chance * gamma.pdf(factor, alike, scale=1 / alike))

            return float(quad(density, 0, 30, limit=200)[0])

        return of([0, 1]) * of([2])

    shapes, leads_of = (2.5, 2.5 * np.exp(0.8)), (6.0, 6.0 * np.exp(-0.7))
    weight = np.array([[likelihood(a, k) for k in leads_of] for a in shapes])
    weight *= np.exp(-0.5 * np.array([[0, 1], [1, 2]]))
    weight /= weight.sum()
    wanted = np.exp(weight.sum(axis=0) @ np.log(leads_of))

    assert fit_campaign_leads(leads, expected, campaign, usual_leads=6.0) == pytest.approx(wanted, rel=1e-3)


def test_a_prior_far_from_all_leads_is_followed_not_an_error() -> None:
    assert fit_campaign_leads(*account(20, 5, 2.0, 2.0), usual_leads=1e9) > 1e7


def test_of_many_ads_whole_campaigns_are_chosen() -> None:
    campaign = np.repeat(np.arange(1_000, dtype=np.int64), 20)

    chosen = campaign[sampled(campaign, 4_000)]

    assert len(chosen) == 4_000
    assert set(np.unique(chosen, return_counts=True)[1].tolist()) == {20}


def test_of_few_large_campaigns_some_ads_of_each_are_chosen() -> None:
    campaign = np.arange(100_000, dtype=np.int64) % 30

    chosen = campaign[sampled(campaign, 4_000)]

    assert 3_900 <= len(chosen) <= 4_200
    assert len(np.unique(chosen)) == 30


def test_an_ad_that_next_to_nothing_was_expected_of_says_nothing() -> None:
    leads, expected, campaign = account(12, 6, 3.0, 3.0)
    worn = np.append(leads, 0.0), np.append(expected, 1e-300), np.append(campaign, 0)

    assert fit_campaign_leads(*worn, usual_leads=6.0) == pytest.approx(
        fit_campaign_leads(leads, expected, campaign, usual_leads=6.0)
    )
