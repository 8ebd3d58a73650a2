"""The HubSpot CRM stand-in: lists, search, batch reads, associations, pipelines of one portal, read-only."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from adctl.sandbox.crm import MODIFIED, Record, iso_ms
from adctl.sandbox.hubspot_errors import HubSpotError
from adctl.sandbox.hubspot_properties import definitions
from adctl.sandbox.hubspot_records import show_links, show_pipeline, show_record
from adctl.sandbox.hubspot_search import bounds, find, without_id_floor
from adctl.sandbox.messages import Reply, Request
from adctl.sandbox.server import StandIn
from adctl.sandbox.world import World, epoch_ms

_LINKS = 500
_KINDS = "|".join(MODIFIED)


class HubSpotServer(StandIn):
    """Answers for the one portal of the world; the token comes as Bearer header."""

    def __init__(self, world: World, token: str, port: int = 0) -> None:
        self._found: tuple[Any, list[Record]] = (None, [])
        self._routes: tuple[tuple[str, re.Pattern[str], Callable[..., Reply]], ...] = tuple(
            (method, re.compile(f"{path}/?$"), answer)
            for method, path, answer in (
                ("GET", f"/crm/v3/objects/({_KINDS})", self._list),
                ("GET", rf"/crm/v3/objects/({_KINDS})/(\d+)", self._get),
                ("POST", f"/crm/v3/objects/({_KINDS})/search", self._search),
                ("POST", f"/crm/v3/objects/({_KINDS})/batch/read", self._batch_read),
                ("POST", f"/crm/v4/associations/({_KINDS})/({_KINDS})/batch/read", self._batch_links),
                ("GET", rf"/crm/v4/objects/({_KINDS})/(\d+)/associations/({_KINDS})", self._links),
                ("GET", "/crm/v3/pipelines/deals", self._pipelines),
                ("GET", f"/crm/v3/properties/({_KINDS})", self._properties),
                ("GET", "/account-info/v3/details", self._details),
                ("GET", "/account-info/v3/api-usage/daily/private-apps", self._usage),
            )
        )
        super().__init__(world, token, port)

    def points(self, request: Request) -> int:
        """Every call costs 1 of the daily and ten-second quota."""
        return 1

    def answer(self, request: Request) -> Reply:
        try:
            if request.headers.get("authorization") != f"Bearer {self.token}":
                raise HubSpotError(401, "Authentication credentials not found or not valid", "INVALID_AUTHENTICATION")
            return self._route(request)
        except HubSpotError as error:
            return error.reply()

    def edit_by_person(self, edit: Mapping[str, Any]) -> Any:
        """One of `{"add_deals": n}`, `{"pipeline": id, "label": …}`, `{"archive": id}`, `{"erase": id}` (for good),
        `{"merge": id, "into": id}`, `{"associate": deal, "contact": id}`, `{"id": …, "properties": {…}}`; `type` is
        deals unless given.
        """
        portal, now, kind = self.world.portal, epoch_ms(self.world.now), str(edit.get("type", "deals"))
        match edit:
            case {"add_deals": number}:
                return {"ids": [str(i) for i in self.world.add_deals(int(number))]}
            case {"pipeline": pipeline_id, "label": label}:
                portal.rename_pipeline(str(pipeline_id), str(label), now)
            case {"archive": record_id}:
                portal.archive(kind, int(record_id), now)
            case {"erase": record_id}:
                portal.erase(kind, int(record_id))
            case {"merge": loser, "into": winner}:
                portal.merge(kind, int(winner), int(loser), now)
            case {"associate": deal, "contact": contact}:
                portal.associate(int(deal), int(contact))
            case {"id": record_id, "properties": properties}:
                portal.change(kind, int(record_id), now, dict(properties))
            case _:
                raise ValueError(f"no such edit: {dict(edit)}")
        return {"success": True}

    def _route(self, request: Request) -> Reply:
        for method, pattern, answer in self._routes:
            match = pattern.match(request.path)
            if match and method == request.method:
                reply = answer(request, *match.groups())
                return Reply(status=reply.status, body=reply.body, headers=reply.headers | self._quota(request))
        raise HubSpotError(404, f"No route for {request.method} {request.path}", "OBJECT_NOT_FOUND")

    def _quota(self, request: Request) -> dict[str, str]:
        """Rate-limit headers, which searches do not carry."""
        if request.path.endswith("/search"):
            return {}
        left = max(650_000 - len(self.log), 0)
        return {
            "X-HubSpot-RateLimit-Daily": "650000",
            "X-HubSpot-RateLimit-Daily-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": "190",
            "X-HubSpot-RateLimit-Remaining": "189",
        }

    def _list(self, request: Request, kind: str) -> Reply:
        """A page in order of id: at most 100 records, 50 with history."""
        history = request.many("propertiesWithHistory")
        limit, after = _number(request, "limit", 10), _number(request, "after", 0)
        if not 1 <= limit <= (50 if history else 100):
            raise HubSpotError(400, f"Invalid input: limit {limit} exceeds the maximum of {50 if history else 100}")
        archived = _archived(request)
        later = self.world.portal.collections[kind].after(after)
        wanted = list(islice((record for record in later if (record.archived_at is not None) == archived), limit + 1))
        asked = (request.many("properties"), history, request.many("associations"))
        page: dict[str, Any] = {"results": [show_record(kind, record, *asked) for record in wanted[:limit]]}
        if len(wanted) > limit and not request.struck_by("paging_lost"):
            last = str(wanted[limit - 1].id)
            page["paging"] = {"next": {"after": last, "link": f"{self.url}{request.path}?after={last}"}}
        return Reply.of(page)

    def _get(self, request: Request, kind: str, record_id: str) -> Reply:
        """One record; a merged one answers as its winner, an archived one only when asked for."""
        record = self.world.portal.collections[kind].records.get(int(record_id))
        while record is not None and record.merged_into is not None:
            record = self.world.portal.collections[kind].records[record.merged_into]
        archived = _archived(request)
        if record is None or (record.archived_at is not None) != archived:
            raise HubSpotError(404, "resource not found", "OBJECT_NOT_FOUND")
        asked = [request.many(name) for name in ("properties", "propertiesWithHistory", "associations")]
        return Reply.of(show_record(kind, record, *asked))

    def _search(self, request: Request, kind: str) -> Reply:
        """A page of matches; the list of matches is kept while nothing changes, as walks ask for it again and again."""
        collection, body = self.world.portal.collections[kind], request.body
        first, last = bounds(body)
        lag = _index_lag(request)
        indexed_until = None if lag is None else epoch_ms(self.world.now) - round(lag * 1000)
        names = ("filterGroups", "sorts", "query")
        whole, floor = without_id_floor(body)
        key = (kind, collection.revision, indexed_until, repr([whole.get(name) for name in names]))
        if self._found[0] != key:
            self._found = (key, find(collection, kind, whole, indexed_until))
        found = self._found[1]
        start = bisect_right(found, floor, key=lambda record: record.id) if floor >= 0 else 0
        rows = found[start + first : start + last]
        shown = [show_record(kind, record, body.get("properties") or ()) for record in rows]
        page: dict[str, Any] = {"total": len(found) - start, "results": shown}
        if start + last < len(found):
            page["paging"] = {"next": {"after": str(last)}}
        return Reply.of(page)

    def _batch_read(self, request: Request, kind: str) -> Reply:
        """At most 100 by id, 50 with history, live ones unless archived ones are asked for; 207 names the rest."""
        body = request.body
        ids = _ids(body)
        history = body.get("propertiesWithHistory") or ()
        if len(ids) > (50 if history else 100):
            raise HubSpotError(400, f"The maximum number of inputs is {50 if history else 100}, got {len(ids)}")
        records = self.world.portal.collections[kind].records
        archived = _archived(request)
        known = {i: records[i] for i in ids if i in records and (records[i].archived_at is not None) == archived}
        shown = [show_record(kind, record, body.get("properties") or (), history) for record in known.values()]
        missing = [str(i) for i in ids if i not in known]
        if request.struck_by("partial"):
            return self._batch(shown[1:], "Something went wrong on our side", [str(ids[0])], "INTERNAL_ERROR")
        return self._batch(shown, "Could not get some objects, they may be deleted or not exist", missing)

    def _batch_links(self, request: Request, kind: str, other: str) -> Reply:
        """Associations of at most 1,000 records, 500 each; records without any are left out."""
        inputs = request.body.get("inputs") or []
        if len(_ids(request.body)) > 1000:
            raise HubSpotError(400, f"The maximum number of inputs is 1000, got {len(inputs)}")
        records = self.world.portal.collections[kind].records
        results = []
        for one in inputs:
            record = records.get(int(one["id"]))
            if record is not None and record.archived_at is None and record.links.get(other):
                page = show_links(kind, record, other, int(one.get("after") or 0), _LINKS)
                results.append({"from": {"id": str(one["id"])}} | page)
        return self._batch(results, "", [])

    def _links(self, request: Request, kind: str, record_id: str, other: str) -> Reply:
        record = self.world.portal.collections[kind].records.get(int(record_id))
        if record is None:
            raise HubSpotError(404, "resource not found", "OBJECT_NOT_FOUND")
        page = show_links(kind, record, other, _number(request, "after", 0), _number(request, "limit", _LINKS))
        return Reply.of({"results": page.pop("to")} | page)

    def _pipelines(self, _: Request) -> Reply:
        return Reply.of({"results": [show_pipeline(p, i) for i, p in enumerate(self.world.portal.pipelines)]})

    def _properties(self, _: Request, kind: str) -> Reply:
        return Reply.of({"results": definitions(kind)})

    def _details(self, _: Request) -> Reply:
        portal = self.world.portal
        return Reply.of({"portalId": portal.id, "timeZone": portal.timezone, "companyCurrency": portal.currency})

    def _usage(self, _: Request) -> Reply:
        midnight = iso_ms(epoch_ms(datetime.combine(self.world.now.date(), datetime.min.time(), UTC)) + 86_400_000)
        usage = {"name": "private-apps-api-calls-daily", "usageLimit": 650_000, "currentUsage": len(self.log)}
        return Reply.of({"results": [usage | {"resetsAt": midnight, "fetchStatus": "SUCCESS"}]})

    def _batch(
        self, results: list[dict[str, Any]], message: str, missing: list[str], category: str = "OBJECT_NOT_FOUND"
    ) -> Reply:
        at = iso_ms(epoch_ms(self.world.now))
        body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
        if not missing:
            return Reply.of(body)
        error = {"status": "error", "category": category, "message": message, "context": {"ids": missing}}
        return Reply.of(body | {"numErrors": 1, "errors": [error | {"errors": [], "links": {}}]}, status=207)


def _number(request: Request, name: str, default: int) -> int:
    text = str(request.params.get(name, default))
    if not text.isdigit():
        raise HubSpotError(400, f"Invalid input: {name} must be an integer")
    return int(text)


def _archived(request: Request) -> bool:
    """The SDK writes True, other clients true."""
    return str(request.params.get("archived")).lower() == "true"


def _ids(body: dict[str, Any]) -> list[int]:
    """The distinct input ids, in order; HubSpotError 400 for anything that is no number."""
    inputs: Iterable[dict[str, Any]] = body.get("inputs") or []
    texts = [str(one.get("id", "")) for one in inputs]
    if not texts or not all(text.isdigit() for text in texts):
        raise HubSpotError(400, "Invalid input: inputs must be a list of numeric ids")
    return list(dict.fromkeys(map(int, texts)))


def _index_lag(request: Request) -> float | None:
    """Seconds of world time the search index is behind, if a fault says so."""
    fault = request.fault
    return fault.seconds(600) if fault is not None and request.struck_by("late_index") else None
