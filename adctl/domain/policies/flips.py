"""The spend at which an ad's verdict would be another one, all else as it is: found by deciding again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from adctl.domain.policies.protocol import AdHistory, Evidence, Ints, PolicyResult, Verdict

# Spends beyond this many times what was spent answer no practical question.
_FARTHEST = 64.0
# A guess within this part of the range from one of its ends is taken to be right to about that distance.
_CLOSE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Had the ad spent `spend` minor units for what it has brought, its verdict would be `verdict`; one minor unit
    nearer to what it did spend, it would still be what it is."""

    spend: int
    verdict: Verdict


Read = Callable[[PolicyResult], tuple[Verdict, Evidence]]


def with_spend(history: AdHistory, ads: int | Ints, spend: int) -> AdHistory:
    """The same history, only that the rows of the ad or ads (indexes) sum to `spend` minor units: in proportion, the
    rest in the last."""
    mine = np.flatnonzero(np.isin(history.row_ad, ads))
    mine = mine[np.argsort(-history.row_days_ago[mine], kind="stable")]
    before = history.row_spend[mine]
    scaled = before * spend // max(int(before.sum()), 1)
    scaled[-1] += spend - int(scaled.sum())
    row_spend = history.row_spend.copy()
    row_spend[mine] = scaled
    return replace(history, row_spend=row_spend)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What would be decided at a spend; `ahead` is the log of how far the ROAS stands above the one that it flips at,
    NaN where the policy names none."""

    spend: int
    verdict: Verdict
    ahead: float


def flip(
    decide: Callable[[AdHistory], PolicyResult], history: AdHistory, ads: int | Ints, read: Read | None = None
) -> Flip | None:
    """A spend that changes the verdict: on the side of the ROAS that the policy says it flips at, else above what was
    spent first for what goes on, below it for what is stopped. That of an ad, or of several together, of whom `read`
    tells the verdict.

    Looks at every doubling (or half) of what was spent, and narrows the range between what keeps the verdict and what
    does not down to one minor unit. None when no such spend up to 64 times what was spent, and not even nothing,
    changes it, or nothing was spent. Decides about a dozen times where the policy says at which ROAS it flips, some
    thirty times where it does not.
    """
    spent = int(history.row_spend[np.isin(history.row_ad, ads)].sum())
    if spent <= 0:
        return None

    def look(spend: int) -> _Seen:
        verdict, evidence = (read or _of_ad(ads))(decide(with_spend(history, ads, spend)))
        return _Seen(spend=spend, verdict=verdict, ahead=_ahead(evidence))

    now = look(spent)
    factors = [2.0**power for power in range(1, int(np.log2(_FARTHEST)) + 1)]
    above, below = [int(spent * factor) for factor in factors], [*(int(spent / factor) for factor in factors), 0]
    for side in (below, above) if _is_behind(now) else (above, below):
        near = now
        for spend in side:
            far = look(spend)
            if far.verdict is not now.verdict:
                return _narrow(look, near, far)
            near = far
    return None


def _is_behind(now: _Seen) -> bool:
    """Whether less spend is to be tried first: where the ROAS that the policy flips at is a higher one, so that both
    tell of the same other verdict; where it names none, for what is stopped."""
    return now.verdict in (Verdict.KILL, Verdict.CUT) if math.isnan(now.ahead) else now.ahead < 0


def _of_ad(ads: int | Ints) -> Read:
    def read(result: PolicyResult) -> tuple[Verdict, Evidence]:
        found = result.verdicts[int(ads)]
        return found.verdict, found.evidence

    return read


def _ahead(evidence: Evidence) -> float:
    roas, bar = evidence.get("roas"), evidence.get("flips_at_roas")
    if isinstance(roas, float) and isinstance(bar, float) and roas > 0 and bar > 0:
        return math.log(roas / bar)
    return math.nan


def _narrow(look: Callable[[int], _Seen], near: _Seen, far: _Seen) -> Flip:
    """Probes where the ROAS should meet the one that it flips at; in the middle when that has not halved the range."""
    guess = True
    while (width := abs(far.spend - near.spend)) > 1:
        seen = look(_probe(near, far) if guess else (near.spend + far.spend) // 2)
        near, far = (seen, far) if seen.verdict is near.verdict else (near, seen)
        guess = not guess or 2 * abs(far.spend - near.spend) <= width
    return Flip(spend=far.spend, verdict=far.verdict)


def _probe(near: _Seen, far: _Seen) -> int:
    """A spend strictly between both: where a straight line between what they are ahead by meets 0, or as far again from
    an end that is close to that, for the range to close from both sides."""
    width = far.spend - near.spend
    if not near.ahead * far.ahead < 0:
        return near.spend + width // 2
    part = near.ahead / (near.ahead - far.ahead)
    closer = min(part, 1 - part)
    if closer < _CLOSE:
        part += closer if part < _CLOSE else -closer
    step = round(width * part)
    return near.spend + (max(1, min(step, width - 1)) if width > 0 else min(-1, max(step, width + 1)))
