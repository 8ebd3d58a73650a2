"""The errors a person or the next run can act on, each with its exit code."""

from __future__ import annotations


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
    """A file holds something that must not be loaded; nothing of it was written."""

    exit_code = 65

    def __init__(
        self,
        what: str,
        *,
        source: str = "",
        line: int | None = None,
        column: str = "",
        fix: str = "",
    ) -> None:
        place = source
        place += f", line {line}" if line is not None else ""
        place += f", column {column!r}" if column else ""
        super().__init__(f"{place}: {what}" if place else what, fix=fix)
        self.reason = what
        self.source = source
        self.line = line
        self.column = column


class UnavailableError(AdctlError):
    """The database or a vendor cannot be reached; the next tick retries."""

    exit_code = 69


class InvariantError(AdctlError):
    """Something that must never happen did; adctl has halted itself."""

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
