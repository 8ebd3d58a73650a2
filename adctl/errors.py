"""The errors a person or the next run can act on, each with its exit code."""

from __future__ import annotations

import re
from functools import partial

_CHARACTER = re.compile(r"character \d+")
# A refusal quotes what is in a file, which may be a megabyte in one cell.
_MOST_REASON, _MOST_COLUMN = 400, 100


def _cut(text: str, most: int) -> str:
    """The text, without its middle where it is too long."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 4 :]}"


class AdctlError(Exception):
    """An expected failure: `what` names the thing, `fix` says what to do about it.

    Bugs are never an AdctlError; they keep their traceback and exit with 1.
    """

    exit_code = 1

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})" if self.fix else self.what


class UsageError(AdctlError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class InputRejectedError(AdctlError):
    """A file holds something that must not be loaded; nothing of it was written.

    `fix` is no option: it says what belongs there, or where a good file comes from.
    """

    exit_code = 65

    def __init__(
        self,
        what: str,
        *,
        source: str = "",
        line: int | None = None,
        column: str = "",
        fix: str,
    ) -> None:
        reason, title = _cut(what, _MOST_REASON), _cut(column, _MOST_COLUMN)
        place = source
        place += f", line {line}" if line is not None else ""
        # JSON has no columns: its place is a character of the line.
        said = title if _CHARACTER.fullmatch(title) else f"column {title!r}"
        place += f", {said}" if title else ""
        super().__init__(f"{place}: {reason}" if place else reason, fix=fix)
        self.reason = reason
        self.source = source
        self.line = line
        self.column = title

    def __reduce__(self) -> tuple[object, ...]:
        # It comes back from processes that work for this one, and pickle hands on no keywords.
        return partial(type(self), fix=self.fix), self.args, self.__dict__


class UnprintedError(AdctlError):
    """The run did its work, and its report is lost: standard output takes nothing, as on a full disk."""

    exit_code = 3


class UnavailableError(AdctlError):
    """The database or a vendor cannot be reached; the next tick retries."""

    exit_code = 69


class InvariantError(AdctlError):
    """PostgreSQL refused what must never happen; nothing of it was written."""

    exit_code = 70


class BusyError(AdctlError):
    """Another run of the same job holds the lock, a vendor limits us, or sending is halted."""

    exit_code = 75


class DeniedError(AdctlError):
    """A token or a database role was refused."""

    exit_code = 77


class ConfigurationError(AdctlError):
    """Settings or migrations do not fit; nothing was started."""

    exit_code = 78
