"""Graph errors in classes: what each proves, and which of adctl's errors a read raises for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adctl.errors import AdctlError, BusyError, ConfigurationError, DeniedError, UnavailableError


class FaultKind(StrEnum):
    """PERMANENT proves that Meta refused; UNCLASSIFIED proves nothing."""

    PERMANENT = "permanent"
    MISSING = "missing"
    TOKEN = "token"
    PERMISSION = "permission"
    POLICY = "policy"
    THROTTLED = "throttled"
    TOO_MUCH_DATA = "too much data"
    TRANSIENT = "transient"
    UNCLASSIFIED = "unclassified"


class ThrottledError(BusyError):
    """Meta limits us; it may pass in `retry_after` seconds."""

    def __init__(self, what: str, *, retry_after: int) -> None:
        super().__init__(what, fix=f"wait {retry_after} s; the next tick goes on")
        self.retry_after = retry_after


class MissingObjectError(ConfigurationError):
    """Meta says that the object does not exist, or that this token may not see it."""


class TransientError(UnavailableError):
    """A read that may pass when it is tried again."""


class TooMuchDataError(UnavailableError):
    """Meta could not answer a query of this size; a smaller one may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One Graph error. `code` reads `100/1885272`; `wait` is the class's own pause in seconds, 0 when it has none.

    `of_object`: only the object that was written to is limited, not the account.
    """

    kind: FaultKind
    code: str
    message: str
    wait: int = 0
    of_object: bool = False


_HOUR: Final = 3600
# The rolling window over which Meta lets call points decay.
_DECAY: Final = 300
_BUDGET_CHANGES_PER_HOUR: Final = 1487632
_THROTTLES: Final = frozenset({4, 17, 32, 613, *range(80000, 80015)})
_TOKEN: Final = frozenset({102, 190})
_PERMISSION: Final = frozenset({10, 294, *range(200, 300)})
# A block for policy reasons or abuse: every further write makes it worse.
_POLICY: Final = 368
_MISSING: Final = frozenset({(100, 33), (803, 0)})
# 2635: the API version is gone; 3018: insights older than 37 months.
_PERMANENT: Final = frozenset({3, 100, 506, 2500, 2635, 3018})
_TRANSIENT: Final = frozenset({1, 2, 104, 960})
# Exceptions from the rule of their code: the insights edge times out under 100 and calls parameters wrong under 2.
_TRANSIENT_PAIRS: Final = frozenset({(100, 1504018)})
_PERMANENT_PAIRS: Final = frozenset({(2, 1504041), (2, 1504042)})
_TOO_MUCH: Final = "reduce the amount of data"

_READ_ERRORS: Final[Mapping[FaultKind, tuple[type[AdctlError], str]]] = {
    FaultKind.TOKEN: (DeniedError, "renew the token (ADCTL_META_TOKEN)"),
    FaultKind.PERMISSION: (DeniedError, "grant the token ads_read and ads_management on this ad account"),
    FaultKind.POLICY: (DeniedError, "settle it in Meta's Business Support"),
    FaultKind.MISSING: (MissingObjectError, "check the ad account id and what the token may see"),
    FaultKind.PERMANENT: (ConfigurationError, "check the ad account id and the API version"),
    FaultKind.TOO_MUCH_DATA: (TooMuchDataError, ""),
    FaultKind.TRANSIENT: (TransientError, ""),
    FaultKind.UNCLASSIFIED: (UnavailableError, ""),
}


def fault_of(error: Mapping[str, object]) -> Fault:
    """The class of the `error` object of a Graph answer; an unknown code is UNCLASSIFIED."""
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    message = str(error.get("error_user_msg") or error.get("message") or "no message")[:300]
    trace = error.get("fbtrace_id")
    return Fault(
        kind=_kind(code, subcode, str(error.get("message")), transient=error.get("is_transient") is True),
        code=f"{code}/{subcode}" if subcode else str(code),
        message=f"{message} [{trace}]" if isinstance(trace, str) else message,
        wait=_HOUR if subcode == _BUDGET_CHANGES_PER_HOUR else _DECAY,
        of_object=subcode == _BUDGET_CHANGES_PER_HOUR,
    )


def _kind(code: int, subcode: int, message: str, *, transient: bool) -> FaultKind:
    if code in _THROTTLES:
        return FaultKind.THROTTLED
    if code in _TOKEN or code == _POLICY:
        return FaultKind.POLICY if code == _POLICY else FaultKind.TOKEN
    if code == 1 and _TOO_MUCH in message.lower():
        return FaultKind.TOO_MUCH_DATA
    if (code, subcode) in _PERMANENT_PAIRS:
        return FaultKind.PERMANENT
    if transient or code < 0 or code in _TRANSIENT or (code, subcode) in _TRANSIENT_PAIRS:
        return FaultKind.TRANSIENT
    return _refusal(code, subcode)


def _refusal(code: int, subcode: int) -> FaultKind:
    if (code, subcode) in _MISSING:
        return FaultKind.MISSING
    if code in _PERMISSION:
        return FaultKind.PERMISSION
    return FaultKind.PERMANENT if code in _PERMANENT else FaultKind.UNCLASSIFIED


def error_of(fault: Fault, *, retry_after: int) -> AdctlError:
    """What a read raises for this fault; `retry_after` in seconds counts for a throttle."""
    what = f"meta: error {fault.code}: {fault.message}"
    if fault.kind is FaultKind.THROTTLED:
        return ThrottledError(what, retry_after=retry_after)
    kind, fix = _READ_ERRORS[fault.kind]
    return kind(what, fix=fix)


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
