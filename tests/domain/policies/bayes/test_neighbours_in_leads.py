"""Neighbours in the engine: they move a new ad, its own leads soon outweigh them, and the ledger shows them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.neighbours import Counts, Kin, no_counts
from adctl.domain.policies.bayes.evidence.ledger import ledger
from adctl.domain.policies.bayes.policy import BayesPolicy
from adctl.domain.policies.protocol import AdHistory, Evidence
from tests.domain.policies.bayes.stories import Deal, Story, told

OLD = tuple(Story(ad_id=f"old{n}", campaign=n % 3, deals=tuple(Deal(came=d) for d in range(8))) for n in range(12))
NEW = Story(ad_id="new", campaign=3, days=1, spend=100, impressions=50, clicks=1)


def account(new: Story = NEW) -> AdHistory:
    return told(*OLD, new)


def kin(events: float, expected: float, *, clicks: bool = False) -> Kin:
    """What neighbours say of the last ad, in leads or in clicks."""
    n = len(OLD) + 1
    counts = Counts(events=np.zeros(n), expected=np.zeros(n))
    counts.events[-1], counts.expected[-1] = events, expected
    return Kin(leads=no_counts(n), clicks=counts) if clicks else Kin(leads=counts, clicks=no_counts(n))


def evidence(history: AdHistory) -> Evidence:
    return BayesPolicy().decide(history).verdicts[-1].evidence


def number(found: Evidence, key: str) -> float:
    value = found[key]
    assert isinstance(value, int | float)
    return float(value)


def test_good_neighbours_raise_a_new_ad_and_poor_ones_lower_it() -> None:
    plain, good, poor = (evidence(replace(account(), kin=k)) for k in (None, kin(3.0, 1.0), kin(0.0, 1.0)))

    assert number(poor, "roas") < number(plain, "roas") < number(good, "roas")
    assert number(good, "log_neighbours") > 0 > number(poor, "log_neighbours")
    assert "log_neighbours" not in plain
    assert (good["kin_leads"], good["kin_usual"]) == (3.0, 1.0)


def test_neighbours_of_no_say_change_nothing() -> None:
    plain, silent = evidence(account()), evidence(replace(account(), kin=kin(0.0, 0.0)))

    assert number(silent, "log_neighbours") == pytest.approx(0, abs=1e-12)
    assert {k: v for k, v in silent.items() if "kin" not in k and "neighbours" not in k} == pytest.approx(
        dict(plain), nan_ok=True
    )


def test_the_ledger_still_sums_to_the_return_and_names_the_neighbours() -> None:
    found = evidence(replace(account(), kin=kin(3.0, 1.0)))

    lines = ledger(found, "USD")

    assert sum(line.log_value for line in lines) == pytest.approx(math.log(number(found, "roas")))
    (line,) = [line for line in lines if "similar, older ads" in line.label]
    assert line.evidence == "3 leads where 1 would be usual"


def test_an_ads_own_leads_soon_say_more_than_its_neighbours() -> None:
    grown = Story(ad_id="new", campaign=3, days=20, deals=tuple(Deal(came=d) for d in range(19)))

    young, old = (number(evidence(replace(account(ad), kin=kin(3.0, 1.0))), "log_neighbours") for ad in (NEW, grown))

    assert 0 < old < young / 3


def test_no_other_ad_is_moved() -> None:
    plain, moved = BayesPolicy().decide(account()), BayesPolicy().decide(replace(account(), kin=kin(3.0, 1.0)))

    assert [v.evidence["roas"] for v in plain.verdicts][:-1] == [v.evidence["roas"] for v in moved.verdicts][:-1]


def test_clicks_count_as_much_as_clicks_are_worth_here() -> None:
    found = evidence(replace(account(), kin=kin(40.0, 10.0, clicks=True)))

    assert math.copysign(1, number(found, "log_neighbours")) == math.copysign(1, number(found, "elasticity"))
