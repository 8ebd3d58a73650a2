"""What is true of a world's ads, drawn from its seed: traits, response to money, expected value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import Floats, Ints
from adctl.domain.simulation.worlds import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One entry per ad; money is minor units. `start` is the first day an ad runs.

    `lead_rate` is leads per click, `progress` (n, transitions) P(next stage), `value_mean` the mean won deal,
    `delay_factor` stretches all delays, `room` is the K of the day's response, `wear` its loss per minor unit spent.
    """

    world: World
    days: int
    start: Ints
    campaign: Ints
    cpm: Floats
    ctr: Floats
    lead_rate: Floats
    progress: Floats
    value_mean: Floats
    delay_factor: Floats
    room: Floats
    wear: Floats

    @property
    def leads_per_unit(self) -> Floats:
        """Expected leads per minor unit of effective spend of an unworn ad."""
        return self.ctr * self.lead_rate * 1000 / self.cpm

    @property
    def win_rate(self) -> Floats:
        return np.asarray(self.progress.prod(axis=1), dtype=np.float64)

    @property
    def fresh_roas(self) -> Floats:
        """Expected value per unit of money at the first unit spent on an unworn ad."""
        return self.leads_per_unit * self.win_rate * self.value_mean

    def freshness(self, spent: Floats) -> Floats:
        """What is left of the response (0..1] after `spent` minor units in all."""
        return np.exp(-self.wear * spent)

    def reached(self, spend: Floats) -> Floats:
        """Effective minor units of a day's spend, before wear: less than spent, at most the room."""
        return -self.room * np.expm1(-spend / self.room)

    def value(self, spend: Floats, spent: Floats) -> Floats:
        """Expected value in minor units of a day's spend after `spent` on earlier days."""
        return self.fresh_roas * self.freshness(spent) * self.reached(spend)

    def roas(self, spend: Floats, spent: Floats) -> Floats:
        """Expected value per unit of a day's spend after `spent`; at no spend that of the first unit."""
        amount = np.maximum(spend, 1.0)
        return self.value(amount, spent) / amount


def draw_truth(world: World, *, seed: int, days: int) -> Truth:
    """The same world, seed and days give the same truth, bit for bit."""
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    n = world.ads
    campaign = rng.permutation(np.arange(n, dtype=np.int64) % world.campaigns)
    together, alone = _parts(world, rng, campaign)
    log_ctr = world.ctr_sd * rng.standard_normal(n)
    junk = rng.random(n) < world.junk_share
    quality = _quality(world, rng) + world.ctr_quality * log_ctr[:, None]
    return Truth(
        world=world,
        days=days,
        start=_starts(world, rng, days),
        campaign=campaign,
        cpm=world.cpm * np.exp(world.cpm_sd * rng.standard_normal(n)),
        ctr=np.minimum(world.ctr * np.exp(log_ctr), 0.5),
        lead_rate=np.minimum(
            world.lead_rate
            * np.exp(world.lead_sd * (together + alone) + world.ctr_elasticity * log_ctr)
            * np.where(junk, world.junk_leads, 1.0),
            0.9,
        ),
        progress=_progress(world, quality, junk),
        value_mean=world.deal_value * np.exp(world.value_ad_sd * rng.standard_normal(n)),
        delay_factor=np.exp(world.delay_campaign_sd * rng.standard_normal(world.campaigns))[campaign],
        room=world.room * world.share * np.exp(world.room_sd * rng.standard_normal(n)),
        wear=np.exp(world.wear_sd * rng.standard_normal(n)) / (world.wear * world.share),
    )


def _parts(world: World, rng: np.random.Generator, campaign: Ints) -> tuple[Floats, Floats]:
    """An ad's standard deviate of leads per click: what its campaign's ads have in common, and its own."""
    together = rng.standard_normal(world.campaigns)[campaign] * np.sqrt(world.campaign_part)
    return together, rng.standard_normal(world.ads) * np.sqrt(1 - world.campaign_part)


def _starts(world: World, rng: np.random.Generator, days: int) -> Ints:
    first = max(round(world.first_share * world.ads), 1)
    last = max(int(days * world.launch_share), 1)
    later = np.sort(rng.integers(1, last + 1, world.ads - first))
    return np.concatenate([np.zeros(first, dtype=np.int64), later])


def _quality(world: World, rng: np.random.Generator) -> Floats:
    """The shift of an ad's log odds at each stage, shape (n, transitions)."""
    common = rng.standard_normal((world.ads, 1)) * np.sqrt(world.quality_common)
    own = rng.standard_normal((world.ads, len(world.progress))) * np.sqrt(1 - world.quality_common)
    return np.asarray(world.quality_sd * (common + own), dtype=np.float64)


def _progress(world: World, quality: Floats, junk: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    usual = np.array(world.progress)
    odds = usual / (1 - usual) * np.exp(quality)
    progress = odds / (1 + odds)
    progress[:, 0] *= np.where(junk, world.junk_quality, 1.0)
    return np.asarray(progress, dtype=np.float64)
