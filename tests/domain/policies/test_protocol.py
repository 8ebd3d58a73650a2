"""The policy that the protocol's own documentation writes is one: it decides an account and keeps its money."""

from __future__ import annotations

import doctest

import pytest

from adctl.domain.policies import protocol
from adctl.domain.policies.protocol import Policy, Verdict
from adctl.domain.simulation.runs import prepare, run_policy
from adctl.domain.simulation.worlds import world_named
from tests.domain.policies.ad_histories import AdRecord, history


@pytest.fixture(scope="module")
def documented() -> Policy:
    (example,) = doctest.DocTestFinder(recurse=False).find(protocol)
    said: list[str] = []
    failed = doctest.DocTestRunner().run(example, out=said.append, clear_globs=False).failed
    assert failed == 0, "".join(said)
    made: Policy = example.globs["CheapClicks"](least_spend=50.0)
    return made


def test_the_documented_policy_decides_and_keeps_the_money(documented: Policy) -> None:
    ads = history(
        AdRecord(ad_id="cheap", clicks=90, spend=9_000),
        AdRecord(ad_id="dear", clicks=10, spend=9_000),
        AdRecord(ad_id="dead", clicks=0, spend=9_000),
        AdRecord(ad_id="new", clicks=0, spend=4_999),
    )

    result = documented.decide(ads)

    assert [said.verdict for said in result.verdicts] == [Verdict.KEEP, Verdict.KEEP, Verdict.KILL, Verdict.KEEP]
    assert sum(said.budget for said in result.verdicts) + result.unallocated == 4_000
    assert result.verdicts[0].budget > result.verdicts[1].budget
    assert documented.parameters == {"least_spend": 50.0}


def test_the_documented_policy_can_be_put_into_a_simulated_world(documented: Policy) -> None:
    run = run_policy(prepare(world_named("base"), seed=1, days=12), documented, name="cheap-clicks", seed=1)

    assert run.total_value > 0
