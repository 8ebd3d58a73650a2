"""The command line: flags to one command to a report to an exit code."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Annotated

import typer
from typer.main import get_command

from adctl import __version__
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
from adctl.cli.refusals import WrongUse, refuse
from adctl.cli.running import perform_alone
from adctl.cli.showing import is_lost, show_error, unprinted

# What a shell makes of SIGINT; the end of input where a person is asked means the same.
_INTERRUPTED = 130

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


def _print_version(asked: bool) -> None:
    if asked:
        perform_alone(Invocation(command="version"), _version)


def _version() -> str:
    import platform

    return f"adctl {__version__} (Python {platform.python_version()})"


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The command itself; its help stands with the app."""


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
    # Called by itself, the app would put a hook of its own, which redacts nothing, in the place of ours.
    root = get_command(app)
    try:
        sys.exit(root(standalone_mode=False))
    except WrongUse as error:
        sys.exit(refuse(error, sys.argv[1:], root))
    except typer.Abort:
        sys.exit(_INTERRUPTED)
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
