"""The running server as seen from outside: its pid file, its process, its socket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_ANSWER_SECONDS = 2.0
# Above every system's limit, so no process ever has it.
_NOBODYS_PID = 2_147_483_646
_STATUS_LINE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """What postmaster.pid says; `status` is "" until the server has written one."""

    pid: int
    status: str


def read_pid_file(data: Path) -> PidFile | None:
    """None when there is no file, or one that was cut off while being written."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return PidFile(pid=int(lines[0]), status=lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else "")
    except (FileNotFoundError, IndexError, ValueError):
        return None


def live_pid(data: Path) -> int | None:
    """The pid of the server over `data`: a process that is no zombie and whose arguments name this directory."""
    found = read_pid_file(data)
    return found.pid if found is not None and serves(found.pid, data) else None


def serves(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():
        return _serves_without_proc(pid, data)
    try:
        state = process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        arguments = process.joinpath("cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return state not in "ZX" and arguments[0].endswith(b"postgres") and os.fsencode(data) in arguments


def _serves_without_proc(pid: int, data: Path) -> bool:
    answer = subprocess.run(
        ["/bin/ps", "-o", "stat=", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return not answer.stdout.startswith("Z") and f"postgres -D {data}" in answer.stdout


def is_ready(data: Path, socket_file: Path) -> bool:
    """Whether the server says it is ready and a process answers on the socket; a pid proves neither."""
    found = read_pid_file(data)
    return found is not None and found.status == "ready" and _answers(socket_file)


def _answers(socket_file: Path) -> bool:
    """An SSLRequest is answered N or S before any login, whatever the number of connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        try:
            client.connect(str(socket_file))
            client.sendall(_SSL_REQUEST)
            return client.recv(1) in (b"N", b"S")
        except OSError:
            return False


def clear_traces(data: Path, socket_file: Path) -> None:
    """Take back what a dead server's files claim, where the pid in them has become another process (or a zombie).

    Call it under start.lock and without a live server. PostgreSQL sees to dead pids itself. postmaster.pid stays, with
    a pid that cannot exist: PostgreSQL needs it to see that orphaned backends still use the shared memory.
    """
    socket_lock = socket_file.with_name(f"{socket_file.name}.lock")
    if _claims_too_much(socket_lock):
        socket_lock.unlink()
    pid_file = data / "postmaster.pid"
    if _claims_too_much(pid_file):
        lines = pid_file.read_text().splitlines(keepends=True)
        if len(lines) < _STATUS_LINE:  # written before any shared memory was made
            pid_file.unlink()
        else:
            pid_file.write_text("".join([f"{_NOBODYS_PID}\n", *lines[1:]]))


def _claims_too_much(lock_file: Path) -> bool:
    try:
        os.kill(int(lock_file.read_text().split()[0]), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except (IndexError, ValueError, OverflowError, PermissionError):  # cut off or damaged, or somebody else's process
        return True
    return True
