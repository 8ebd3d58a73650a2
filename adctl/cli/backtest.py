"""The commands that judge policies: the back-test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.options import Json, Verbose, examples
from adctl.cli.running import Invocation, perform_alone, progress
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
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Also draw reliability and value over time, as SVG.", metavar="FILE"),
    ] = None,
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


def drawn(report: Report, file: Path | None) -> Report:
    """The report, once its charts are in the file. Raises InputRejectedError where it cannot be written."""
    from adctl.picture import svg

    if file is not None:
        try:
            file.write_text(svg(report.charts), encoding="utf-8")
        except OSError as error:
            raise InputRejectedError(f"cannot write it: {error.strerror}", source=str(file)) from error
    return report
