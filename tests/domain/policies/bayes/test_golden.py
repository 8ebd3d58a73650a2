"""Same inputs, same day, same version: the same decision, bit for bit, on every platform."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from adctl.domain.policies.bayes.policy import BayesPolicy
from tests.domain.policies.bayes import golden


def test_the_stored_history_is_decided_as_it_was() -> None:
    history, expected = golden.read()

    found = golden.decided(BayesPolicy().decide(history))

    assert found["unallocated"] == expected["unallocated"]
    for now, then in zip(found["verdicts"], expected["verdicts"], strict=True):
        assert now == then


def test_the_golden_decisions_are_worth_keeping() -> None:
    _, expected = golden.read()

    assert len({said["verdict"] for said in expected["verdicts"]}) >= 2
    assert len({said["budget"] for said in expected["verdicts"]}) >= 5


def test_rows_and_deals_in_another_order_decide_the_same_to_the_last_bit() -> None:
    # Sums of doubles depend on their order as they do on the processor: what is decided must not.
    history, expected = golden.read()
    rng = np.random.Generator(np.random.PCG64(4))
    rows, deals = rng.permutation(len(history.row_ad)), rng.permutation(len(history.deal_ad))
    columns = {
        key: getattr(history, key)[rows if key.startswith("row_") else deals]
        for key in type(history).__slots__
        if key.startswith(("row_", "deal_"))
    }

    assert golden.decided(BayesPolicy().decide(replace(history, **columns)))["verdicts"] == expected["verdicts"]
