"""Every proof about money at full length, in parallel over databases."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.chaos import crowd, scenarios, server_crashes
from tests.chaos.cells import FAULTS, KILLS, cell_on, crash
from tests.conftest import Server, make_template, serving

SEEDS = range(3)
Proof = Callable[[str, Path], None]


def _crash(kill: str, fault: str, database_url: str, folder: Path) -> None:
    with cell_on(database_url, folder) as cell:
        crash(cell, kill, fault)


def proofs() -> Iterator[tuple[str, Proof]]:
    """Each proof by name; it gets a migrated, empty database and a folder of its own. The longest come first."""
    # hypothesis keeps the first five of each seed short: with three seeds 210 orders have all 40 steps.
    yield "orders of moves", partial(scenarios.orders_of_moves, numbers=SEEDS, examples=75, steps=40)
    for seed in SEEDS:
        yield f"a crowd, seed {seed}", partial(crowd.crowd, seed=seed)
        yield f"a crowd that is halted, seed {seed}", partial(crowd.halted_crowd, seed=seed)
        yield f"a server that crashes under a crowd, seed {seed}", partial(server_crashes.crashed_crowd, seed=seed)
    for point in server_crashes.AFTER:
        yield f"a server that crashes, execute at {point}", partial(server_crashes.crash_at, point=point)
    for days in (-2, 2):
        for kill in ("S", "T3"):
            yield f"a clock that jumps {days} days, killed {kill}", partial(scenarios.clock_jumps, days=days, kill=kill)
    for loses in (False, True):
        yield f"a late riser, session lost: {loses}", partial(scenarios.late_riser, loses_session=loses)
    for kill in KILLS:
        for fault in FAULTS:
            yield f"killed {kill}, {fault}", partial(_crash, kill, fault)


def prove(name: str, server: Server, template: str, number: int) -> float:
    """Runs one proof in a process of the pool; how many seconds it took."""
    proof = dict(proofs())[name]
    database = f"{template}_{number}"
    server.create(database, template)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            proof(server.url(database), Path(folder))
    finally:
        server.drop(database)
    return time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (2)")
    parser.add_argument("--only", default="", help="proofs whose name contains this")
    asked = parser.parse_args()
    names = [name for name, _ in proofs() if asked.only in name]
    failed = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as server,
        ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool,
    ):
        template = make_template(server)
        running = {pool.submit(prove, name, server, template, number): name for number, name in enumerate(names)}
        for done in as_completed(running):
            error = done.exception()
            failed += error is not None
            told = f"{done.result():.1f} s" if error is None else "".join(traceback.format_exception(error))
            sys.stdout.write(f"{'ok' if error is None else 'FAILED'}  {running[done]}  {told.strip()}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(names) - failed} passed, {failed} failed\n")
    return 1 if failed or not names else 0
