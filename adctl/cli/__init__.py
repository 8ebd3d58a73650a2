"""The command line: flags to one command to a report to an exit code."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType

import typer

from adctl.cli import (
    audit,
    backtest,
    changes,
    demo,
    loop,
    models,
    monitoring,
    people,
    privacy,
    rejects,
    server,
    stages,
    stand_ins,
    why,
    winners,
)
from adctl.cli.job import Invocation
from adctl.cli.showing import is_lost, show_error, unprinted

app = typer.Typer(
    name="adctl",
    help="Close the loop between HubSpot and Meta ads: read, value, decide, queue and change, safely, from cron.",
    no_args_is_help=True,
    # Rich help and tracebacks cost start-up time, and a traceback with locals would show tokens.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
loop.register(app)
models.register(app)
backtest.register(app)
winners.register(app)
people.register(app)
monitoring.register(app)
changes.register(app)
audit.register(app)
rejects.register(app)
why.register(app)
stages.register(app)
privacy.register(app)
server.register(app)
demo.register(app)
stand_ins.register(app)


def main() -> None:
    """The console script."""
    sys.excepthook = _redacted_traceback
    threading.excepthook = _redacted_thread_traceback
    _fill_closed_streams()
    try:
        app()
    except OSError as error:
        # Help is written by the parser, which lets a full disk be a bug.
        if not is_lost(sys.stdout):
            raise
        sys.exit(show_error(Invocation(command="help"), unprinted(error)))


def _fill_closed_streams() -> None:
    """Opens what the caller closed (`>&-`): else the next file or connection would take its number, and its output.

    What is written to a closed standard output fails; nobody misses what is lost of standard error.
    """
    for number, name, mode in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _redacted_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """A bug's traceback, without secrets."""
    import traceback

    from adctl.redaction import redact

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _redacted_thread_traceback(bug: threading.ExceptHookArgs) -> None:
    _redacted_traceback(bug.exc_type, bug.exc_value, bug.exc_traceback)
