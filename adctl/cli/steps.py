"""The loop's steps as functions of a job: what each command and the demo run."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adctl.adapters.physical_lines import Source
    from adctl.cli.running import Job
    from adctl.domain.exports import StageNames
    from adctl.domain.report import Report
    from adctl.settings import AccountSettings


def sync_meta(job: Job, *, days: int = 28) -> Report:
    from adctl.cli.wiring import meta
    from adctl.commands.sync_meta import run

    with meta(job) as platform:
        return run(job.engine, job.profile, platform, days=days, dry_run=job.dry_run)


def sync_hubspot(job: Job, *, full: bool = False) -> Report:
    from adctl.cli.wiring import hubspot
    from adctl.commands.sync_hubspot import run

    with hubspot(job) as crm:
        return run(job.engine, job.profile, crm, full=full, dry_run=job.dry_run)


def ingest_ads(job: Job, file: Path, *, as_of: date | None = None) -> Report:
    from adctl.commands.ingest_ads import run

    return run(
        job.engine, job.profile, _source(file), as_of=as_of, columns=job.account.columns.ads, dry_run=job.dry_run
    )


def ingest_crm(job: Job, file: Path | None = None) -> Report:
    from adctl.cli.wiring import stage_values
    from adctl.commands.ingest_crm import CrmFile, run

    taken = None
    if file is not None:
        taken = CrmFile(
            source=_source(file),
            is_performances=_is_json(file),
            columns=job.account.columns.crm,
            stage_names=_stage_names(job.account),
        )
    return run(
        job.engine,
        job.profile,
        taken,
        stage_values(job.account),
        window=timedelta(days=job.account.attribution_window_days),
        dry_run=job.dry_run,
    )


def decide(job: Job, *, as_of: date | None = None, redo: bool = False) -> Report:
    from adctl.cli.wiring import policy_of
    from adctl.commands.decide import run

    return run(
        job.engine,
        job.profile,
        policy_of(job.account),
        run_id=job.run_id,
        as_of=as_of,
        redo=redo,
        dry_run=job.dry_run,
    )


def enqueue(job: Job, *, as_of: date | None = None) -> Report:
    from adctl.cli.wiring import plan_limits
    from adctl.commands.enqueue import run

    return run(
        job.engine,
        job.profile,
        plan_limits(job),
        run_id=job.run_id,
        as_of=as_of,
        expire=timedelta(hours=job.account.limits.expire_hours),
        spare_learning=job.account.limits.learning_phase,
        dry_run=job.dry_run,
    )


def execute(job: Job, *, limit: int | None = None, deadline: float | None = None) -> Report:
    """`deadline` is seconds after which no new change is taken."""
    from adctl.cli.wiring import meta, send_limits
    from adctl.commands.execute import run

    stopping = _stop_on_sigterm()
    until = None if deadline is None else time.monotonic() + deadline
    with meta(job) as platform:
        return run(
            job.engine,
            job.profile,
            platform,
            send_limits(job),
            worker=f"{socket.gethostname()}/{os.getpid()}/{job.run_id}",
            dry_run=job.dry_run,
            limit=limit,
            stop=lambda: bool(stopping) or (until is not None and time.monotonic() > until),
        )


def index_winners(job: Job) -> Report:
    from adctl.cli.wiring import creative_embedder, winner_rule
    from adctl.commands.index_winners import run

    return run(
        job.engine,
        job.profile,
        creative_embedder(),
        winner_rule(job.account),
        index_directory=job.settings.data_dir / "winners",
        dry_run=job.dry_run,
    )


def _source(file: Path) -> Source:
    return sys.stdin.buffer if str(file) == "-" else file


def _is_json(file: Path) -> bool:
    """By the file's name, or by the first character on standard input, which is looked at and not taken."""
    piped = sys.stdin.buffer
    if str(file) == "-" and isinstance(piped, io.BufferedReader):
        return piped.peek(1).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    return file.suffix.lower() == ".json"


def _stage_names(account: AccountSettings) -> StageNames:
    """Which of the file's stages are won and lost, by the account's own stage table beside the usual names."""
    from adctl.domain.deals import Outcome
    from adctl.domain.exports import StageNames

    usual = StageNames()
    by_outcome: dict[Outcome, set[str]] = {outcome: set() for outcome in Outcome}
    for stages in account.stages.values():
        for stage, settings in stages.items():
            by_outcome[settings.outcome].add(stage)
    return StageNames(won=usual.won | by_outcome[Outcome.WON], lost=usual.lost | by_outcome[Outcome.LOST])


def _stop_on_sigterm() -> list[int]:
    """A list that gets the signal: the run then finishes the change in hand and takes no new one."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGTERM, note)
    return received
