"""The evidence behind what adctl holds true: why an entity was decided as it was, why a deal is worth what it is."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, Json, Verbose, day, examples
from adctl.cli.running import perform_reading

if TYPE_CHECKING:
    from adctl.domain.report import Report

_HELP = ("-h", "--help")


class _EntityUnlessNamed(TyperGroup):
    """`adctl why 1203` means `adctl why entity 1203`: an id is no command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the command in front of what does not name one."""
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = ["entity", *args]
        return super().parse_args(ctx, args)


why = typer.Typer(
    name="why",
    cls=_EntityUnlessNamed,
    help="The evidence behind a decision or an attribution. Ask adctl why ENTITY, or adctl why deal ID.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(why)


@why.command("entity", epilog=examples("adctl why 120330000000001", "adctl why 120330000000001 --at 2026-11-02 --json"))
def why_entity(
    entity: Annotated[str, typer.Argument(help="The id of an ad, ad set or campaign.", metavar="ENTITY")],
    at: Annotated[
        date | None,
        typer.Option("--at", parser=day, help="The day of the decision, instead of the newest.", metavar="YYYY-MM-DD"),
    ] = None,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show what was decided about an ad, ad set or campaign. Also what it rests on, and what became of it."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import policies_of
        from adctl.commands.why import run

        return run(job.engine, job.profile, entity, day=at, make=policies_of(job.account))

    perform_reading(Invocation(command="why", as_json=as_json, config=config, verbose=verbose), account, work)


@why.command("deal", epilog=examples("adctl why deal 7001", "adctl why deal 7001 --json"))
def why_deal(
    deal_id: Annotated[str, typer.Argument(help="The deal's id in the CRM.", metavar="ID")],
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show where a deal came from. Also its stage moves, what it counts as, and the layers that were tried."""

    def work(job: Job) -> Report:
        from adctl.commands.why_deal import run
        from adctl.domain.ids import DealId

        return run(job.engine, job.profile, DealId(deal_id))

    perform_reading(Invocation(command="why deal", as_json=as_json, config=config, verbose=verbose), account, work)
