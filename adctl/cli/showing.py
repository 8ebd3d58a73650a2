"""How reports, errors and progress reach whoever reads them: a terminal, a pipe, a program."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

from adctl.errors import AdctlError, UnprintedError

if TYPE_CHECKING:
    from adctl.cli.job import Invocation
    from adctl.domain.ports import Progress
    from adctl.domain.report import Report


def show(invocation: Invocation, report: Report | str) -> int:
    """Prints the report for whoever reads it: a terminal, a pipe, a program. Plain text goes out as it is.

    A reader that has left misses nothing. Raises UnprintedError where the report cannot be written.
    """
    try:
        _print(invocation, report)
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise unprinted(error) from error
    return 0 if isinstance(report, str) else report.exit_code


def unprinted(error: OSError) -> UnprintedError:
    """What to say when standard output takes nothing."""
    closed = error.errno == errno.EBADF
    return UnprintedError(
        f"the report cannot be written: {'standard output is closed' if closed else error.strerror}",
        fix="send it somewhere, /dev/null at least; what the run did stands"
        if closed
        else "make room; what the run did stands",
    )


def is_lost(stream: TextIO) -> bool:
    """Whether the stream takes nothing, tried with an empty line; from then on it swallows all."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        _silence(stream)
        return True
    return False


def _silence(stream: TextIO) -> None:
    # What is still buffered would fail once more when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _print(invocation: Invocation, report: Report | str) -> None:
    from adctl import render

    if isinstance(report, str):
        render.write(sys.stdout, report)
    elif invocation.as_json or not sys.stdout.isatty():
        render.render(report, stream=sys.stdout, as_json=invocation.as_json)
    else:
        from adctl import terminal

        terminal.render(report, stream=sys.stdout, color=_color())


def show_error(invocation: Invocation, error: AdctlError) -> int:
    """Prints the error in one line, and as JSON where JSON was asked for. The code says it where neither is taken."""
    from adctl import render

    for stream, as_json in ((sys.stderr, False), (sys.stdout, True)):
        if invocation.as_json or not as_json:
            try:
                render.render_error(error, stream=stream, as_json=as_json)
                stream.flush()
            except OSError:
                _silence(stream)
    return error.exit_code


def progress() -> AbstractContextManager[Progress]:
    """Steps of a long command on stderr: a line that changes on a terminal, else a line per step."""
    if sys.stderr.isatty():
        from adctl.terminal import LiveProgress

        return LiveProgress(sys.stderr, color=_color())
    from adctl.render import LineProgress

    return LineProgress(sys.stderr)


def _color() -> bool:
    from adctl.settings import process_environment

    return not process_environment().get("NO_COLOR")
