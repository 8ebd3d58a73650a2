"""Faults that tests arm on a stand-in: each matches some requests, strikes so many times, counts its hits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

from adctl.sandbox.messages import Reply

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


def false_answer(fault: Fault) -> Reply:
    """The reply a fault puts in the place of the server's own."""
    values = fault.values
    match fault.kind:
        case "status":
            return Reply.of(values.get("body", {}), status=int(values.get("status", 500)))
        case "html":
            page = b"<!DOCTYPE html><html><body><h1>Bad Gateway</h1></body></html>"
            return Reply(status=int(values.get("status", 502)), body=page, headers={"Content-Type": "text/html"})
        case "garbage":
            return Reply(status=200, body=b'{"success": tru', headers={"Content-Type": "application/json"})
        case "redirect":
            return Reply(status=302, body=b"", headers={"Location": str(values.get("location", "/elsewhere"))})
        case "graph_error":
            return _graph_error(values)
        case "rate_limited":
            return _rate_limited(values)
        case "throttled":
            return Reply.of({"message": "Too many requests"}, status=429)
        case _:
            return Reply.of({"success": fault.kind == "no_effect"})


def _graph_error(values: Mapping[str, Any]) -> Reply:
    code = int(values.get("code", 2))
    error = {
        "message": values.get("message", f"(#{code}) An error a test has armed"),
        "type": "OAuthException",
        "code": code,
        "is_transient": bool(values.get("transient", False)),
        "fbtrace_id": "Asandboxfault",
    }
    if "subcode" in values:
        error["error_subcode"] = int(values["subcode"])
    if "error_data" in values:
        error["error_data"] = values["error_data"]
    return Reply.of({"error": error}, status=int(values.get("status", 400)))


def _rate_limited(values: Mapping[str, Any]) -> Reply:
    policy = values.get("policy", "TEN_SECONDLY_ROLLING")
    body = {
        "status": "error",
        "message": f"You have reached your {str(policy).lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": "00000000-0000-4000-8000-000000000429",
        "policyName": policy,
    }
    headers = {"Content-Type": "application/json"}
    if "retry_after" in values:
        headers["Retry-After"] = str(values["retry_after"])
    return Reply(status=429, body=json.dumps(body).encode(), headers=headers)
