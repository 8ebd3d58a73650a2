"""What creatives with a trait brought beside those without it: lifts with intervals, corrected for many looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

# A trait that fewer creatives have, or lack, says more about those few than about the trait.
LEAST_CREATIVES: Final = 5
# Of the traits that are said to stand out, at most this share is expected to be there by luck.
FALSE_SHARE: Final = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One creative: its traits, what it brought for what it cost (value per spend, clicks per impression), its fate."""

    traits: Mapping[str, str]
    brought: float
    cost: float
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A trait's rate over that of the creatives which have the attribute with another value; 1 is no difference.

    `low` and `high` are the ends of the 95 % interval of this one look; `p` its two-sided probability by chance, `q`
    the same after Benjamini and Hochberg over all looks. Winners and losers are counted on both sides.
    """

    attribute: str
    value: str
    creatives: int
    others: int
    winners: int
    other_winners: int
    rate: float
    other_rate: float
    lift: float
    low: float
    high: float
    p: float
    q: float = 1.0

    @property
    def stands(self) -> bool:
        return self.q <= FALSE_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Creatives of one side: how many, how many won, their rate and the variance of its logarithm."""

    size: int
    winners: int
    rate: float
    variance: float


def lifts(creatives: Sequence[Traced]) -> tuple[Lift, ...]:
    """Every trait that at least five creatives have and five have otherwise: what stands out first, then by lift.

    A side's rate is a ratio of sums over creatives, so its interval carries how creatives differ and not how often each
    was shown; one average creative is added to each side, which pulls a lift of little evidence towards 1. Looking at
    many traits is corrected for by Benjamini and Hochberg: the list is read to choose what to try next, where a known
    share of false leads is the right promise, while a bound on any single error would show nothing on a small account.
    """
    spent = [one for one in creatives if one.cost > 0]
    brought, cost = sum(one.brought for one in spent), sum(one.cost for one in spent)
    if not spent or brought <= 0:
        return ()
    usual = (brought / len(spent), cost / len(spent))
    found = [
        lift
        for attribute, sides in _sides(spent).items()
        for value in sorted(sides)
        if (lift := _lift(attribute, value, sides, usual))
    ]
    # Of an attribute with two values, the second is the first upside down: one look, not two.
    single = [lift for lift in found if not _mirrored(lift, found)]
    return tuple(sorted(_corrected(single), key=lambda lift: (not lift.stands, -lift.lift, lift.attribute, lift.value)))


def _sides(creatives: Sequence[Traced]) -> Mapping[str, Mapping[str, list[Traced]]]:
    sides: dict[str, dict[str, list[Traced]]] = defaultdict(lambda: defaultdict(list))
    for one in creatives:
        for attribute, value in one.traits.items():
            sides[attribute][value].append(one)
    return sides


def _lift(attribute: str, value: str, sides: Mapping[str, list[Traced]], usual: tuple[float, float]) -> Lift | None:
    having = sides[value]
    lacking = [one for other, those in sides.items() if other != value for one in those]
    if min(len(having), len(lacking)) < LEAST_CREATIVES:
        return None
    one, other = _side(having, usual), _side(lacking, usual)
    deviation = float(np.sqrt(one.variance + other.variance))
    difference = float(np.log(one.rate / other.rate))
    freedom = min(one.size, other.size) - 1
    reach = float(stdtrit(freedom, 0.975)) * deviation
    return Lift(
        attribute=attribute,
        value=value,
        creatives=one.size,
        others=other.size,
        winners=one.winners,
        other_winners=other.winners,
        rate=one.rate,
        other_rate=other.rate,
        lift=float(np.exp(difference)),
        low=float(np.exp(difference - reach)),
        high=float(np.exp(difference + reach)),
        p=float(2 * stdtr(freedom, -abs(difference) / max(deviation, 1e-12))),
    )


def _side(creatives: Sequence[Traced], usual: tuple[float, float]) -> _Side:
    brought = np.array([*(one.brought for one in creatives), usual[0]])
    cost = np.array([*(one.cost for one in creatives), usual[1]])
    rate = float(brought.sum() / cost.sum())
    n = len(creatives)
    residual: Floats = brought - rate * cost
    variance = float((residual**2).sum()) / float(brought.sum()) ** 2 * n / (n - 1)
    return _Side(size=n, winners=sum(one.won for one in creatives), rate=rate, variance=variance)


def _mirrored(lift: Lift, found: Sequence[Lift]) -> bool:
    same = [one.value for one in found if one.attribute == lift.attribute]
    return len(same) == 2 and lift.value == ("no" if "no" in same else max(same)) and _is_whole(lift, found)


def _is_whole(lift: Lift, found: Sequence[Lift]) -> bool:
    """Whether the two values of an attribute are all there are: what lacks one has the other."""
    other = next(one for one in found if one.attribute == lift.attribute and one.value != lift.value)
    return other.others == lift.creatives


def _corrected(found: Sequence[Lift]) -> list[Lift]:
    """Benjamini and Hochberg's q: the smallest false share at which a look would still be said to stand."""
    ranked = sorted(found, key=lambda lift: lift.p)
    q, corrected = 1.0, []
    for rank in range(len(ranked), 0, -1):
        q = min(q, ranked[rank - 1].p * len(ranked) / rank)
        corrected.append(replace(ranked[rank - 1], q=q))
    return corrected
