"""Asks a policy, unless nothing was ever read of what the ads spent and showed: then all stays as it is."""

from __future__ import annotations

import numpy as np

from adctl.domain.policies.protocol import VERDICTS, AdHistory, Policy, PolicyResult, Verdict, VerdictColumns


def heard(policy: Policy, history: AdHistory) -> PolicyResult:
    """What the policy decides on the history. Without a single insight it is not asked: deals alone say what came of
    money, not of how much, and no budget may move on half of a return."""
    return policy.decide(history) if len(history.row_ad) else _still(history)


def _still(history: AdHistory) -> PolicyResult:
    waits, keeps = VERDICTS.index(Verdict.WAIT), VERDICTS.index(Verdict.KEEP)
    verdicts = VerdictColumns(
        ad_ids=history.ad_ids,
        verdict=np.where(history.active, waits, keeps).astype(np.int8),
        current_budget=history.budget,
        budget=history.budget,
        confidence=np.zeros(len(history.ad_ids)),
        evidence={},
        reason=lambda ad: "no insights were ever read: adctl sync-meta" if history.active[ad] else "not active",
    )
    return PolicyResult(verdicts=verdicts, unallocated=0)
