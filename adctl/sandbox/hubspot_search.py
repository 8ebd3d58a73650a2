"""HubSpot's CRM search: filters, one sort, pages of 200 and the wall at 10,000 results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from adctl.sandbox.crm import MODIFIED, Collection, Record
from adctl.sandbox.hubspot_errors import HubSpotError
from adctl.sandbox.hubspot_properties import property_type

WALL = 10_000
_GROUPS, _FILTERS, _ALL_FILTERS, _PAGE = 5, 10, 25, 200

Key = float | str
Test = Callable[[Record], bool]


def find(collection: Collection, kind: str, body: dict[str, Any], indexed_until: int | None) -> list[Record]:
    """Every live record the search matches, in its order, but those modified after `indexed_until` (epoch ms)."""
    wanted = _any_group(kind, body.get("filterGroups") or [])
    words = str(body.get("query") or "").lower()
    found = [
        record
        for record in collection.after(0)
        if record.archived_at is None
        and (indexed_until is None or record.updated <= indexed_until)
        and wanted(record)
        and (not words or any(words in (value or "").lower() for value in record.properties.values()))
    ]
    return _sorted(kind, found, body.get("sorts") or [])


def without_id_floor(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Splits `hs_object_id` > n off a search by id; (the search, -1) when it has none.

    A walk by id asks one question with a rising floor; apart from the floor its matches need to be found only once.
    """
    groups, sorts = body.get("filterGroups") or [], body.get("sorts") or []
    by_id = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    filters = (groups[0].get("filters") or []) if len(groups) == 1 else []
    floors = [
        one for one in filters if one.get("propertyName") == "hs_object_id" and one.get("operator") in ("GT", "GTE")
    ]
    if sorts not in ([], by_id) or len(floors) != 1 or not str(floors[0].get("value")).isdigit():
        return body, -1
    rest = [one for one in filters if one is not floors[0]]
    floor = int(floors[0]["value"]) - (floors[0]["operator"] == "GTE")
    return body | {"filterGroups": [{"filters": rest}]}, floor


def bounds(body: dict[str, Any]) -> tuple[int, int]:
    """First and last position of the asked page; HubSpotError 400 over the page size or past the wall."""
    limit, after = int(body.get("limit") or 10), str(body.get("after") or "0")
    if not 1 <= limit <= _PAGE:
        raise HubSpotError(400, f"Invalid input: limit must be between 1 and {_PAGE}")
    if not after.isdigit():
        raise HubSpotError(400, "Invalid input: after must be an integer")
    if int(after) + limit > WALL:
        raise HubSpotError(400, f"Paging through more than {WALL} results is not supported")
    return int(after), int(after) + limit


def _any_group(kind: str, groups: list[dict[str, Any]]) -> Test:
    """Groups are alternatives, the filters of one all hold."""
    filters = [group.get("filters") or [] for group in groups]
    if len(groups) > _GROUPS or max(map(len, filters), default=0) > _FILTERS or sum(map(len, filters)) > _ALL_FILTERS:
        raise HubSpotError(400, f"At most {_GROUPS} filterGroups of {_FILTERS} filters, {_ALL_FILTERS} in all")
    tests = [[_filter(kind, one) for one in group] for group in filters]
    return lambda record: not tests or any(all(test(record) for test in group) for group in tests)


def _filter(kind: str, one: dict[str, Any]) -> Test:
    """One filter as a test of a record."""
    name, operator = str(one.get("propertyName")), str(one.get("operator"))
    if property_type(kind, name) is None:
        raise HubSpotError(400, f"There was a problem with the request: property {name} cannot be searched")
    if operator == "HAS_PROPERTY":
        return lambda record: bool(record.properties.get(name))
    if operator == "NOT_HAS_PROPERTY":
        return lambda record: not record.properties.get(name)
    test = _comparison(kind, name, operator, one)
    if operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN"):
        return lambda record: not record.properties.get(name) or test(_key_of(kind, name, record))
    return lambda record: bool(record.properties.get(name)) and test(_key_of(kind, name, record))


def _comparison(kind: str, name: str, operator: str, one: dict[str, Any]) -> Callable[[Any], bool]:
    """The operator with its values bound."""
    value = _key(kind, name, one.get("value")) if "value" in one else ""
    values = [_key(kind, name, each) for each in one.get("values") or []]
    high = _key(kind, name, one.get("highValue")) if "highValue" in one else ""
    word = str(value).strip("*")
    operators: dict[str, Callable[[Any], bool]] = {
        "EQ": lambda it: bool(it == value),
        "NEQ": lambda it: bool(it != value),
        "LT": lambda it: bool(it < value),
        "LTE": lambda it: bool(it <= value),
        "GT": lambda it: bool(it > value),
        "GTE": lambda it: bool(it >= value),
        "BETWEEN": lambda it: bool(value <= it <= high),
        "IN": lambda it: it in values,
        "NOT_IN": lambda it: it not in values,
        "CONTAINS_TOKEN": lambda it: word in str(it),
        "NOT_CONTAINS_TOKEN": lambda it: word not in str(it),
    }
    if operator not in operators:
        raise HubSpotError(400, f"Invalid input: unknown operator {operator}")
    return operators[operator]


def _key_of(kind: str, name: str, record: Record) -> Key:
    """A record's value as it compares; what walks sort and filter by is read without parsing."""
    if name == "hs_object_id":
        return float(record.id)
    if name == MODIFIED[kind]:
        return float(record.updated)
    return _key(kind, name, record.properties[name])


def _key(kind: str, name: str, value: Any) -> Key:
    """A value as it compares: times in epoch milliseconds, numbers as numbers, text without case."""
    text = str(value or "")
    try:
        match property_type(kind, name):
            case "datetime" if not text.lstrip("-").isdigit():
                return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000
            case "datetime" | "number":
                return float(text)
    except ValueError as error:
        raise HubSpotError(400, f"Invalid input: {text!r} is no value of {name}") from error
    return text.lower()


def _sorted(kind: str, found: list[Record], sorts: list[Any]) -> list[Record]:
    """By the one sort allowed, then by id; records without a value come last."""
    if len(sorts) > 1:
        raise HubSpotError(400, "Only one sort is supported")
    if not sorts:
        return found
    one = sorts[0] if isinstance(sorts[0], dict) else {"propertyName": str(sorts[0]).removeprefix("-")}
    name = str(one.get("propertyName"))
    if property_type(kind, name) is None:
        raise HubSpotError(400, f"There was a problem with the request: property {name} cannot be sorted")
    down = one.get("direction") == "DESCENDING" or (isinstance(sorts[0], str) and sorts[0].startswith("-"))
    valued = [record for record in found if record.properties.get(name)]
    valued.sort(key=lambda record: _key_of(kind, name, record), reverse=down)
    return valued + [record for record in found if not record.properties.get(name)]
