"""The commands about what deals are worth by their stage: list, check, value, roas, learn, withdraw."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, day, examples
from adctl.cli.running import perform_job, perform_reading

if TYPE_CHECKING:
    from adctl.domain.report import Report

app = typer.Typer(
    name="stages", help="What deals are worth by their stage.", no_args_is_help=True, rich_markup_mode=None
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app)


@app.command("list", epilog=examples("adctl stages list", "adctl stages list --json"))
def list_values(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Show the value of every stage. Also since when it holds, and whether it was configured or learned."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import stage_values
        from adctl.commands.stages_list import run
        from adctl.domain.revenue import TEMPLATES

        template = job.account.stage_template
        note = TEMPLATES[template].note if template else ""
        return run(job.engine, job.profile, stage_values(job.account), note=note)

    perform_reading(Invocation(command="stages list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("check", epilog=examples("adctl stages check", "adctl stages check --json"))
def check(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Name every stage without a value; exit code 3 when there is one."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import stage_values
        from adctl.commands.stages_check import run

        return run(job.engine, job.profile, stage_values(job.account))

    perform_reading(Invocation(command="stages check", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("value", epilog=examples("adctl stages value 7001", "adctl stages value default/appointmentscheduled"))
def value(
    asked: Annotated[str, typer.Argument(help="A deal's id, STAGE or PIPELINE/STAGE.", metavar="DEAL|STAGE")],
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show what a deal is worth where it stands. Of a stage: what any deal is worth in it."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import stage_values
        from adctl.commands.stages_value import run

        return run(job.engine, job.profile, asked, stage_values(job.account))

    perform_reading(Invocation(command="stages value", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("roas", epilog=examples("adctl stages roas", "adctl stages roas --ad 120210000000001 --json"))
def roas(
    ad: Annotated[str | None, typer.Option("--ad", help="Only this ad.", metavar="ID")] = None,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show what each ad brought for its money. Deals count at the values in force; the best ads come first."""

    def work(job: Job) -> Report:
        from adctl.commands.stages_roas import run

        return run(job.engine, job.profile, ad=ad)

    perform_reading(Invocation(command="stages roas", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("learn", epilog=examples("adctl stages learn", "adctl stages learn --write --from 2026-12-01"))
def learn(
    write: Annotated[bool, typer.Option("--write", help="Let the learned values hold from --from on.")] = False,
    start: Annotated[
        date | None,
        typer.Option("--from", parser=day, help="The first day they hold, instead of today.", metavar="YYYY-MM-DD"),
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Learn each stage's value from the account's own deals. Its 90 % interval stands beside the value in force."""

    def work(job: Job) -> Report:
        from adctl.commands.stages_learn import run

        return run(job.engine, job.profile, write=write, start=start, dry_run=dry_run)

    told = Invocation(command="stages learn", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)
    if write:
        perform_job(told, account, work)
    perform_reading(told, account, work)


@app.command("withdraw", epilog=examples("adctl stages withdraw --dry-run", "adctl stages withdraw --from 2026-12-01"))
def withdraw(
    start: Annotated[
        date | None,
        typer.Option("--from", parser=day, help="Only those that begin on this day, not all.", metavar="YYYY-MM-DD"),
    ] = None,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Take learned values back that do not hold yet. What decisions stand on stays."""

    def work(job: Job) -> Report:
        from adctl.commands.stages_withdraw import run

        return run(job.engine, job.profile, start=start, dry_run=dry_run)

    told = Invocation(command="stages withdraw", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run)
    perform_job(told, account, work)
