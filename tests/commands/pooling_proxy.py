"""A proxy that gives each transaction whichever server session was given back last, as transaction pooling does."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TERMINATE = b"X"
_READY = b"Z"
# Messages after which the server answers up to ReadyForQuery: Query and Sync.
_ASKS = (b"Q", b"S")


@contextmanager
def pooling_proxy(host: str, port: int) -> Iterator[int]:
    """The port of a proxy to the server at `host` (or in that socket folder), which must trust its clients."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = _Proxy(host, port)
    threading.Thread(target=proxy.accept, args=(listener,), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for session in proxy.sessions:
            session.close()


class _Proxy:
    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._idle: list[socket.socket] = []
        self.sessions: list[socket.socket] = []

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Opens one session more for each client, then lends any that is idle to any client for one transaction."""
        with client:
            # As poolers do, it lends first what came back last.
            self._idle.insert(0, self._open(client))
            session: socket.socket | None = None
            while (message := _message(client)) and message[:1] != _TERMINATE:
                session = session or self._idle.pop()
                session.sendall(message)
                if message[:1] in _ASKS and _relay(session, client) == b"I":
                    self._idle.append(session)
                    session = None

    def _open(self, client: socket.socket) -> socket.socket:
        startup = _exactly(client, 4)
        startup += _exactly(client, struct.unpack("!i", startup)[0] - 4)
        session = self._connect()
        self.sessions.append(session)
        session.sendall(startup)
        _relay(session, client)
        return session

    def _connect(self) -> socket.socket:
        host, port = self._address
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        session = socket.socket(socket.AF_UNIX)
        session.connect(str(Path(host) / f".s.PGSQL.{port}"))
        return session


def _relay(session: socket.socket, client: socket.socket) -> bytes:
    """Passes answers on until the server is ready; the transaction's state: I outside, T inside, E failed."""
    while message := _message(session):
        client.sendall(message)
        if message[:1] == _READY:
            return message[-1:]
    return b""


def _message(end: socket.socket) -> bytes:
    head = _exactly(end, 5)
    return head + _exactly(end, struct.unpack("!i", head[1:])[0] - 4) if head else b""


def _exactly(end: socket.socket, count: int) -> bytes:
    """`count` bytes, or none when the other side is gone."""
    found = b""
    while len(found) < count:
        try:
            part = end.recv(count - len(found))
        except OSError:
            return b""
        if not part:
            return b""
        found += part
    return found
