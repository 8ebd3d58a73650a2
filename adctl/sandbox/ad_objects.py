"""The simulated ad account's objects: campaigns, ad sets, ads, creatives, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

HIDDEN = frozenset({"ARCHIVED", "DELETED"})


@dataclass(slots=True, kw_only=True)
class AdAccount:
    """One Meta ad account; budgets are in minor units of its currency."""

    id: str
    name: str
    currency: str
    timezone: str
    status: int = 1
    min_daily_budget: int
    created: datetime

    @property
    def node_id(self) -> str:
        """The id as it stands in a path, with its `act_`."""
        return f"act_{self.id}"


@dataclass(slots=True, kw_only=True)
class Campaign:
    """A campaign; with a budget of its own (Advantage campaign budget) its ad sets have none."""

    id: str
    name: str
    objective: str
    status: str
    daily_budget: int | None
    created: datetime
    updated: datetime


@dataclass(slots=True, kw_only=True)
class AdSet:
    """An ad set; exactly one of daily and lifetime budget is set unless its campaign owns the budget."""

    id: str
    name: str
    campaign: Campaign
    status: str
    daily_budget: int | None
    lifetime_budget: int | None = None
    end: datetime | None = None
    created: datetime
    updated: datetime
    learning_since: datetime


@dataclass(slots=True, kw_only=True)
class Creative:
    """What an ad shows; `page` is where it leads, `wire` holds the fields as the Graph API names them."""

    id: str
    hook: str
    page: str
    wire: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Ad:
    """An ad; `review` overrides its effective status while Meta looks at it."""

    id: str
    name: str
    ad_set: AdSet
    creative: Creative
    status: str
    review: str | None = None
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One entry of the account's change log; the application tells a tool's edit from a person's."""

    at: datetime
    event_type: str
    object_id: str
    object_name: str
    object_type: str
    old: str | int | None
    new: str | int | None
    application: str


@dataclass(slots=True, kw_only=True)
class AdTree:
    """All objects of the account in creation order, found by id."""

    account: AdAccount
    campaigns: list[Campaign]
    ad_sets: list[AdSet]
    ads: list[Ad]
    activities: list[Activity] = field(default_factory=list)
    by_id: dict[str, Campaign | AdSet | Ad | Creative] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes: list[Campaign | AdSet | Ad | Creative] = [*self.campaigns, *self.ad_sets, *self.ads]
        nodes.extend(ad.creative for ad in self.ads)
        self.by_id = {node.id: node for node in nodes}


def edit_entry(
    node: Campaign | AdSet | Ad, field: str, old: str | int | None, new: str | int, *, at: datetime, application: str
) -> Activity:
    """The change log's entry for an edit of a status, a name or a budget."""
    kind = {Campaign: "campaign", AdSet: "ad_set", Ad: "ad"}[type(node)]
    name = {"status": "run_status", "daily_budget": "budget", "lifetime_budget": "budget"}.get(field, field)
    return Activity(
        at=at,
        event_type=f"update_{kind}_{name}",
        object_id=node.id,
        object_name=node.name,
        object_type=kind.upper(),
        old=old,
        new=new,
        application=application,
    )


def owns_budget(node: Campaign | AdSet) -> bool:
    """Whether the budget of this part of the tree is set on this node."""
    if isinstance(node, Campaign):
        return node.daily_budget is not None
    return node.campaign.daily_budget is None


def effective_status(node: Campaign | AdSet | Ad) -> str:
    """The status Meta would show: the node's own, else the one its parents or a review force on it."""
    above = _parent_status(node)
    if node.status in HIDDEN or above is None:
        return node.status
    if above in HIDDEN:
        return above
    if isinstance(node, Ad) and node.review is not None:
        return node.review
    return node.status if node.status != "ACTIVE" else above


def _parent_status(node: Campaign | AdSet | Ad) -> str | None:
    """What the parents force on a node, or None for a campaign, which has none."""
    if isinstance(node, Campaign):
        return None
    if isinstance(node, AdSet):
        return "CAMPAIGN_PAUSED" if node.campaign.status == "PAUSED" else node.campaign.status
    outer = effective_status(node.ad_set)
    return "ADSET_PAUSED" if outer == "PAUSED" else outer
