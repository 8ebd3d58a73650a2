"""The short-lived watcher that stops a server some time after its last user left (`keep_alive`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from adctl.adapters.embedded_postgres.binaries import ENVIRONMENT
from adctl.adapters.embedded_postgres.cluster import START_SECONDS, stop_server
from adctl.adapters.embedded_postgres.locks import FileLock, exclusive
from adctl.adapters.embedded_postgres.places import Places
from adctl.adapters.embedded_postgres.postmaster import live_pid

# How soon a watcher notices that its server was stopped.
_LOOK_SECONDS = 1.0
_PROGRAM = f"import sys; from {__name__} import main; main(sys.argv[1:])"


def keep_for(places: Places, seconds: float) -> None:
    """Called by the last one out, who holds users.lock alone: count from now, in a process of its own."""
    os.utime(places.users_lock)
    subprocess.run(
        # The shell leaves at once, so the watcher is nobody's child; -P imports nothing from the current directory.
        ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-P", "-c", _PROGRAM, str(places.home.parent), str(seconds)],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )


def watch(places: Places, seconds: float) -> None:
    """Stop the server once nobody has left, and nobody is there, for `seconds`; end with a server that others stopped.

    One watcher per server is enough.
    """
    lock = FileLock(places.keeper_lock)
    try:
        if lock.try_exclusive():
            while not _stop_if_unused(places, seconds, lock):
                pass
    finally:
        lock.close()


def _stop_if_unused(places: Places, seconds: float, lock: FileLock) -> bool:
    """True when this watcher has nothing more to do."""
    seen = places.users_lock.stat().st_mtime_ns
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
        if live_pid(places.data) is None:
            break
    users = FileLock(places.users_lock)
    try:
        if not users.try_exclusive():
            return False
        stopped = live_pid(places.data) is None
        if not stopped and places.users_lock.stat().st_mtime_ns != seen:
            return False
        # Given up while users.lock is held: the next last one out must find the place free.
        lock.release()
        if not stopped and not places.keep_running.exists():
            with exclusive(places.start_lock, START_SECONDS):
                stop_server(places.data)
        return True
    finally:
        users.close()


def main(arguments: list[str]) -> None:
    """The watcher's own process: data directory, seconds."""
    watch(Places.below(Path(arguments[0])), float(arguments[1]))
