"""Insight rows: decimal strings to minor units, and conversions counted once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from adctl.adapters.meta.parsing import Row, malformed, object_id, text, whole
from adctl.domain.ids import AdId, AdSetId, CampaignId
from adctl.domain.insights import Insight
from adctl.domain.money import is_plain_number, offset
from adctl.errors import ConfigurationError

# The default window differs from ad to ad, so both are asked for by name and stored with the row.
WINDOWS: Final = ("7d_click", "1d_view")
FIELDS: Final = (
    "account_id,account_currency,campaign_id,adset_id,ad_id,spend,impressions,reach,clicks,inline_link_clicks,"
    "actions,action_values,attribution_setting,date_start,date_stop"
)

# Meta repeats one conversion under several names. The first name present counts, the others are never added to it:
# the widest count first, then the narrower ones of older pixels and forms.
_LEADS: Final = (
    "lead",
    "onsite_conversion.lead_grouped",
    "offsite_conversion.fb_pixel_lead",
    "leadgen_grouped",
    "leadgen.other",
)
_PURCHASES: Final = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase", "onsite_web_purchase")

_Counts = Mapping[str, Decimal]


def insight_of(row: Row, currency: str) -> Insight:
    """One daily row of one ad. Raises ConfigurationError when the row is in another currency than the account."""
    told = row.get("account_currency", currency)
    if told != currency:
        raise ConfigurationError(
            f"meta: insights of ad {row.get('ad_id')} are in {told}, the account is in {currency}",
            fix="check the account's currency in Ads Manager",
        )
    counts, values = _actions(row, "actions"), _actions(row, "action_values")
    leads = _first(_LEADS, counts)
    purchases = _first(_PURCHASES, {**values, **counts})
    return Insight(
        ad_id=AdId(object_id(row, "ad_id")),
        ad_set_id=AdSetId(object_id(row, "adset_id")),
        campaign_id=CampaignId(object_id(row, "campaign_id")),
        first_day=_day(row, "date_start"),
        day=_day(row, "date_stop"),
        impressions=whole(row, "impressions"),
        clicks=whole(row, "clicks"),
        link_clicks=whole(row, "inline_link_clicks"),
        spend=_minor(_number(row, "spend", row.get("spend", "0")), currency),
        leads=_rounded(counts.get(leads, Decimal(0))),
        purchases=_rounded(counts.get(purchases, Decimal(0))),
        purchase_value=_minor(values.get(purchases, Decimal(0)), currency),
        windows=",".join(WINDOWS),
        reach=whole(row, "reach") if row.get("reach") is not None else None,
    )


def _first(names: tuple[str, ...], present: _Counts) -> str:
    return next((name for name in names if name in present), "")


def _actions(row: Row, field: str) -> dict[str, Decimal]:
    """Action type -> count or value in major units."""
    entries = row.get(field, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise malformed(row, field)
    return {str(entry.get("action_type")): _in_windows(row, field, entry) for entry in entries}


def _in_windows(row: Row, field: str, entry: Row) -> Decimal:
    """The sum over the asked windows; a window that is absent is 0.

    `value` is the ad's own window setting: it counts only where Meta gave no window at all.
    """
    given = [_number(row, field, entry[window]) for window in WINDOWS if window in entry]
    return sum(given, Decimal(0)) if given else _number(row, field, entry.get("value", "0"))


def _number(row: Row, field: str, value: object) -> Decimal:
    plain = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not is_plain_number(plain):
        raise malformed(row, field)
    return Decimal(plain)


def _minor(major: Decimal, currency: str) -> int:
    """Meta sends converted values with more decimals than the currency has: the nearest minor unit."""
    return _rounded(major * offset(currency))


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _day(row: Row, field: str) -> date:
    try:
        return date.fromisoformat(text(row, field))
    except ValueError:
        raise malformed(row, field) from None
