"""What Meta reports for one ad on one day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from adctl.domain.ids import AdId, AdSetId, CampaignId


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """One reading of one ad over `first_day`..`day` (account days, both inclusive; equal for a daily row).

    `spend` and `purchase_value` are minor units of the account's currency. `reach` is how many people saw the ad, None
    where the source does not say. Meta restates a row for 28 days.
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
    reach: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightPart:
    """Days of insights (both inclusive) of the account, or of one campaign, that are read as one report."""

    since: date
    until: date
    campaign_id: CampaignId | None = None

    def halves(self, campaigns: Sequence[CampaignId]) -> tuple[InsightPart, ...]:
        """Smaller parts that together are this one: by days, a single day by campaigns; empty when it has none."""
        if self.since < self.until:
            middle = self.since + (self.until - self.since) // 2
            return replace(self, until=middle), replace(self, since=middle + timedelta(days=1))
        if self.campaign_id is None:
            return tuple(replace(self, campaign_id=one) for one in campaigns)
        return ()
