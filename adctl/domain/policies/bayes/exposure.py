"""Effective exposure: what a unit of spend is worth after the day's saturation and the ad's wear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.bayes.pieces import chosen
from adctl.domain.policies.bayes.rows import Block, Rows
from adctl.domain.policies.protocol import Flags, Floats, Ints

# Wear is judged as the loss (in logs) over what a well-fed ad has spent; a half-normal prior of this scale.
_WEAR_SD = 0.6
_WEAR_GRID = np.array([0.0, 0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.9, 1.3, 1.9, 2.8, 4.0])
# How ads differ in their wear, as a part of the account's; and a loss (in logs) too small to look for differences.
_WEAR_AD_SD = 0.5
_NO_WEAR = 0.02
# A loss (in logs) that is less than the rounding of every posterior.
_NOTHING = 1e-10
# What an ad that is flagged for fatigue may have lost (in logs) over its spend, whatever the account's ads do.
_TIRED_SD = 0.3
# How ads differ in the log of their room.
ROOM_AD_SD = 0.3
# The spread of the prior of the log of the saturation scale, and the grid around its centre.
_ROOM_SD = 0.8
_ROOM_GRID = np.linspace(-3.0, 3.0, 13)
_FINE = np.linspace(-1.0, 1.0, 9)
# Ads that the shape of the response is learned from; more change nothing but the time it takes.
_SAMPLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A day's spend b after C in all yields room·(1 − e^(−b/room))·e^(−wear·C) effective major units.

    `room` is major units a day, `wear` per major unit; the variances are those of `wear` and of log `room`.
    `dispersion` is how much wider than Poisson an ad's daily clicks scatter.
    """

    room: float
    wear: float
    wear_variance: float
    log_room_variance: float
    dispersion: float

    def fresh(self, spend: Floats) -> Floats:
        """Effective units of a day's spend before wear."""
        return -self.room * np.expm1(-spend / self.room)

    def part(self, spend: Floats) -> Floats:
        """What saturation leaves of each unit of a day's spend (0..1], 1 at no spend."""
        amount = np.maximum(spend / self.room, 1e-9)
        return -np.expm1(-amount) / amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """Each ad's own wear per major unit spent, and its variance; shape n."""

    rate: Floats
    variance: Floats


def wear_of(rows: Rows, response: Response, tired: Flags | None = None) -> Wear:
    """Each ad's wear by its own clicks from day to day, one Newton step from the account's and shrunk to it.

    An ad that is flagged as `tired` is shrunk less: its own days then say more than the account's usual wear.
    """
    usual: Floats = np.broadcast_to(response.wear, rows.ads)
    prior: Floats = np.broadcast_to((_WEAR_AD_SD * response.wear) ** 2 + response.wear_variance, rows.ads)
    if tired is not None and tired.any():
        prior = np.where(
            tired, prior + (_TIRED_SD / np.maximum(rows.sums.spend / rows.minor_per_major, 1e-12)) ** 2, prior
        )
    elif response.wear * int(rows.sums.before.max(initial=0)) / rows.minor_per_major < _NO_WEAR:
        return Wear(rate=usual, variance=prior)
    score, information = np.empty(len(rows.fed)), np.empty(len(rows.fed))
    clicked, fresh = bool(rows.sums.clicks.any()), _fresh(rows, response)
    for block in rows.blocks():
        counts, before = block.clicks if clicked else block.leads, block.before() / rows.minor_per_major
        expected = np.exp(before * -response.wear)
        expected *= fresh(block.spend)
        whole = np.maximum(block.total(expected), 1e-12)
        before -= block.each(block.total(expected * before) / whole)
        score[block.place] = -block.total(before * counts)
        before *= before
        before *= expected
        information[block.place] = block.total(before) * (block.total(counts) / whole)
    score, information = (rows.spread(found / response.dispersion) for found in (score, information))
    variance = prior / (1 + information * prior)
    return Wear(rate=np.maximum(usual + score * variance, 0.0), variance=variance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Effective major units of each ad in all, and the part of its spend (minor units) that is mature; shape n."""

    total: Floats
    mature_spend: Ints


def exposure_of(rows: Rows, response: Response, wear: Wear, half_life: float, mature: Floats) -> Exposure:
    """`mature` is, by days ago, the part of the spend that is mature."""
    found, ripe, effective = (
        np.empty(len(rows.fed)),
        np.empty(len(rows.fed)),
        _effective(rows, response, wear, half_life),
    )
    for block in rows.blocks():
        found[block.place] = block.total(effective(block))
        part = mature.take(block.days_ago, mode="clip")
        ripe[block.place] = block.total(np.multiply(part, block.spend, out=part))
    np.rint(ripe, out=ripe)
    return Exposure(total=rows.spread(found), mature_spend=rows.spread(ripe).astype(np.int64))


def mature_exposure(rows: Rows, response: Response, wear: Wear, half_life: float, mature: Floats) -> Floats:
    """The part of each ad's effective exposure that is mature, shape n."""
    found, effective = np.empty(len(rows.fed)), _effective(rows, response, wear, half_life)
    for block in rows.blocks():
        found[block.place] = block.total(effective(block) * mature[block.days_ago])
    return rows.spread(found)


def _effective(rows: Rows, response: Response, wear: Wear, half_life: float) -> Callable[[Block], Floats]:
    """What gives the effective exposure of each row of a block, discounted by its age when there is a half-life."""
    fresh, left = _fresh(rows, response), _left(rows, wear)

    def effective(block: Block) -> Floats:
        found = fresh(block.spend) if left is None else fresh(block.spend) * left(block)
        return found * forgetting(block.days_ago, half_life) if half_life > 0 else found

    return effective


def _left(rows: Rows, wear: Wear) -> Callable[[Block], Floats] | None:
    """What gives the part that wear leaves of each row of a block; None where no row loses anything to speak of."""
    most = rows.most * int(np.diff(rows.starts).max(initial=0)) / rows.minor_per_major
    if float(wear.rate.max(initial=0.0)) * most < _NOTHING:
        return None
    return lambda block: np.exp(block.before() * block.each(wear.rate[block.ads] / -rows.minor_per_major))


def _fresh(rows: Rows, response: Response) -> Callable[[Ints], Floats]:
    """Effective units of spends in minor units before wear, looked up where there are fewer amounts than rows."""
    if rows.most >= len(rows.spend):
        return lambda spend: response.fresh(spend / rows.minor_per_major)
    table = response.fresh(np.arange(rows.most + 1) / rows.minor_per_major)
    return lambda spend: table.take(spend, mode="clip")


def forgetting(days_ago: Ints | Floats, half_life: float) -> Floats:
    """The weight of what happened so many days ago."""
    return np.exp2(-days_ago / half_life) if half_life > 0 else np.ones(len(days_ago))


def fit_response(rows: Rows, room_shares: float, budget: Floats) -> Response:
    """Wear and saturation by what they do to one and the same ad's clicks from day to day.

    Given an ad's total, its days share it as their exposures: a multinomial likelihood in which neither the ad's
    quality nor the choice of who gets money plays a part. Clicks are counted (leads where nobody clicks) because
    they are many; their dispersion about the best fit widens the posterior. The daily `budget` of each ad (major
    units) gives the prior of the room while nothing was spent.
    """
    sample = _sample(rows)
    usual = float(sample.spend.mean()) if len(sample.spend) else _usual(budget)
    prior = np.log(room_shares * usual)
    fed = float(np.quantile(sample.total, 0.8)) if len(sample.total) else 1.0
    log_room, wear, dispersion = _alternate(sample, prior, fed)
    return Response(
        room=float(np.exp(log_room[0])),
        wear=wear[0] / fed,
        wear_variance=wear[1] / fed**2,
        log_room_variance=log_room[1],
        dispersion=dispersion,
    )


def _usual(budget: Floats) -> float:
    """The median of those that have any."""
    return float(np.median(budget[budget > 0])) if (budget > 0).any() else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Days:
    """The sample's rows, by ad: count, spend, spend before; where each ad's begin; each ad's total count and spend."""

    starts: Ints
    number: Ints
    count: Floats
    spend: Floats
    before: Floats
    counts: Floats
    total: Floats

    def fit(self, exposure: Floats, log_exposure: float) -> float:
        """The log likelihood of how each ad's count falls on its days; `log_exposure` is Σ count·ln exposure."""
        return log_exposure - float((self.counts * np.log(np.add.reduceat(exposure, self.starts))).sum())

    def fits_of_wear(self, fresh: Floats, wears: Floats) -> Floats:
        """The likelihoods of these wears (per major unit) where `fresh` is the exposure without any."""
        unworn, worn = float((self.count * np.log(fresh)).sum()), float((self.count * self.before).sum())
        return np.array([self.fit(fresh * np.exp(-wear * self.before), unworn - wear * worn) for wear in wears])

    def fits_of_room(self, log_rooms: Floats, worn: Floats) -> Floats:
        """The likelihoods of these rooms where `worn` is what wear leaves."""
        left = float((self.count * np.log(worn)).sum())
        fresh = (-np.expm1(self.spend * -np.exp(-log_room)) for log_room in log_rooms)
        return np.array([self.fit(one * worn, float((self.count * np.log(one)).sum()) + left) for one in fresh])

    def dispersion(self, exposure: Floats) -> float:
        """Pearson's statistic per degree of freedom, at least 1."""
        rate = self.counts / np.add.reduceat(exposure, self.starts)
        expected = np.maximum(exposure * np.repeat(rate, self.number), 1e-3)
        free = max(len(self.count) - len(self.total), 1)
        return max(float(((self.count - expected) ** 2 / expected).sum()) / free, 1.0)


def _sample(rows: Rows) -> _Days:
    """The rows of some of very many ads that spent on more than one day."""
    able = np.flatnonzero(rows.sums.before > 0)
    block = rows.of(able[chosen(len(able), _SAMPLE)])
    fed = block.spend > 0
    often = block.total(fed.astype(np.int64)) > 1
    if not often.all():
        block = rows.of(block.ads[often])
        fed = block.spend > 0
    counts = block.clicks if rows.sums.clicks.any() else block.leads
    number = block.total(fed.astype(np.int64))
    starts, count, spend = np.cumsum(number) - number, counts[fed].astype(np.float64), block.spend[fed]
    return _Days(
        starts=starts,
        number=number,
        count=count,
        spend=spend / rows.minor_per_major,
        before=block.before()[fed] / rows.minor_per_major,
        counts=np.add.reduceat(count, starts),
        total=np.add.reduceat(spend, starts) / rows.minor_per_major,
    )


def _alternate(days: _Days, prior: float, fed: float) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Mean and variance of log room and of the wear over `fed`, each given the other: coarse, then fine; and the
    dispersion about them."""
    log_room, wear, spread = (float(prior), _ROOM_SD**2), (0.0, _WEAR_SD**2), 1.0
    if not days.count.any():
        return log_room, (0.0, 0.0), spread
    width = 1.0
    for grid, room_grid in ((_WEAR_GRID, prior + _ROOM_GRID), (_WEAR_GRID, None), (None, None)):
        fresh = -np.exp(log_room[0]) * np.expm1(-days.spend * np.exp(-log_room[0]))
        spread = days.dispersion(fresh * np.exp(-wear[0] / fed * days.before))
        steps = grid if grid is not None else np.maximum(wear[0] + _reach(wear[1]) * _FINE, 0.0)
        fits = days.fits_of_wear(fresh, steps / fed)
        wear = _posterior(steps, fits / spread - 0.5 * (steps / _WEAR_SD) ** 2)
        steps = room_grid if room_grid is not None else log_room[0] + width * _FINE
        fits = days.fits_of_room(steps, np.exp(-wear[0] / fed * days.before))
        log_room = _posterior(steps, fits / spread - 0.5 * ((steps - prior) / _ROOM_SD) ** 2)
        width = _reach(log_room[1])
    return log_room, wear, spread


def _reach(variance: float) -> float:
    """Half the width of the fine grid: three standard deviations, and at least what the coarse grid left open."""
    return max(3.0 * float(np.sqrt(variance)), 0.1)


def _posterior(steps: Floats, log_weight: Floats) -> tuple[float, float]:
    """Mean and variance over a grid, each step weighted by the room it stands for."""
    weight = np.exp(log_weight - log_weight.max()) * np.gradient(steps)
    weight /= weight.sum()
    mean = float((weight * steps).sum())
    return mean, float((weight * (steps - mean) ** 2).sum())
