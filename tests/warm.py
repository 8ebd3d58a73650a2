"""`adctl` in a process of its own that has its imports behind it: each is forked from one that has loaded every module.

Importing costs a command line more than most commands do. What a fork cannot show (a fresh interpreter, another hash
seed, imports that race) runs by `CommandLine.start` or with `fresh=True`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

_SIZE = struct.Struct("!I")
# One word of the answer: the process id, then its exit code.
_WORD = struct.Struct("!i")


def bare_environment() -> dict[str, str]:
    """Of this process's variables the few that no test is about, and where adctl lies."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT)}


class WarmInterpreter:
    """The process that forks; it ends with the one that made it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._requests = ours
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=bare_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: bytes, seconds: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `adctl ARGUMENTS` to its end, as `subprocess.run` does; raises TimeoutExpired after `seconds`."""
        message = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
        read_end, write_end = os.pipe()
        told, tell = os.pipe()
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            os.fdopen(told, "rb") as answer,
            os.fdopen(write_end, "wb", buffering=0) as feed,
        ):
            with self._lock:
                handed = [read_end, out.fileno(), err.fileno(), tell]
                socket.send_fds(self._requests, [_SIZE.pack(len(message))], handed)
                self._requests.sendall(message)
            os.close(read_end)
            os.close(tell)
            with _ending(_word(answer.fileno()), seconds) as late:
                with suppress(BrokenPipeError):
                    for at in range(0, len(stdin), 1 << 16):
                        feed.write(stdin[at : at + (1 << 16)])
                feed.close()
                code = _word(answer.fileno())
            if late.is_set():
                raise subprocess.TimeoutExpired(list(arguments), seconds)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def close(self) -> None:
        self._requests.close()
        self._process.wait(60)


@cache
def warm_interpreter() -> WarmInterpreter:
    """This process's own, started when first asked for."""
    made = WarmInterpreter()
    atexit.register(made.close)
    return made


@contextmanager
def _ending(pid: int, seconds: float) -> Iterator[threading.Event]:
    """Kills the process if the block takes longer, and sets the event."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _word(answer: int) -> int:
    said = os.read(answer, _WORD.size)
    if len(said) != _WORD.size:
        raise RuntimeError("the warm interpreter ended; its messages stand above")
    return int(_WORD.unpack(said)[0])


def _load() -> None:
    for module in pkgutil.walk_packages([str(ROOT / "adctl")], "adctl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> None:
    """Forks for each request; returns in the forked process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        head, handed, _, _ = socket.recv_fds(requests, _SIZE.size, 4)
        if not head:
            os._exit(0)
        size = _SIZE.unpack(head)[0]
        message = b""
        while len(message) < size:
            message += requests.recv(size - len(message))
        if os.fork() == 0:
            requests.close()
            return _keep(handed, *json.loads(message))
        for one in handed:
            os.close(one)


def _keep(handed: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Waits for a process of its own and tells how it ended; returns in that process."""
    *streams, tell = handed
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for one in streams:
            os.close(one)
        os.write(tell, _WORD.pack(pid))
        os.write(tell, _WORD.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        os._exit(0)
    os.close(tell)
    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    # The one that was opened on /dev/null remembers that it can seek.
    sys.stdin = os.fdopen(0, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["adctl", *arguments]
    sys.path[0] = folder


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.modules["adctl.cli"].main()
