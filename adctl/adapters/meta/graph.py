"""Reading and writing on the Graph API: retries for reads alone, paging by hand, the verdict on a write."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from adctl.adapters.meta.faults import (
    Fault,
    FaultKind,
    ThrottledError,
    TooMuchDataError,
    TransientError,
    error_of,
    fault_of,
)
from adctl.adapters.meta.usage import Usage
from adctl.adapters.meta.wire import NoReply, Params, Reply, Wire
from adctl.domain.ports import Stops, WriteAnswer, WriteOutcome
from adctl.errors import UnavailableError

Body = Mapping[str, object]

_MAX_EMPTY_PAGES: Final = 20
_LONGEST_PAUSE: Final = 8.0
# Without rights nothing passes until a person has acted; the next try may come soon after.
_RIGHTS_WAIT: Final = 300
_UNREACHED_WAIT: Final = 60
_BARE_THROTTLE: Final = Fault(kind=FaultKind.THROTTLED, code="429", message="", wait=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds and counts. `write_deadline` bounds a write in all and must stay below reconcile's settle time."""

    connect: float = 5.0
    read: float = 30.0
    read_deadline: float = 120.0
    write_deadline: float = 60.0
    tries: int = 3
    pause: float = 0.5


class Graph:
    """The Graph API of one token. Reads raise typed errors; a write answers. No message ever holds the token."""

    def __init__(self, *, token: str, base_url: str, version: str, patience: Patience) -> None:
        self._token = token
        self._patience = patience
        self._wire = Wire(
            token=token,
            base_url=base_url,
            version=version,
            connect_timeout=patience.connect,
            read_timeout=patience.read,
        )
        self.usage = Usage()

    def close(self) -> None:
        self._wire.close()

    def get(self, path: tuple[str, ...], params: Params) -> Body:
        """The JSON object at `path`. Transport errors, 5xx and transient faults are tried again a few times."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._body(self._wire.exchange("GET", path, params, deadline=self._patience.read_deadline))
            except TransientError:
                if attempt >= self._patience.tries:
                    raise
            time.sleep(min(self._patience.pause * 2 ** (attempt - 1), _LONGEST_PAUSE))

    def begin(self, path: tuple[str, ...], params: Params) -> Body:
        """A POST that changes nothing of the account's; sent once, for an answer that is lost leaves work behind."""
        return self._body(self._wire.exchange("POST", path, params, deadline=self._patience.read_deadline))

    def pages(self, path: tuple[str, ...], params: Params, *, limit: int) -> Iterator[list[Body]]:
        """Every page of an edge. An empty page with a next one goes on; "too much data" halves the page.

        Raises UnavailableError when the walk does not advance, TooMuchDataError when one row is too much.
        """
        cursor: str | None = None
        seen: set[str] = set()
        empty = 0
        while True:
            body, limit = self._page(path, {**params, **({"after": cursor} if cursor else {})}, limit)
            rows = _rows(body)
            empty = 0 if rows else empty + 1
            if rows:
                yield rows
            cursor = _next_cursor(body)
            if cursor is None:
                return
            if cursor in seen or empty > _MAX_EMPTY_PAGES:
                raise UnavailableError(f"meta: paging through {'/'.join(path)} does not advance")
            seen.add(cursor)

    def post(self, path: tuple[str, ...], params: Params, *, not_after: float = math.inf) -> WriteAnswer:
        """One write, sent at most once, on a fresh connection, in time or not at all; what its answer proves."""
        self._wire.fresh()
        reply = self._wire.exchange("POST", path, params, deadline=self._patience.write_deadline, not_after=not_after)
        if isinstance(reply, NoReply):
            return _unanswered(reply)
        self.usage.note(reply.headers)
        body = self._object(reply)
        fault = _fault(body)
        if fault is not None:
            return self._refused(reply, fault)
        if reply.status == HTTPStatus.OK and body is not None and body.get("success") is True:
            return WriteAnswer(outcome=WriteOutcome.ACCEPTED, code=str(reply.status))
        return WriteAnswer(outcome=WriteOutcome.UNKNOWN, code=f"http {reply.status}", detail=self._excerpt(reply))

    def _page(self, path: tuple[str, ...], params: Params, limit: int) -> tuple[Body, int]:
        while True:
            try:
                return self.get(path, {**params, "limit": limit}), limit
            except TooMuchDataError:
                if limit == 1:
                    raise
                limit //= 2

    def _body(self, reply: Reply | NoReply) -> Body:
        """The object in a good answer to a read; TransientError when trying again may help, else the error it means."""
        if isinstance(reply, NoReply):
            raise TransientError(f"meta: no answer ({reply.name})", fix="check the network and the base URL")
        self.usage.note(reply.headers)
        body = self._object(reply)
        fault = _fault(body)
        if fault is not None:
            raise error_of(fault, retry_after=self._throttle_wait(fault, reply))
        if reply.status == HTTPStatus.OK and body is not None:
            return body
        what = f"meta: unexpected answer, http {reply.status}: {self._excerpt(reply)}"
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ThrottledError(what, retry_after=self._throttle_wait(_BARE_THROTTLE, reply))
        again = reply.status == HTTPStatus.OK or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        raise TransientError(what) if again else UnavailableError(what)

    def _refused(self, reply: Reply, fault: Fault) -> WriteAnswer:
        told = WriteAnswer(outcome=WriteOutcome.UNKNOWN, code=fault.code, detail=fault.message)
        # A server that failed proves nothing, whatever it says.
        if not 400 <= reply.status < 500:
            return told
        match fault.kind:
            case FaultKind.THROTTLED:
                stops, wait = Stops.OBJECT if fault.of_object else Stops.ACCOUNT, self._throttle_wait(fault, reply)
                return replace(told, outcome=WriteOutcome.DEFERRED, retry_after=wait, stops=stops)
            case FaultKind.TOKEN | FaultKind.PERMISSION | FaultKind.POLICY:
                stops = Stops.POLICY if fault.kind is FaultKind.POLICY else Stops.RIGHTS
                return replace(told, outcome=WriteOutcome.DEFERRED, retry_after=_RIGHTS_WAIT, stops=stops)
            case FaultKind.PERMANENT | FaultKind.MISSING:
                return replace(told, outcome=WriteOutcome.REFUSED)
            case _:
                return told

    def _throttle_wait(self, fault: Fault, reply: Reply) -> int:
        """Seconds until a throttled call may pass: the longest of what the headers and the fault's class say."""
        if fault.kind is not FaultKind.THROTTLED:
            return 0
        told = reply.headers.get("retry-after", "")
        header = min(int(told), 86_400) if told.isascii() and told.isdigit() else 0
        wait = max(fault.wait, header, *self.usage.waits().values())
        if not fault.of_object:
            self.usage.block("throttled", wait)
        return wait

    def _object(self, reply: Reply) -> dict[str, object] | None:
        """The JSON object in the body. Meta repeats a token in some errors: it is taken out before anything is cut."""
        try:
            value = json.loads(self._without_token(reply.body))
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def _excerpt(self, reply: Reply) -> str:
        return " ".join(self._without_token(reply.body)[:2000].split())[:120]

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text


def _unanswered(reply: NoReply) -> WriteAnswer:
    if reply.sent:
        return WriteAnswer(outcome=WriteOutcome.UNKNOWN, code=reply.name, detail="no whole answer arrived")
    return WriteAnswer(
        outcome=WriteOutcome.DEFERRED,
        code=reply.name,
        detail="no connection: nothing was sent",
        retry_after=_UNREACHED_WAIT,
        stops=Stops.NETWORK,
    )


def _fault(body: Body | None) -> Fault | None:
    error = body.get("error") if body is not None else None
    return fault_of(error) if isinstance(error, dict) else None


def _rows(body: Body) -> list[Body]:
    rows = body.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnavailableError("meta: a page without a list of objects in 'data'")
    return rows


def _next_cursor(body: Body) -> str | None:
    """The cursor of the next page, None at the end. The `next` link itself is never followed: it holds the token."""
    paging = body.get("paging")
    link = paging.get("next") if isinstance(paging, dict) else None
    if not isinstance(paging, dict) or not isinstance(link, str):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:
        after = next(iter(parse_qs(urlsplit(link).query).get("after", [])), "")
    if not after:
        raise UnavailableError("meta: a page names a next one but gives no cursor")
    return after
