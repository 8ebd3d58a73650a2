"""A tiny HTTP server that gives exactly the bytes a test wants and keeps what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived; `query` and `form` hold the first value of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return _firsts(self.body.decode())

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer. `body` may be a JSON value or raw bytes; `trickle` is seconds between the bytes of the body.

    `drop` ends the connection without an answer, `promised` after fewer bytes than its Content-Length says; `wait` is
    seconds before the answer begins.
    """

    body: object = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    trickle: float = 0.0
    wait: float = 0.0
    drop: bool = False
    promised: int = 0

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answerer = Callable[[Asked], Told]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_one_request(self) -> None:
        # A client that went away is what half of the tests are about.
        with suppress(OSError):
            super().handle_one_request()

    def serve(self) -> None:
        parts = urlsplit(self.path)
        one = Asked(
            method=self.command,
            path=parts.path,
            query=_firsts(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        with self.server.lock:
            self.server.asked.append(one)
            told = self.server.answer(one)
        self.server.stop.wait(told.wait)
        self.close_connection = told.drop or bool(told.promised)
        if not told.drop:
            self._tell(told)

    # The names by which http.server finds the method.
    vars().update(do_GET=serve, do_POST=serve)

    def _tell(self, told: Told) -> None:
        self.send_response(told.status)
        for name, value in told.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(told.promised or len(told.raw)))
        self.end_headers()
        pieces = [bytes([byte]) for byte in told.raw] if told.trickle else [told.raw]
        for piece in pieces:
            if self.server.stop.wait(told.trickle):
                return
            self.wfile.write(piece)


class CannedServer:
    """What a test sees of the server: where it is, and what it was asked so far."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    @property
    def asked(self) -> list[Asked]:
        return self._server.asked

    @property
    def connections(self) -> int:
        return self._server.connections

    def paths(self, method: str) -> list[str]:
        return [one.path for one in self.asked if one.method == method]


@contextmanager
def serving(answer: Answerer) -> Iterator[CannedServer]:
    """A server on a free port of 127.0.0.1; `answer` is called once per request, never by two threads at once."""
    server = _Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield CannedServer(server)
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def always(told: Told) -> Answerer:
    return lambda _asked: told


def in_turn(*told: Told) -> Answerer:
    """The answers one after the other; the last one for every request beyond."""
    left = list(told)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


def seconds_taken(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _firsts(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
