"""The simulated sales funnel: what becomes of a lead, as events that happen when their time comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

from adctl.sandbox.crm import Pipeline, Properties, iso_ms

_HOUR = 3_600_000
_DAY = 24 * _HOUR
_FIRST = (
    "Anna",
    "Ben",
    "Carla",
    "Deniz",
    "Emil",
    "Farah",
    "Goran",
    "Hanna",
    "Ivo",
    "Jana",
    "Kim",
    "Lukas",
    "Mira",
    "Nils",
)
_LAST = (
    "Albrecht",
    "Bauer",
    "Costa",
    "Demir",
    "Ebert",
    "Fischer",
    "Gruber",
    "Haas",
    "Ivanov",
    "Jansen",
    "Kaya",
    "Lenz",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCreated:
    """A lead form was sent."""

    contact_id: int
    properties: Properties


@dataclass(frozen=True, slots=True, kw_only=True)
class DealCreated:
    """Sales opened a deal for one or two contacts."""

    deal_id: int
    contacts: tuple[int, ...]
    properties: Properties


@dataclass(frozen=True, slots=True, kw_only=True)
class DealChanged:
    """Properties of a deal were set; `won` is the value in major units when this closes it as won, else 0."""

    deal_id: int
    properties: Properties
    won: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Meta learned of a conversion of an ad's click or view on `day`, late as it may be; value in major units."""

    ad: int
    day: date
    kind: str
    value: float = 0.0


Event = ContactCreated | DealCreated | DealChanged | Converted
Timed = tuple[int, Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Someone who sent the form at `at` (epoch ms) after an ad's click, or without one when `ad` is None."""

    at: int
    day: date
    ad: int | None
    ad_id: str
    campaign_id: str
    campaign_name: str
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """What the lead's ad makes likely: P(deal), P(win | deal), the mean won value and its log-sd."""

    deal_rate: float
    win_rate: float
    deal_value: float
    deal_value_sigma: float


class Funnel:
    """Turns leads into timed events; ids count up from seeded starts."""

    def __init__(
        self, *, first_contact: int, first_deal: int, cycle_days: float, keyless_share: float, currency: str
    ) -> None:
        self._contact = first_contact
        self._deal = first_deal
        self._cycle_days = cycle_days
        self._keyless_share = keyless_share
        self._currency = currency

    def events(self, rng: np.random.Generator, lead: Lead, odds: Prospects, pipeline: Pipeline) -> Iterator[Timed]:
        """Everything that will happen to the lead."""
        self._contact += int(rng.integers(1, 40))
        contact = self._contact
        yield lead.at, ContactCreated(contact_id=contact, properties=self._contact_properties(rng, lead, contact))
        if lead.ad is not None:
            yield from _reports(rng, lead, lead.ad)
        if rng.random() < odds.deal_rate:
            yield from self._deal_events(rng, lead, odds, pipeline, contact)

    def _contact_properties(self, rng: np.random.Generator, lead: Lead, contact: int) -> Properties:
        first, last = (str(names[int(rng.integers(len(names)))]) for names in (_FIRST, _LAST))
        own: Properties = {
            "email": f"{first}.{last}.{contact}@mail.example".lower(),
            "firstname": first,
            "lastname": last,
            "lifecyclestage": "lead",
            "hs_analytics_first_timestamp": iso_ms(lead.at - int(rng.integers(60_000, 6 * _HOUR))),
        }
        return own | (_organic(lead) if lead.ad is None else self._ad_click(rng, lead))

    def _ad_click(self, rng: np.random.Generator, lead: Lead) -> Properties:
        """Where the contact came from; some have lost the ad's key, some the click id too."""
        fbclid = "IwAR" + "".join(f"{part:04x}" for part in rng.integers(0, 65536, size=8))
        fate = float(rng.random())
        keys = f"utm_source=facebook&utm_campaign={lead.campaign_id}&utm_content={lead.ad_id}&fbclid={fbclid}"
        if fate < self._keyless_share:
            keys = f"fbclid={fbclid}" if fate < self._keyless_share / 2 else ""
        return {
            "hs_analytics_source": "PAID_SOCIAL",
            "hs_analytics_source_data_1": "Facebook",
            "hs_analytics_source_data_2": lead.campaign_name,
            "hs_analytics_first_url": f"{lead.page}?{keys}" if keys else lead.page,
            "hs_facebook_click_id": fbclid if keys else None,
        }

    def _deal_events(
        self, rng: np.random.Generator, lead: Lead, odds: Prospects, pipeline: Pipeline, contact: int
    ) -> Iterator[Timed]:
        self._deal += int(rng.integers(1, 40))
        deal, at = self._deal, lead.at + _delay(rng, 0.12)
        value = _draw_value(rng, odds)
        opening: Properties = {
            "dealname": f"{lead.campaign_name} enquiry {deal}",
            "pipeline": pipeline.id,
            "dealstage": pipeline.stages[0].id,
            "amount": None,
            "deal_currency_code": self._currency,
            "closedate": iso_ms(at + 30 * _DAY),
            "hubspot_owner_id": str(41 + deal % 5),
        }
        contacts: tuple[int, ...] = (contact,)
        if rng.random() < 0.05:
            self._contact += 1
            contacts = (contact, self._contact)
            partner: Properties = {"email": f"partner.{self._contact}@mail.example", "hs_analytics_source": "OFFLINE"}
            yield at, ContactCreated(contact_id=self._contact, properties=partner)
        yield at, DealCreated(deal_id=deal, contacts=contacts, properties=opening)
        won = bool(rng.random() < odds.win_rate)
        for moved_at, change in _moves(rng, deal, at, pipeline, value, won, self._cycle_days):
            yield moved_at, change
            if change.won and lead.ad is not None and moved_at - lead.at <= 7 * _DAY:
                yield moved_at + _HOUR, Converted(ad=lead.ad, day=lead.day, kind="purchase", value=change.won)


def _reports(rng: np.random.Generator, lead: Lead, ad: int) -> Iterator[Timed]:
    """When Meta counts the lead: mostly at once, the rest within the 28 days in which insights are restated."""
    yield lead.at + _report_delay(rng), Converted(ad=ad, day=lead.day, kind="lead_click")
    if rng.random() < 0.08:
        yield lead.at + _report_delay(rng), Converted(ad=ad, day=lead.day, kind="lead_view")


def _report_delay(rng: np.random.Generator) -> int:
    if rng.random() < 0.72:
        return int(rng.integers(0, _HOUR))
    return int(min(rng.exponential(2.5), 27.0) * _DAY)


def _moves(
    rng: np.random.Generator, deal: int, at: int, pipeline: Pipeline, value: float, won: bool, cycle_days: float
) -> Iterator[tuple[int, DealChanged]]:
    """The deal's way: stages may be skipped or taken back; 30 % of the lost are never marked so."""
    open_stages = [stage.id for stage in pipeline.stages if not stage.closed]
    reach = len(open_stages) - 1 if won else min(int(rng.geometric(0.45)) - 1, len(open_stages) - 1)
    step = 0.8 * cycle_days / (reach + 2)
    priced = rng.random() > 0.08
    for index in range(1, reach + 1):
        if index < reach and rng.random() < 0.15:
            continue
        at += _delay(rng, step)
        reached: Properties = {"dealstage": open_stages[index]}
        if priced and index == 1:
            reached["amount"] = f"{value * rng.uniform(0.8, 1.2):.2f}"
        yield at, DealChanged(deal_id=deal, properties=reached)
        if rng.random() < 0.05:
            yield at + _HOUR, DealChanged(deal_id=deal, properties={"dealstage": open_stages[index - 1]})
            at += _delay(rng, 0.2) + _HOUR
            yield at, DealChanged(deal_id=deal, properties={"dealstage": open_stages[index]})
    if won or rng.random() < 0.7:
        at += _delay(rng, step if won else 0.5 * cycle_days)
        yield at, _closing(deal, at, pipeline, value if won else 0.0)


def _closing(deal: int, at: int, pipeline: Pipeline, won: float) -> DealChanged:
    stage = pipeline.stages[-2 if won else -1]
    properties: Properties = {"dealstage": stage.id, "closedate": iso_ms(at)}
    if won:
        properties["amount"] = f"{won:.2f}"
    return DealChanged(deal_id=deal, properties=properties, won=won)


def _draw_value(rng: np.random.Generator, odds: Prospects) -> float:
    """A lognormal value whose mean is the ad's; two decimals, at least 1."""
    sigma = odds.deal_value_sigma
    return max(round(float(odds.deal_value * np.exp(rng.normal(-(sigma**2) / 2, sigma))), 2), 1.0)


def _delay(rng: np.random.Generator, median_days: float) -> int:
    """A lognormal delay in milliseconds, never under a second."""
    return max(int(rng.lognormal(np.log(median_days), 0.8) * _DAY), 1000)


def _organic(lead: Lead) -> Properties:
    return {"hs_analytics_source": "ORGANIC_SEARCH", "hs_analytics_first_url": lead.page}
