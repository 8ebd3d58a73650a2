"""The loop's commands, in the order cron chains them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.options import Account, AsOf, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import Invocation, Job, database, perform, perform_job

if TYPE_CHECKING:
    from adctl.adapters.physical_lines import Source
    from adctl.domain.exports import StageNames
    from adctl.domain.report import Report
    from adctl.settings import AccountSettings, Settings


def register(app: typer.Typer) -> None:
    """Adds the commands, in order."""
    app.command("migrate", epilog=examples("adctl migrate", "adctl migrate --status"))(migrate)
    app.command("sync-meta", epilog=examples("adctl sync-meta", "adctl sync-meta -a main --days 7"))(sync_meta)
    app.command("sync-hubspot", epilog=examples("adctl sync-hubspot", "adctl sync-hubspot --full"))(sync_hubspot)
    app.command(
        "ingest-ads",
        epilog=examples("adctl ingest-ads export.csv --dry-run", "adctl ingest-ads ads.csv --as-of 2026-11-01"),
    )(ingest_ads)
    app.command(
        "ingest-crm",
        epilog=examples("adctl ingest-crm", "adctl ingest-crm deals.csv --dry-run", "adctl ingest-crm values.json"),
    )(ingest_crm)
    app.command("decide", epilog=examples("adctl decide", "adctl decide --dry-run --json"))(decide)
    app.command("enqueue", epilog=examples("adctl enqueue --dry-run", "adctl enqueue"))(enqueue)
    app.command("execute", epilog=examples("adctl execute --dry-run", "adctl execute --limit 10"))(execute)
    app.command("index-winners", epilog=examples("adctl index-winners"))(index_winners)


def migrate(
    status: Annotated[bool, typer.Option("--status", help="Only list what is applied and what is pending.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Bring the database to this version of adctl; safe to run at every deployment."""

    def work(settings: Settings) -> Report:
        from adctl.commands.migrate import run

        with database(settings) as engine:
            return run(engine, dry_run=dry_run or status)

    perform(Invocation(command="migrate", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), work)


def sync_meta(
    days: Annotated[int, typer.Option("--days", min=1, max=1000, help="How many days of insights to re-read.")] = 28,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Read campaigns, ad sets, ads, creatives and daily insights from Meta."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import meta
        from adctl.commands.sync_meta import run

        with meta(job) as platform:
            return run(job.engine, job.profile, platform, days=days, dry_run=job.dry_run)

    perform_job(
        Invocation(command="sync-meta", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def sync_hubspot(
    full: Annotated[bool, typer.Option("--full", help="Read every deal, not only those changed since.")] = False,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Read deals with every stage move, their contacts and the pipelines from HubSpot."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import hubspot
        from adctl.commands.sync_hubspot import run

        with hubspot(job) as crm:
            return run(job.engine, job.profile, crm, full=full, dry_run=job.dry_run)

    perform_job(
        Invocation(command="sync-hubspot", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def ingest_ads(
    file: Annotated[Path, typer.Argument(help="The export, - for standard input.", metavar="FILE")],
    account: Account = None,
    as_of: AsOf = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Take an Ads Manager export (CSV) in: all of it, or nothing. --dry-run shows how its columns are understood."""

    def work(job: Job) -> Report:
        from adctl.commands.ingest_ads import run

        return run(
            job.engine,
            job.profile,
            _source(file),
            as_of=as_of.date() if as_of else None,
            columns=job.account.columns.ads,
            dry_run=job.dry_run,
        )

    perform_job(
        Invocation(command="ingest-ads", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def ingest_crm(
    file: Annotated[
        Path | None,
        typer.Argument(help="A CRM export (CSV), or values per ad (JSON); - for standard input.", metavar="[FILE]"),
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Tie every deal to the ad it came from and value it at its stage; with FILE, take that in first."""

    def work(job: Job) -> Report:
        from datetime import timedelta

        from adctl.cli.wiring import stage_values
        from adctl.commands.ingest_crm import CrmFile, run

        taken = None
        if file is not None:
            taken = CrmFile(
                source=_source(file),
                is_performances=file.suffix.lower() == ".json",
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

    perform_job(
        Invocation(command="ingest-crm", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def decide(
    account: Account = None,
    as_of: AsOf = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Decide a day again; what was queued already stays as it is.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Judge every ad and write down what it deserves, with the evidence."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policy_of
        from adctl.commands.decide import run

        return run(
            job.engine,
            job.profile,
            policy_of(job.account),
            run_id=job.run_id,
            as_of=as_of.date() if as_of else None,
            redo=redo,
            dry_run=job.dry_run,
        )

    perform_job(
        Invocation(command="decide", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def enqueue(
    account: Account = None,
    as_of: AsOf = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Pass the day's decisions through the guards and queue what may be sent; --dry-run shows the plan as a diff."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import plan_limits
        from adctl.commands.enqueue import run

        return run(
            job.engine,
            job.profile,
            plan_limits(job),
            run_id=job.run_id,
            as_of=as_of.date() if as_of else None,
            dry_run=job.dry_run,
        )

    perform_job(
        Invocation(command="enqueue", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def execute(
    account: Account = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Handle at most this many changes.")] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", min=1, help="Take no new change after this many seconds.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Carry due changes out on Meta: read, authorise, write, read back. SIGTERM finishes the change in hand."""

    def work(job: Job) -> Report:
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

    perform_job(
        Invocation(command="execute", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run), account, work
    )


def index_winners(
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Embed every creative, find the winners among those with a mature record, and refresh the index file."""

    def work(job: Job) -> Report:
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

    perform_job(
        Invocation(command="index-winners", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def _source(file: Path) -> Source:
    return sys.stdin.buffer if str(file) == "-" else file


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
