"""The simulated worlds by name: frozen sets of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adctl.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a world is made of; money is minor units, delays are days, `sd` are standard deviations of logarithms.

    `first_share` of the ads run from the first day, the others start evenly through the first `launch_share` of it.
    A share is the even part of the daily budget, `daily_budget / ads`: `room` (the K of K(1 − e^(−spend/K))) is given
    in shares, `wear` in shares spent after which an ad's response has fallen to 1/e.
    `lead_sd` is the spread of leads per click, `campaign_part` the part of its variance that a campaign's ads have in
    common. `quality_sd` is the spread of an ad's odds at each stage, `quality_common` the part of that variance which
    all stages of an ad have in common. `ctr_elasticity` and `ctr_quality` tie leads per click and the odds of a stage
    to an ad's CTR (0: not).
    `progress` is P(next stage), `delay_median` the median days it takes, `delay_campaign_sd` how campaigns differ.
    `marked_lost` of the lost deals are ever marked so. `stage_value_errors` are the factors by which the configured
    values of the open stages are wrong. `junk_share` of the ads bring `junk_leads` times the leads, of which
    `junk_quality` times as many pass the first stage.
    """

    name: str
    told: str
    ads: int = 65
    campaigns: int = 8
    daily_budget: int = 300_000
    first_share: float = 0.6
    launch_share: float = 0.75
    cpm: float = 1_100.0
    cpm_sd: float = 0.25
    ctr: float = 0.018
    ctr_sd: float = 0.26
    lead_rate: float = 0.015
    lead_sd: float = 0.72
    campaign_part: float = 0.25
    ctr_elasticity: float = 0.0
    ctr_quality: float = 0.0
    progress: tuple[float, ...] = (0.55, 0.50, 0.473)
    quality_sd: float = 0.45
    quality_common: float = 0.5
    delay_median: tuple[float, ...] = (2.0, 3.7, 5.3)
    delay_sigma: float = 0.8
    delay_campaign_sd: float = 0.0
    lost_median: float = 5.0
    lost_sigma: float = 1.0
    marked_lost: float = 0.7
    deal_value: float = 17_000.0
    value_ad_sd: float = 0.2
    value_sigma: float = 0.6
    room: float = 9.0
    room_sd: float = 0.3
    wear: float = 900.0
    wear_sd: float = 0.5
    shock_sd: float = 0.1
    stage_value_errors: tuple[float, ...] = (1.0, 1.0, 1.0)
    junk_share: float = 0.0
    junk_leads: float = 2.5
    junk_quality: float = 0.08

    @property
    def share(self) -> float:
        """The even part of the daily budget in minor units."""
        return self.daily_budget / self.ads


_BASE = World(name="base", told="delays as in real funnels: 13 days in the median from lead to win")

WORLDS: Mapping[str, World] = {
    world.name: world
    for world in (
        _BASE,
        replace(_BASE, name="fast", told="a fast cycle: 6 days", delay_median=(0.9, 1.7, 2.5), lost_median=2.5),
        replace(
            _BASE,
            name="clickbait",
            told="what is clicked most brings the fewest and poorest leads",
            ctr_sd=0.55,
            ctr_elasticity=-1.2,
            ctr_quality=-0.3,
        ),
        replace(_BASE, name="fatigue", told="ads wear out with what is spent on them", wear=80.0),
        replace(_BASE, name="small", told="a small account: 300 a day", daily_budget=30_000),
        replace(_BASE, name="heavy-tail", told="few large deals carry the value", value_sigma=1.4),
        replace(_BASE, name="campaign-delays", told="campaigns differ in how long deals take", delay_campaign_sd=0.5),
        replace(
            _BASE,
            name="bad-stage-values",
            told="the configured stage values are wrong",
            stage_value_errors=(4.0, 2.0, 0.4),
        ),
        replace(
            _BASE, name="junk-leads", told="a fourth of the ads bring many leads that come to nothing", junk_share=0.25
        ),
        replace(_BASE, name="saturation", told="little room for money in each ad", room=2.0),
        replace(_BASE, name="unmarked-losses", told="sales never marks a deal as lost", marked_lost=0.0),
        replace(_BASE, name="thriving", told="the typical ad earns its money back", deal_value=32_000.0),
    )
}


def world_named(name: str) -> World:
    """The world of that name. Raises ConfigurationError for an unknown one."""
    if name not in WORLDS:
        raise ConfigurationError(f"world {name!r}: unknown", fix=f"use one of {', '.join(WORLDS)}")
    return WORLDS[name]
