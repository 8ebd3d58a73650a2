"""The command line: flags to one command to a report to an exit code."""

from __future__ import annotations

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
    app()


def _redacted_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """A bug's traceback, without secrets."""
    import traceback

    from adctl.redaction import redact

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _redacted_thread_traceback(bug: threading.ExceptHookArgs) -> None:
    _redacted_traceback(bug.exc_type, bug.exc_value, bug.exc_traceback)
