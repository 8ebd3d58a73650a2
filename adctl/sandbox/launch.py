"""Builds the ad account a simulated world begins with, from its options and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count

import numpy as np

from adctl.sandbox.ad_objects import Ad, AdAccount, AdSet, AdTree, Campaign, Creative
from adctl.sandbox.copywriting import HOOKS, THEMES, near_copy, write_creative
from adctl.sandbox.currency import offset_of, price_level
from adctl.sandbox.truth import FloatArray, Traits, draw_traits


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """What a world is made of; the same options give the same world, bit for bit.

    `start` is the account day the world wakes up on (at its midnight), after `history_days` complete days. `deal_value`
    is the mean won deal in US dollars' worth of the currency, `cycle_days` the usual time from lead to win,
    `keyless_share` the part of leads whose landing URL names no ad, `organic_per_day` the leads that never saw one.
    """

    seed: int
    start: date
    history_days: int = 28
    currency: str = "USD"
    timezone: str = "Europe/Berlin"
    campaigns: int = 4
    ad_sets: int = 10
    ads: int = 24
    cycle_days: float = 13.0
    win_rate: float = 0.13
    deal_value: float = 600.0
    keyless_share: float = 0.12
    organic_per_day: float = 3.0
    lifetime_ad_set: bool = False


class Launch:
    """One account in the making; every draw comes from one generator, in a fixed order."""

    def __init__(self, options: WorldOptions, begin: datetime) -> None:
        self._options = options
        self._begin = begin
        self._rng = np.random.default_rng([options.seed, 1])
        start = int(self._rng.integers(10**12, 9 * 10**12))
        self._ids = (f"12020{start + i * 10:013d}" for i in count())
        self._scale = offset_of(options.currency)
        self._level = price_level(options.currency)

    def tree(self) -> AdTree:
        """The account with its campaigns, ad sets and ads."""
        options = self._options
        campaigns = [self._campaign(i) for i in range(options.campaigns)]
        ad_sets = [self._ad_set(i, campaigns[i % len(campaigns)]) for i in range(options.ad_sets)]
        for index, campaign in enumerate(campaigns):
            if index % 4 == 1:
                self._move_budget_up(campaign, [ad_set for ad_set in ad_sets if ad_set.campaign is campaign])
        if options.lifetime_ad_set:
            self._make_lifetime(next(s for s in reversed(ad_sets) if s.daily_budget is not None))
        themes = {campaign.id: THEMES[i % len(THEMES)] for i, campaign in enumerate(campaigns)}
        ads: list[Ad] = []
        for index in range(options.ads):
            ad_set = ad_sets[index % len(ad_sets)]
            siblings = [ad for ad in ads[-200:] if ad.ad_set.campaign is ad_set.campaign]
            ads.append(self._ad(index, ad_set, self._creative(themes[ad_set.campaign.id].name, siblings)))
        return AdTree(account=self._account(), campaigns=campaigns, ad_sets=ad_sets, ads=ads)

    def traits(self, tree: AdTree) -> Traits:
        """The hidden traits of the tree's ads."""
        order = {campaign.id: i for i, campaign in enumerate(tree.campaigns)}
        return draw_traits(
            self._rng,
            hook=np.array([HOOKS.index(ad.creative.hook) for ad in tree.ads], dtype=np.int64),
            campaign=np.array([order[ad.ad_set.campaign.id] for ad in tree.ads], dtype=np.int64),
            spend=self._usual_spend(tree),
            win_rate=self._options.win_rate,
            deal_value=self._options.deal_value * self._level,
        )

    def _usual_spend(self, tree: AdTree) -> FloatArray:
        """Each ad's even part of its owner's daily budget, in major units."""
        owners = [budget_owner(ad) for ad in tree.ads]
        counts = Counter(owner.id for owner in owners)
        daily = [_daily_budget(owner, self._begin) / self._scale / counts[owner.id] for owner in owners]
        return np.array(daily)

    def _account(self) -> AdAccount:
        options = self._options
        return AdAccount(
            id=str(int(self._rng.integers(10**14, 9 * 10**14))),
            name=f"Sandbox {options.seed}",
            currency=options.currency,
            timezone=options.timezone,
            min_daily_budget=max(round(self._level * self._scale), 1),
            created=self._begin - timedelta(days=400),
        )

    def _campaign(self, index: int) -> Campaign:
        theme = THEMES[index % len(THEMES)]
        name = f"{theme.name} {index // len(THEMES) + 1}" if index >= len(THEMES) else theme.name
        return Campaign(
            id=next(self._ids),
            name=name,
            objective="OUTCOME_LEADS",
            status="ACTIVE",
            daily_budget=None,
            created=self._begin,
            updated=self._begin,
        )

    def _ad_set(self, index: int, campaign: Campaign) -> AdSet:
        dollars = 5 * round(float(np.clip(self._rng.lognormal(np.log(130), 0.35), 40, 400)) / 5)
        return AdSet(
            id=next(self._ids),
            name=f"{campaign.name} – audience {index + 1}",
            campaign=campaign,
            status="ACTIVE",
            daily_budget=round(dollars * self._level) * self._scale,
            created=self._begin,
            updated=self._begin,
            learning_since=self._begin,
        )

    def _move_budget_up(self, campaign: Campaign, ad_sets: list[AdSet]) -> None:
        """Makes the campaign own the budget of its ad sets (Advantage campaign budget)."""
        campaign.daily_budget = sum(ad_set.daily_budget or 0 for ad_set in ad_sets) or 100 * self._scale
        for ad_set in ad_sets:
            ad_set.daily_budget = None

    def _make_lifetime(self, ad_set: AdSet) -> None:
        """Turns a daily budget into one for the whole history and four weeks more."""
        days = self._options.history_days + 28
        ad_set.lifetime_budget = (ad_set.daily_budget or 0) * days
        ad_set.daily_budget = None
        ad_set.end = self._begin + timedelta(days=days)

    def _creative(self, theme_name: str, siblings: list[Ad]) -> Creative:
        """A new creative, or one in eight times a near-copy of a sibling's."""
        rng, creative_id = self._rng, next(self._ids)
        if siblings and rng.random() < 0.125:
            original = siblings[int(rng.integers(len(siblings)))].creative
            return Creative(
                id=creative_id, hook=original.hook, page=original.page, wire=near_copy(rng, original.wire, creative_id)
            )
        theme = next(theme for theme in THEMES if theme.name == theme_name)
        hook = HOOKS[int(rng.integers(len(HOOKS)))]
        wire = write_creative(rng, theme, hook, "1000200030004", creative_id)
        return Creative(id=creative_id, hook=hook, page=theme.page, wire=wire)

    def _ad(self, index: int, ad_set: AdSet, creative: Creative) -> Ad:
        """An ad; three in ten are younger than the history, the first of each ad set never."""
        hours = int(self._rng.uniform(0, self._options.history_days * 24 * 0.9))
        late = self._rng.random() < 0.3 and self._options.ad_sets <= index < self._options.ads - 2
        created = self._begin + timedelta(hours=hours if late else 0)
        return Ad(
            id=next(self._ids),
            name=f"{ad_set.campaign.name} ad {index + 1} ({creative.hook})",
            ad_set=ad_set,
            creative=creative,
            status="ACTIVE",
            created=created,
            updated=created,
        )


def retirements(tree: AdTree, options: WorldOptions, begin: datetime) -> Iterator[tuple[datetime, str, str]]:
    """Ads that people take out during the history, as (when, ad id, status): one is archived, one paused."""
    if options.ads >= options.ad_sets + 4:
        yield begin + timedelta(days=options.history_days * 0.5), tree.ads[-1].id, "ARCHIVED"
        yield begin + timedelta(days=options.history_days * 0.7), tree.ads[-2].id, "PAUSED"


def budget_owner(ad: Ad) -> Campaign | AdSet:
    """The campaign under Advantage campaign budget, else the ad set."""
    return ad.ad_set.campaign if ad.ad_set.campaign.daily_budget is not None else ad.ad_set


def _daily_budget(owner: Campaign | AdSet, begin: datetime) -> float:
    """The owner's daily budget in minor units; a lifetime budget is spread evenly."""
    if isinstance(owner, AdSet) and owner.lifetime_budget is not None and owner.end is not None:
        return owner.lifetime_budget / max((owner.end - begin).days, 1)
    return float(owner.daily_budget or 0)
