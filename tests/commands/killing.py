"""adctl in processes that are killed at a request: forked from one that has everything imported, to start at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

from adctl.cli import main
from adctl.commands import sync_meta
from adctl.sandbox.server import StandIn
from tests.builders import Loop

Work = Callable[..., None]

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["tests.commands.killing", "adctl.commands.sync_hubspot", "adctl.adapters.hubspot", "adctl.adapters.meta"]
)
_SECONDS = 120.0


def command_line(folder: Path, environment: dict[str, str], *words: str) -> None:
    """`adctl` in this process: what it prints goes to a file in the folder."""
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["adctl", *words]
    with Path("printed").open("a") as printed:
        sys.stdout = sys.stderr = printed
        main()


def command_line_of_a_large_account(folder: Path, environment: dict[str, str], *words: str) -> None:
    """The same where sync-meta takes the account for one that it reads as reports, and polls without a pause."""
    assert sync_meta.run.__kwdefaults__ is not None
    sync_meta.run.__kwdefaults__.update(report_from=1, sleep=lambda seconds: None)
    command_line(folder, environment, *words)


class Killer:
    """Kills runs of one command on one loop at seeded points."""

    def __init__(self, loop: Loop, server: StandIn, seed: int, work: Work) -> None:
        self._loop = loop
        self._server = server
        self._rng = np.random.default_rng(seed)
        self._work = work

    def killed(self, *words: str, within: int) -> bool:
        """Kills a run at a random one of its first `within` requests; False when it had ended well before.

        Half of the time it waits for that answer when it dies, else it is anywhere up to 30 ms behind the request.
        """
        stop_at = len(self._server.log) + int(self._rng.integers(1, within + 1))
        waiting = bool(self._rng.integers(2))
        if waiting:
            self._server.faults.arm("hang", skip=stop_at - len(self._server.log) - 1)
        process = self._process(words)
        deadline = time.monotonic() + _SECONDS
        while process.is_alive() and len(self._server.log) < stop_at and time.monotonic() < deadline:
            time.sleep(0.001)
        if not waiting:
            time.sleep(float(self._rng.uniform(0, 0.03)))
        process.kill()
        process.join()
        self._server.faults.clear()
        self._wait_for_the_database(deadline)
        assert process.exitcode in (0, -signal.SIGKILL), self._printed()
        return process.exitcode != 0

    def let_end(self, *words: str) -> None:
        process = self._process(words)
        process.join(_SECONDS)
        assert process.exitcode == 0, self._printed()

    def _process(self, words: tuple[str, ...]) -> ForkServerProcess:
        process = _FORKS.Process(target=self._work, args=(self._loop.folder, self._loop.environment, *words))
        process.start()
        return process

    def _printed(self) -> str:
        return (self._loop.folder / "printed").read_text()

    def _wait_for_the_database(self, deadline: float) -> None:
        """PostgreSQL ends what a dead client had begun; until then its locks hold."""
        others = """
            select count(*) from pg_stat_activity
            where datname = current_database() and application_name = 'adctl' and pid <> pg_backend_pid()
            """
        while self._loop.value(others) and time.monotonic() < deadline:
            time.sleep(0.005)
