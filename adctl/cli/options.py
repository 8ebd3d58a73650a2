"""The options that commands share, so that each is spelled and explained once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from adctl.domain.report import Report

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def day(text: str) -> date:
    """A day as the command line has it."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no day; write one such as 2026-11-30")


Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        "-a",
        help="The account, as named in adctl.toml; else default_account or the only one.",
        metavar="NAME",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the report.")]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="The settings file, instead of adctl.toml.", metavar="FILE")
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Log more to stderr; -vv for details.")
]
MaxRejects = Annotated[
    int,
    typer.Option("--max-rejects", min=0, max=100_000, help="Set up to this many bad rows aside instead of refusing."),
]
DetailedExitCode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="With --dry-run: exit 4 when there is something to change.")
]
AsOf = Annotated[
    date | None,
    typer.Option("--as-of", parser=day, help="The account's day, instead of today.", metavar="YYYY-MM-DD"),
]
Horizon = Annotated[
    int, typer.Option("--horizon", min=1, max=90, help="An outcome is what the money of this many days brought.")
]
Maturity = Annotated[
    int, typer.Option("--maturity", min=1, max=300, help="Days after the money until its deals count.")
]
Picture = Annotated[Path | None, typer.Option("--picture", help="Also draw it, as SVG (p.svg).", metavar="FILE")]


def examples(*lines: str) -> str:
    """The end of a command's help: its examples, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def detailed(report: Report, *facts: str, asked: bool) -> Report:
    """Exit code 4 for a dry run one of whose figures `facts` is not zero, when that was asked for."""
    pending = any(one.key in facts and one.value for one in report.facts)
    return replace(report, exit_code=4) if asked and report.dry_run and pending and not report.exit_code else report
