"""An account as the commands know it: a Meta ad account and the HubSpot portal behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from adctl.domain.ids import Account
from adctl.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProfile:
    """`currency` and `timezone` are the ad account's own; they are pinned in the database at first use."""

    account: Account
    meta_ad_account: str
    hubspot_portal: str
    currency: str
    timezone: str

    def day(self, now: datetime, asked: date | None = None) -> date:
        """The account day `asked`, else today. Raises UsageError for a day that has not begun."""
        today = now.astimezone(ZoneInfo(self.timezone)).date()
        if asked is not None and asked > today:
            raise UsageError(f"{asked} has not begun: what is said of it would stand", fix=f"--as-of {today} at most")
        return asked or today
