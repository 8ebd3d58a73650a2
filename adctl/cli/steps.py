"""The loop's steps as functions of a job: what each command and the demo run."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from adctl.domain.counted import counted
from adctl.errors import InputRejectedError, UsageError

if TYPE_CHECKING:
    from adctl.adapters.crm_intake import CrmFile, Files
    from adctl.adapters.files.opened_files import Limits, Source
    from adctl.adapters.store.rejects import Reject
    from adctl.cli.job import Job
    from adctl.domain.exports import StageNames
    from adctl.domain.rejects import KeptRows
    from adctl.domain.report import Report
    from adctl.settings import AccountSettings, Settings


def sync_meta(job: Job, *, days: int = 28) -> Report:
    from adctl.cli.vendors import meta
    from adctl.commands.sync_meta import run

    with meta(job) as platform:
        return run(job.engine, job.profile, platform, days=days, dry_run=job.dry_run)


def sync_hubspot(job: Job, *, full: bool = False) -> Report:
    from adctl.cli.vendors import hubspot
    from adctl.commands.sync_hubspot import run

    with hubspot(job) as crm:
        return run(job.engine, job.profile, crm, full=full, dry_run=job.dry_run)


def take_events(job: Job, file: Path) -> Report:
    """What a receiver of HubSpot's webhooks has spooled."""
    from adctl.adapters.files.spool_lines import open_spool
    from adctl.cli.vendors import hubspot, webhook_secrets
    from adctl.commands.sync_hubspot import run_events
    from adctl.domain.webhooks import MAX_LINE

    with open_spool(_source(file), longest=MAX_LINE) as spool, hubspot(job) as crm:
        return run_events(
            job.engine,
            job.profile,
            crm,
            spool,
            source=spool.name,
            secrets=webhook_secrets(job),
            dry_run=job.dry_run,
        )


def ingest_ads(job: Job, file: Path, *, as_of: date | None = None, max_rejects: int = 0) -> Report:
    from adctl.commands.ingest_ads import run

    return run(
        job.engine,
        job.profile,
        _source(file),
        as_of=as_of,
        columns=job.account.columns.ads,
        max_rejects=max_rejects,
        limits=_limits(job.settings),
        run_id=job.run_id,
        dry_run=job.dry_run,
    )


def ingest_crm(
    job: Job,
    file: Path | None = None,
    *,
    clicks: Path | None = None,
    conversions: Path | None = None,
    max_rejects: int = 0,
) -> Report:
    """Raises UsageError when standard input is to be several files."""
    from adctl.adapters.crm_intake import Files

    if [str(one) for one in (file, clicks, conversions)].count("-") > 1:
        raise UsageError("standard input can be one file only", fix="name the other one")
    files = Files(
        deals=None if file is None else _crm_file(job, _source(file)),
        clicks=None if clicks is None else _source(clicks),
        conversions=None if conversions is None else _source(conversions),
        max_rejects=max_rejects,
        limits=_limits(job.settings),
        run_id=job.run_id,
    )
    return _take_in(job, files)


def retry_rejects(job: Job) -> Report:
    """Reads every row that was set aside once more; what is good now is loaded."""
    from adctl.adapters.db import transaction
    from adctl.adapters.store import rejects
    from adctl.domain.report import Fact, Kind, Report

    with transaction(job.engine, read_only=True) as connection:
        before = rejects.waiting(connection, job.profile.account)
    batches: dict[tuple[str, bytes], list[rejects.Reject]] = {}
    for one in before:
        if one.cells is not None:
            batches.setdefault((one.kind, one.file_digest), []).append(one)
    for (kind, _), batch in batches.items():
        # A file whose columns no longer fit stays as it is.
        with suppress(InputRejectedError):
            _retry(job, kind, batch)
    with transaction(job.engine, read_only=True) as connection:
        after = rejects.waiting(connection, job.profile.account)
    loaded = len(before) - len(after)
    return Report(
        command="rejects retry",
        account=job.profile.account,
        summary=f"{loaded} of {counted(len(before), 'row')} loaded." if loaded else "No changes.",
        facts=(
            Fact(key="loaded", label="loaded", value=loaded, kind=Kind.COUNT),
            Fact(key="waiting", label="still set aside", value=len(after), kind=Kind.COUNT),
        ),
        exit_code=3 if after else 0,
    )


def _retry(job: Job, kind: str, batch: list[Reject]) -> None:
    from adctl.adapters.crm_intake import Files
    from adctl.adapters.store.rejects import kept_rows
    from adctl.commands import ingest_ads

    rows, most = kept_rows(batch), len(batch)
    if kind == "ads":
        ingest_ads.run(
            job.engine,
            job.profile,
            rows,
            as_of=date.fromisoformat(batch[0].context["day"] or ""),
            columns=job.account.columns.ads,
            max_rejects=most,
        )
        return
    _take_in(
        job,
        Files(
            deals=_crm_file(job, rows) if kind == "crm" else None,
            clicks=rows if kind == "clicks" else None,
            conversions=rows if kind == "conversions" else None,
            max_rejects=most,
        ),
    )


def _crm_file(job: Job, source: Source | KeptRows) -> CrmFile:
    from adctl.adapters.crm_intake import CrmFile

    return CrmFile(source=source, columns=job.account.columns.crm, stage_names=_stage_names(job.account))


def _take_in(job: Job, files: Files) -> Report:
    from adctl.cli.privacy import privacy_of
    from adctl.cli.wiring import stage_values
    from adctl.commands.ingest_crm import Switches, run

    layers = job.account.attribution
    return run(
        job.engine,
        job.profile,
        None,
        stage_values(job.account),
        files=replace(files, privacy=privacy_of(job)),
        switches=Switches(fingerprint=layers.fingerprint, probabilistic=layers.probabilistic),
        window=timedelta(days=job.account.attribution_window_days),
        dry_run=job.dry_run,
    )


def decide(job: Job, *, as_of: date | None = None, redo: bool = False) -> Report:
    from adctl.cli.wiring import policies_of, policy_of
    from adctl.commands.decide import run

    make = policies_of(job.account)
    return run(
        job.engine,
        job.profile,
        policy_of(job.account, make),
        run_id=job.run_id,
        as_of=as_of,
        redo=redo,
        dry_run=job.dry_run,
        kill_last_ad=job.account.limits.kill_last_ad,
        make=make,
    )


def enqueue(job: Job, *, as_of: date | None = None, plan: Path | None = None, out: Path | None = None) -> Report:
    """Raises InputRejectedError for a file that is no plan, UsageError for one that cannot be read."""
    from adctl.cli.wiring import approval_of, plan_limits
    from adctl.commands.enqueue import run
    from adctl.domain.saved_plans import read_plan

    if out is not None and not job.dry_run:
        raise UsageError("--out writes the plan of a dry run", fix="add --dry-run")
    return run(
        job.engine,
        job.profile,
        plan_limits(job),
        run_id=job.run_id,
        as_of=as_of,
        expire=timedelta(hours=job.account.limits.expire_hours),
        spare_learning=job.account.limits.learning_phase,
        approval=approval_of(job.account),
        plan=None if plan is None else read_plan(_text(plan), str(plan)),
        out=out,
        dry_run=job.dry_run,
    )


def execute(job: Job, *, limit: int | None = None, deadline: float | None = None) -> Report:
    """`deadline` is seconds after which no new change is taken."""
    from adctl.cli.vendors import meta
    from adctl.cli.wiring import armed_for, send_limits
    from adctl.commands.execute import run

    with meta(job) as platform:
        return run(
            job.engine,
            job.profile,
            platform,
            send_limits(job),
            worker=f"{socket.gethostname()}/{os.getpid()}/{job.run_id}",
            armed_for=armed_for(job.account),
            dry_run=job.dry_run,
            limit=limit,
            stop=_stop_at(deadline),
        )


def reconcile(job: Job, *, deadline: float | None = None) -> Report:
    """`deadline` is seconds after which no further change is looked at."""
    from adctl.cli.vendors import meta
    from adctl.cli.wiring import send_limits
    from adctl.commands.execute.reconcile import run

    with meta(job) as platform:
        return run(job.engine, job.profile, platform, send_limits(job), dry_run=job.dry_run, stop=_stop_at(deadline))


def index_winners(job: Job) -> Report:
    from adctl.cli.wiring import embedder_of, winner_rule
    from adctl.commands.index_winners import run

    return run(
        job.engine,
        job.profile,
        embedder_of(job),
        winner_rule(job.account),
        index_directory=job.settings.data_dir / "winners",
        lag_days=job.account.attribution_window_days,
        dry_run=job.dry_run,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", fix="name the plan's file") from error


def _source(file: Path) -> Source:
    return sys.stdin.buffer if str(file) == "-" else file


def _limits(settings: Settings) -> Limits:
    from adctl.adapters.files.opened_files import Limits

    given = settings.input
    return Limits(
        file_bytes=given.max_megabytes << 20,
        record_chars=given.max_record_chars,
        field_chars=given.max_field_chars,
        columns=given.max_columns,
        rows=given.max_rows,
        depth=given.max_depth,
        seconds=given.max_seconds,
    )


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


def _stop_at(deadline: float | None) -> Callable[[], bool]:
    """True from SIGTERM or so many seconds on: the run finishes the change in hand and takes no new one."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGTERM, note)
    until = None if deadline is None else time.monotonic() + deadline
    return lambda: bool(received) or (until is not None and time.monotonic() > until)
