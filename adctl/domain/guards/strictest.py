"""One set of limits for every host of an account: of what each is configured with, the strictest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import time
from typing import Any

from adctl.errors import ConfigurationError

Row = Mapping[str, Any]


def _least(values: Sequence[Any]) -> Any:
    """None is the strictest: what nobody has set lets nothing be sent."""
    return None if None in values else min(values)


# The limits by their columns, each with what is the strictest of several.
_RULES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "rate_per_campaign": min,
    "rate_per_ad_set": min,
    "velocity_percent": min,
    "velocity_window": max,
    "floor_budget": max,
    "ceiling_budget": min,
    "cap_increase": _least,
    "freshness": min,
    "settle": max,
    "max_attempts": min,
    "kill_last_ad": all,
}


def strictest(rows: Sequence[Row]) -> dict[str, Any]:
    """Limits that keep to those of every row at once; quiet hours span those of each.

    Raises ConfigurationError where no budget, or no hour, is allowed by all.
    """
    found = {name: rule([row[name] for row in rows]) for name, rule in _RULES.items()}
    found["floors"] = _by_entity((row["floors"] for row in rows), max)
    found["ceilings"] = _by_entity((row["ceilings"] for row in rows), min)
    found["quiet_from"], found["quiet_until"] = _quiet(rows)
    if found["floor_budget"] > found["ceiling_budget"]:
        raise _unfit(rows, "the floor of one is above the ceiling of another")
    return found


def stricter(own: Row, held: Row) -> list[str]:
    """The limits that are not as `own` has them."""
    return [name.replace("_", " ") for name in held if held[name] != own[name]]


def _by_entity(tables: Iterable[Mapping[str, int]], rule: Callable[[int, int], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in tables:
        for entity, amount in table.items():
            found[entity] = rule(found.get(entity, amount), amount)
    return found


def _quiet(rows: Sequence[Row]) -> tuple[time | None, time | None]:
    """The shortest span that begins as one of the rows' does, ends as one does, and holds them all."""
    spans = {(row["quiet_from"], row["quiet_until"]) for row in rows if row["quiet_from"] is not None}
    if len(spans) < 2:
        return next(iter(spans), (None, None))
    begins, ends = {begin for begin, _ in spans}, {end for _, end in spans}
    holding = [
        (begin, end)
        for begin in begins
        for end in ends
        if begin != end and all(_holds((begin, end), span) for span in spans)
    ]
    if not holding:
        raise _unfit(rows, "together their quiet hours leave no hour of the day")
    return min(holding, key=lambda span: (_minutes(span[0], span[1]), span))


def _holds(outer: tuple[time, time], inner: tuple[time, time]) -> bool:
    return _minutes(outer[0], inner[0]) + _minutes(*inner) <= _minutes(*outer)


def _minutes(begin: time, end: time) -> int:
    """From one time of day on to the other, over midnight where that is so."""
    return (60 * (end.hour - begin.hour) + end.minute - begin.minute) % 1440


def _unfit(rows: Sequence[Row], why: str) -> ConfigurationError:
    hosts = ", ".join(sorted(str(row["host"]) for row in rows))
    return ConfigurationError(
        f"limits of hosts {hosts} of one account: {why}",
        fix="give them the same limits; a host that is gone counts for 26 hours more",
    )
