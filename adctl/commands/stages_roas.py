"""What each ad brought for its money, by the values of the stages that its deals stand in."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Engine

from adctl.adapters.db import transaction
from adctl.adapters.store import accounts
from adctl.adapters.store.history import account_history
from adctl.domain.accounts import AccountProfile
from adctl.domain.counted import counted
from adctl.domain.report import Column, Fact, Kind, MadeRows, Report, Table
from adctl.errors import UsageError


def run(engine: Engine, profile: AccountProfile, *, ad: str | None = None) -> Report:
    """Spend, synthetic revenue and ROAS of every ad of the last year, or of one; the best first. Reads only.

    Raises UsageError for an unknown ad.
    """
    with transaction(engine, read_only=True, snapshot=True) as connection:
        accounts.check_pinned(connection, profile)
        today = accounts.now(connection).astimezone(ZoneInfo(profile.timezone)).date()
        history = account_history(connection, profile, today).history
    if ad is not None and ad not in history.ad_ids:
        raise UsageError(f"ad {ad!r} is not known to account {profile.account!r}", fix="adctl sync-meta")
    n = len(history.ad_ids)
    spend = np.bincount(history.row_ad, weights=history.row_spend, minlength=n)
    value = np.bincount(history.deal_ad, weights=history.deal_value, minlength=n)
    cash = np.bincount(history.deal_ad, weights=history.deal_cash, minlength=n)
    number = np.bincount(history.deal_ad, minlength=n)
    roas = np.where(spend > 0, value / np.maximum(spend, 1.0), np.nan)
    order = np.lexsort((-spend, -np.nan_to_num(roas, nan=-1.0)))
    places = [history.ad_ids.index(ad)] if ad is not None else order.tolist()

    def row(place: int) -> dict[str, str | int | float | None]:
        one = places[place]
        return {
            "ad_id": history.ad_ids[one],
            "spend": int(spend[one]),
            "deals": int(number[one]),
            "value": int(value[one]),
            "cash": int(cash[one]),
            "roas": None if np.isnan(roas[one]) else float(roas[one]),
        }

    return Report(
        command="stages roas",
        account=profile.account,
        currency=profile.currency,
        summary=f"{counted(len(places), 'ad')}, their deals at the values of {today}.",
        facts=(
            Fact(key="spend", label="spent", value=int(spend[places].sum()), kind=Kind.MONEY),
            Fact(key="value", label="synthetic revenue", value=int(value[places].sum()), kind=Kind.MONEY),
        ),
        tables=(_table(MadeRows(number=len(places), make=row)),),
    )


def _table(rows: MadeRows) -> Table:
    return Table(
        key="ads",
        title="Ads",
        columns=(
            Column(key="ad_id", label="ad"),
            Column(key="spend", label="spent", kind=Kind.MONEY),
            Column(key="deals", label="deals", kind=Kind.COUNT),
            Column(key="value", label="value", kind=Kind.MONEY),
            Column(key="cash", label="of it won", kind=Kind.MONEY),
            Column(key="roas", label="ROAS", kind=Kind.RATIO),
        ),
        rows=rows,
        empty="No ads are known: run adctl sync-meta or adctl ingest-ads.",
        shown=30,
    )
