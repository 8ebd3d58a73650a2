"""The Meta Graph stand-in: one ad account, its edges, insights, reports and writes in the wire format of v26.0."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from adctl.sandbox.ad_objects import HIDDEN, Ad, AdSet, Campaign, Creative, effective_status
from adctl.sandbox.currency import offset_of, price_level
from adctl.sandbox.graph_activities import APPLICATION, activities, show_activity
from adctl.sandbox.graph_batch import answer_batch
from adctl.sandbox.graph_edits import Edits
from adctl.sandbox.graph_errors import GraphError, bad_token, invalid, unknown_object
from adctl.sandbox.graph_insights import InsightsQuery, parse_query, rows, show_row
from adctl.sandbox.graph_media import images, videos
from adctl.sandbox.graph_nodes import FieldTree, Node, parse_fields, show
from adctl.sandbox.graph_paging import page
from adctl.sandbox.graph_reports import Reports
from adctl.sandbox.messages import Reply, Request
from adctl.sandbox.server import StandIn
from adctl.sandbox.world import World

_EDITABLE = frozenset({"status", "name", "daily_budget", "lifetime_budget", "review"})


class MetaServer(StandIn):
    """Answers for the one account of the world; the token comes as parameter or as Bearer header."""

    def __init__(self, world: World, token: str, port: int = 0) -> None:
        self._edits = Edits(world, APPLICATION)
        self._reports = Reports(world)
        self._charged: list[tuple[datetime, int]] = []
        self._rows: tuple[Any, list[Any]] = (None, [])
        super().__init__(world, token, port)

    def points(self, request: Request) -> int:
        """Reads cost 1, by-ids reads 1 per id, writes 3."""
        if request.method == "POST":
            return 3
        return max(len(str(request.params.get("ids", "")).split(",")), 1)

    def answer(self, request: Request) -> Reply:
        self._charge(self.points(request))
        try:
            self._authenticate(request)
            reply = Reply.of(self._route(request))
        except GraphError as error:
            reply = error.reply()
        return Reply(status=reply.status, body=reply.body, headers=reply.headers | self._usage(request))

    def edit_by_person(self, edit: Mapping[str, Any]) -> Any:
        """`{"id": …, "status" | "name" | "daily_budget" | "lifetime_budget" | "review": …}`, as in Ads Manager.

        Besides `{"ad": id, "url_tags": …}` and, what Meta does by itself, `{"restate": ad, "day": …, "clicks": n}`.
        """
        match edit:
            case {"ad": ad_id, "url_tags": tags}:
                self._ad(ad_id).creative.wire["url_tags"] = str(tags)
                return {"success": True}
            case {"restate": ad_id, "day": day, "clicks": number}:
                ledger = self.world.delivery.days[date.fromisoformat(str(day))]
                ledger.clicks[self.world.tree.ads.index(self._ad(ad_id))] += int(number)
                self._rows = (None, [])
                return {"success": True}
        node = self.world.tree.by_id[str(edit["id"])]
        values = {name: value for name, value in edit.items() if name != "id"}
        if isinstance(node, Creative) or not all(hasattr(node, name) and name in _EDITABLE for name in values):
            raise ValueError(f"a person cannot edit {sorted(values)} of a {type(node).__name__}")
        for name, value in values.items():
            self.world.edit(node, name, int(value) if name.endswith("_budget") else value)
        return {"success": True}

    def _ad(self, ad_id: object) -> Ad:
        return next(ad for ad in self.world.tree.ads if ad.id == str(ad_id))

    def _authenticate(self, request: Request) -> None:
        given = request.params.get("access_token") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != self.token:
            raise bad_token()

    def _route(self, request: Request) -> Any:
        parts = re.sub(r"^/v\d+\.\d+", "", request.path).strip("/").split("/")
        if request.method not in ("GET", "POST") or len(parts) > 2:
            raise GraphError(100, "Unsupported request method", kind="GraphMethodException")
        if request.method == "POST":
            return self._post(request, parts)
        if parts == [""]:
            return self._by_ids(request)
        if parts == ["me", "permissions"]:
            granted = ("ads_management", "ads_read", "business_management")
            return page(request, granted, lambda name: {"permission": name, "status": "granted"}, self.url)
        if parts == ["me"]:
            return {"id": "122100000000001", "name": "Sandbox system user"}
        return self._get_node(request, parts[0]) if len(parts) == 1 else self._get_edge(request, *parts)

    def _post(self, request: Request, parts: list[str]) -> Any:
        if parts == [""]:
            return answer_batch(request, self._route)
        if parts[1:] == ["insights"]:
            self._node(parts[0])
            query = parse_query(self.world, parts[0], request.params)
            return {"report_run_id": self._reports.start(query, request.fault)}
        node = self.world.tree.by_id.get(parts[0])
        if len(parts) != 1 or node is None:
            raise unknown_object(parts[0])
        request.applied = self._edits.apply(node, request.params)
        return {"success": True}

    def _by_ids(self, request: Request) -> dict[str, Any]:
        fields = _fields(request)
        ids = [part for part in str(request.params.get("ids", "")).split(",") if part]
        if not ids or len(ids) > 50:
            raise invalid("Param ids must name 1 to 50 objects")
        return {node_id: show(self.world, self._node(node_id), fields) for node_id in ids}

    def _get_node(self, request: Request, node_id: str) -> dict[str, Any]:
        if self._reports.knows(node_id):
            return self._reports.poll(node_id)
        return show(self.world, self._node(node_id), _fields(request))

    def _node(self, node_id: str) -> Node:
        account = self.world.tree.account
        node = account if node_id == account.node_id else self.world.tree.by_id.get(node_id)
        if node is None:
            raise unknown_object(node_id)
        return node

    def _get_edge(self, request: Request, node_id: str, edge: str) -> dict[str, Any]:
        if edge == "insights" and self._reports.knows(node_id):
            return self._insights(request, self._reports.result(node_id))
        node = self._node(node_id)
        if edge == "insights":
            return self._insights(request, parse_query(self.world, node_id, request.params))
        if edge in ("campaigns", "adsets", "ads"):
            return self._children(request, node, edge)
        if node is self.world.tree.account and edge == "minimum_budgets":
            return page(request, _minimum_budgets(), dict, self.url)
        if node is self.world.tree.account and edge == "adimages":
            return page(request, images(self.world, request.params), dict, self.url)
        if node is self.world.tree.account and edge == "advideos":
            return page(request, videos(self.world), dict, self.url)
        if node is self.world.tree.account and edge == "activities":
            log = activities(self.world, request.params)
            return page(request, log, lambda entry: show_activity(self.world, entry), self.url)
        raise invalid(f"Tried accessing nonexisting field ({edge}) on node type ({type(node).__name__})")

    def _children(self, request: Request, node: Node, edge: str) -> dict[str, Any]:
        """Objects below a node; archived and deleted ones only when their status is asked for."""
        tree, fields = self.world.tree, _fields(request)
        edges: dict[str, Sequence[Campaign | AdSet | Ad]]
        edges = {"campaigns": tree.campaigns, "adsets": tree.ad_sets, "ads": tree.ads}
        keep = _filter(request.params)
        found = [child for child in edges[edge] if (node is tree.account or node in _above(child)) and keep(child)]
        return page(request, found, lambda child: show(self.world, child, fields), self.url)

    def _insights(self, request: Request, query: InsightsQuery) -> dict[str, Any]:
        """A page of insight rows; the list of rows is kept while the clock stands still, as walks ask for it again."""
        key = (query, self.world.now, len(self.world.tree.activities))
        if self._rows[0] != key:
            self._rows = (key, rows(self.world, query))
        return page(request, self._rows[1], lambda row: show_row(self.world, query, row), self.url)

    def _charge(self, points: int) -> None:
        now = self.world.now
        self._charged = [entry for entry in self._charged if now - entry[0] < timedelta(hours=1)]
        self._charged.append((now, points))

    def _usage(self, request: Request) -> dict[str, str]:
        """The usage headers: points of the last hour against the account's quota, or what an armed fault claims."""
        active = sum(1 for ad in self.world.tree.ads if effective_status(ad) == "ACTIVE")
        percent = min(sum(points for _, points in self._charged) * 100 // (100_000 + 40 * active), 100)
        minutes = 0
        if request.fault is not None and request.struck_by("usage"):
            percent = int(request.fault.values.get("percent", 100))
            minutes = int(request.fault.values.get("minutes", 25))
        insights = "insights" in request.path
        case = {
            "type": "ads_insights" if insights else "ads_management",
            "call_count": percent,
            "total_cputime": percent // 2,
            "total_time": percent // 2,
            "estimated_time_to_regain_access": minutes,
            "ads_api_access_tier": "standard_access",
        }
        account = {
            "acc_id_util_pct": float(percent),
            "reset_time_duration": minutes * 60,
            "ads_api_access_tier": "standard_access",
        }
        headers = {
            "X-Business-Use-Case-Usage": json.dumps({self.world.tree.account.id: [case]}),
            "X-Ad-Account-Usage": json.dumps(account),
            "X-App-Usage": json.dumps({"call_count": percent, "total_cputime": 0, "total_time": 0}),
            "facebook-api-version": "v26.0",
        }
        throttle = {"app_id_util_pct": 0.0, "acc_id_util_pct": float(percent), "ads_api_access_tier": "standard_access"}
        return headers | ({"x-fb-ads-insights-throttle": json.dumps(throttle)} if insights else {})


def _fields(request: Request) -> FieldTree:
    return parse_fields(str(request.params.get("fields", "id")))


def _above(child: Campaign | AdSet | Ad) -> tuple[object, ...]:
    if isinstance(child, Ad):
        return child.ad_set, child.ad_set.campaign
    return (child.campaign,) if isinstance(child, AdSet) else ()


def _filter(params: dict[str, Any]) -> Callable[[Campaign | AdSet | Ad], bool]:
    """What `effective_status` and `filtering` keep; without a status, everything but archived and deleted objects."""
    try:
        raw = params.get("effective_status", "null")
        statuses = json.loads(raw) if isinstance(raw, str) else raw
        conditions = json.loads(params.get("filtering", "[]"))
    except ValueError as error:
        raise invalid("Param effective_status or filtering must be valid JSON") from error
    for condition in conditions:
        name = str(condition.get("field", "")).rpartition(".")[2]
        if name != "effective_status" or condition.get("operator") != "IN":
            raise invalid(
                f"Filtering field {condition.get('field')} with operation {condition.get('operator')} is not supported"
            )
        statuses = [*(statuses or []), *condition["value"]]
    if statuses is None:
        return lambda child: effective_status(child) not in HIDDEN
    return lambda child: effective_status(child) in statuses


def _minimum_budgets() -> list[dict[str, Any]]:
    """The edge lists every currency, whatever the account's."""
    names = (
        "min_daily_budget_imp",
        "min_daily_budget_video_views",
        "min_daily_budget_high_freq",
        "min_daily_budget_low_freq",
    )
    currencies = ("EUR", "GBP", "HUF", "JPY", "KWD", "TWD", "USD")
    return [
        {"currency": code} | dict(zip(names, (_units(code, n) for n in (1, 1, 5, 40)), strict=True))
        for code in currencies
    ]


def _units(currency: str, dollars: int) -> int:
    return round(dollars * price_level(currency) * offset_of(currency))
