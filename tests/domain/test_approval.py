"""Approval: which changes wait for a person."""

from __future__ import annotations

from fractions import Fraction

import pytest

from adctl.domain.changes import Approval, Value


@pytest.mark.parametrize(
    ("approval", "expected", "target", "needed"),
    [
        (Approval(), 1000, 5000, False),
        (Approval(), "ACTIVE", "PAUSED", False),
        (Approval(manual=True), 1000, 1001, True),
        (Approval(manual=True), "ACTIVE", "PAUSED", True),
        (Approval(above_share=Fraction(3, 20)), 1000, 1150, False),
        (Approval(above_share=Fraction(3, 20)), 1000, 1151, True),
        (Approval(above_share=Fraction(3, 20)), 1000, 849, True),
        (Approval(above_share=Fraction(3, 20)), "ACTIVE", "PAUSED", True),
        (Approval(above_share=Fraction(1)), "ACTIVE", "PAUSED", False),
        (Approval(above_amount=150), 1000, 1150, False),
        (Approval(above_amount=150), 1000, 1151, True),
        (Approval(above_amount=150), 1000, 849, True),
        (Approval(above_amount=150), "ACTIVE", "PAUSED", False),
        (Approval(above_share=Fraction(1, 2), above_amount=150), 1000, 1151, True),
    ],
)
def test_what_lies_beyond_a_share_or_an_amount_waits(
    approval: Approval, expected: Value, target: Value, needed: bool
) -> None:
    assert approval.is_needed(expected, target) is needed
