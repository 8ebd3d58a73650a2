"""The commands that judge policies: the back-test, and whether stated chances came true."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation, Job
from adctl.cli.options import Account, Config, Horizon, Json, Maturity, Picture, Verbose, examples
from adctl.cli.running import as_asked, perform_alone, perform_reading
from adctl.cli.showing import progress, show_error
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.domain.policies.catalogue import MakePolicy
    from adctl.domain.report import Report

_SHORTEST = 8
_OF_AN_ACCOUNT = ("account", "config", "horizon", "maturity")
Worlds = Annotated[
    list[str] | None,
    typer.Option("--world", help="A simulated world such as base, repeatable; all for every one.", metavar="WORLD"),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        help="name:key=value,… or module:Class:…; the first is compared; else the usual ones.",
        metavar="POLICY",
    ),
]

PolicySeconds = Annotated[
    int | None,
    typer.Option(
        "--policy-seconds",
        min=1,
        max=86_400,
        help="A policy of your own is stopped after these: policy_seconds of an account, 600 in a world.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        "backtest",
        epilog=examples(
            "adctl backtest",
            "adctl backtest --policy bayes --policy blended --days 90 --picture replay.svg",
            "adctl backtest --world base --seeds 8",
            "adctl backtest --world all --seeds 30 --json",
            "adctl backtest --world fast --policy bayes --policy rules:mode=roas,window_days=14 --picture fast.svg",
        ),
    )(backtest)
    app.command(
        "calibration", epilog=examples("adctl calibration", "adctl calibration --maturity 45 --picture reliability.svg")
    )(calibration)


def backtest(
    context: typer.Context,
    worlds: Worlds = None,
    policies: Policies = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="With --world: runs of each world.")] = 8,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=730, help="Days: 60 of a world, all there are of an account.")
    ] = None,
    horizon: Horizon = 7,
    maturity: Maturity = 28,
    policy_seconds: PolicySeconds = None,
    picture: Picture = None,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Replay policies on the account's own past, or on worlds.

    The past is taken as it was known on each day.
    In a world (--world) they meet an oracle that knows the truth; the account plays no part. Runs on all cores.
    """
    invocation = Invocation(command="backtest", as_json=as_json, config=config, verbose=verbose)

    def in_worlds() -> Report:
        from adctl.commands.backtest_worlds import POLICIES, run

        _refuse_unwritable(picture)
        with as_asked(), redirect_stdout(sys.stderr), progress() as step:
            make = _asked(policy_seconds)
            report = run(worlds or (), policies or POLICIES, seeds=seeds, days=days or 60, progress=step, make=make)
        return drawn(report, picture)

    def on_history(job: Job) -> Report:
        from adctl.cli.wiring import policies_of, policy_of
        from adctl.commands.backtest_history import Replay, run

        _refuse_unwritable(picture)
        make = _asked(policy_seconds) if policy_seconds else policies_of(job.account)
        _refuse_unknown(policies or (), make)
        configured, wanted = policy_of(job.account, make), Replay(horizon=horizon, maturity=maturity, days=days)
        with progress() as step:
            report = run(job.engine, job.profile, configured, policies or (), wanted, progress=step, make=make)
        return drawn(report, picture)

    _refuse_misuse(invocation, context, worlds or (), days)
    if worlds:
        perform_alone(invocation, in_worlds)
    perform_reading(invocation, account, on_history)


def _refuse_misuse(invocation: Invocation, context: typer.Context, worlds: Sequence[str], days: int | None) -> None:
    """Ends the command where an option says nothing in this of the two kinds of back-test, or a world is too short."""
    error = None
    if worlds and days is not None and days < _SHORTEST:
        error = UsageError(f"--days {days}: nothing matures so soon", fix=f"give a world at least {_SHORTEST} days")
    for name in _OF_AN_ACCOUNT if worlds else ("seeds",):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            heeded, fix = ("with", "or --world") if worlds else ("without", "or add --world base")
            error = UsageError(f"--{name}: not heeded {heeded} --world", fix=f"leave out --{name}, {fix}")
    if error:
        raise typer.Exit(show_error(invocation, error))


def _asked(seconds: int | None) -> MakePolicy:
    """Makes policies that the command line gives their time."""
    from adctl.adapters.timed_policies import USUAL_SECONDS, TimedPolicies

    return TimedPolicies(seconds or USUAL_SECONDS, more="--policy-seconds allows more")


def _refuse_unknown(policies: Sequence[str], make: MakePolicy) -> None:
    from adctl.domain.simulation.contenders import contender

    with as_asked():
        for spec in policies:
            contender(spec, make)


def calibration(
    horizon: Horizon = 28,
    maturity: Maturity = 28,
    picture: Picture = None,
    account: Account = None,
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = 0,
) -> None:
    """Show whether stated chances came true. Of the verdicts with 5 to 10 % of being wrong, how many were?"""

    def work(job: Job) -> Report:
        from adctl.commands.calibration import run
        from adctl.domain.outcomes import Window

        _refuse_unwritable(picture)
        return drawn(run(job.engine, job.profile, Window(horizon=horizon, maturity=maturity)), picture)

    perform_reading(Invocation(command="calibration", as_json=as_json, config=config, verbose=verbose), account, work)


def _refuse_unwritable(file: Path | None) -> None:
    """Before the work: raises UsageError where a picture can have no place."""
    if file is None:
        return
    if file.suffix.lower() != ".svg":
        raise UsageError(f"--picture {file}: it is drawn as SVG", fix=f"name it {file.with_suffix('.svg')}")
    if not file.parent.is_dir():
        raise UsageError(f"--picture {file}: there is no folder {str(file.parent)!r}", fix="make it, or name another")
    if file.exists() and not file.is_file():
        raise UsageError(f"--picture {file}: is there and no plain file", fix="name a file")
    if not os.access(file.parent, os.W_OK):
        raise UsageError(f"--picture {file}: the folder cannot be written to", fix="name another")


def drawn(report: Report, file: Path | None) -> Report:
    """The report, its charts in the file. What cannot be drawn after all takes nothing from the report but its 0."""
    from adctl.adapters.replaced_file import replace_file
    from adctl.picture import svg

    if file is None:
        return report
    try:
        replace_file(file, [svg(report.charts).encode()], mode=0o644)
    except OSError as error:
        lost = f"{file}: the picture cannot be written: {error.strerror}."
        return replace(report, notes=(*report.notes, lost), exit_code=3)
    return report
