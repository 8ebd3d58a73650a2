"""Meta's objects as adctl knows them: campaigns, ad sets, ads; who owns a budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adctl.domain.ids import AdId, AdSetId, CampaignId, CreativeId


class EntityKind(StrEnum):
    CAMPAIGN = "campaign"
    AD_SET = "ad_set"
    AD = "ad"


class Field(StrEnum):
    DAILY_BUDGET = "daily_budget"
    STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdAccount:
    """What Meta says of the ad account. `min_daily_budget` is in minor units, 0 when Meta gives none."""

    meta_ad_account: str
    name: str
    currency: str
    timezone: str
    min_daily_budget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Budgets are minor units; a campaign with one owns the budget of its ad sets (Advantage campaign budget)."""

    campaign_id: CampaignId
    name: str
    status: str
    effective_status: str
    daily_budget: int | None = None
    lifetime_budget: int | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdSet:
    """Budgets are minor units, None when the campaign owns them."""

    ad_set_id: AdSetId
    campaign_id: CampaignId
    name: str
    status: str
    effective_status: str
    daily_budget: int | None = None
    lifetime_budget: int | None = None
    learning_stage: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ad:
    """`names_itself`: whether the addresses it leads to hold its id; None where it leads to none or nobody looked."""

    ad_id: AdId
    ad_set_id: AdSetId
    campaign_id: CampaignId
    name: str
    status: str
    effective_status: str
    creative_id: CreativeId | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    names_itself: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityState:
    """What a fresh GET of one object returned. `daily_budget` is minor units, None when the object has none."""

    kind: EntityKind
    entity_id: str
    status: str
    effective_status: str
    daily_budget: int | None
    lifetime_budget: int | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One entry of Meta's change log, whoever made it. The values are in Meta's words, empty where it gives none."""

    kind: EntityKind
    entity_id: str
    field: Field
    old: str
    new: str
    at: datetime


# UNKNOWN is what a file gives: it lists what ran, and says nothing of status.
_RUNNING = frozenset({"ACTIVE", "UNKNOWN"})
_OVER = frozenset({"ARCHIVED", "DELETED", "DISAPPROVED"})


def is_on(status: str) -> bool:
    """True for the status of something that nobody has paused or removed."""
    return status in _RUNNING


def has_ended(effective_status: str) -> bool:
    """True when Meta delivers an ad no more, whatever its own status says."""
    return effective_status in _OVER


def is_running(ad: Ad, ad_set: AdSet | None, campaign: Campaign | None) -> bool:
    """True when nobody has paused the ad, its ad set or its campaign, and Meta has not ended the ad."""
    parents = [parent.status for parent in (ad_set, campaign) if parent is not None]
    return not has_ended(ad.effective_status) and all(is_on(status) for status in (ad.status, *parents))
