"""The simulated world behind both stand-ins: one ad account, one portal, and a clock that only `advance` moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import heappop, heappush
from itertools import count
from threading import RLock
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from adctl.sandbox.ad_objects import Ad, AdSet, AdTree, Campaign, edit_entry
from adctl.sandbox.crm import Portal, Properties, default_pipelines
from adctl.sandbox.currency import offset_of
from adctl.sandbox.delivery import Delivery, Plan
from adctl.sandbox.funnel import ContactCreated, Converted, DealChanged, DealCreated, Event, Funnel, Lead, Prospects
from adctl.sandbox.launch import Launch, WorldOptions, retirements
from adctl.sandbox.plans import make_plan
from adctl.sandbox.truth import AdTruth, marginal_response, response

_HOUR = timedelta(hours=1)
_PERSON = "Ads Manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldTotals:
    """What happened since the world began; money in minor units of the account's currency."""

    spend: int
    impressions: int
    clicks: int
    contacts: int
    deals: int
    won: int
    revenue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatusDue:
    """A person's edit that belongs to the history."""

    ad_id: str
    status: str


class World:
    """A seeded world: the same options and the same calls in the same order give the same world, bit for bit.

    Both servers share it; take `lock` around reads and writes that belong together.
    """

    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        self.lock = RLock()
        self.zone = ZoneInfo(options.timezone)
        self._begin = self._midnight(options.start - timedelta(days=options.history_days))
        self.now = self._begin
        launch = Launch(options, self._begin)
        self.tree: AdTree = launch.tree()
        born = np.array([epoch_ms(ad.created) for ad in self.tree.ads], dtype=np.int64)
        self.delivery = Delivery(launch.traits(self.tree), born)
        self._numbers = {ad.id: i for i, ad in enumerate(self.tree.ads)}
        rng = np.random.default_rng([options.seed, 2])
        pipelines = default_pipelines(epoch_ms(self._begin))
        self.portal = Portal(int(rng.integers(10**7, 10**8)), options.currency, options.timezone, pipelines)
        self._funnel = Funnel(
            first_contact=int(rng.integers(10**10, 2 * 10**10)),
            first_deal=int(rng.integers(2 * 10**10, 3 * 10**10)),
            cycle_days=options.cycle_days,
            keyless_share=options.keyless_share,
            currency=options.currency,
        )
        self._due: list[tuple[int, int, Event | _StatusDue]] = []
        self._sequence = count()
        self._steps = 0
        self._plan: tuple[date, Plan] | None = None
        self._won = 0
        self._revenue = 0.0
        self._bulk = count(1)

    @classmethod
    def generate(cls, *, seed: int, start: date, **options: Any) -> World:
        """A world at midnight (account time) of `start` with its history behind it; options as in WorldOptions."""
        world = cls(WorldOptions(seed=seed, start=start, **options))
        for at, ad_id, status in retirements(world.tree, world.options, world._begin):
            world._schedule(epoch_ms(at), _StatusDue(ad_id=ad_id, status=status))
        world.advance_to(world._midnight(start))
        return world

    @property
    def today(self) -> date:
        """The account's current day."""
        return self.now.astimezone(self.zone).date()

    def advance(self, *, days: float) -> None:
        """Moves the clock on by account days; whole days keep the account's time of day across a clock change."""
        with self.lock:
            local = self.now.astimezone(self.zone).replace(tzinfo=None) + timedelta(days=days)
            self.advance_to(local.replace(tzinfo=self.zone).astimezone(UTC))

    def advance_to(self, to: datetime) -> None:
        """Moves the clock to an aware instant: every complete hour on the way is delivered, every due event happens.

        Raises ValueError for a naive time or one that has passed.
        """
        with self.lock:
            if to.tzinfo is None or to < self.now:
                raise ValueError(f"cannot advance from {self.now.isoformat()} to {to.isoformat()}")
            while self._begin + (self._steps + 1) * _HOUR <= to:
                self._deliver_hour()
            self._happen(to)
            self.now = to.astimezone(UTC)

    def edit(self, node: Campaign | AdSet | Ad, field: str, value: str | int, application: str = _PERSON) -> None:
        """Sets `status`, `name` or a budget (minor units) of an object now, and logs who did it."""
        with self.lock:
            old = getattr(node, field)
            setattr(node, field, value)
            node.updated = self.now
            self._plan = None
            if isinstance(node, AdSet) and field.endswith("_budget") and old and abs(int(value) - old) > 0.2 * old:
                node.learning_since = self.now
            log = self.tree.activities
            log.append(edit_entry(node, field, old, value, at=self.now, application=application))

    def add_deals(self, number: int, at: datetime | None = None) -> list[int]:
        """Creates plain open deals, all in one millisecond (now unless `at` is given); returns their ids."""
        with self.lock:
            moment = epoch_ms(at or self.now)
            ids = [3 * 10**10 + next(self._bulk) for _ in range(number)]
            pipeline = self.portal.pipelines[0]
            for deal_id in ids:
                properties: Properties = {
                    "dealname": f"Imported deal {deal_id}",
                    "pipeline": pipeline.id,
                    "amount": None,
                }
                self.portal.create("deals", deal_id, moment, properties | {"dealstage": pipeline.stages[0].id})
            return ids

    def truth(self) -> list[AdTruth]:
        """The true return of every ad at its current spend, to judge decisions by."""
        with self.lock:
            traits, plan = self.delivery.traits, self._current_plan()
            spend = self.delivery.expected_spend(plan, epoch_ms(self.now))
            fresh, spent = traits.fresh_roas(), self.delivery.spent
            roas, marginal = fresh * response(traits, spend, spent), fresh * marginal_response(traits, spend, spent)
            return [
                AdTruth(
                    ad_id=ad.id,
                    ad_set_id=ad.ad_set.id,
                    campaign_id=ad.ad_set.campaign.id,
                    hook=ad.creative.hook,
                    roas=float(roas[i]),
                    marginal_roas=float(marginal[i]),
                    daily_spend=float(spend[i]),
                    spent=float(spent[i]),
                    ctr=float(traits.ctr[i]),
                    lead_rate=float(traits.lead_rate[i]),
                    win_rate=float(traits.win_rate[i]),
                    deal_value=float(traits.deal_value[i]),
                )
                for i, ad in enumerate(self.tree.ads)
            ]

    def spend_minor(self, day: date) -> list[int]:
        """What each ad (in the tree's order) spent on an account day, in minor units; zeros if nothing ran."""
        with self.lock:
            if day not in self.delivery.days:
                return [0] * len(self.tree.ads)
            ledger = self.delivery.days[day]
            return [int(amount) for amount in ledger.spend_minor(offset_of(self.options.currency))]

    def totals(self) -> WorldTotals:
        """Sums over everything since the world began."""
        with self.lock:
            days = self.delivery.days.values()
            return WorldTotals(
                spend=sum(sum(self.spend_minor(day)) for day in self.delivery.days),
                impressions=sum(int(day.impressions.sum()) for day in days),
                clicks=sum(int(day.clicks.sum()) for day in days),
                contacts=len(self.portal.collections["contacts"].records),
                deals=len(self.portal.collections["deals"].records),
                won=self._won,
                revenue=round(self._revenue * offset_of(self.options.currency)),
            )

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def _deliver_hour(self) -> None:
        """Delivers the next hour; its draws depend on the seed and the hour alone."""
        begins = self._begin + self._steps * _HOUR
        local = begins.astimezone(self.zone)
        day, at = local.date(), epoch_ms(begins)
        rng = np.random.default_rng([self.options.seed, 3, self._steps])
        pace = float(np.random.default_rng([self.options.seed, 4, day.toordinal()]).uniform(0.9, 1.08))
        self._steps += 1
        self.now = max(begins, self.now)
        leads = self.delivery.hour(rng, day=day, hour=local.hour, at=at, pace=pace, plan=self._current_plan())
        for number in np.flatnonzero(leads):
            for _ in range(int(leads[number])):
                self._new_lead(rng, at, day, int(number))
        for _ in range(int(rng.poisson(self.options.organic_per_day / 24))):
            self._new_lead(rng, at, day, None)
        self._happen(begins + _HOUR)

    def _new_lead(self, rng: np.random.Generator, hour: int, day: date, number: int | None) -> None:
        """Sends one lead through the funnel; a lead without an ad has the odds of a middling one."""
        ad = self.tree.ads[number if number is not None else 0]
        campaign = ad.ad_set.campaign
        traits = self.delivery.traits
        lead = Lead(
            at=max(hour + int(rng.integers(3_600_000)), epoch_ms(self.now)),
            day=day,
            ad=number,
            ad_id=ad.id,
            campaign_id=campaign.id,
            campaign_name=campaign.name if number is not None else "Website",
            page=ad.creative.page,
        )
        odds = Prospects(
            deal_rate=traits.deal_rate,
            win_rate=self.options.win_rate if number is None else float(traits.win_rate[number]),
            deal_value=float(traits.deal_value.mean() if number is None else traits.deal_value[number]),
            deal_value_sigma=traits.deal_value_sigma,
        )
        numeric = number is not None and self.tree.campaigns.index(campaign) % 4 == 2
        for at, event in self._funnel.events(rng, lead, odds, self.portal.pipelines[1 if numeric else 0]):
            self._schedule(at, event)

    def _schedule(self, at: int, event: Event | _StatusDue) -> None:
        heappush(self._due, (at, next(self._sequence), event))

    def _happen(self, until: datetime) -> None:
        limit = epoch_ms(until)
        while self._due and self._due[0][0] <= limit:
            at, _, event = heappop(self._due)
            self.now = datetime.fromtimestamp(at / 1000, UTC)
            self._apply(at, event)

    def _apply(self, at: int, event: Event | _StatusDue) -> None:
        match event:
            case ContactCreated():
                self.portal.create("contacts", event.contact_id, at, event.properties)
            case DealCreated():
                self.portal.create("deals", event.deal_id, at, event.properties)
                for contact, label in zip(event.contacts, ((), ("Decision maker",)), strict=False):
                    self.portal.associate(event.deal_id, contact, label)
            case DealChanged():
                self.portal.change("deals", event.deal_id, at, event.properties)
                self._won += event.won > 0
                self._revenue += event.won
            case Converted():
                self.delivery.ledger(event.day).credit(event.ad, event.kind, event.value)
            case _StatusDue():
                self.edit(self.tree.ads[self._numbers[event.ad_id]], "status", event.status)

    def _current_plan(self) -> Plan:
        """Today's plan, made anew after each edit and each midnight."""
        day = self.today
        if self._plan is None or self._plan[0] != day:
            self._plan = (day, make_plan(self.tree, self.delivery.spent, self.now))
        return self._plan[1]


def epoch_ms(at: datetime) -> int:
    """An aware instant in epoch milliseconds."""
    return round(at.timestamp() * 1000)
