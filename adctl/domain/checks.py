"""What `doctor` finds: one check, one grade, one fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adctl.errors import AdctlError, BusyError


class Grade(StrEnum):
    """As monitoring systems grade: the exit code is the worst one's place in this order."""

    OK = "OK"
    WARN = "WARN"
    CRIT = "CRIT"

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, as Nagios reads them."""
        return list(Grade).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`subject` is what was looked at, `fix` the command or edit that puts it right."""

    subject: str
    grade: Grade
    finding: str
    fix: str = ""


def ok(subject: str, finding: str) -> Check:
    return Check(subject=subject, grade=Grade.OK, finding=finding)


def warn(subject: str, finding: str, fix: str) -> Check:
    return Check(subject=subject, grade=Grade.WARN, finding=finding, fix=fix)


def crit(subject: str, finding: str, fix: str) -> Check:
    return Check(subject=subject, grade=Grade.CRIT, finding=finding, fix=fix)


def refused(subject: str, error: AdctlError) -> Check:
    """The check that an error ended; what is only busy passes by itself."""
    grade = Grade.WARN if isinstance(error, BusyError) else Grade.CRIT
    return Check(subject=subject, grade=grade, finding=error.what, fix=error.fix)
