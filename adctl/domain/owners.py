"""Who owns a daily budget, campaign or ad set, and how it is shared over the ads it pays for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adctl.domain.allocation import split_budgets
from adctl.domain.entities import AdSet, Campaign, EntityKind
from adctl.domain.ids import AdSetId, CampaignId
from adctl.domain.policies.protocol import Floats, Ints

# An ad that has not spent yet still gets this part of an equal share, or it could never show what it is worth.
_NEWCOMER_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The campaign or ad set that owns a daily budget (minor units)."""

    kind: EntityKind
    entity_id: str
    campaign_id: CampaignId
    ad_set_id: AdSetId | None
    daily_budget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbudgeted:
    """A campaign or ad set whose budget adctl does not touch, and why."""

    kind: EntityKind
    entity_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Who owns the budgets: `owner_of` gives an ad set's owner as an index of `owners`; others have none."""

    owners: tuple[Owner, ...]
    owner_of: Mapping[AdSetId, int]
    unbudgeted: tuple[Unbudgeted, ...]


def ownership(campaigns: Sequence[Campaign], ad_sets: Sequence[AdSet]) -> Ownership:
    """The owner of every ad set's budget, in the order given: its campaign if that has a budget, else the ad set."""
    by_id = {campaign.campaign_id: campaign for campaign in campaigns}
    owners = [_campaign_owner(campaign) for campaign in campaigns if campaign.daily_budget is not None]
    index = {owner.campaign_id: place for place, owner in enumerate(owners)}
    owner_of: dict[AdSetId, int] = {}
    unbudgeted = [_lifetime(EntityKind.CAMPAIGN, campaign.campaign_id) for campaign in campaigns if _ends(campaign)]
    for ad_set in ad_sets:
        campaign = by_id.get(ad_set.campaign_id)
        if ad_set.campaign_id in index:
            owner_of[ad_set.ad_set_id] = index[ad_set.campaign_id]
        elif ad_set.daily_budget is not None:
            owner_of[ad_set.ad_set_id] = len(owners)
            owners.append(_ad_set_owner(ad_set, ad_set.daily_budget))
        elif ad_set.lifetime_budget is not None:
            unbudgeted.append(_lifetime(EntityKind.AD_SET, ad_set.ad_set_id))
        elif campaign is None or not _ends(campaign):
            reason = "no budget is known, neither its own nor its campaign's"
            unbudgeted.append(Unbudgeted(kind=EntityKind.AD_SET, entity_id=ad_set.ad_set_id, reason=reason))
    return Ownership(owners=tuple(owners), owner_of=owner_of, unbudgeted=tuple(unbudgeted))


def ad_shares(budgets: Ints, owner: Ints, recent_spend: Ints) -> Ints:
    """How each owner's budget is shared over its active ads, by what they spent in the last 7 days; minor units.

    `budgets` has one entry per owner; `owner` (index of `budgets`) and `recent_spend` one per active ad. A quarter of
    an equal share is everyone's, new ads included. Every owner that has ads is shared out exactly.
    """
    members = np.bincount(owner, minlength=len(budgets))
    sure = budgets // np.maximum(members * _NEWCOMER_PARTS, 1)
    weights: Floats = recent_spend.astype(np.float64)
    return sure[owner] + split_budgets(budgets - sure * members, owner, weights)


def _campaign_owner(campaign: Campaign) -> Owner:
    return Owner(
        kind=EntityKind.CAMPAIGN,
        entity_id=campaign.campaign_id,
        campaign_id=campaign.campaign_id,
        ad_set_id=None,
        daily_budget=campaign.daily_budget or 0,
    )


def _ad_set_owner(ad_set: AdSet, daily_budget: int) -> Owner:
    return Owner(
        kind=EntityKind.AD_SET,
        entity_id=ad_set.ad_set_id,
        campaign_id=ad_set.campaign_id,
        ad_set_id=ad_set.ad_set_id,
        daily_budget=daily_budget,
    )


def _ends(campaign: Campaign) -> bool:
    return campaign.daily_budget is None and campaign.lifetime_budget is not None


def _lifetime(kind: EntityKind, entity_id: str) -> Unbudgeted:
    return Unbudgeted(kind=kind, entity_id=entity_id, reason="it has a lifetime budget, which adctl does not change")
