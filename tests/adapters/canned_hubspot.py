"""HubSpot's answers as tests need them, and the CRM adapter on a server that gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from adctl.adapters.hubspot import HubSpotCrm, Patience
from tests.adapters.canned_server import Answerer, Asked, CannedServer, Told, serving

CANARY = "pat-eu1-canary-token"
QUICK = Patience(
    connect=1.0, read=1.0, deadline=1.0, tries=3, pause=0.01, rate_pause=0.01, longest_wait=0.05, search_interval=0.0
)
CREATED = "2026-01-01T10:00:00Z"

Json = Mapping[str, object]


@contextmanager
def hubspot(
    answer: Answerer, patience: Patience = QUICK, currency: str = "USD"
) -> Iterator[tuple[HubSpotCrm, CannedServer]]:
    with (
        serving(answer) as server,
        HubSpotCrm(token=CANARY, currency=currency, base_url=server.url, patience=patience) as crm,
    ):
        yield crm, server


def deal(number: int, history: Json | None = None, **properties: object) -> dict[str, object]:
    defaults = {"dealstage": "lead", "pipeline": "default", "hs_lastmodifieddate": "2026-01-02T10:00:00.123Z"}
    return {
        "id": str(number),
        "properties": {**defaults, **properties},
        "propertiesWithHistory": history or {},
        "createdAt": CREATED,
        "updatedAt": "2026-01-02T10:00:00Z",
        "archived": False,
    }


def version(value: str, at: str) -> dict[str, object]:
    return {"value": value, "timestamp": at, "sourceType": "CRM_UI"}


def contact(
    number: int,
    url: str | None = None,
    click: str | None = None,
    created: str = CREATED,
    content: str | None = None,
) -> dict[str, object]:
    properties = {"hs_analytics_first_url": url, "hs_facebook_click_id": click, "utm_content": content}
    return {"id": str(number), "properties": properties, "createdAt": created, "archived": False}


def linked(deal_id: int, *contacts: int, label: str | None = None, after: str | None = None) -> dict[str, object]:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": label}]
    row: dict[str, object] = {
        "from": {"id": str(deal_id)},
        "to": [{"toObjectId": one, "associationTypes": types} for one in contacts],
    }
    return {**row, "paging": {"next": {"after": after}}} if after else row


def portal(
    deals: list[dict[str, object]],
    *,
    contacts: list[dict[str, object]] | None = None,
    links: Callable[[Asked], list[dict[str, object]]] | None = None,
    **routes: Told,
) -> Answerer:
    """A small portal: list, search and batch read of these deals; `routes` overrule a path by its last word."""

    def answer(asked: Asked) -> Told:
        word = asked.path.rstrip("/").rsplit("/", 1)[-1]
        if word in routes:
            return routes[word]
        if asked.path.startswith("/crm/v4/associations"):
            return Told(body={"status": "COMPLETE", "results": links(asked) if links else []})
        if word == "search":
            return Told(body=search_page(asked, deals))
        if word == "deals":
            wanted = asked.query.get("archived") == "true"
            return Told(body={"results": [one for one in deals if one["archived"] is wanted]})
        rows = deals if "/deals/" in asked.path else contacts or []
        ids = asked_ids(asked)
        return Told(body={"status": "COMPLETE", "results": [row for row in rows if row["id"] in ids]})

    return answer


def search_page(asked: Asked, deals: list[dict[str, object]]) -> dict[str, object]:
    groups = asked.json["filterGroups"]
    assert isinstance(groups, list)
    least = next(int(one["value"]) for one in groups[0]["filters"] if one["propertyName"] == "hs_object_id")
    found = [one for one in deals if int(str(one["id"])) >= least]
    limit = asked.json["limit"]
    assert isinstance(limit, int)
    return {"total": len(found), "results": [{"id": one["id"]} for one in found[:limit]]}


def asked_ids(asked: Asked) -> list[str]:
    inputs = asked.json["inputs"]
    assert isinstance(inputs, list)
    return [str(one["id"]) for one in inputs]
