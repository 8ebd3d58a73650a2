"""The commands that judge policies: the back-test, and whether stated chances came true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.options import Account, Config, Json, Maturity, Picture, Verbose, examples
from adctl.cli.running import Invocation, Job, perform_alone, perform_reading, progress
from adctl.errors import InputRejectedError

if TYPE_CHECKING:
    from adctl.domain.report import Report


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        "backtest",
        epilog=examples(
            "adctl backtest --world base --seeds 8",
            "adctl backtest --world all --seeds 30 --json",
            "adctl backtest --world fast --policy bayes --policy rules:mode=roas,window_days=14 --picture fast.svg",
        ),
    )(backtest)
    app.command(
        "calibration", epilog=examples("adctl calibration", "adctl calibration --maturity 45 --picture reliability.svg")
    )(calibration)


def backtest(
    worlds: Annotated[
        list[str], typer.Option("--world", help="A simulated world, repeatable; all for every one.", metavar="WORLD")
    ],
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", help="A policy, name:key=value,…; the first is compared.", metavar="POLICY"),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Runs of each world.")] = 8,
    days: Annotated[int, typer.Option("--days", min=8, max=730, help="Days of each run.")] = 60,
    picture: Picture = None,
    as_json: Json = False,
    verbose: Verbose = 0,
) -> None:
    """Let policies meet in simulated worlds against an oracle, on all cores."""

    def work() -> Report:
        from adctl.commands.backtest_worlds import POLICIES, run

        with progress() as step:
            report = run(worlds, policies or POLICIES, seeds=seeds, days=days, progress=step)
        return drawn(report, picture)

    perform_alone(Invocation(command="backtest", as_json=as_json, verbose=verbose), work)


def calibration(
    maturity: Maturity = 28,
    picture: Picture = None,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show whether stated chances came true: of the verdicts with 5 to 10 % of being wrong, how many were."""

    def work(job: Job) -> Report:
        from adctl.commands.calibration import run

        return drawn(run(job.engine, job.profile, maturity=maturity), picture)

    perform_reading(Invocation(command="calibration", as_json=as_json, config=config, verbose=verbose), account, work)


def drawn(report: Report, file: Path | None) -> Report:
    """The report, once its charts are in the file. Raises InputRejectedError where it cannot be written."""
    from adctl.picture import svg

    if file is not None:
        try:
            file.write_text(svg(report.charts), encoding="utf-8")
        except OSError as error:
            raise InputRejectedError(f"cannot write it: {error.strerror}", source=str(file)) from error
    return report
