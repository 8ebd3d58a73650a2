"""Faults that tests arm on a stand-in: each matches some requests, strikes so many times, counts its hits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

KINDS = {
    "latency": "answers after `seconds`, and only then applies a write",
    "hang": "says nothing for `seconds` (an hour), then drops the connection",
    "close": "drops the connection without a reply",
    "trickle": "answers, its body one byte every `seconds` (0.05)",
    "status": "answers `status` with the JSON `body`",
    "html": "answers `status` (502) with a page of HTML",
    "garbage": "answers 200 with JSON cut in the middle",
    "redirect": "answers 302 to `location`",
    "throttled": "answers 429 with JSON that has no `error`",
    "rate_limited": "HubSpot's 429 with `policy` (TEN_SECONDLY_ROLLING) and, when given, `retry_after` seconds",
    "graph_error": "a Graph error: `code`, `subcode`, `transient`, `message`, `status` (400), `error_data`",
    "success_false": 'answers {"success": false}',
    "no_effect": 'answers {"success": true}; arm it without `apply`',
    "empty_page": "Meta lists: an empty page whose `next` leads to the rows",
    "endless_next": "Meta lists: a `next` even on the last page, whose cursor leads to the same page again",
    "paging_lost": "HubSpot lists: a full page that names no next one",
    "partial": "HubSpot batch reads: a 207 whose first input failed inside the vendor",
    "batch_null": "Meta: null in the place of the last call's answer in a batch",
    "person_edits": "a person's `edit` (as the control surface takes it) happens right after the answer was made",
    "usage": "Meta: usage headers at `percent` (100), access regained in `minutes` (25)",
    "report_stalls": "Meta: an asynchronous report stays at 0 %",
    "report_fails": "Meta: an asynchronous report ends in error -2, subcode 2490547",
    "report_short": "Meta: an asynchronous report says completed at 99 %",
    "late_index": "HubSpot searches miss rows modified within the last `seconds` (600) of world time",
}
_TRANSPORT = frozenset({"latency", "hang", "close", "trickle"})
_VENDOR = frozenset(
    {"empty_page", "endless_next", "paging_lost", "partial", "batch_null", "person_edits", "usage", "late_index"}
    | {"report_stalls", "report_fails", "report_short"}
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault; `apply` processes the request before the false answer, `times` None means for ever."""

    id: int
    kind: str
    method: re.Pattern[str]
    path: re.Pattern[str]
    content: re.Pattern[str]
    times: int | None
    skip: int
    apply: bool
    values: Mapping[str, Any]
    hits: int = 0

    @property
    def replaces_answer(self) -> bool:
        """Whether the client gets a made-up reply instead of the server's."""
        return self.kind not in _TRANSPORT | _VENDOR

    def seconds(self, default: float) -> float:
        """The fault's duration."""
        return float(self.values.get("seconds", default))

    def summary(self) -> dict[str, Any]:
        """What a test reads back: id, kind, hits and how often it may still strike."""
        left = None if self.times is None else self.times - self.hits
        return {"id": self.id, "kind": self.kind, "hits": self.hits, "left": left}


@dataclass(slots=True)
class Faults:
    """The faults of one server, tried in the order they were armed."""

    _armed: list[Fault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def arm(
        self,
        kind: str,
        *,
        method: str = "",
        path: str = "",
        content: str = "",
        times: int | None = 1,
        skip: int = 0,
        apply: bool = False,
        **values: Any,
    ) -> Fault:
        """Arms a fault for requests whose method, path, and `query body` text the regexes find.

        The first `skip` matches pass. Raises ValueError for an unknown kind, re.error for a broken regex.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        patterns = [re.compile(text) for text in (method, path, content)]
        fault = Fault(
            id=next(self._ids),
            kind=kind,
            method=patterns[0],
            path=patterns[1],
            content=patterns[2],
            times=times,
            skip=skip,
            apply=apply,
            values=values,
        )
        with self._lock:
            self._armed.append(fault)
        return fault

    def take(self, method: str, path: str, content: str) -> Fault | None:
        """The first fault that strikes this request, its hit counted."""
        with self._lock:
            for fault in self._armed:
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                if not (fault.method.search(method) and fault.path.search(path) and fault.content.search(content)):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                return fault
        return None

    def clear(self) -> None:
        """Disarms everything."""
        with self._lock:
            self._armed.clear()

    def summaries(self) -> list[dict[str, Any]]:
        """All armed faults, spent ones too, with their hits."""
        with self._lock:
            return [fault.summary() for fault in self._armed]
