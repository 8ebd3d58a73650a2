"""Policies that people bring: the README's own one decides, and whatever breaks the protocol is named."""

from __future__ import annotations

import pytest

from adctl.domain.policies.catalogue import make_policy
from adctl.domain.policies.protocol import Policy, Verdict
from adctl.domain.simulation.contenders import contender
from adctl.domain.simulation.runs import prepare, run_policy
from adctl.domain.simulation.worlds import world_named
from adctl.errors import ConfigurationError, InputRejectedError
from tests.builders import python_of_the_readme
from tests.conftest import Write
from tests.domain.policies.ad_histories import AdRecord, history

ADS = (
    AdRecord(ad_id="cheap", clicks=90, spend=9_000),
    AdRecord(ad_id="dear", clicks=10, spend=9_000),
    AdRecord(ad_id="dead", clicks=0, spend=9_000),
    AdRecord(ad_id="new", clicks=0, spend=4_999),
)
# A policy that does nothing, with a gap for what goes wrong.
STILL = """
from dataclasses import replace
from adctl.domain.policies.protocol import AdVerdict, PolicyResult, Verdict

class Own:
    version, parameters = "1", {{}}

    def decide(self, history):
        said = [
            AdVerdict(ad_id=ad, verdict=Verdict.KEEP, current_budget=int(budget), budget=int(budget), confidence=1.0,
                      reason="still", evidence={{}})
            for ad, budget in zip(history.ad_ids, history.budget)
        ]
        {gap}
        return PolicyResult(verdicts=said, unallocated=0)
"""


@pytest.fixture
def documented(module: Write) -> Policy:
    name = module(python_of_the_readme("my_policies.py"))
    return make_policy(f"{name}:CheapClicks", {"least_spend": 50})


def test_the_documented_policy_decides_and_keeps_the_money(documented: Policy) -> None:
    result = documented.decide(history(*ADS))

    assert [said.verdict for said in result.verdicts] == [Verdict.KEEP, Verdict.KEEP, Verdict.KILL, Verdict.KEEP]
    assert sum(said.budget for said in result.verdicts) + result.unallocated == 4_000
    assert result.verdicts[0].budget > result.verdicts[1].budget
    assert documented.parameters == {"least_spend": 50.0}
    assert dict(result.verdicts[1].evidence) == {"clicks": 10.0, "spend": 9_000}


def test_the_documented_policy_can_be_put_into_a_simulated_world(documented: Policy) -> None:
    playing = contender(f"{documented.name}:least_spend=50")
    run = run_policy(prepare(world_named("base"), seed=1, days=12), playing, name="cheap", seed=1)

    assert playing.parameters == documented.parameters
    assert run.total_value > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "has no attribute 'Own'"),
        ("import no_such_thing_at_all", "No module named 'no_such_thing_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def Own(", "SyntaxError"),
        ("class Own:\n    def __init__(self, needed): pass", "cannot be made: TypeError"),
        ("class Own: pass", "version is None"),
        ("class Own:\n    version = '1'", "parameters are no mapping"),
        ("class Own:\n    version, parameters = '1', {'a': [1]}", "parameters are no mapping"),
        ("class Own:\n    version, parameters = '1', {}", "has no method decide"),
        (
            "class Own:\n    version, parameters = '1', {}\n    def decide(self): pass",
            "decide does not take one history",
        ),
    ],
)
def test_what_is_no_policy_is_refused_by_name(module: Write, source: str, reason: str) -> None:
    name = module(source)

    with pytest.raises(ConfigurationError) as refused:
        make_policy(f"{name}:Own", {})

    assert reason in str(refused.value)
    assert f"policy '{name}:Own'" in str(refused.value)


def test_a_parameter_that_it_does_not_have_is_refused_by_name(documented: Policy) -> None:
    with pytest.raises(ConfigurationError, match="unknown parameter 'most_spend'"):
        make_policy(documented.name, {"most_spend": 1})


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        ("[][1]", "decide raised IndexError: list index out of range"),
        ("return said", "decide gave list, not a PolicyResult"),
        ("said[1] = 'keep'", "'keep' is no AdVerdict"),
        ("said[1] = replace(said[1], verdict='keep')", "is no AdVerdict with a Verdict"),
        ("said[1] = replace(said[1], budget=1000.5)", "ad dear: budget is 1000.5, not whole minor units"),
        ("del said[0]", "3 verdicts, not one for each of 4 ads"),
        ("said.reverse()", "not one for each of 4 ads in their order"),
        ("said[1] = replace(said[1], budget=-1)", "ad dear: budget is below 0"),
        ("said[1] = replace(said[1], budget=1001)", "budgets of 4001 and 0 unallocated are not the 4000 there are"),
        ("said[1] = replace(said[1], current_budget=7)", "ad dear: current_budget is not the ad's share"),
        ("said[1] = replace(said[1], verdict=Verdict.KILL)", "ad dear: is killed and given money"),
        ("said[1] = replace(said[1], confidence=float('nan'))", "ad dear: confidence is not between 0 and 1"),
        ("said[1] = replace(said[1], evidence={'why': [1]})", "evidence 'why' is [1], not a number"),
    ],
)
def test_a_broken_promise_is_named_before_anything_rests_on_it(module: Write, gap: str, reason: str) -> None:
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})

    with pytest.raises(InputRejectedError) as refused:
        policy.decide(history(*ADS))

    assert reason in str(refused.value)
    assert f"policy '{policy.name}'" in str(refused.value)


def test_an_ad_that_does_not_run_can_only_be_kept(module: Write) -> None:
    gap = "said[3] = replace(said[3], verdict=Verdict.CUT)"
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})
    idle = history(*ADS[:3], AdRecord(ad_id="new", clicks=0, spend=0, active=False))

    with pytest.raises(InputRejectedError, match="ad new: is not active"):
        policy.decide(idle)


def test_facts_become_plain_values_and_what_is_no_number_says_nothing(module: Write) -> None:
    gap = (
        "import numpy as np; said[0] = replace(said[0], evidence={'a': np.int64(3), 'b': float('inf'), 'c': np.True_})"
    )
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})

    assert dict(policy.decide(history(*ADS)).verdicts[0].evidence) == {"a": 3, "b": None, "c": True}
