"""Writes to campaigns, ad sets and ads: what Meta accepts, and what it refuses with which code."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from adctl.sandbox.ad_objects import HIDDEN, Ad, AdSet, Campaign, Creative, owns_budget
from adctl.sandbox.currency import offset_of, price_level
from adctl.sandbox.graph_errors import GraphError, invalid
from adctl.sandbox.world import World

_STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED")
_BUDGETS = ("daily_budget", "lifetime_budget")
_CONTROL = frozenset({"access_token", "appsecret_proof", "execution_options"})
_HOUR = timedelta(hours=1)


class Edits:
    """Applies an application's writes; it remembers the budget changes of each ad set for Meta's hourly limit."""

    def __init__(self, world: World, application: str) -> None:
        self._world = world
        self._application = application
        self._changes: dict[str, list[datetime]] = {}

    def apply(self, node: Campaign | AdSet | Ad | Creative, params: dict[str, Any]) -> bool:
        """Checks everything, then sets what was sent; False when it was only to be validated. Raises GraphError."""
        asked = {name: value for name, value in params.items() if name not in _CONTROL}
        if isinstance(node, Creative):
            raise invalid("Creatives cannot be edited here")
        if node.status in HIDDEN:
            raise invalid(f"Objects that are {node.status.lower()} cannot be edited")
        values = {name: self._checked(node, name, value) for name, value in asked.items()}
        if "validate_only" in _options(params):
            return False
        for name, value in values.items():
            self._set(node, name, value)
        return True

    def _checked(self, node: Campaign | AdSet | Ad, name: str, value: Any) -> str | int:
        if name in _BUDGETS:
            return self._checked_budget(node, name, value)
        if name == "name" and value:
            return str(value)
        if name == "status" and value in _STATUSES:
            return str(value)
        if name == "status":
            raise invalid(f"Param status must be one of {{{', '.join(_STATUSES)}}}")
        raise invalid(f"Param {name} is not accepted on {type(node).__name__}")

    def _checked_budget(self, node: Campaign | AdSet | Ad, name: str, value: Any) -> int:
        """The budget in minor units, if this object owns one of this kind and the amount is within Meta's limits."""
        if isinstance(node, Ad):
            raise invalid(f"Param {name} is not accepted on Ad")
        if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
            raise invalid(f"Param {name} must be an integer of at least 1")
        if not owns_budget(node):
            raise invalid("Set the budget on the campaign or on its ad sets, not on both", subcode=1885621)
        if getattr(node, name) is None:
            raise invalid(f"Cannot change between daily and lifetime budget ({name})")
        self._check_amount(int(value))
        if isinstance(node, AdSet) and int(value) != getattr(node, name):
            self._check_hour(node)
        return int(value)

    def _check_amount(self, minor: int) -> None:
        account = self._world.tree.account
        if minor < account.min_daily_budget:
            raise invalid(f"Your budget is too low; the minimum is {account.min_daily_budget}", subcode=1885272)
        if minor > 1_000_000 * price_level(account.currency) * offset_of(account.currency):
            raise invalid("Your budget is too high", subcode=1885261)

    def _check_hour(self, ad_set: AdSet) -> None:
        """Four budget changes an hour, the fifth is refused; only changes of the value count."""
        recent = [at for at in self._changes.get(ad_set.id, []) if self._world.now - at < _HOUR]
        self._changes[ad_set.id] = recent
        if len(recent) >= 4:
            text = (
                "(#613) You can only change this ad set's budget 4 times an hour; wait an hour before the next change"
            )
            raise GraphError(613, text, subcode=1487632)

    def _set(self, node: Campaign | AdSet | Ad, name: str, value: str | int) -> None:
        """Sets a value; setting what is there already leaves no trace."""
        if getattr(node, name) == value:
            return
        if isinstance(node, AdSet) and name in _BUDGETS:
            self._changes.setdefault(node.id, []).append(self._world.now)
        self._world.edit(node, name, value, self._application)


def _options(params: dict[str, Any]) -> list[str]:
    raw = params.get("execution_options", [])
    try:
        return list(json.loads(raw)) if isinstance(raw, str) else list(raw)
    except ValueError as error:
        raise invalid("Param execution_options must be a list") from error
