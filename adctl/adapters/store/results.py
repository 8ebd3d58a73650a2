"""What the account's money has brought by now, as the same history that policies read."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection

from adctl.adapters.store.daily_rows import HISTORY_DAYS
from adctl.adapters.store.history import account_history, reported_values
from adctl.domain.accounts import AccountProfile
from adctl.domain.outcomes import Outcomes, outcomes


def results(connection: Connection, profile: AccountProfile, today: date, since: date | None) -> Outcomes:
    """Outcomes of every day since `since`, a year back at most, as known now.

    Ads whose value a file reports have none: that value belongs to no day.
    """
    history = account_history(connection, profile, today).history
    days = 1 if since is None else min((today - since).days + 1, HISTORY_DAYS)
    return outcomes(history, days=max(days, 1), left_out=reported_values(connection, profile.account).keys())
