"""What a change of several ads' budgets earns together: how likely it is wrong, and what it then costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.policy import Weighed
from adctl.domain.policies.protocol import Floats, Ints

_DRAWS = 4_096
# Draws times ads that are held at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`wrong` is the chance that the money earned more where it was, `loss` what is then lost over the horizon on
    average, in the money's minor units."""

    wrong: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The ROAS of several ads' money together, as it is: median and 90 % interval."""

    median: float
    low: float
    high: float


def joint_return(weighed: Weighed, ads: Ints) -> Return:
    """Of the ads (indexes), each weighted by its budget, of which at least one has one; by the same draws each time.
    What is unsure about all ads alike moves all of them together."""
    view = weighed.view.posterior
    before = weighed.history.budget[ads]
    share = before / before.sum()
    common = np.sqrt(np.maximum(view.sd[ads] ** 2 - view.own_sd[ads] ** 2, 0.0))
    found = np.concatenate(
        [
            np.exp(view.mean[ads] + view.own_sd[ads] * own[:, 1:] + common * own[:, :1]) @ share
            for own in _normals(len(ads) + 1)
        ]
    )
    low, median, high = (float(one) for one in np.quantile(found, (0.05, 0.5, 0.95)))
    return Return(median=median, low=low, high=high)


def judge_move(weighed: Weighed, ads: Ints, after: Ints) -> Move | None:
    """The sum over `ads` (indexes) whose budgets become `after` (minor units), of what each one's money brings.

    On b an ad returns ρK(1 − e^(−b/K)), with ρ lognormal by its own posterior and K its room; money that leaves it or
    comes to it earns or would have earned the level at which all ads meet. What is unsure about all ads alike cannot
    change which way is right and is left out. By draws, the same every time. None where no money moves or there is no
    level.
    """
    history, level = weighed.history, weighed.shares.level
    change = after - history.budget[ads]
    if not level > 0 or not change.any():
        return None
    ads, after, change = ads[change != 0], after[change != 0], change[change != 0]
    room = weighed.room[ads] * history.minor_per_major
    covered = room * (np.exp(-history.budget[ads] / room) - np.exp(-after / room))
    height, spread = weighed.view.posterior.first[ads], weighed.view.posterior.own_sd[ads]
    returns = np.concatenate([np.exp(height + spread * own) @ covered for own in _normals(len(ads))])
    gains = returns - level * float(change.sum())
    lost = gains < 0
    loss = float(-gains[lost].mean()) * weighed.policy.horizon_days if lost.any() else 0.0
    return Move(wrong=float(lost.mean()), loss=loss)


def _normals(width: int) -> Iterator[Floats]:
    """Standard normals (some draws, `width`), block by block, the same every time."""
    rng, rows = np.random.Generator(np.random.PCG64(0)), max(_BLOCK // width, 1)
    for start in range(0, _DRAWS, rows):
        yield rng.standard_normal((min(rows, _DRAWS - start), width))
