"""The commands about winners, for people: find similar creatives, list, count. They read and never write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.options import Account, Config, Json, Verbose, examples
from adctl.cli.running import Invocation, Job, perform_reading
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.domain.creatives import Creative
    from adctl.domain.ids import AdId
    from adctl.domain.report import Report

app = typer.Typer(
    name="winners",
    help="Creatives that win, and creatives that are like them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app)


@app.command(
    "similar",
    epilog=examples(
        "adctl winners similar --ad 120210000000001",
        'adctl winners similar --text "Strong at fifty" --winners-only',
        "adctl winners similar --file draft.json --k 5 --json",
    ),
)
def similar(
    ad: Annotated[str | None, typer.Option("--ad", help="Like this ad's creative.", metavar="ID")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Like this text.", metavar="TEXT")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Like this draft: JSON with headline, body, format …", metavar="FILE"),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="How many to show.")] = 10,
    winners_only: Annotated[bool, typer.Option("--winners-only", help="Only creatives that win at present.")] = False,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Find the creatives most like an ad, a text or a draft, with why they match and how they did."""

    def work(job: Job) -> Report:
        query = _query(ad, text, file)
        from adctl.cli.wiring import creative_embedder
        from adctl.commands.winners_similar import run

        return run(
            job.engine,
            job.profile,
            creative_embedder(),
            query,
            index_directory=job.settings.data_dir / "winners",
            k=k,
            winners_only=winners_only,
        )

    perform_reading(
        Invocation(command="winners similar", as_json=as_json, config=config, verbose=verbose), account, work
    )


@app.command("list", epilog=examples("adctl winners list", "adctl winners list --json"))
def list_winners(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """List the creatives that win, those that may, and those that stopped, with the evidence."""

    def work(job: Job) -> Report:
        from adctl.commands.winners_list import run

        return run(job.engine, job.profile)

    perform_reading(Invocation(command="winners list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("stats", epilog=examples("adctl winners stats", "adctl winners stats -a main --json"))
def stats(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Say how many creatives are indexed, by which model, and whether the index file is right."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import creative_embedder
        from adctl.commands.winners_stats import run

        return run(job.engine, job.profile, creative_embedder(), index_directory=job.settings.data_dir / "winners")

    perform_reading(Invocation(command="winners stats", as_json=as_json, config=config, verbose=verbose), account, work)


def _query(ad: str | None, text: str | None, file: Path | None) -> AdId | Creative:
    from adctl.adapters.creative_file import read_creative
    from adctl.domain.creatives import creative_of_text
    from adctl.domain.ids import AdId

    if sum(given is not None for given in (ad, text, file)) != 1:
        raise UsageError("what is to be compared is not clear", fix="give exactly one of --ad, --text, --file")
    if ad is not None:
        return AdId(ad)
    if text is not None:
        return creative_of_text(text)
    assert file is not None
    return read_creative(file)
