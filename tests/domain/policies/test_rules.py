"""What a rules engine does: a price per lead or a return over a window, and nothing about what is still to come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.policies.catalogue import make_policy
from adctl.domain.policies.protocol import AdHistory, Verdict
from adctl.domain.policies.rules import RulesPolicy
from adctl.errors import ConfigurationError
from tests.domain.policies.ad_histories import AdRecord, history


def _with_leads(found: AdHistory, *leads: int) -> AdHistory:
    return replace(found, row_leads=np.array(leads, dtype=np.int64))


def _verdicts(policy: RulesPolicy, found: AdHistory) -> list[Verdict]:
    return [said.verdict for said in policy.decide(found).verdicts]


def test_an_ad_with_dear_leads_is_killed_and_one_with_cheap_leads_raised() -> None:
    ads = [AdRecord(ad_id=name, spend=20_000) for name in ("dear", "usual", "cheap")]
    found = _with_leads(history(*ads), 1, 10, 40)
    policy = RulesPolicy(kill_cpl=50.0, scale_cpl=10.0)
    assert _verdicts(policy, found) == [Verdict.KILL, Verdict.KEEP, Verdict.SCALE]


def test_nobody_is_judged_before_enough_was_spent_or_it_is_old_enough() -> None:
    young = AdRecord(ad_id="young", spend=20_000, age_hours=47.0)
    poor = AdRecord(ad_id="poor", spend=9_999)
    assert _verdicts(RulesPolicy(kill_cpl=1.0), _with_leads(history(young, poor), 0, 0)) == [Verdict.KEEP] * 2


def test_a_return_is_judged_on_money_won_over_the_whole_window() -> None:
    ads = [
        AdRecord(ad_id="loser", spend=20_000, pipeline=50_000, age_hours=24.0 * 30),
        AdRecord(ad_id="winner", spend=20_000, pipeline=70_000, cash=70_000, age_hours=24.0 * 30),
        AdRecord(ad_id="new", spend=20_000, age_hours=24.0 * 13),
    ]
    policy = RulesPolicy(mode="roas", window_days=14)
    assert _verdicts(policy, history(*ads)) == [Verdict.KILL, Verdict.SCALE, Verdict.KEEP]


def test_the_total_is_kept_and_freed_money_shared() -> None:
    ads = [AdRecord(ad_id=name, spend=20_000, budget=1_001) for name in ("dear", "usual", "cheap")]
    result = RulesPolicy(kill_cpl=50.0, scale_cpl=10.0).decide(_with_leads(history(*ads), 1, 10, 40))
    budgets = [said.budget for said in result.verdicts]
    assert sum(budgets) + result.unallocated == 3_003
    assert budgets[0] == 0
    assert budgets[2] > budgets[1]
    assert [said.reason.partition("; ")[2] for said in result.verdicts] == ["", "more money, of what others leave", ""]
    result = RulesPolicy(kill_cpl=500.0, scale_cpl=10.0).decide(_with_leads(history(*ads), 1, 10, 40))
    assert result.verdicts[0].reason.endswith("; less money, as others are raised")


@pytest.mark.parametrize("wrong", [{"mode": "guess"}, {"kill_roas": -1.0}, {"no_such": 1}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, int | float | str | bool]) -> None:
    with pytest.raises(ConfigurationError):
        make_policy("rules", wrong)
