"""A PostgreSQL of a test's own, which it may crash; its log reaches the disk only with a commit that waits for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from adctl.adapters import migrations
from adctl.adapters.db import open_engine
from adctl.adapters.embedded_postgres import EmbeddedServer
from adctl.adapters.embedded_postgres.postmaster import serves

# Whoever else might write the log: dirty pages may only go to disk after the log of their change.
_QUIET = ("alter system set autovacuum = off", "alter system set bgwriter_lru_maxpages = 0", "select pg_reload_conf()")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnServer:
    """`url` is a migrated, empty database."""

    server: EmbeddedServer
    url: str

    def freeze_log_writer(self) -> None:
        """From now on only a synchronous commit writes the log; whatever was committed without waiting dies with us."""
        os.kill(self._log_writer(), signal.SIGSTOP)

    def crash(self) -> None:
        """What `pg_ctl restart -m immediate` does: no checkpoint, no good-bye, and recovery from the log on disk."""
        status, writer = self.server.status(), self._log_writer()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGQUIT)
        # A frozen one hears nothing else; one that is awake may have ended already.
        with suppress(ProcessLookupError):
            os.kill(writer, signal.SIGKILL)
        deadline = time.monotonic() + 60
        # Not until it left /proc: as a zombie it may stay there for as long as nobody asks for its end.
        while serves(status.pid, status.data_directory):
            assert time.monotonic() < deadline, "the server outlived its crash"
            time.sleep(0.01)
        self.server.ensure_running()

    def _log_writer(self) -> int:
        with psycopg.connect(self.url) as connection:
            found = connection.execute("select pid from pg_stat_activity where backend_type = 'walwriter'").fetchone()
        assert found is not None
        return int(found[0])


@contextmanager
def own_server(folder: Path) -> Iterator[OwnServer]:
    """It ends with the block."""
    with EmbeddedServer(folder / "server").attach() as server:
        url = server.libpq_url()
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in _QUIET:
                connection.execute(statement)
        engine = open_engine(url)
        migrations.migrate(engine, migrations.available())
        engine.dispose()
        yield OwnServer(server=server, url=url)
