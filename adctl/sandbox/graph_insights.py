"""The insights edge: what the world's day ledgers look like in the Graph API, numbers as strings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from adctl.sandbox.ad_objects import Ad, AdSet, Campaign
from adctl.sandbox.currency import major_text, offset_of
from adctl.sandbox.graph_errors import GraphError, invalid
from adctl.sandbox.world import World

_FIELDS = frozenset(
    (
        *("account_id", "account_name", "account_currency", "campaign_id", "campaign_name", "adset_id", "adset_name"),
        *(
            "ad_id",
            "ad_name",
            "spend",
            "impressions",
            "reach",
            "frequency",
            "clicks",
            "inline_link_clicks",
            "ctr",
            "cpc",
        ),
        *("cpm", "actions", "action_values", "attribution_setting", "date_start", "date_stop", "objective"),
    )
)
_LEVELS = ("account", "campaign", "adset", "ad")
_PRESETS = {
    "today": (0, 0),
    "yesterday": (1, 1),
    "last_7d": (7, 1),
    "last_14d": (14, 1),
    "last_28d": (28, 1),
    "last_30d": (30, 1),
}
_LEAD = ("lead", "offsite_conversion.fb_pixel_lead")
_PURCHASE = ("purchase", "offsite_conversion.fb_pixel_purchase")


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightsQuery:
    """What was asked for; `ads` are positions in the tree, `daily` gives a row per day instead of one for the range."""

    level: str
    ads: tuple[int, ...]
    since: date
    until: date
    daily: bool
    fields: tuple[str, ...]
    windows: tuple[str, ...]


def parse_query(world: World, node_id: str, params: dict[str, Any]) -> InsightsQuery:
    """Reads an insights request of an account, campaign, ad set or ad; GraphError for what Meta would refuse."""
    node = world.tree.by_id.get(node_id)
    own = {Campaign: "campaign", AdSet: "adset", Ad: "ad"}.get(type(node), "account")
    level = str(params.get("level", own))
    if level not in _LEVELS or _LEVELS.index(level) < _LEVELS.index(own):
        raise invalid(f"Param level must be one of {{{', '.join(_LEVELS)}}}")
    fields = tuple(part.strip() for part in str(params.get("fields", "impressions,spend")).split(",") if part.strip())
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise invalid(f"{unknown[0]} is not valid for fields param")
    since, until = _range(world, params)
    return InsightsQuery(
        level=level,
        ads=tuple(_ads_below(world, node)),
        since=since,
        until=until,
        daily=_increment(params),
        fields=fields,
        windows=tuple(_json(params, "action_attribution_windows", [])),
    )


def rows(world: World, query: InsightsQuery) -> list[tuple[date, date, list[int]]]:
    """The rows that have statistics, as (first day, last day, ads) in a fixed order; only they come back from Meta."""
    groups: dict[str, list[int]] = {}
    for number in query.ads:
        groups.setdefault(_key(world.tree.ads[number], query.level), []).append(number)
    days = sorted(day for day in world.delivery.days if query.since <= day <= query.until)
    spans = [(day, day) for day in days] if query.daily else [(query.since, query.until)]
    found = []
    for first, last in spans:
        seen = np.zeros(len(world.tree.ads), dtype=np.int64)
        for day in days:
            if first <= day <= last:
                seen += world.delivery.days[day].impressions
        found += [(first, last, ads) for ads in groups.values() if seen[ads].sum() > 0]
    return found


def show_row(world: World, query: InsightsQuery, row: tuple[date, date, list[int]]) -> dict[str, Any]:
    """One row as JSON, with the asked fields and always its dates."""
    first, last, ads = row
    sums = _Sums(world, first, last, ads)
    values = _names(world, world.tree.ads[ads[0]], query.level) | sums.numbers() | sums.actions(query.windows)
    values |= {
        "date_start": first.isoformat(),
        "date_stop": last.isoformat(),
        "attribution_setting": "1d_view_7d_click",
    }
    wanted = {*query.fields, "date_start", "date_stop"}
    return {name: value for name, value in values.items() if name in wanted}


class _Sums:
    """The ledger's sums over a row's days and ads."""

    def __init__(self, world: World, first: date, last: date, ads: list[int]) -> None:
        self._currency = world.options.currency
        ledgers = [ledger for day, ledger in world.delivery.days.items() if first <= day <= last]
        offset = offset_of(self._currency)
        self.spend = sum(int(ledger.spend_minor(offset, ads).sum()) for ledger in ledgers)
        self.impressions = sum(int(ledger.impressions[ads].sum()) for ledger in ledgers)
        self.clicks = sum(int(ledger.clicks[ads].sum()) for ledger in ledgers)
        self.link_clicks = sum(int(ledger.link_clicks[ads].sum()) for ledger in ledgers)
        self.conversions = {
            kind: sum(int(ledger.conversions[kind][ads].sum()) for ledger in ledgers)
            for kind in ("lead_click", "lead_view", "purchase")
        }
        # An audience that has seen much of an ad sees it more often on one day, too.
        seen = [1.2 + 2 * -np.expm1(-world.delivery.traits.wear[ads] * ledger.worn[ads]) for ledger in ledgers]
        self.reach = round(
            sum(float((ledger.impressions[ads] / times).sum()) for ledger, times in zip(ledgers, seen, strict=True))
        )
        value = sum(float(ledger.purchase_value[ads].sum()) for ledger in ledgers)
        self.purchase_value = round(value * offset)

    def numbers(self) -> dict[str, str]:
        """The plain figures."""
        reach = max(self.reach, 1)
        spend = self.spend / offset_of(self._currency)
        return {
            "spend": major_text(self.spend, self._currency),
            "impressions": str(self.impressions),
            "reach": str(reach),
            "frequency": f"{self.impressions / reach:.6f}",
            "clicks": str(self.clicks),
            "inline_link_clicks": str(self.link_clicks),
            "ctr": f"{100 * self.clicks / max(self.impressions, 1):.6f}",
            "cpc": f"{spend / max(self.clicks, 1):.6f}",
            "cpm": f"{1000 * spend / max(self.impressions, 1):.6f}",
        }

    def actions(self, windows: tuple[str, ...]) -> dict[str, list[dict[str, str]]]:
        """Actions and their values, under the names Meta counts each conversion by; absent without any."""
        leads = (self.conversions["lead_click"], self.conversions["lead_view"])
        counted = [_action("link_click", self.link_clicks, 0, windows)]
        counted += [_action(name, *leads, windows) for name in _LEAD]
        counted += [_action(name, self.conversions["purchase"], 0, windows) for name in _PURCHASE]
        amount = major_text(self.purchase_value, self._currency)
        worth = [{"action_type": name, "value": amount} for name in _PURCHASE if self.purchase_value]
        worth = [value | ({"7d_click": amount} if "7d_click" in windows else {}) for value in worth]
        lists = {"actions": [action for action in counted if action is not None], "action_values": worth}
        return {name: entries for name, entries in lists.items() if entries}


def _action(name: str, clicks: int, views: int, windows: tuple[str, ...]) -> dict[str, str] | None:
    """An action row; an explicit window without a conversion has no key."""
    if not clicks + views:
        return None
    split = {"1d_click": clicks * 4 // 5, "7d_click": clicks, "28d_click": clicks, "1d_view": views}
    explicit = {window: str(split[window]) for window in windows if split.get(window)}
    return {"action_type": name, "value": str(clicks + views)} | explicit


def _names(world: World, ad: Ad, level: str) -> dict[str, str]:
    """Ids and names of the row's object and those above it."""
    account, campaign = world.tree.account, ad.ad_set.campaign
    pairs = [("account", account.id, account.name), ("campaign", campaign.id, campaign.name)]
    pairs += [("adset", ad.ad_set.id, ad.ad_set.name), ("ad", ad.id, ad.name)]
    named = {"account_currency": account.currency, "objective": campaign.objective}
    for kind, node_id, name in pairs[: _LEVELS.index(level) + 1]:
        named |= {f"{kind}_id": node_id, f"{kind}_name": name}
    return named


def _key(ad: Ad, level: str) -> str:
    return {"account": "", "campaign": ad.ad_set.campaign.id, "adset": ad.ad_set.id, "ad": ad.id}[level]


def _ads_below(world: World, node: object) -> Iterator[int]:
    """Positions of the node's ads; an account hides its deleted ones, the ad itself does not."""
    for number, ad in enumerate(world.tree.ads):
        inside = node is None or any(node is above for above in (ad.ad_set, ad.ad_set.campaign))
        if ad is node or (inside and ad.status != "DELETED"):
            yield number


def _range(world: World, params: dict[str, Any]) -> tuple[date, date]:
    """Both days inclusive, in the account's time zone."""
    asked = _json(params, "time_range", {})
    try:
        if asked:
            since, until = date.fromisoformat(asked["since"]), date.fromisoformat(asked["until"])
        else:
            back, to = _PRESETS[str(params.get("date_preset", "last_30d"))]
            since, until = world.today - timedelta(days=back), world.today - timedelta(days=to)
    except (KeyError, ValueError, TypeError) as error:
        raise invalid("Must be a valid time range") from error
    if since > until:
        raise invalid("The start date must be before the end date (since > until)")
    if (world.today - since).days > 37 * 31:
        raise GraphError(
            3018, "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
        )
    return since, until


def _increment(params: dict[str, Any]) -> bool:
    increment = str(params.get("time_increment", "all_days"))
    if increment not in ("1", "all_days"):
        raise invalid("Param time_increment must be 1 or all_days here")
    return increment == "1"


def _json(params: dict[str, Any], name: str, default: Any) -> Any:
    """A parameter that is JSON in the query, or an object already in a JSON body."""
    value = params.get(name, default)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise invalid(f"Param {name} must be valid JSON") from error
