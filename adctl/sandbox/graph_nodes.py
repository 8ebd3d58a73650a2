"""The ad account's objects as the Graph API shows them: field expansion and the value of each field."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from adctl.sandbox.ad_objects import Ad, AdAccount, AdSet, Campaign, Creative, effective_status
from adctl.sandbox.graph_errors import invalid
from adctl.sandbox.world import World

Node = AdAccount | Campaign | AdSet | Ad | Creative
FieldTree = dict[str, "FieldTree"]

_CREATIVE = (
    *("account_id", "actor_id", "asset_feed_spec", "body", "call_to_action_type", "effective_object_story_id", "id"),
    *("image_hash", "image_url", "link_url", "name", "object_story_id", "object_story_spec", "object_type", "status"),
    *("thumbnail_url", "title", "url_tags", "video_id"),
)


def parse_fields(text: str) -> FieldTree:
    """`id,creative{id,body}` as a tree; GraphError for unbalanced braces."""
    tokens = re.findall(r"[^{},\s]+|[{}]", text)
    stack: list[FieldTree] = [{}]
    last: FieldTree | None = None
    for token in tokens:
        if token == "{" and last is not None:
            stack.append(last)
            last = None
        elif token == "}" and len(stack) > 1:
            stack.pop()
        elif token in "{}":
            raise invalid(f"Syntax error in field expansion: {text}")
        else:
            # A modifier such as .limit(5) narrows an edge; nodes have nothing to narrow.
            last = stack[-1].setdefault(token.split(".")[0], {})
    if len(stack) != 1:
        raise invalid(f"Syntax error in field expansion: {text}")
    return stack[0]


def show(world: World, node: Node, fields: FieldTree) -> dict[str, Any]:
    """The node with the asked fields; what has no value is left out, as Meta does. GraphError for an unknown field."""
    known = _FIELDS[type(node)]
    shown: dict[str, Any] = {"id": node.node_id if isinstance(node, AdAccount) else node.id}
    for name, inner in fields.items():
        if name not in known:
            raise invalid(f"Tried accessing nonexisting field ({name}) on node type ({type(node).__name__})")
        value = known[name](world, node)
        if isinstance(value, Node):
            shown[name] = show(world, value, inner)
        elif value is not None:
            shown[name] = _narrow(value, inner)
    return shown


def graph_time(world: World, at: datetime | None) -> str | None:
    """An instant in the account's time zone, as the Graph API prints it."""
    return at.astimezone(world.zone).strftime("%Y-%m-%dT%H:%M:%S%z") if at else None


def _narrow(value: Any, inner: FieldTree) -> Any:
    """The asked keys of a plain object, such as object_story_spec{link_data}."""
    if not inner or not isinstance(value, dict):
        return value
    return {name: _narrow(value[name], deeper) for name, deeper in inner.items() if name in value}


def _utc_hours(world: World) -> float:
    """Hours the account's clock is ahead of UTC now."""
    return (world.now.astimezone(world.zone).utcoffset() or timedelta()) / timedelta(hours=1)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _daily(node: AdSet) -> str | None:
    """A daily budget; 0 beside a lifetime budget, absent when the campaign owns the money."""
    return "0" if node.lifetime_budget is not None else _text(node.daily_budget)


def _lifetime(node: AdSet) -> str | None:
    return "0" if node.daily_budget is not None else _text(node.lifetime_budget)


def _learning(world: World, node: AdSet) -> dict[str, str]:
    """Learning lasts three days of the world after creation or a budget step above 20 %."""
    learning = world.now - node.learning_since < timedelta(days=3)
    return {"status": "LEARNING" if learning else "SUCCESS"}


_Getter = Callable[[World, Any], Any]

_COMMON: dict[str, _Getter] = {
    "id": lambda _, node: node.id,
    "name": lambda _, node: node.name,
    "account_id": lambda world, _: world.tree.account.id,
    "status": lambda _, node: node.status,
    "configured_status": lambda _, node: node.status,
    "effective_status": lambda _, node: effective_status(node),
    "created_time": lambda world, node: graph_time(world, node.created),
    "updated_time": lambda world, node: graph_time(world, node.updated),
}
_FIELDS: dict[type, dict[str, _Getter]] = {
    AdAccount: {
        "id": lambda _, node: node.node_id,
        "account_id": lambda _, node: node.id,
        "name": lambda _, node: node.name,
        "currency": lambda _, node: node.currency,
        "timezone_name": lambda _, node: node.timezone,
        "timezone_offset_hours_utc": lambda world, _: _utc_hours(world),
        "account_status": lambda _, node: node.status,
        "disable_reason": lambda _, node: 0,
        "min_daily_budget": lambda _, node: node.min_daily_budget,
        "amount_spent": lambda world, _: str(world.totals().spend),
        "created_time": lambda world, node: graph_time(world, node.created),
    },
    Campaign: _COMMON
    | {
        "objective": lambda _, node: node.objective,
        "buying_type": lambda _, node: "AUCTION",
        "bid_strategy": lambda _, node: "LOWEST_COST_WITHOUT_CAP" if node.daily_budget is not None else None,
        "daily_budget": lambda _, node: _text(node.daily_budget),
        "lifetime_budget": lambda _, node: None,
        "budget_rebalance_flag": lambda _, node: False,
        "special_ad_categories": lambda _, node: [],
        "start_time": lambda world, node: graph_time(world, node.created),
    },
    AdSet: _COMMON
    | {
        "campaign_id": lambda _, node: node.campaign.id,
        "campaign": lambda _, node: node.campaign,
        "daily_budget": lambda _, node: _daily(node),
        "lifetime_budget": lambda _, node: _lifetime(node),
        "billing_event": lambda _, node: "IMPRESSIONS",
        "optimization_goal": lambda _, node: "OFFSITE_CONVERSIONS",
        "learning_stage_info": _learning,
        "attribution_spec": lambda _, node: [
            {"event_type": "CLICK_THROUGH", "window_days": 7},
            {"event_type": "VIEW_THROUGH", "window_days": 1},
        ],
        "start_time": lambda world, node: graph_time(world, node.created),
        "end_time": lambda world, node: graph_time(world, node.end),
    },
    Ad: _COMMON
    | {
        "adset_id": lambda _, node: node.ad_set.id,
        "adset": lambda _, node: node.ad_set,
        "campaign_id": lambda _, node: node.ad_set.campaign.id,
        "campaign": lambda _, node: node.ad_set.campaign,
        "creative": lambda _, node: node.creative,
    },
    Creative: {name: (lambda _, node, name=name: node.wire.get(name)) for name in _CREATIVE}
    | {"account_id": lambda world, _: world.tree.account.id},
}
