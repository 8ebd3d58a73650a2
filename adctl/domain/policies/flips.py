"""The spend at which an ad's verdict would be another one, all else as it is: found by deciding again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from adctl.domain.policies.protocol import AdHistory, PolicyResult, Verdict

# Spends beyond this many times what was spent answer no practical question.
_FARTHEST = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Had the ad spent `spend` minor units for what it has brought, its verdict would be `verdict`; one minor unit
    nearer to what it did spend, it would still be what it is."""

    spend: int
    verdict: Verdict


def with_spend(history: AdHistory, ad: int, spend: int) -> AdHistory:
    """The same history, only that the ad's rows sum to `spend` minor units: in proportion, the rest in the last."""
    mine = np.flatnonzero(history.row_ad == ad)
    mine = mine[np.argsort(-history.row_days_ago[mine], kind="stable")]
    before = history.row_spend[mine]
    scaled = before * spend // max(int(before.sum()), 1)
    scaled[-1] += spend - int(scaled.sum())
    row_spend = history.row_spend.copy()
    row_spend[mine] = scaled
    return replace(history, row_spend=row_spend)


def flip(decide: Callable[[AdHistory], PolicyResult], history: AdHistory, ad: int) -> Flip | None:
    """A spend that changes the verdict: above what was spent first for what goes on, below it for what is stopped.

    Looks at every doubling (or half) of what was spent, and halves the range between what keeps the verdict and what
    does not down to one minor unit. None when no such spend up to 64 times what was spent, and not even nothing,
    changes it, or nothing was spent. Decides some forty times.
    """
    spent = int(history.row_spend[history.row_ad == ad].sum())
    if spent <= 0:
        return None

    def verdict_at(spend: int) -> Verdict:
        return decide(with_spend(history, ad, spend)).verdicts[ad].verdict

    now = verdict_at(spent)
    factors = [2.0**power for power in range(1, int(np.log2(_FARTHEST)) + 1)]
    above, below = [int(spent * factor) for factor in factors], [*(int(spent / factor) for factor in factors), 0]
    stopped = now in (Verdict.KILL, Verdict.CUT)
    for side in (below, above) if stopped else (above, below):
        near = spent
        for far in side:
            if verdict_at(far) is not now:
                return _halve(verdict_at, now, near, far)
            near = far
    return None


def _halve(verdict_at: Callable[[int], Verdict], now: Verdict, near: int, far: int) -> Flip:
    while abs(far - near) > 1:
        middle = (near + far) // 2
        if verdict_at(middle) is now:
            near = middle
        else:
            far = middle
    return Flip(spend=far, verdict=verdict_at(far))
