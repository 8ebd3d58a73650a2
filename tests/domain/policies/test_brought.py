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
        ("class Own:\n    version, parameters = '1\\0', {}", "version is not a printable text"),
        (
            "class Own:\n    version, parameters = '1' * 101, {}",
            "version is not a printable text of 100 letters at most",
        ),
        ("class Own:\n    version, parameters = '1', {1: 2}", "parameters are no mapping"),
        ("class Own:\n    version, parameters = '1', {'a': [1]}", "parameter 'a' is [1], no finite number"),
        ("class Own:\n    version, parameters = '1', {'a': float('nan')}", "parameter 'a' is nan, no finite number"),
        ("class Own:\n    version, parameters = '1', {'a': '\\0'}", "parameter 'a' is '\\x00', no finite number"),
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


@pytest.mark.parametrize(("gap", "end"), [("raise SystemExit(0)", ""), ("", "\nraise SystemExit(0)\n")])
def test_who_exits_fails_and_ends_nothing(module: Write, gap: str, end: str) -> None:
    name = module(STILL.format(gap=gap) + end)
    with pytest.raises((ConfigurationError, InputRejectedError), match=rf"it exits with 0 \(.*{name}\.py, line"):
        make_policy(f"{name}:Own", {}).decide(history(*ADS))


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
        ("said[1] = replace(said[1], budget=10**30)", "ad dear: budget is 1" + "0" * 30 + ", not whole minor units"),
        ("said[1] = replace(said[1], confidence='high')", "ad dear: confidence is 'high', no number"),
        ("said[1] = replace(said[1], evidence=None)", "ad dear: evidence is None, no mapping"),
        ("said[1] = replace(said[1], evidence={'why': 10**400})", "evidence 'why' is a whole number beyond 64 bits"),
        ("said = None", "verdicts are NoneType, not one for each ad"),
        ("said[1] = replace(said[1], evidence={'why': [1]})", "evidence 'why' is [1], not a number"),
        ("said[1] = replace(said[1], evidence={1: 2})", "evidence 1 is named by no text"),
        ("said[1] = replace(said[1], evidence={'why': 'a\\0'})", "evidence 'why' holds what no database takes"),
        ("said[1] = replace(said[1], reason='a\\0')", "a reason holds what no database takes"),
        ("said[1] = replace(said[1], evidence={'p_wrong': 'rarely'})", "ad dear: p_wrong is 'rarely', not a chance"),
        ("said[1] = replace(said[1], evidence={'p_wrong': 7.0})", "ad dear: p_wrong is 7.0, not a chance"),
        ("said[1] = replace(said[1], evidence={'wrong_above': 1})", "ad dear: wrong_above is 1, not true or false"),
        ("history.budget[1] = 500", "decide raised ValueError: assignment destination is read-only"),
    ],
)
def test_a_broken_promise_is_named_before_anything_rests_on_it(module: Write, gap: str, reason: str) -> None:
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})

    with pytest.raises(InputRejectedError) as refused:
        policy.decide(history(*ADS))

    assert reason in str(refused.value)
    assert f"policy '{policy.name}'" in str(refused.value)


COLUMNS = """
import numpy as np
from dataclasses import replace
from adctl.domain.policies.protocol import PolicyResult, VerdictColumns

class Own:
    version, parameters = "1", {{}}

    def decide(self, history):
        n = len(history.ad_ids)
        said = VerdictColumns(
            ad_ids=history.ad_ids, verdict=np.zeros(n, dtype=np.int8), current_budget=history.budget,
            budget=history.budget, confidence=np.ones(n), evidence={{}}, reason=lambda ad: "still",
        )
        return PolicyResult(verdicts={gap}, unallocated=0)
"""


@pytest.mark.parametrize(
    ("gap", "reason"),
    [
        ("replace(said, verdict=np.full(n, 9, dtype=np.int8))", "verdict 9 is none of VERDICTS"),
        ("replace(said, verdict=np.full(n, -1, dtype=np.int8))", "verdict -1 is none of VERDICTS"),
        ("replace(said, verdict=np.zeros(n))", "verdict is no column of 4 whole numbers"),
        ("replace(said, budget=history.budget + 0.5)", "budget is no column of 4 whole numbers"),
        ("replace(said, budget=said.budget.tolist())", "budget is no column of 4 whole numbers"),
        ("replace(said, budget=np.array([4_000]))", "budget is no column of 4 whole numbers"),
        ("replace(said, current_budget=history.budget[:1])", "current_budget is no column of 4 whole numbers"),
        ("replace(said, confidence=np.ones(1))", "confidence is no column of 4 numbers"),
        ("replace(said, evidence={'a': np.ones(1)})", "evidence 'a' is no column of 4 entries"),
        ("replace(said, evidence={'a': (1, 2)})", "evidence 'a' is no column of 4 entries"),
    ],
)
def test_a_column_of_another_form_is_named(module: Write, gap: str, reason: str) -> None:
    policy = make_policy(f"{module(COLUMNS.format(gap=gap))}:Own", {})

    with pytest.raises(InputRejectedError) as refused:
        policy.decide(history(*ADS))

    assert reason in str(refused.value)


def test_columns_of_the_right_form_are_taken(module: Write) -> None:
    evidence = "{'a': np.arange(n), 'b': (1, 2, None, 4), 'c': True, 'p_wrong': np.array([0.1, 1.0, 0.0, np.nan])}"
    policy = make_policy(f"{module(COLUMNS.format(gap=f'replace(said, evidence={evidence})'))}:Own", {})

    verdicts = policy.decide(history(*ADS)).verdicts

    assert [said.budget for said in verdicts] == [1_000] * 4
    assert dict(verdicts[3].evidence) == {"a": 3, "b": 4, "c": True, "p_wrong": None}


@pytest.mark.parametrize("unallocated", ["-1", "1.0", "None", "float('nan')"])
def test_what_is_left_over_is_a_whole_amount_that_is_not_negative(module: Write, unallocated: str) -> None:
    """Else budgets could sum to more than there is."""
    gap = f"said[1] = replace(said[1], budget=1001); return PolicyResult(verdicts=said, unallocated={unallocated})"
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})

    with pytest.raises(InputRejectedError, match=r"unallocated is .*, not a whole amount"):
        policy.decide(history(*ADS))


# Its ad set has a lifetime budget, say: what it were given would be lost.
UNPAID = (*ADS[:3], AdRecord(ad_id="new", clicks=50, spend=900, budget=0))


def test_the_documented_policy_gives_nothing_to_an_ad_without_a_budget(documented: Policy) -> None:
    result = documented.decide(history(*UNPAID))

    assert result.verdicts[3].budget == 0
    assert sum(said.budget for said in result.verdicts) + result.unallocated == 3_000


def test_an_ad_without_a_budget_can_be_given_none(module: Write) -> None:
    gap = "said[0] = replace(said[0], budget=0); said[3] = replace(said[3], budget=1000)"
    policy = make_policy(f"{module(STILL.format(gap=gap))}:Own", {})

    with pytest.raises(InputRejectedError, match="ad new: has no budget that could be raised"):
        policy.decide(history(*UNPAID))


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
