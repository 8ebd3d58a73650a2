"""The account's change log as the Graph API shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from adctl.sandbox.ad_objects import Activity
from adctl.sandbox.graph_errors import invalid
from adctl.sandbox.graph_nodes import graph_time
from adctl.sandbox.world import World

APPLICATION = "adctl sandbox app"


def activities(world: World, params: dict[str, Any]) -> list[Activity]:
    """The change log, newest first, narrowed by since, until, oid and category."""
    since, until = (_instant(params.get(name)) for name in ("since", "until"))
    parts = {"BUDGET": "_budget", "STATUS": "_run_status"}.get(str(params.get("category")), "")
    return [
        entry
        for entry in reversed(world.tree.activities)
        if (since is None or entry.at >= since)
        and (until is None or entry.at <= until)
        and entry.event_type.endswith(parts)
        and params.get("oid", entry.object_id) == entry.object_id
    ]


def _instant(value: Any) -> datetime | None:
    """A Unix time or an ISO date or time."""
    if not value:
        return None
    try:
        if str(value).isdigit():
            return datetime.fromtimestamp(int(value), UTC)
        parsed = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise invalid("Must be a valid time") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def show_activity(world: World, entry: Activity) -> dict[str, Any]:
    """One entry; its application tells the API's edits from a person's."""
    person = entry.application != APPLICATION
    money = {"currency": world.tree.account.currency, "type": "payment_amount"} if "budget" in entry.event_type else {}
    return {
        "event_type": entry.event_type,
        "event_time": graph_time(world, entry.at),
        "actor_id": "122100000000002" if person else "122100000000001",
        "actor_name": "A person" if person else "Sandbox system user",
        "application_id": "119211728144504" if person else "990000000000001",
        "application_name": entry.application,
        "object_id": entry.object_id,
        "object_name": entry.object_name,
        "object_type": entry.object_type,
        "extra_data": json.dumps({"old_value": entry.old, "new_value": entry.new} | money),
    }
