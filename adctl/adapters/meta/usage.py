"""Meta's usage headers: for each use case, how long to leave the account alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Final

# Above this share of the allowance a run should end and leave the rest to a later tick.
_FULL: Final = 95.0
# Seconds to wait where a header says "full" but not until when.
_PAUSE: Final = 60
_PERCENTAGES: Final = ("call_count", "total_cputime", "total_time", "acc_id_util_pct", "app_id_util_pct")


class Usage:
    """The newest reading of each use case; a header that is absent or malformed changes nothing."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, headers: Mapping[str, str]) -> None:
        """Take the readings out of one answer's headers (names in lower case)."""
        now = time.monotonic()
        longest: dict[str, int] = {}
        for use_case, seconds in _readings(headers):
            longest[use_case] = max(seconds, longest.get(use_case, 0))
        self._until.update({use_case: now + seconds for use_case, seconds in longest.items()})

    def block(self, use_case: str, seconds: int) -> None:
        """A refused call says more than a header: `use_case` waits at least this long."""
        self._until[use_case] = max(self._until.get(use_case, 0.0), time.monotonic() + seconds)

    def waits(self) -> dict[str, int]:
        """Whole seconds until each use case may be used again; only those that must wait."""
        now = time.monotonic()
        return {use_case: math.ceil(until - now) for use_case, until in sorted(self._until.items()) if until > now}


def _readings(headers: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    business = _object(headers.get("x-business-use-case-usage"))
    for entries in business.values():
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                yield str(entry.get("type", "unknown")), _wait(entry, "estimated_time_to_regain_access", 60)
    account = _object(headers.get("x-ad-account-usage"))
    if account:
        yield "ad_account", _wait(account, "reset_time_duration", 1) if _full(account) else 0
    for header, use_case in (("x-app-usage", "app"), ("x-fb-ads-insights-throttle", "insights")):
        reading = _object(headers.get(header))
        if reading:
            yield use_case, _PAUSE if _full(reading) else 0


def _wait(entry: Mapping[str, object], key: str, unit: int) -> int:
    told = _figure(entry.get(key)) * unit
    return max(math.ceil(told), _PAUSE if _full(entry) else 0)


def _full(entry: Mapping[str, object]) -> bool:
    return any(_figure(entry.get(name)) >= _FULL for name in _PERCENTAGES)


def _figure(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        return 0.0
    return min(max(value, 0.0), 1e6)


def _object(header: str | None) -> Mapping[str, object]:
    try:
        value = json.loads(header or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
