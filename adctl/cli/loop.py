"""The loop's commands, in the order cron chains them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli import steps
from adctl.cli.job import Invocation, Job
from adctl.cli.options import (
    Account,
    AsOf,
    Config,
    DetailedExitCode,
    DryRun,
    Json,
    MaxRejects,
    Verbose,
    detailed,
    examples,
)
from adctl.cli.running import database, perform, perform_job
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.domain.report import Report
    from adctl.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the commands, in order."""
    app.command("migrate", epilog=examples("adctl migrate", "adctl migrate --status"))(migrate)
    app.command("sync-meta", epilog=examples("adctl sync-meta", "adctl sync-meta -a main --days 7"))(sync_meta)
    app.command(
        "sync-hubspot",
        epilog=examples(
            "adctl sync-hubspot",
            "adctl sync-hubspot --full",
            "adctl sync-hubspot --events webhooks.jsonl",
            "adctl sync-hubspot --events - < webhooks.jsonl.gz",
        ),
    )(sync_hubspot)
    app.command(
        "ingest-ads",
        epilog=examples("adctl ingest-ads export.csv --dry-run", "adctl ingest-ads ads.csv --as-of 2026-11-01"),
    )(ingest_ads)
    app.command(
        "ingest-crm",
        epilog=examples(
            "adctl ingest-crm",
            "adctl ingest-crm deals.csv --dry-run",
            "adctl ingest-crm deals.json.gz --max-rejects 20",
            "adctl ingest-crm --clicks clicks.jsonl --conversions leads.jsonl",
        ),
    )(ingest_crm)
    app.command("decide", epilog=examples("adctl decide", "adctl decide --dry-run --json"))(decide)
    app.command(
        "enqueue",
        epilog=examples(
            "adctl enqueue --dry-run",
            "adctl enqueue",
            "adctl enqueue --dry-run --out plan.json --detailed-exitcode",
            "adctl enqueue --plan plan.json",
        ),
    )(enqueue)
    app.command("execute", epilog=examples("adctl execute --dry-run", "adctl execute --limit 10"))(execute)
    app.command("reconcile", epilog=examples("adctl reconcile", "adctl reconcile --dry-run"))(reconcile)
    app.command("index-winners", epilog=examples("adctl index-winners"))(index_winners)


def migrate(
    status: Annotated[bool, typer.Option("--status", help="Only list what is applied and what is pending.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Bring the database to this version of adctl. Safe to run at every deployment."""

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
    """Read Meta: campaigns, ad sets, ads, creatives, insights."""

    perform_job(
        Invocation(command="sync-meta", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.sync_meta(job, days=days),
    )


def sync_hubspot(
    full: Annotated[bool, typer.Option("--full", help="Read every deal, not only those changed since.")] = False,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="Take spooled webhooks (JSON Lines, also gzip) instead.", metavar="FILE|-"),
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Read HubSpot: deals, every stage move, contacts, pipelines.

    --events takes what a receiver of HubSpot's webhooks wrote down: a line is an array of events as it was posted, or
    the request with its headers, {"method", "uri", "headers", "body", "received_at"}, whose v3 signature is then
    checked. Each event is handled once, and what it is about is read again from HubSpot.
    """
    invocation = Invocation(command="sync-hubspot", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)

    def work(job: Job) -> Report:
        if events is None:
            return steps.sync_hubspot(job, full=full)
        if full:
            raise UsageError("--full and --events are two runs", fix="leave one of them out")
        return steps.take_events(job, events)

    perform_job(invocation, account, work)


def ingest_ads(
    file: Annotated[Path, typer.Argument(help="The export, - for standard input.", metavar="FILE")],
    max_rejects: MaxRejects = 0,
    account: Account = None,
    as_of: AsOf = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Take an Ads Manager export in: all of it, or nothing.

    It is CSV, JSON or JSON Lines, also packed with gzip; a file without dates is a reading of --as-of. --dry-run shows
    how its columns are understood.
    """

    perform_job(
        Invocation(command="ingest-ads", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.ingest_ads(job, file, as_of=as_of, max_rejects=max_rejects),
    )


def ingest_crm(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Deals (CSV, JSON, JSON Lines, also gzip), or values per ad (JSON); - for standard input.",
            metavar="FILE",
        ),
    ] = None,
    clicks: Annotated[
        Path | None, typer.Option("--clicks", help="Tracked clicks: click_id, ad_id, clicked_at …", metavar="FILE")
    ] = None,
    conversions: Annotated[
        Path | None,
        typer.Option("--conversions", help="What leads were seen with: deal_id, converted_at …", metavar="FILE"),
    ] = None,
    max_rejects: MaxRejects = 0,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Tie every deal to its ad and value it at its stage. With files, take them in first."""

    perform_job(
        Invocation(command="ingest-crm", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.ingest_crm(job, file, clicks=clicks, conversions=conversions, max_rejects=max_rejects),
    )


def decide(
    account: Account = None,
    as_of: AsOf = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Decide a day again; what was queued already stays as it is.")
    ] = False,
    dry_run: DryRun = False,
    detailed_exitcode: DetailedExitCode = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Judge every ad and write down what it deserves, and why.

    With --as-of, a day that is over is decided on what was known then, and nothing is written.
    """

    perform_job(
        Invocation(command="decide", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: detailed(
            steps.decide(job, as_of=as_of, redo=redo), "scale", "cut", "kill", asked=detailed_exitcode
        ),
    )


def enqueue(
    account: Account = None,
    as_of: AsOf = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Queue exactly this plan, or nothing of it.", metavar="FILE")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --dry-run: write the plan to this file.", metavar="FILE")
    ] = None,
    dry_run: DryRun = False,
    detailed_exitcode: DetailedExitCode = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Pass the day's decisions through the guards into the queue. --dry-run shows the plan as a diff."""

    perform_job(
        Invocation(command="enqueue", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: detailed(steps.enqueue(job, as_of=as_of, plan=plan, out=out), "planned", asked=detailed_exitcode),
    )


def execute(
    account: Account = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Handle at most this many changes, not all that are due.")
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", min=1, help="Take no new change after this many seconds; else until none is due."),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Carry due changes out on Meta, and read each back. SIGTERM finishes the change in hand."""

    perform_job(
        Invocation(command="execute", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.execute(job, limit=limit, deadline=deadline),
    )


def reconcile(
    account: Account = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", min=1, help="Look at no further change after this many seconds; else at all."),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Find out what became of changes that were not answered. Nothing is sent; every execute begins so.

    SIGTERM finishes the change in hand.
    """

    perform_job(
        Invocation(command="reconcile", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.reconcile(job, deadline=deadline),
    )


def index_winners(
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Embed creatives, find the winners, refresh the index file."""

    perform_job(
        Invocation(command="index-winners", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        lambda job: steps.index_winners(job),
    )
