"""Ads that share their owner's budget: only a pause takes money from one of them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from adctl.domain.ad_columns import AdColumns
from adctl.domain.ids import AdSetId, CampaignId
from adctl.domain.owners import ownership
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory, Verdict
from tests.domain.policies.bayes.stories import Story, deals, told
from tests.domain.test_decisions import a_campaign, an_ad_set

# Enough of them to take the poor one's money within their ramp.
GOOD = tuple(Story(ad_id=f"good{place}", deals=deals(60, 30)) for place in range(6))
# Poor, but not surely under the kill ROAS of 0.5.
POOR = Story(ad_id="poor", deals=deals(60, 4))


def shared(history: AdHistory, *flags: bool) -> AdHistory:
    return replace(history, shared=np.array(flags, dtype=np.bool_))


def test_a_poor_ad_that_shares_a_budget_is_cut_where_one_of_its_own_is_starved() -> None:
    alone = told(*GOOD, POOR)
    *_, of_its_own = BayesPolicy().decide(alone).verdicts
    *_, beside = BayesPolicy().decide(shared(alone, *(True,) * 7)).verdicts
    assert of_its_own.budget == beside.budget <= 100 < of_its_own.current_budget
    assert of_its_own.verdict is not Verdict.KILL
    assert (of_its_own.verdict, beside.verdict) == (Verdict.KEEP, Verdict.CUT)
    assert beside.confidence >= 0.95
    assert beside.reason.startswith(f"P(its money earns more elsewhere) = {beside.confidence:.3f}")


def test_good_ads_and_young_ones_that_share_a_budget_go_on() -> None:
    young = replace(POOR, ad_id="young", days=1)
    *good, poor, unproven = BayesPolicy().decide(shared(told(*GOOD, POOR, young), *(True,) * 8)).verdicts
    assert Verdict.CUT not in {one.verdict for one in good}
    assert poor.verdict is Verdict.CUT
    assert unproven.verdict is Verdict.WAIT


def test_only_running_ads_of_one_owner_share_its_budget() -> None:
    ad_sets = [an_ad_set("s1", daily=1_000), an_ad_set("s2", daily=1_000), an_ad_set("s3")]
    owned = ownership([a_campaign()], ad_sets)
    names = tuple(AdSetId(one) for one in ("s1", "s2", "s3"))
    ads = AdColumns(
        ad_ids=("a", "b", "c", "d", "e", "f"),
        ad_set=np.array([0, 0, 0, 1, 1, 2]),
        ad_set_ids=names,
        campaign=np.zeros(6, dtype=np.int64),
        campaign_ids=(CampaignId("c1"),),
        status=("ACTIVE",) * 6,
        effective_status=("ACTIVE",) * 6,
    )
    running = np.array([True, True, False, True, False, True])
    assert ads.shared(owned, running).tolist() == [True, True, False, False, False, False]
