"""The commands about rows of files that were set aside: list, retry, drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli import steps
from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import perform_job, perform_reading
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.domain.report import Report

app = typer.Typer(
    name="rejects",
    help="Rows of files that were set aside (--max-rejects).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app)


@app.command("list", epilog=examples("adctl rejects list", "adctl rejects list --json"))
def list_rejects(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """List every row that waits, with file, line, column and reason."""

    def work(job: Job) -> Report:
        from adctl.commands.rejects import waiting

        return waiting(job.engine, job.profile)

    perform_reading(Invocation(command="rejects list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("retry", epilog=examples("adctl rejects retry"))
def retry(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Read the rows again with the settings of today. Those that are good now are loaded; the others stay."""
    invocation = Invocation(command="rejects retry", as_json=as_json, config=config, verbose=verbose)
    perform_job(invocation, account, steps.retry_rejects)


@app.command("drop", epilog=examples("adctl rejects drop 17 18", "adctl rejects drop --all --dry-run"))
def drop(
    ids: Annotated[
        list[int] | None, typer.Argument(help="Rows by id, from `adctl rejects list`.", metavar="ID")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every row that waits.")] = False,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Close rows for good, without loading them."""

    def work(job: Job) -> Report:
        from adctl.commands.rejects import drop as run

        if bool(ids) == everything:
            raise UsageError("which rows to drop is not clear", fix="name their ids, or give --all")
        return run(job.engine, job.profile, ids or [], everything=everything, dry_run=job.dry_run)

    invocation = Invocation(command="rejects drop", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)
    perform_job(invocation, account, work)
