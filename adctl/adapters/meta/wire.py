"""One HTTP exchange with the Graph API through the real SDK, bounded in total time, with the answer as it was sent."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal

import requests
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookError
from facebook_business.session import FacebookSession
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

Method = Literal["GET", "POST"]
Params = Mapping[str, object]

# What the SDK raises while it misreads an answer: its own errors, and accidents of its code on bodies that it does not
# expect (a list, a bare number, an `error_data` that is no JSON, nesting without end).
_SDK_FAILURES: Final = (
    FacebookError,
    requests.RequestException,
    HTTPError,
    OSError,
    TypeError,
    ValueError,
    AttributeError,
    KeyError,
    RecursionError,
)


class Guard:
    """Ends one exchange at its deadline and knows whether a byte of it may have left.

    After `expire`, or `not_after` on the monotonic clock, nothing more is sent: an open socket is shut down, and a
    connection that comes up late is refused. A process that was frozen finds out right before it would send.
    """

    def __init__(self, not_after: float) -> None:
        self._not_after = not_after
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._expired = False
        self.sent = False

    def before_send(self, connected: socket.socket | None) -> None:
        """Called with the connected socket before any byte of the request; raises TimeoutError past the deadline."""
        with self._lock:
            if self._expired or time.monotonic() > self._not_after:
                raise TimeoutError("the deadline passed before the request was sent")
            self._socket = connected
            self.sent = True

    def expire(self) -> None:
        with self._lock:
            self._expired = True
            if self._socket is not None:
                with suppress(OSError):
                    # Not the TLS socket's own shutdown: it drops the encryption first, and a sender in another thread
                    # could then write in the clear.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


# Each exchange runs in a thread of its own, so the variable holds exactly its guard there.
_GUARD: ContextVar[Guard | None] = ContextVar("guard", default=None)


class _GuardedConnection(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        guard = _GUARD.get()
        if guard is not None:
            guard.before_send(self.sock)
        super().send(data)


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    pass


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


def _guarded(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTlsPool}
    return manager


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _guarded(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return _guarded(super().proxy_manager_for(*args, **kwargs))


class _Bearer:
    """Puts the token into the header. As `Session.auth` it also keeps a ~/.netrc from replacing it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server answered, before the SDK judged it; `body` is text, header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """No whole answer arrived. `sent` is False only when not one byte of the request can have left."""

    name: str
    sent: bool


@dataclass(slots=True)
class _Exchange:
    """The mutable meeting point of the calling thread and the worker."""

    guard: Guard
    reply: Reply | None = None
    failure: str = "NoAnswer"


_EXCHANGE: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


def _keep_reply(response: requests.Response, *_args: object, **_kwargs: object) -> None:
    exchange = _EXCHANGE.get()
    if exchange is not None:
        exchange.reply = Reply(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=response.content.decode("utf-8", errors="replace"),
        )


class Wire:
    """The SDK's session and api, built by hand: no process-wide default, no crash reporter, no token in a URL."""

    def __init__(self, *, token: str, base_url: str, version: str, connect_timeout: float, read_timeout: float) -> None:
        session = FacebookSession(None, None, token, timeout=(connect_timeout, read_timeout))
        session.GRAPH = base_url.rstrip("/")
        # The SDK puts the token into the query string of every call, and every transport error prints that URL.
        session.requests.params.pop("access_token")
        session.requests.auth = _Bearer(token)
        # The SDK cannot be told not to follow: a redirected POST would come back as a GET that "succeeded".
        session.requests.max_redirects = 0
        session.requests.hooks["response"].append(_keep_reply)
        for scheme in ("http://", "https://"):
            session.requests.mount(scheme, _GuardedAdapter(max_retries=0))
        self._requests: requests.Session = session.requests
        self._api = FacebookAdsApi(session, api_version=version)

    def exchange(
        self, method: Method, path: tuple[str, ...], params: Params, *, deadline: float, not_after: float = math.inf
    ) -> Reply | NoReply:
        """One request, over after `deadline` seconds whatever the server does, and at `not_after` on the monotonic
        clock however long this process was frozen before; nothing is retried.

        A timeout of the HTTP library bounds each phase, so a server that trickles bytes holds it for ever. Here the
        call runs in a thread of its own that is given up at the deadline with its socket shut down.
        """
        now = time.monotonic()
        until = min(now + deadline, not_after)
        exchange = _Exchange(guard=Guard(until))
        worker = threading.Thread(
            target=self._run, args=(exchange, method, path, params), name="graph-call", daemon=True
        )
        worker.start()
        worker.join(max(until - now, 0.0))
        if worker.is_alive():
            exchange.guard.expire()
            return NoReply(name="DeadlineExceeded", sent=exchange.guard.sent)
        if exchange.reply is None:
            return NoReply(name=exchange.failure, sent=exchange.guard.sent)
        return exchange.reply

    def fresh(self) -> None:
        """Drop kept-alive connections: one that the server closed meanwhile would fail a request in mid-flight."""
        self._requests.close()

    close = fresh

    def _run(self, exchange: _Exchange, method: Method, path: tuple[str, ...], params: Params) -> None:
        _GUARD.set(exchange.guard)
        _EXCHANGE.set(exchange)
        try:
            self._api.call(method, path, params=dict(params))
        except _SDK_FAILURES as failure:
            # The SDK's opinion of an answer counts for nothing; the answer itself was kept by the hook.
            exchange.failure = type(failure).__name__
