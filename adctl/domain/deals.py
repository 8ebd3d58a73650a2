"""HubSpot's objects and their history: deals, stage moves, contacts, pipelines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adctl.domain.ids import AdId, ContactId, DealId


class Outcome(StrEnum):
    """What a stage means for the money: a deal there is open, won or lost."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as the CRM defines it; `position` is the CRM's own order within the pipeline."""

    pipeline: str
    stage: str
    label: str
    position: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMove:
    """A deal entered a stage; the same move read twice is one move."""

    deal_id: DealId
    pipeline: str
    stage: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A deal as last read. `amount` is minor units of `currency`, None when nobody filled it in.

    `ad_id` and `click_id` are attribution keys that came with the deal itself (an export's own columns).
    """

    deal_id: DealId
    pipeline: str
    stage: str
    amount: int | None
    currency: str
    created_at: datetime | None
    closed_at: datetime | None
    modified_at: datetime
    archived: bool = False
    merged_into: DealId | None = None
    contact_id: ContactId | None = None
    ad_id: AdId | None = None
    click_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """The attribution properties of a contact and nothing that names the person.

    `first_url_ad_id` is the ad id found in the first landing URL, else in a form's `utm_content`, `click_id`
    the fbclid found there or in the contact's own property.
    """

    contact_id: ContactId
    created_at: datetime
    first_url_ad_id: AdId | None
    click_id: str | None
