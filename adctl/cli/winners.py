"""The commands about winners, for people: find, list, compare, evaluate, fit, add."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, DryRun, Json, Verbose, examples
from adctl.cli.running import perform_job, perform_reading
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
    """Find the creatives most like an ad, a text or a draft. Each with why it matches and how it did."""

    def work(job: Job) -> Report:
        query = _query(ad, text, file)
        from adctl.cli.wiring import embedder_of
        from adctl.commands.winners_similar import run

        return run(
            job.engine,
            job.profile,
            embedder_of(job),
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
    """List the creatives that win, may win, or stopped. The evidence stands beside each."""

    def work(job: Job) -> Report:
        from adctl.commands.winners_list import run

        return run(job.engine, job.profile)

    perform_reading(Invocation(command="winners list", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("stats", epilog=examples("adctl winners stats", "adctl winners stats -a main --json"))
def stats(account: Account = None, as_json: Json = False, config: Config = None, verbose: Verbose = 0) -> None:
    """Say how many creatives are indexed. Also by which model, and whether the index file is right."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import embedder_of
        from adctl.commands.winners_stats import run

        return run(job.engine, job.profile, embedder_of(job), index_directory=job.settings.data_dir / "winners")

    perform_reading(Invocation(command="winners stats", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("dna", epilog=examples("adctl winners dna", "adctl winners dna --by ctr --json"))
def dna(
    by: Annotated[str, typer.Option("--by", help="Compare roas or ctr.", metavar="roas|ctr")] = "roas",
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Rank what creatives are made of by what it brought. Winners stand beside losers, corrected for many looks."""

    def work(job: Job) -> Report:
        from adctl.commands.winners_dna import By, run

        if by not in set(By):
            raise UsageError(f"--by {by!r} is not known", fix=f"use {' or '.join(By)}")
        return run(job.engine, job.profile, by=By(by))

    perform_reading(Invocation(command="winners dna", as_json=as_json, config=config, verbose=verbose), account, work)


@app.command("evaluate", epilog=examples("adctl winners evaluate", "adctl winners evaluate --dry-run --json"))
def evaluate(
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Find out whether similar creatives tell of new ads. The account's past decides; bayes listens only if they do."""

    def work(job: Job) -> Report:
        from adctl.cli.wiring import embedder_of
        from adctl.commands.winners_evaluate import run

        return run(job.engine, job.profile, embedder_of(job), dry_run=job.dry_run)

    perform_job(
        Invocation(command="winners evaluate", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


@app.command("fit", epilog=examples("adctl winners fit --dry-run", "adctl winners fit"))
def fit(
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Learn from the account's own texts which words go together. It takes 2,000, for winners.embedder = own-words."""

    def work(job: Job) -> Report:
        from adctl.commands.winners_fit import run

        return run(job.engine, job.profile, dry_run=job.dry_run)

    perform_job(
        Invocation(command="winners fit", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


@app.command(
    "add",
    epilog=examples(
        "adctl winners add old.json --impressions 90000 --clicks 2100 --spend 1200.00 --wins 31 --value 9300.00",
        "adctl winners add old.json --dry-run",
    ),
)
def add(
    file: Annotated[Path, typer.Argument(help="The creative: JSON with headline, body, format …", metavar="FILE")],
    impressions: Annotated[
        int | None, typer.Option("--impressions", min=0, help="Impressions of its ads elsewhere.")
    ] = None,
    clicks: Annotated[int, typer.Option("--clicks", min=0, help="Clicks on them.")] = 0,
    spend: Annotated[str, typer.Option("--spend", help="Spend, in the account's currency.", metavar="AMOUNT")] = "0",
    wins: Annotated[int, typer.Option("--wins", min=0, help="Deals won.")] = 0,
    value: Annotated[str, typer.Option("--value", help="What the deals were worth.", metavar="AMOUNT")] = "0",
    account: Account = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Take in a creative that won elsewhere. It is refused unless its record proves a winner by this account's bar."""

    def work(job: Job) -> Report:
        from adctl.adapters.files.creative_file import read_creative
        from adctl.cli.steps import index_winners
        from adctl.cli.wiring import winner_rule
        from adctl.commands.winners_add import Proof, run

        proof = None
        if impressions is not None:
            spent, worth = _minor(spend, job.profile.currency), _minor(value, job.profile.currency)
            proof = Proof(impressions=impressions, clicks=clicks, spend=spent, wins=wins, value=worth)
        report = run(
            job.engine,
            job.profile,
            read_creative(file),
            proof,
            winner_rule(job.account),
            lag_days=job.account.attribution_window_days,
            dry_run=job.dry_run,
        )
        return report if job.dry_run else replace(report, sections=(index_winners(job),))

    perform_job(
        Invocation(command="winners add", as_json=as_json, config=config, verbose=verbose, dry_run=dry_run),
        account,
        work,
    )


def _minor(amount: str, currency: str) -> int:
    from adctl.domain.money import to_minor

    try:
        return to_minor(amount, currency)
    except ValueError as error:
        raise UsageError(f"{amount!r} is no amount in {currency}: {error}", fix="write it like 1200.00") from error


def _query(ad: str | None, text: str | None, file: Path | None) -> AdId | Creative:
    from adctl.adapters.files.creative_file import read_creative
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
