"""An account as the commands know it: a Meta ad account and the HubSpot portal behind it."""

from __future__ import annotations

from dataclasses import dataclass

from adctl.domain.ids import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProfile:
    """`currency` and `timezone` are the ad account's own; they are pinned in the database at first use."""

    account: Account
    meta_ad_account: str
    hubspot_portal: str
    currency: str
    timezone: str
