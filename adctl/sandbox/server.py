"""The HTTP server both stand-ins are built on: keep-alive, request log, faults, control surface."""

from __future__ import annotations

import re
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from email.utils import format_datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

from adctl.sandbox.false_answers import false_answer
from adctl.sandbox.faults import KINDS, Fault, Faults
from adctl.sandbox.messages import Exchange, Reply, Request, without_secrets
from adctl.sandbox.world import World

_CONTROL = "/_sandbox/"


class StandIn(ABC):
    """One vendor's stand-in on 127.0.0.1 and a free port (or `port`); it runs until `close`."""

    def __init__(self, world: World, token: str, port: int = 0) -> None:
        self.world = world
        self.token = token
        self.faults = Faults()
        self.log: list[Exchange] = []
        self.stopping = Event()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stops serving and drops every connection; a hanging answer ends too."""
        self.stopping.set()
        self._server.shutdown()
        self._server.drop_connections()
        self._server.server_close()
        self._thread.join()

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """The vendor's answer; called with the world's lock held."""

    @abstractmethod
    def points(self, request: Request) -> int:
        """What the vendor would charge for the request against its rate limits."""

    @abstractmethod
    def edit_by_person(self, edit: Mapping[str, Any]) -> Any:
        """Changes the vendor's data as a person in its web application would; KeyError or ValueError if it cannot."""

    def locked_answer(self, request: Request) -> Reply:
        """The answer, with the world standing still meanwhile."""
        with self.world.lock:
            reply = self.answer(request)
            if request.fault is not None and request.fault.kind == "person_edits":
                self.edit_by_person(request.fault.values["edit"])
            return reply

    def enter(self, request: Request) -> Exchange:
        """Opens the request's entry in the log."""
        with self.world.lock:
            exchange = Exchange(
                number=len(self.log) + 1,
                method=request.method,
                path=request.path,
                params=without_secrets(dict(request.query)),
                body=without_secrets(request.body),
                fault=request.fault.kind if request.fault else None,
                world_time=self.world.now,
                started=time.monotonic(),
                points=self.points(request),
            )
            self.log.append(exchange)
            return exchange

    def control(self, request: Request) -> Reply:
        """The control surface for other processes; not logged, needs no token."""
        body, action = request.body, request.path.removeprefix(_CONTROL)
        try:
            with self.world.lock:
                return Reply.of(self._control(request.method, action, body))
        except (KeyError, ValueError, TypeError, StopIteration, re.error) as error:
            return Reply.of({"error": f"{type(error).__name__}: {error}"}, status=400)

    def _control(self, method: str, action: str, body: dict[str, Any]) -> Any:
        told: dict[str, Callable[[], Any]] = {
            "log": self._told,
            "truth": self._truth,
            "faults": self.faults.summaries,
            "kinds": lambda: KINDS,
        }
        match (method, action):
            case ("GET", what) if what in told:
                return told[what]()
            case ("POST", "advance"):
                return self._advance(body)
            case ("POST", "faults"):
                return self.faults.arm(**body).summary()
            case ("DELETE", "faults"):
                return self.faults.clear()
            case ("POST", "edit"):
                return self.edit_by_person(body)
        raise ValueError(f"no such control: {method} {action}")

    def _told(self) -> list[dict[str, Any]]:
        return [exchange.wire() for exchange in self.log]

    def _truth(self) -> dict[str, Any]:
        """The world's time, what is true of each ad, and what has happened in all."""
        ads = [asdict(ad) for ad in self.world.truth()]
        return {"now": self.world.now.isoformat(), "ads": ads, "totals": asdict(self.world.totals())}

    def _advance(self, body: dict[str, Any]) -> dict[str, str]:
        if "to" in body:
            self.world.advance_to(datetime.fromisoformat(body["to"]))
        else:
            self.world.advance(days=float(body["days"]))
        return {"now": self.world.now.isoformat()}


class _Server(ThreadingHTTPServer):
    """Keeps its open connections, so that closing it leaves none behind."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Ends every connection that is still open."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads one request after the other from a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """The stand-in keeps its own log; nothing goes to stderr."""

    def handle(self) -> None:
        # A client that went away is what half of the tests are about.
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def finish(self) -> None:
        with suppress(ConnectionError, ValueError):
            super().finish()

    def serve(self) -> None:
        """Answers the request that was just read."""
        stand_in = self.server.stand_in
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:
            # The client died while sending: half a body must not become half a budget.
            self.close_connection = True
            return
        request = Request.parse(self.command, self.path, dict(self.headers.items()), raw)
        if request.path.startswith(_CONTROL):
            self._send(stand_in.control(request))
            return
        request.fault = stand_in.faults.take(request.method, request.path, request.content)
        exchange = stand_in.enter(request)
        try:
            reply = self._reply(request, exchange)
            exchange.applied = request.applied
            if reply is None:
                self.close_connection = True
                return
            exchange.status = reply.status
            self._send(reply, request.fault)
        finally:
            exchange.finished = time.monotonic()

    def _reply(self, request: Request, exchange: Exchange) -> Reply | None:
        """The reply after the request's fault has had its say; None drops the connection."""
        stand_in, fault = self.server.stand_in, request.fault
        if fault is None:
            return stand_in.locked_answer(request)
        if fault.kind == "latency":
            stand_in.stopping.wait(fault.seconds(1.0))
        drops = fault.kind in ("hang", "close")
        if fault.apply or not (fault.replaces_answer or drops):
            true_answer = stand_in.locked_answer(request)
            exchange.applied = request.applied
            if not fault.replaces_answer and not drops:
                return true_answer
        if fault.kind == "hang":
            stand_in.stopping.wait(fault.seconds(3600.0))
        return None if drops else false_answer(fault)

    def _send(self, reply: Reply, fault: Fault | None = None) -> None:
        """Writes the reply at once, or byte by byte under a trickle."""
        headers = reply.headers | {
            "Content-Length": str(len(reply.body)),
            "Date": format_datetime(self.server.stand_in.world.now, usegmt=True),
        }
        lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if fault is None or fault.kind != "trickle":
            self.wfile.write(head + reply.body)
            return
        self.wfile.write(head)
        for byte in reply.body:
            if self.server.stand_in.stopping.wait(fault.seconds(0.05)):
                return
            self.wfile.write(bytes([byte]))


for _verb in ("GET", "POST", "PATCH", "PUT", "DELETE"):
    setattr(_Handler, f"do_{_verb}", _Handler.serve)
