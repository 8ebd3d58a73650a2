"""Makes the delivery plan of a day from the budgets and statuses in force."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from adctl.sandbox.ad_objects import AdSet, AdTree, Campaign, effective_status
from adctl.sandbox.currency import offset_of
from adctl.sandbox.delivery import Plan
from adctl.sandbox.launch import budget_owner
from adctl.sandbox.truth import FloatArray


def make_plan(tree: AdTree, spent: FloatArray, now: datetime) -> Plan:
    """Who may deliver from `now` on, and with whose money; `spent` is each ad's spend so far in major units."""
    owners: dict[str, int] = {}
    daily: list[float] = []
    for ad in tree.ads:
        owner = budget_owner(ad)
        if owner.id not in owners:
            owners[owner.id] = len(owners)
            daily.append(_daily_major(tree, owner, spent, now))
    return Plan(
        active=np.array([effective_status(ad) == "ACTIVE" for ad in tree.ads]),
        owner=np.array([owners[budget_owner(ad).id] for ad in tree.ads], dtype=np.int64),
        daily=np.array(daily),
    )


def _daily_major(tree: AdTree, owner: Campaign | AdSet, spent: FloatArray, now: datetime) -> float:
    """The owner's money for a day in major units; of a lifetime budget the rest, spread over the days left."""
    offset = offset_of(tree.account.currency)
    if isinstance(owner, Campaign) or owner.lifetime_budget is None or owner.end is None:
        return (owner.daily_budget or 0) / offset
    used = sum(float(spent[i]) for i, ad in enumerate(tree.ads) if ad.ad_set is owner)
    days = (owner.end - now) / timedelta(days=1)
    return max(owner.lifetime_budget / offset - used, 0.0) / max(days, 1.0) if days > 0 else 0.0
