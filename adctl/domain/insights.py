"""What Meta reports for one ad on one day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from adctl.domain.ids import AdId, AdSetId, CampaignId


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """One reading of one ad over `first_day`..`day` (account days, both inclusive; equal for a daily row).

    `spend` and `purchase_value` are minor units of the account's currency. Meta restates a row for 28 days.
    """

    ad_id: AdId
    ad_set_id: AdSetId
    campaign_id: CampaignId
    first_day: date
    day: date
    impressions: int
    clicks: int
    link_clicks: int
    spend: int
    leads: int
    purchases: int
    purchase_value: int
    windows: str
