"""Leads per unit of money: an ad's own count against its campaign, its clicks and the account."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.leads import LeadModel, Leads, campaigns_of, click_yield, fit_leads, lead_posterior
from adctl.domain.policies.protocol import Floats, Ints


def model(shape: float = 2.0, elasticity: float = 0.0) -> LeadModel:
    return LeadModel(
        log_rate=float(np.log(0.1)),
        log_rate_variance=0.01,
        shape=shape,
        campaign_leads=6.0,
        elasticity=elasticity,
        elasticity_variance=0.04,
    )


def column(*values: float) -> Floats:
    return np.array(values)


def codes(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def infer(model: LeadModel, leads: Floats, exposure: Floats, clicks: Floats, campaign: Ints) -> Leads:
    """The posterior of all ads of an account."""
    campaigns = campaigns_of(model, leads, exposure, clicks, campaign)
    return lead_posterior(model, campaigns, campaign, leads, exposure, clicks)


def test_the_terms_of_one_ad_are_those_worked_out_by_hand() -> None:
    # Three leads where 10 · 0.1 = 1 is usual, in a campaign of its own: its factor is (2 + 6) / (2/3 + 6) = 1.2 first,
    # then (0.625 · 3 + 6) / (0.625 + 6) = 1.188679; ψ(2 + 3) = 1.506118, ψ₁(5) = 0.221323.
    found = infer(model(), column(3.0), column(10.0), column(0.0), codes(0))

    factor = 7.875 / 6.625
    assert found.campaign == pytest.approx(np.log(factor))
    assert found.own == pytest.approx(1.506118 - np.log(2 + factor), abs=1e-6)
    assert found.mean == pytest.approx(np.log(0.1) + found.campaign + found.own)
    pull = 2 / (2 + factor)
    assert found.own_variance == pytest.approx(0.221323 + pull**2 / (0.625 * factor + 6), abs=1e-6)
    assert found.common_variance == 0.01


def test_an_ad_without_leads_or_exposure_stands_where_its_campaign_and_clicks_put_it() -> None:
    leads, exposure = column(40.0, 0.0, 0.0), column(200.0, 0.0, 0.0)

    found = infer(model(elasticity=0.5), leads, exposure, column(0.0, 0.0, 0.8), codes(0, 0, 1))

    assert found.campaign[1] == found.campaign[0] > found.campaign[2] == pytest.approx(0.0)
    assert found.clicks[2] == pytest.approx(0.4)
    # What one does not know of clicks makes the ad that leans on them less sure.
    assert found.own_variance[2] > found.own_variance[1]


def test_a_campaigns_good_ads_lift_the_others_and_the_more_leads_the_more() -> None:
    def lift(leads: float) -> float:
        counts, spent = column(leads, 0.0), column(leads * 5, 0.0)
        return float(infer(model(), counts, spent, column(0.0, 0.0), codes(0, 0)).campaign[1])

    assert 0 < lift(2) < lift(20) < np.log(2)


@pytest.mark.parametrize("elasticity", [-1.25, 0.0, 0.9])
def test_what_clicks_are_worth_is_learned_from_the_account(elasticity: float) -> None:
    rng = np.random.Generator(np.random.PCG64(11))
    n = 300
    clicks, exposure = 0.4 * rng.standard_normal(n), rng.uniform(100, 3_000, n)
    quality = rng.gamma(4.0, 1 / 4.0, n)
    leads = rng.poisson(0.02 * np.exp(elasticity * clicks) * quality * exposure).astype(np.float64)

    found = fit_leads(leads, exposure, clicks, np.arange(n, dtype=np.int64) % 5, 6.0)

    assert found.elasticity == pytest.approx(elasticity, abs=3 * np.sqrt(found.elasticity_variance) + 0.05)
    assert np.sqrt(found.elasticity_variance) < 0.2
    assert np.exp(found.log_rate) == pytest.approx(0.02, rel=0.15)
    assert found.shape == pytest.approx(4.0, rel=0.4)


def test_the_click_yield_of_few_clicks_is_shrunk_to_the_accounts() -> None:
    # 1010 clicks on 1010 units: the usual is 1. Twice the clicks count as (2e + 15) / (e + 15).
    found = click_yield(column(20.0, 990.0), column(10.0, 1000.0))

    assert found == pytest.approx(np.log([(20 + 15) / (10 + 15), (990 + 15) / (1000 + 15)]))


def test_an_account_without_any_spend_has_its_priors() -> None:
    none = column(0.0, 0.0)

    found = fit_leads(none, none, none, codes(0, 1), 6.0)

    assert (found.shape, found.elasticity) == (2.5, 0.0)
    assert click_yield(none, none).tolist() == [0.0, 0.0]
