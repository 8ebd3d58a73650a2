"""Deals, contacts, associations and pipelines as HubSpot's CRM API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adctl.sandbox.crm import Pipeline, Record, iso_ms
from adctl.sandbox.hubspot_properties import ALWAYS, DEFAULTS, property_type

_INLINE = 100
_TYPE_IDS = {("deals", "contacts"): 3, ("contacts", "deals"): 4}


def show_record(
    kind: str, record: Record, properties: Sequence[str], history: Sequence[str] = (), associations: Sequence[str] = ()
) -> dict[str, Any]:
    """A record with the asked properties; unknown names are ignored, known ones without a value are null."""
    names = [*ALWAYS[kind], *properties] if properties else DEFAULTS[kind]
    defined = [name for name in dict.fromkeys(names) if name in record.properties or property_type(kind, name)]
    known = {name: record.properties.get(name) for name in defined}
    shown: dict[str, Any] = {
        "id": str(record.id),
        "properties": known,
        "createdAt": iso_ms(record.created),
        "updatedAt": iso_ms(record.updated),
        "archived": record.archived_at is not None,
    }
    if record.archived_at is not None:
        shown["archivedAt"] = iso_ms(record.archived_at)
    if history:
        shown["propertiesWithHistory"] = {name: _versions(record, name) for name in history if name in record.history}
    linked = {other: _inline(kind, record, other) for other in associations if record.links.get(other)}
    return shown | ({"associations": linked} if linked else {})


def show_links(kind: str, record: Record, other: str, after: int, limit: int) -> dict[str, Any]:
    """One page of a record's associations in the v4 form: `to` and, when there is more, `paging`."""
    ids = [other_id for other_id in sorted(record.links.get(other, {})) if other_id > after]
    page: dict[str, Any] = {"to": [_link(kind, other, i, record.links[other][i]) for i in ids[:limit]]}
    if len(ids) > limit:
        page["paging"] = {"next": {"after": str(ids[limit - 1]), "link": f"?after={ids[limit - 1]}"}}
    return page


def show_pipeline(pipeline: Pipeline, order: int) -> dict[str, Any]:
    """A pipeline with its stages; the stages' metadata are strings, as the vendor has them."""
    at = iso_ms(pipeline.updated)
    stages = [
        {
            "id": stage.id,
            "label": stage.label,
            "displayOrder": position,
            "metadata": {"isClosed": str(stage.closed).lower(), "probability": stage.probability},
            "createdAt": at,
            "updatedAt": at,
            "archived": False,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }
        for position, stage in enumerate(pipeline.stages)
    ]
    shown = {"id": pipeline.id, "label": pipeline.label, "displayOrder": order, "stages": stages}
    return shown | {"createdAt": at, "updatedAt": at, "archived": False}


def _versions(record: Record, name: str) -> list[dict[str, Any]]:
    """The property's history, newest first."""
    return [
        {"value": version.value or "", "timestamp": iso_ms(version.at), "sourceType": version.source}
        | {"sourceId": version.source_id}
        for version in reversed(record.history[name])
    ]


def _inline(kind: str, record: Record, other: str) -> dict[str, Any]:
    """Associations beside a record: the first 100, and a hint that there are more."""
    ids = sorted(record.links[other])
    name = f"{kind[:-1]}_to_{other[:-1]}"
    listed: dict[str, Any] = {"results": [{"id": str(i), "type": name} for i in ids[:_INLINE]]}
    if len(ids) > _INLINE:
        listed["paging"] = {"next": {"after": str(ids[_INLINE - 1]), "link": f"?after={ids[_INLINE - 1]}"}}
    return listed


def _link(kind: str, other: str, other_id: int, labels: tuple[str, ...]) -> dict[str, Any]:
    type_id = _TYPE_IDS[kind, other]
    types: list[dict[str, Any]] = [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}]
    types += [{"category": "USER_DEFINED", "typeId": 100 + len(label), "label": label} for label in labels]
    return {"toObjectId": other_id, "associationTypes": types}
