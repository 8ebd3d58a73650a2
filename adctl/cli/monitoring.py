"""`adctl metrics`: how the loop stands, for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adctl.cli.job import Invocation
from adctl.cli.options import Config, examples
from adctl.cli.running import database, perform, refuse_pending
from adctl.errors import UsageError

if TYPE_CHECKING:
    from adctl.domain.report import Report
    from adctl.settings import Settings

# The collector runs as another user.
_FOR_ALL_TO_READ = 0o644


def register(app: typer.Typer) -> None:
    """Adds the command."""
    lines = examples("adctl metrics", "adctl metrics --out /var/lib/prometheus/node-exporter/adctl.prom")
    app.command("metrics", epilog=lines)(metrics)


def metrics(
    out: Annotated[
        Path | None, typer.Option("--out", help="Replace this file in one step instead of printing.", metavar="FILE")
    ] = None,
    config: Config = None,
) -> None:
    """Print every account's figures for Prometheus. They are in the format of its textfile collector."""

    def work(settings: Settings) -> Report | str:
        text = _exposition(settings)
        return text.rstrip("\n") if out is None else _written(out, text)

    perform(Invocation(command="metrics", config=config), work)


def _exposition(settings: Settings) -> str:
    from adctl.cli.wiring import profile_of
    from adctl.commands.metrics import run
    from adctl.domain.metrics import exposition

    watched = [(profile_of(one), one.limits.cap_increase_per_24h) for one in settings.accounts.values()]
    with database(settings) as engine:
        refuse_pending(engine)
        return exposition(run(engine, watched))


def _written(out: Path, text: str) -> Report:
    from adctl.adapters.replaced_file import replace_file
    from adctl.domain.report import Report

    try:
        replace_file(out, [text.encode()], mode=_FOR_ALL_TO_READ)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}", fix="name a file in a folder that this user may write") from error
    figures = sum(not line.startswith("#") for line in text.splitlines())
    return Report(command="metrics", summary=f"{figures} figures written to {out}.")
