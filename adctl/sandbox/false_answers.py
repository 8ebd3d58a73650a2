"""The reply that a fault puts in the place of the server's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adctl.sandbox.faults import Fault
from adctl.sandbox.messages import Reply


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
