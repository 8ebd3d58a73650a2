"""Builders of funnels for the tests of the bayes policy: ads told in days, deals in the days they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from adctl.domain.policies.protocol import AdHistory

DAY = date(2026, 3, 2)
STAGES = ("lead", "qualified", "won")
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """Days ago that it came, was qualified, won and lost; NaN for never. `amount` is minor units when won."""

    came: float
    qualified: float = NAN
    won: float = NAN
    lost: float = NAN
    amount: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One ad: what it spent (minor units) and got a day for `days` days, up to today, and its deals."""

    ad_id: str = "ad"
    campaign: int = 0
    days: int = 20
    spend: int = 5_000
    impressions: int = 4_000
    clicks: int = 80
    deals: tuple[Deal, ...] = ()
    budget: int = 5_000
    active: bool = True


def told(*stories: Story, account: str = "acme", day: date = DAY) -> AdHistory:
    rows = [(ad, ago, s) for ad, s in enumerate(stories) for ago in range(s.days - 1, -1, -1)]
    deals = [(ad, deal) for ad, s in enumerate(stories) for deal in s.deals]
    return AdHistory(
        account=account,
        day=day,
        currency="USD",
        minor_per_major=100,
        ad_ids=tuple(s.ad_id for s in stories),
        campaign=_ints([s.campaign for s in stories]),
        active=np.array([s.active for s in stories], dtype=np.bool_),
        age_hours=np.array([s.days * 24.0 for s in stories]),
        budget=_ints([s.budget if s.active else 0 for s in stories]),
        row_ad=_ints([ad for ad, _, _ in rows]),
        row_days_ago=_ints([ago for _, ago, _ in rows]),
        row_impressions=_ints([s.impressions for _, _, s in rows]),
        row_clicks=_ints([s.clicks for _, _, s in rows]),
        row_spend=_ints([s.spend for _, _, s in rows]),
        row_leads=_ints([0] * len(rows)),
        deal_ad=_ints([ad for ad, _ in deals]),
        deal_days_ago=_ints([int(deal.came) for _, deal in deals]),
        deal_value=_ints([deal.amount if deal.won == deal.won else 0 for _, deal in deals]),
        deal_cash=_ints([deal.amount if deal.won == deal.won else 0 for _, deal in deals]),
        stages=STAGES,
        deal_entered=np.array([(d.came, d.qualified, d.won) for _, d in deals], dtype=np.float64).reshape(-1, 3),
        deal_lost=np.array([d.lost for _, d in deals], dtype=np.float64),
    )


def deals(leads: int, wins: int, *, days: int = 20, amount: int = 10_000) -> tuple[Deal, ...]:
    """`leads` deals spread over the days; the oldest `wins` won after 4 days, of the others each third one lost."""
    made = []
    for place in range(leads):
        came = (days - 0.5) * (1 - place / leads)
        if place < wins and came > 4:
            made.append(Deal(came=came, qualified=came - 1.5, won=came - 4, amount=amount))
        elif place % 3 == 0 and came > 6:
            made.append(Deal(came=came, lost=came - 5))
        else:
            made.append(Deal(came=came))
    return tuple(made)


def account(ads: int = 12) -> tuple[Story, ...]:
    """A small account whose ads range from hopeless to excellent, in three campaigns."""
    return tuple(
        Story(
            ad_id=f"ad{place:02}",
            campaign=place % 3,
            days=10 + place,
            spend=3_000 + 250 * place,
            clicks=40 + 7 * ((place * 5) % 11),
            deals=deals(2 + 3 * place, place * place // 6, days=10 + place, amount=9_000 + 1_500 * (place % 4)),
            budget=3_000 + 250 * place,
        )
        for place in range(ads)
    )


def _ints(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)
