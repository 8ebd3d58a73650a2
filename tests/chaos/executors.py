"""Executors of one account at once, as from several hosts: `python -m tests.chaos.executors COUNT SEED DEATHS`.

They pass by the lock that keeps out a second `adctl execute` of an account: the queue alone keeps them apart. Each is a
process of its own, forked after the imports; about DEATHS in a hundred die at a point drawn from the seed. Prints how
each ended, as one JSON list.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
from sqlalchemy.exc import DBAPIError

# Imported before the fork: each executor would do it anew.
import adctl.adapters.meta  # noqa: F401
from adctl.adapters.db import open_engine, translate
from adctl.cli import steps
from adctl.cli.job import Job
from adctl.cli.wiring import profile_of
from adctl.errors import AdctlError
from adctl.settings import load
from tests.builders import ACCOUNT
from tests.chaos.lethal.sitecustomize import arm

POINTS = ("T1", "R1", "T2", "S", "T3", "R2", "commit")


def execute() -> int:
    """One run of execute on the account that the environment and ./adctl.toml name; its exit code."""
    settings = load(environ=os.environ, flags={"config": Path("adctl.toml")})
    account = settings.account(ACCOUNT)
    assert settings.database_url is not None
    engine = open_engine(settings.database_url.reveal())
    job = Job(
        settings=settings, account=account, profile=profile_of(account), engine=engine, run_id=uuid4(), dry_run=False
    )
    try:
        return steps.execute(job).exit_code
    except AdctlError as error:
        return error.exit_code
    except (DBAPIError, psycopg.Error) as error:
        known = translate(error)
        if known is None:
            raise
        return known.exit_code


def _child(seed: list[int], deaths: int) -> int:
    rng = np.random.default_rng(seed)
    if rng.integers(100) < deaths:
        arm(f"{POINTS[rng.integers(len(POINTS))]}:{rng.integers(1, 4)}")
    return execute()


def forked(work: Callable[[], int]) -> int:
    """The process that does the work and ends with its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        except Exception:  # noqa: BLE001  # Here the process ends, whatever happened.
            traceback.print_exc()
        finally:
            # To take down all that was imported before the fork costs more than the work.
            sys.stderr.flush()
            os._exit(code)
    return pid


def main() -> None:
    executors, seed, deaths = (int(argument) for argument in sys.argv[1:])
    pids = [forked(partial(_child, [seed, number], deaths)) for number in range(executors)]
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
