"""The Graph API's batch: several calls in one request, each answered on its own, or by null where Meta gave up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adctl.sandbox.graph_errors import GraphError, invalid
from adctl.sandbox.messages import Request

_MOST = 50


def answer_batch(request: Request, answer: Callable[[Request], Any]) -> list[dict[str, Any] | None]:
    """One entry a call, in order: code, headers and the body as text. Under `batch_null` the last one is null."""
    try:
        calls = json.loads(str(request.params.get("batch", "")))
    except ValueError as error:
        raise invalid("Param batch must be valid JSON") from error
    if not isinstance(calls, list) or not 1 <= len(calls) <= _MOST or not all(isinstance(one, dict) for one in calls):
        raise invalid(f"Param batch must be a list of 1 to {_MOST} calls")
    entries: list[dict[str, Any] | None] = [_entry(_call(request, one), answer) for one in calls]
    return [*entries[:-1], None] if request.struck_by("batch_null") else entries


def _call(request: Request, one: dict[str, Any]) -> Request:
    """The call as a request of its own."""
    target = urlsplit(str(one.get("relative_url", "")))
    body = dict(parse_qsl(str(one.get("body", "")), keep_blank_values=True))
    query = parse_qsl(target.query, keep_blank_values=True)
    return replace(
        request,
        method=str(one.get("method", "GET")).upper(),
        path=f"/{target.path.lstrip('/')}",
        query=query,
        body=body,
    )


def _entry(call: Request, answer: Callable[[Request], Any]) -> dict[str, Any]:
    try:
        status, body = 200, json.dumps(answer(call))
    except GraphError as error:
        reply = error.reply()
        status, body = reply.status, reply.body.decode()
    return {"code": status, "headers": [{"name": "Content-Type", "value": "application/json"}], "body": body}
