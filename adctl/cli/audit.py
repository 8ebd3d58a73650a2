"""The commands about the audit: verify, head, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import perform_reading

if TYPE_CHECKING:
    from adctl.domain.report import Report

app = typer.Typer(
    name="audit",
    help="The append-only history of every change, chained by hashes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app)


@app.command("verify", epilog=examples("adctl audit verify", "adctl audit verify --head 812:9f86d081…"))
def verify(
    head: Annotated[
        str | None, typer.Option("--head", help="A head kept elsewhere: it must still be a link.", metavar="SEQ:HASH")
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Recompute the chain and replay it against the queue. What does not hold halts the account and exits 70."""

    def work(job: Job) -> Report:
        from adctl.commands.audit import verify as run

        return run(job.engine, job.profile, head=head, dry_run=dry_run)

    perform_reading(Invocation(command="audit verify", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("head", epilog=examples("adctl audit head"))
def head(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Print the newest link, for a copy outside the database. Every execute prints it too."""

    def work(job: Job) -> Report:
        from adctl.commands.audit import newest

        return newest(job.engine, job.profile)

    perform_reading(Invocation(command="audit head", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("list", epilog=examples("adctl audit list", "adctl audit list --most 20 --json"))
def list_links(
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="At most so many, the newest.")] = 50,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """List the newest moves of all changes, oldest first."""

    def work(job: Job) -> Report:
        from adctl.commands.audit import listed

        return listed(job.engine, job.profile, most=most)

    perform_reading(Invocation(command="audit list", as_json=as_json, config=config, verbose=verbose), account, work)
