"""Orders of moves found by hypothesis, jumps of the clock, workers that wake up late."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine, make_url

from tests.chaos.queue_machine import QueueMachine

# What must have happened for an exploration to prove anything.
_MUST_HAPPEN = {
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


def orders_of_moves(database_url: str, folder: Path, *, number: int, examples: int, steps: int) -> None:
    """The same number explores the same orders; `folder` is not used."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    # With a pool: most of a step would be spent on connecting.
    engine = create_engine(url, pool_size=8, connect_args={"options": "-c TimeZone=UTC -c lock_timeout=30s"})

    class Machine(QueueMachine):
        pass

    Machine.engine = engine
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
    assert {tuple(move) for move in moves} >= _MUST_HAPPEN, _MUST_HAPPEN - {tuple(move) for move in moves}
