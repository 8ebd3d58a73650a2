"""Builders of ad histories for the tests of the policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from adctl.domain.policies.protocol import AdHistory

DAY = date(2026, 3, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdRecord:
    """One ad in a test's own words. Money is minor units; `spend` and counts are its whole past, on one day."""

    ad_id: str = "ad"
    impressions: int = 0
    clicks: int = 0
    spend: int = 0
    pipeline: int = 0
    cash: int = 0
    age_hours: float = 240.0
    budget: int = 1_000
    active: bool = True


def history(*ads: AdRecord, account: str = "acme", day: date = DAY, minor_per_major: int = 100) -> AdHistory:
    """A history with one daily row per ad and one deal per ad that has brought any value."""
    deals = [(index, ad.pipeline, ad.cash) for index, ad in enumerate(ads) if ad.pipeline or ad.cash]
    rows = range(len(ads))
    return AdHistory(
        account=account,
        day=day,
        currency="USD" if minor_per_major == 100 else "JPY",
        minor_per_major=minor_per_major,
        ad_ids=tuple(ad.ad_id for ad in ads),
        campaign=_ints([0] * len(ads)),
        active=np.array([ad.active for ad in ads], dtype=bool),
        age_hours=np.array([ad.age_hours for ad in ads], dtype=np.float64),
        budget=_ints([ad.budget for ad in ads]),
        row_ad=_ints(rows),
        row_days_ago=_ints([1] * len(ads)),
        row_impressions=_ints([ad.impressions for ad in ads]),
        row_clicks=_ints([ad.clicks for ad in ads]),
        row_spend=_ints([ad.spend for ad in ads]),
        row_leads=_ints([0] * len(ads)),
        deal_ad=_ints([index for index, _, _ in deals]),
        deal_days_ago=_ints([1] * len(deals)),
        deal_value=_ints([value for _, value, _ in deals]),
        deal_cash=_ints([cash for _, _, cash in deals]),
    )


def _ints(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)
