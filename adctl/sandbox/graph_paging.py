"""Cursor paging of the Graph API's lists."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from adctl.sandbox.graph_errors import bad_cursor, invalid
from adctl.sandbox.messages import Request

Item = TypeVar("Item")


def page(
    request: Request, items: Sequence[Item], show_one: Callable[[Item], dict[str, Any]], base: str
) -> dict[str, Any]:
    """One page by cursor, 25 rows unless `limit` says otherwise.

    All but the last have a `next` below `base`, with the token in it if it came as a parameter, as the vendor does.
    """
    params = request.params
    limit = str(params.get("limit", "25"))
    if not limit.isdigit() or not 1 <= int(limit) <= 5000:
        raise invalid("Param limit must be between 1 and 5000")
    start = _position(params.get("after"))
    empty, endless = request.struck_by("empty_page"), request.struck_by("endless_next")
    stop = start if empty else min(start + int(limit), len(items))
    shown: dict[str, Any] = {"data": [show_one(item) for item in items[start:stop]]}
    if not shown["data"] and not empty:
        return shown
    after = _cursor(start if endless else stop, "again" if empty else "")
    shown["paging"] = {"cursors": {"before": _cursor(start), "after": after}}
    if stop < len(items) or endless:
        query = urlencode({name: value for name, value in params.items() if name != "after"} | {"after": after})
        shown["paging"]["next"] = f"{base}{request.path}?{query}"
    return shown


def _cursor(position: int, mark: str = "") -> str:
    return base64.urlsafe_b64encode(f"row:{position}:{mark}".encode()).decode()


def _position(cursor: Any) -> int:
    """The row a cursor points at; GraphError 2642 for one this server did not make."""
    if not cursor:
        return 0
    try:
        kind, position, _ = base64.urlsafe_b64decode(str(cursor)).decode().split(":")
        if kind == "row":
            return int(position)
    except ValueError as error:
        raise bad_cursor() from error
    raise bad_cursor()
