"""The posterior of log ROAS: closed forms agree with the integral, and what is unsure about the account is in it."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.fitting import view_of
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Z90, Posterior, posterior
from adctl.domain.policies.protocol import Floats
from tests.domain.policies.bayes.stories import Story, account, deals, told


def column(*values: float) -> Floats:
    return np.array(values)


def plain(mean: float, sd: float) -> Posterior:
    return Posterior(mean=column(mean), saturation=column(0.0), sd=column(sd), own_sd=column(sd))


def test_probabilities_and_quantiles_are_those_of_a_lognormal() -> None:
    found = plain(0.0, 1.0)

    # Φ(ln 0.5) = Φ(−0.6931) = 0.244109
    assert found.below(0.5)[0] == pytest.approx(0.244109, abs=1e-6)
    assert found.quantile(0.0)[0] == 1.0
    assert found.below(float(found.quantile(Z90)[0]))[0] == pytest.approx(0.95)
    assert found.expected[0] == pytest.approx(np.exp(0.5))


@pytest.mark.parametrize(("mean", "sd", "bar"), [(0.0, 0.5, 0.5), (-1.2, 0.8, 0.5), (0.9, 0.3, 3.0)])
def test_what_is_lost_on_average_is_the_integral(mean: float, sd: float, bar: float) -> None:
    z = np.linspace(-9, 9, 200_001)
    weight = np.exp(-0.5 * z**2)
    roas = np.exp(mean + sd * z)
    found = plain(mean, sd)

    assert found.shortfall(bar)[0] == pytest.approx((np.maximum(bar - roas, 0) * weight).sum() / weight.sum(), rel=1e-5)
    assert found.surplus(bar, found.expected)[0] == pytest.approx(
        (np.maximum(roas - bar, 0) * weight).sum() / weight.sum(), rel=1e-5
    )


def test_saturation_lowers_the_mean_and_shared_doubt_widens_all_alike() -> None:
    found = posterior(column(1.0, 2.0), column(-0.25, 0.0), column(0.09, 0.16), 0.07)

    assert found.mean == pytest.approx([0.75, 2.0])
    assert found.own_sd == pytest.approx([0.3, 0.4])
    assert found.sd == pytest.approx([0.4, np.sqrt(0.23)])


def test_the_ledgers_terms_sum_to_the_mean_and_their_variances_to_its_square() -> None:
    view = view_of(told(*account()), BayesParameters(), None)

    terms, found = view.terms, view.posterior
    leads = terms.account + terms.campaign + terms.clicks + terms.own + terms.neighbours
    total = leads + terms.steps.sum(axis=1) + terms.value + terms.wear + found.saturation
    assert np.allclose(found.mean, total, atol=1e-8)
    assert np.allclose(found.sd**2 - found.own_sd**2, terms.common, atol=1e-8)
    assert terms.common > 0


def test_more_of_the_same_makes_sure() -> None:
    def spread(ads: int, leads: int) -> float:
        stories = [Story(ad_id=f"ad{k:02}", deals=deals(leads, leads // 3)) for k in range(ads)]
        return float(view_of(told(*stories), BayesParameters(), None).posterior.sd[0])

    assert spread(8, 60) < spread(8, 6)
    assert spread(30, 6) < spread(3, 6)
