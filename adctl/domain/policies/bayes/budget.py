"""Budgets: each ad keeps what draws of all returns give it; the rest goes where it earns most. In whole units."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from adctl.domain.allocation import round_shares
from adctl.domain.policies.bayes import normal
from adctl.domain.policies.bayes.filling import Uncertain, fill, fill_on_average
from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.pieces import by_pieces, some
from adctl.domain.policies.bayes.posterior import Posterior, rounded
from adctl.domain.policies.protocol import AdHistory, Flags, Floats, Ints

_HOURS_PER_DAY = 24.0
# Beyond this many ads draws give way to their mean, which is then the same to a part in thousands.
_MANY = 8_192
# A share below this many times the least is the least: the rest would teach nothing and be a change of pennies a day.
_WORTH_MORE = 1.5
# Averages are rounded to this many decimals of a minor unit before whole units are made of them.
_DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Each ad's next daily budget (minor units), what caps and the margin left over, and the level: the marginal
    ROAS of the last unit given."""

    budget: Ints
    unallocated: int
    level: float


def share_out(
    history: AdHistory, parameters: BayesParameters, seed: str, view: Posterior, room: Floats, stopped: Flags
) -> Shares:
    """Shares the total of the active ads' budgets among those that go on. `room` (n) is major units a day."""
    total = int(history.budget[history.active].sum())
    going = history.active & ~stopped & (history.budget > 0)
    budget = np.zeros(len(history.ad_ids), dtype=np.int64)
    if not going.any():
        return Shares(budget=budget, unallocated=total, level=float("nan"))
    # Where all go on, nothing is copied.
    fed = slice(None) if going.all() else going
    lower, upper, cap = _bounds(history.budget[fed], total, parameters, history.minor_per_major)
    returns = by_pieces(len(room), lambda part: _returns(history, parameters, some(view, part), room[part], part))
    task = _Task(
        total=float(total),
        height=returns.height[fed],
        spread=returns.spread[fed],
        room=returns.room[fed],
        lower=np.broadcast_to(float(lower), len(upper)),
        upper=np.broadcast_to(float(cap), len(upper)),
        least=float(np.log(parameters.margin_roas)) if parameters.margin_roas > 0 else -np.inf,
    )
    deviates = _deviates(history, seed, parameters.draws, going) if len(upper) <= _MANY else None
    # Money falls in a day and rises over weeks. So an ad keeps what the draws give it on average, be it a small chance
    # of much; only what the ramp keeps from the others goes by what is expected alone.
    kept, most = _average(task, parameters.draws, deviates), upper.astype(np.float64)
    np.minimum(kept, most, out=kept)
    np.copyto(kept, lower, where=kept < _WORTH_MORE * lower)
    wanted, level = fill(task.total, returns.expected[fed], task.room, kept, most, task.least)
    np.round(wanted, _DECIMALS, out=wanted)
    budget[fed] = round_shares(int(np.rint(wanted.sum())), wanted, upper)
    return Shares(budget=budget, unallocated=total - int(budget.sum()), level=float(np.exp(level)))


def above_level(view: Posterior, room: Floats, before: Ints, level: float, minor_per_major: int) -> Floats:
    """How many of its own standard deviations the log return on the last unit that each ad has today (`before`, minor
    units) lies above the `level` at which all meet, shape n; NaN where there is none. P(it earns more elsewhere) is Φ
    of the negative."""
    if not level > 0:
        return np.full(len(before), np.nan)
    last = view.first - before / (room * minor_per_major) - np.log(level)
    return np.asarray(last / view.own_sd, dtype=np.float64)


def rightly_moved(above: Floats, before: Ints, after: Ints) -> Floats:
    """P(each ad's money moves the right way), shape n, 1 where it stays: that it earns more where it was not. `above`
    is that of `above_level`."""
    side = np.sign(after - before)
    return np.where((side == 0) | np.isnan(above), 1.0, rounded(normal.below(side * above)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Returns:
    """Per ad: the log ROAS of the first unit of a day's money, its spread in draws, the log of what that is expected to
    be, and the room in minor units a day."""

    height: Floats
    spread: Floats
    expected: Floats
    room: Floats


def _returns(history: AdHistory, parameters: BayesParameters, view: Posterior, room: Floats, part: slice) -> _Returns:
    """Those of some ads; `view` and `room` are theirs."""
    height = view.first
    return _Returns(
        height=height,
        spread=view.own_sd * _temperature(history.age_hours[part], parameters),
        # Here the mean counts, not the median.
        expected=height + view.own_sd**2 / 2,
        room=room * history.minor_per_major,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    total: float
    height: Floats
    spread: Floats
    room: Floats
    lower: Floats
    upper: Floats
    least: float


def _average(task: _Task, draws: int, deviates: Floats | None) -> Floats:
    """Shares (n) on average over draws of the returns."""
    if deviates is None:
        those = Uncertain(
            height=task.height,
            sd=np.maximum(task.spread, 1e-9),
            room=task.room,
            lower=task.lower,
            upper=task.upper,
        )
        return fill_on_average(task.total, those, task.least)[0]
    shares = np.zeros(len(task.height))
    for row in deviates:
        shares += fill(task.total, task.height + task.spread * row, task.room, task.lower, task.upper, task.least)[0]
    return shares / draws


def _bounds(current: Ints, total: int, parameters: BayesParameters, minor_per_major: int) -> tuple[int, Ints, int]:
    """The least and the most of each ad's next budget, and the most that any may have in the long run.

    No running ad falls below the platform's minimum; where the total cannot pay that, below an even part.
    """
    # The exact decimal that was configured: 1.2 as a double would move a bound by one unit.
    ramp, part = Fraction(str(parameters.ramp)), Fraction(str(parameters.max_share))
    minimum = int(np.ceil(parameters.platform_minimum * minor_per_major))
    lower = min(minimum, total // len(current))
    cap = max(total * part.numerator // part.denominator, lower)
    upper = current * ramp.numerator
    upper //= ramp.denominator
    return lower, np.clip(upper, lower, cap, out=upper), cap


def _temperature(age_hours: Floats, parameters: BayesParameters) -> Floats:
    """How much of an ad's uncertainty its draws carry: less, the longer it has run."""
    days = np.fmax(age_hours, 0.0) / _HOURS_PER_DAY
    young, old = parameters.temperature_young, parameters.temperature_old
    return old + (young - old) * np.exp2(-days / parameters.temperature_days)


def _deviates(history: AdHistory, seed: str, draws: int, fed: Flags) -> Floats:
    """Standard normals (draws, fed ads), the same for the same account, day, seed and set of ads, in any order."""
    source = f"{history.account}\x1f{history.day.isoformat()}\x1f{seed}"
    number = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=16).digest())
    rng = np.random.Generator(np.random.PCG64(number))
    ads = [history.ad_ids[ad] for ad in np.flatnonzero(fed)]
    order = sorted(range(len(ads)), key=ads.__getitem__)
    deviates = np.empty((draws, len(ads)))
    # Antithetic pairs: half the noise of independent draws for the same work.
    half = rng.standard_normal(((draws + 1) // 2, len(ads)))
    deviates[:, order] = np.concatenate([half, -half])[:draws]
    return deviates
