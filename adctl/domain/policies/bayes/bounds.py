"""Where verdicts turn: per ad the log ROAS up to which it is killed, from which it scales, between which it waits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

from adctl.domain.policies.bayes.parameters import BayesParameters
from adctl.domain.policies.bayes.posterior import Posterior, rounded
from adctl.domain.policies.protocol import VERDICTS, Codes, Flags, Floats, Verdict

_CODE = {verdict: code for code, verdict in enumerate(VERDICTS)}
# What is still to be learned, in logs: steps so fine that a straight line between two is exact to 1e-7.
_LEARNED: Floats = np.linspace(0.0, 8.0, 8_193)
_ROUNDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What, beside the posterior, a verdict rests on; shape n. Money is major units a day.

    `protected` ads are in the ignorance zone; `refused` ones the e-process gate holds back from a kill; `starved` ones
    have spent less than the platform's minimum for days, or cannot be given less, for their budget feeds others;
    `outdone` is the log ROAS up to which an ad's money surely earns more elsewhere;
    `next_sd` is the posterior's spread expected after one more cycle at today's budget.
    """

    active: Flags
    protected: Flags
    refused: Flags
    starved: Flags
    outdone: Floats
    budget: Floats
    next_sd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Log ROAS, shape n, given each ad's uncertainty and its share of the money: KILL up to `kill`, SCALE from `scale`
    on; between them CUT up to `cut`, WAIT above `wait_from` and below `wait_to`, else KEEP. Infinite where a verdict
    cannot be; an ad that is not `active` keeps and a `protected` one waits whatever it returns.
    """

    active: Flags
    protected: Flags
    kill: Floats
    scale: Floats
    cut: Floats
    wait_from: Floats
    wait_to: Floats

    def verdicts(self, mean: Floats) -> Codes:
        """The verdict on each ad if the log of its median ROAS were `mean`; the last that holds."""
        found: Codes = np.full(len(mean), _CODE[Verdict.KEEP], dtype=np.int8)
        for verdict, flags in (
            (Verdict.WAIT, self.protected | ((mean > self.wait_from) & (mean < self.wait_to))),
            (Verdict.CUT, mean <= self.cut),
            (Verdict.SCALE, mean >= self.scale),
            (Verdict.KILL, mean <= self.kill),
            (Verdict.KEEP, ~self.active),
        ):
            found[flags] = _CODE[verdict]
        return found

    def flips_at(self, mean: Floats) -> Floats:
        """The log ROAS nearest to `mean` beyond which the verdict is another; NaN where there is none."""
        stop = np.maximum(self.kill, self.cut)
        low, high = np.maximum(self.wait_from, stop), np.minimum(self.wait_to, self.scale)
        waits = low < high
        # The ends of the stretch that the ad stands in: below, within or above the one in which it would wait.
        below = np.where(waits & (mean >= high), high, np.where(waits & (mean > low), low, stop))
        above = np.where(waits & (mean <= low), low, np.where(waits & (mean < high), high, self.scale))
        killed, scaled = mean <= self.kill, mean >= self.scale
        cut = (mean <= self.cut) & ~killed & ~scaled
        below, above = np.where(cut, self.kill, below), np.where(cut, np.minimum(self.cut, self.scale), above)
        below = np.where(scaled, np.maximum(self.scale, self.kill), below)
        down, up = mean - below, above - mean
        nearest = np.where(killed | (~scaled & (up < down)), np.where(killed, self.kill, above), below)
        return np.where(np.isfinite(nearest) & self.active & ~self.protected, nearest, np.nan)


def kill_bound(view: Posterior, standing: Standing, parameters: BayesParameters) -> Floats:
    """The log ROAS at today's budget up to which an ad is killed, −∞ for who may not be: P(ROAS < kill ROAS) of its
    first unit of money reaches the kill certainty. Who returns more on less money loses money, not life.
    """
    surely = np.log(parameters.kill_roas) - ndtri(parameters.kill_certainty) * view.sd + view.saturation
    return np.where(standing.active & ~standing.protected & ~standing.refused, rounded(surely), -np.inf)


def bounds_of(view: Posterior, standing: Standing, parameters: BayesParameters, raised: Flags, tiny: Flags) -> Bounds:
    """`raised` ads are given more than they have: without, no return lets them scale. `tiny` ones are given no more
    than the platform's minimum, and are cut when they are starved and outdone, too."""
    sd = view.sd
    free = standing.active & ~standing.protected
    surely = np.log(parameters.scale_roas) + ndtri(parameters.scale_certainty) * sd
    teaches = free & (standing.budget > 0) & (standing.next_sd < (1.0 - parameters.wait_shrinks) * sd)
    learned = np.sqrt(np.maximum(sd**2 - standing.next_sd**2, 0.0))
    # The median of an ad whose expected ROAS is the kill ROAS.
    worth = np.log(parameters.kill_roas) - sd**2 / 2
    return Bounds(
        active=standing.active,
        protected=standing.protected,
        kill=kill_bound(view, standing, parameters),
        scale=np.where(free & raised, rounded(surely), np.inf),
        cut=np.where(free & standing.starved & tiny, standing.outdone, -np.inf),
        wait_from=np.where(teaches, rounded(worth + _log_worth_waiting(learned, parameters)), np.inf),
        wait_to=np.where(teaches, rounded(worth), -np.inf),
    )


def _log_worth_waiting(learned: Floats, parameters: BayesParameters) -> Floats:
    """The log of the part of the kill ROAS that an ad must be expected to return for waiting to buy what it costs.

    At a part u of the bar a cycle costs 1 − u a day, and buys E max(u·X − 1, 0) on each day of the horizon, with X
    lognormal about 1 and as wide as what will be `learned`. A table over that spread is read off in straight lines.
    """
    parts, rises = _log_parts(parameters.cycle_days, parameters.horizon_days)
    # As np.interp does it, which looks for each place although the steps are even.
    place = np.minimum(learned / _LEARNED[1], float(len(rises)))
    step = place.astype(np.int64)
    place -= step
    place *= rises.take(step, mode="clip")
    place += parts.take(step, mode="clip")
    return np.asarray(place, dtype=np.float64)


@cache
def _log_parts(cycle_days: float, horizon_days: float) -> tuple[Floats, Floats]:
    """The log of the part at which both are equal, for every spread of the table, and how it rises from each to the
    next; by halving."""
    spread = np.maximum(_LEARNED, 1e-9)
    low, high = np.zeros_like(spread), np.ones_like(spread)
    for _ in range(_ROUNDS):
        part = (low + high) / 2
        z = np.log(part) / spread + spread / 2
        buys = (part * ndtr(z) - ndtr(z - spread)) * horizon_days
        dear = buys < (1.0 - part) * cycle_days
        low, high = np.where(dear, part, low), np.where(dear, high, part)
    parts = np.log(high)
    return parts, np.diff(parts)
