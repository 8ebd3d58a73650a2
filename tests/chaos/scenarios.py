"""Orders of moves found by hypothesis, jumps of the clock and workers that wake up late."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine, make_url

from tests.builders import ACCOUNT
from tests.chaos.cells import FAULTS, cell_on, queue_two, start
from tests.chaos.crowd import ends_of, start_executors
from tests.chaos.queue_machine import QueueMachine

Moves = frozenset[tuple[str, str]]
# What must have happened for a long exploration to prove anything.
EVERY_MOVE: Moves = frozenset(
    {
        ("pending", "claimed"),
        ("claimed", "executing"),
        ("claimed", "pending"),
        ("claimed", "blocked"),
        ("claimed", "conflict"),
        ("executing", "completed"),
        ("executing", "failed"),
        ("executing", "pending"),
        ("executing", "unknown"),
        ("unknown", "completed"),
        ("unknown", "pending"),
        ("pending", "cancelled"),
        ("pending", "expired"),
    }
)


def orders_of_moves(
    database_url: str,
    _folder: Path,
    *,
    numbers: Sequence[int],
    examples: int,
    steps: int,
    must_happen: Moves = EVERY_MOVE,
) -> None:
    """The same number explores the same orders; what must happen does in those of all numbers together."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    # With a pool: most of a step would be spent on connecting.
    engine = create_engine(url, pool_size=8, connect_args={"options": "-c TimeZone=UTC -c lock_timeout=30s"})

    class Machine(QueueMachine):
        pass

    Machine.engine = engine
    for number in numbers:
        run_state_machine_as_test(
            seed(number)(Machine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    with engine.connect() as connection:
        moves = connection.exec_driver_sql("select distinct from_state, to_state from ad_change_history").all()
    engine.dispose()
    assert must_happen - {tuple(move) for move in moves} == set()


def clock_jumps(database_url: str, folder: Path, *, days: int, kill: str) -> None:
    """The database's clock jumps while a write is on its way, and the sender dies; later the clock is right again.

    While it is behind, nothing can be known to have settled, so nothing is sent again; ahead, what waited expires.
    """
    with cell_on(database_url, folder) as cell:
        node, _ = queue_two(cell.loop)
        late = cell.meta.faults.arm(**FAULTS["late"], method="POST", path=f"{node.id}$")  # type: ignore[arg-type]
        right = cell.loop.sandbox.world.now
        code = cell.run(kill, at_arrival=lambda _: cell.loop.set_clock(right + timedelta(days=days)))
        assert (code, late.hits) == (-9, 1)
        assert cell.run() in (0, 3)
        states = {row["entity_kind"]: row["state"] for row in cell.loop.rows("pending_ad_changes")}
        assert (
            states == {"ad_set": "unknown", "ad": "pending"} if days < 0 else {"ad_set": "completed", "ad": "expired"}
        )
        assert len(cell.meta.arrivals()) == 1
        cell.loop.set_clock(cell.loop.sandbox.world.now)
        cell.let_time_pass()
        cell.converge()
        assert cell.violations() == []


def late_riser(database_url: str, folder: Path, *, loses_session: bool) -> None:
    """A worker freezes between its authorisation and its write, and wakes up when its write can no longer be expected.

    While its session lives nobody touches its change. When it lost its session (the server was restarted, a firewall
    forgot the connection), others have carried the change out and a person has changed the value since: not one byte
    of the late write may leave.
    """
    with cell_on(database_url, folder) as cell:
        cell.loop.configure("write_deadline_seconds = 10", "write_deadline_seconds = 1")
        cell.loop.configure(f"[accounts.{ACCOUNT}.limits]", f"[accounts.{ACCOUNT}.limits]\nsettle_seconds = 2")
        node, _ = queue_two(cell.loop)
        frozen = start(cell.loop, "T2:1:stop")
        wait_until_stopped(frozen)
        authorised_at = time.monotonic()
        assert cell.meta.arrivals() == []
        if loses_session:
            cell.loop.run_sql(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        cell.let_time_pass()
        ends_of(cell, start_executors(cell.loop, 1, executors=1))
        ends = {row["entity_id"]: row["state"] for row in cell.loop.rows("pending_ad_changes")}
        assert ends[node.id] == ("completed" if loses_session else "executing")
        cell.meta.edit_by_person({"id": node.id, "daily_budget": 7777})
        time.sleep(max(0.0, authorised_at + 2.5 - time.monotonic()))
        frozen.send_signal(signal.SIGCONT)
        _, err = frozen.communicate(timeout=60)
        assert frozen.returncode in (0, 3, 69, 75), err.decode()
        assert node.daily_budget == 7777, "a person's value was overwritten by a write from long ago"
        cell.let_time_pass()
        cell.converge()
        assert cell.violations(frozenset({node.id})) == []


def wait_until_stopped(process: subprocess.Popen[bytes]) -> None:
    """Until the process has sent itself SIGSTOP."""
    deadline = time.monotonic() + 60
    stat = Path(f"/proc/{process.pid}/stat")
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if stat.read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.01)
    raise AssertionError("the process never stopped")
