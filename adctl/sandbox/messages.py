"""What goes over the wire to and from a stand-in, and the record kept of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from adctl.sandbox.faults import Fault

_SECRET = frozenset({"access_token", "appsecret_proof", "client_secret", "hapikey"})


@dataclass(slots=True, kw_only=True)
class Request:
    """A parsed request; `applied` becomes true when it has set something in the world."""

    method: str
    path: str
    query: list[tuple[str, str]]
    body: dict[str, Any]
    headers: dict[str, str]
    content: str
    fault: Fault | None = None
    applied: bool = False

    @classmethod
    def parse(cls, method: str, target: str, headers: dict[str, str], raw: bytes) -> Request:
        """Reads query and body; header names are lower-cased, an unreadable body counts as empty."""
        parts = urlsplit(target)
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(
            method=method,
            path=parts.path,
            query=parse_qsl(parts.query, keep_blank_values=True),
            body=_parse_body(raw, lower.get("content-type", "")),
            headers=lower,
            content=f"{parts.query} {raw.decode('utf-8', 'replace')}",
        )

    def struck_by(self, kind: str) -> bool:
        """Whether a fault of this kind strikes the request."""
        return self.fault is not None and self.fault.kind == kind

    @property
    def params(self) -> dict[str, Any]:
        """Query and body as one mapping, the body's values first."""
        return dict(self.query) | self.body

    def many(self, name: str) -> list[str]:
        """All values of a repeatable or comma-separated query parameter."""
        return [part for key, value in self.query if key == name for part in value.split(",") if part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status, headers and a body."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
        """A JSON reply."""
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status=status, body=json.dumps(value, ensure_ascii=False).encode(), headers=kind | (headers or {}))


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as the log keeps it, secrets left out.

    `status` is None while it is answered and when the connection was dropped; `applied` says whether it set something
    in the world; `points` is what the vendor would charge; `started` and `finished` are readings of the monotonic
    clock in seconds.
    """

    number: int
    method: str
    path: str
    params: dict[str, str]
    body: dict[str, Any]
    fault: str | None
    world_time: datetime
    started: float
    points: int
    finished: float | None = None
    status: int | None = None
    applied: bool = False

    def wire(self) -> dict[str, Any]:
        """The exchange as JSON."""
        names = [name for name in self.__slots__ if name != "world_time"]
        return {name: getattr(self, name) for name in names} | {"world_time": self.world_time.isoformat()}


def without_secrets(fields: dict[str, Any]) -> dict[str, Any]:
    """A copy without tokens and proofs."""
    return {name: value for name, value in fields.items() if name not in _SECRET}


def _parse_body(raw: bytes, content_type: str) -> dict[str, Any]:
    text = raw.decode("utf-8", "replace")
    if "json" not in content_type:
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
