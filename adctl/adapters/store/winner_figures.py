"""What each ad did and brought up to the last day whose results are complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from adctl.adapters.store import deals, history, revenue, winners
from adctl.domain.accounts import AccountProfile
from adctl.domain.deals import Outcome
from adctl.domain.ids import AdId
from adctl.domain.revenue import revenue_book
from adctl.domain.winner_plan import AdFigures

# A win is tied to a click of the last seven days unless the account says otherwise; younger spend is not judged yet.
ATTRIBUTION_LAG_DAYS = 7


def mature(
    connection: Connection, profile: AccountProfile, now: datetime, lag_days: int
) -> tuple[tuple[AdFigures, ...], list[int]]:
    """What each ad did and brought up to the last judged day, and the worth of each win."""
    zone = ZoneInfo(profile.timezone)
    last_day = now.astimezone(zone).date() - timedelta(days=lag_days)
    lead_before = datetime.combine(last_day + timedelta(days=1), time(), zone)
    figures = {f.ad_id: f for f in winners.ad_figures(connection, profile.account, until=last_day)}
    win_values: list[int] = []
    for ad_id, value, won in _yields(connection, profile, now, lead_before):
        before = figures.get(ad_id, AdFigures(ad_id=ad_id))
        figures[ad_id] = replace(before, wins=before.wins + won, value=before.value + value)
        win_values += [value] * won
    return tuple(figures.values()), win_values


def _yields(
    connection: Connection, profile: AccountProfile, now: datetime, lead_before: datetime
) -> list[tuple[AdId, int, bool]]:
    """Ad, synthetic revenue, and whether it is a win, of everything credited.

    A value that a bulk file reports stands instead of the ad's deals, and as one win: how many it was is not known.
    """
    reported = history.reported_values(connection, profile.account)
    credited = winners.credited_deals(connection, profile.account, until=lead_before)
    live = {d.deal_id: d for d in deals.live(connection, profile.account) if d.deal_id in credited}
    values = revenue.stage_values(connection, profile.account)
    lines = [(ad_id, value, value > 0) for ad_id, value in sorted(reported.items())]
    for entry in revenue_book(live.values(), values, at=now, currency=profile.currency).revenues:
        ad_id, deal = credited[entry.deal_id], live[entry.deal_id]
        stage = values.at(deal.pipeline, deal.stage, now)
        if ad_id not in reported:
            lines.append((ad_id, entry.value, stage is not None and stage.outcome is Outcome.WON))
    return lines
