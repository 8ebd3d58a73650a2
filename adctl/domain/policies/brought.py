"""A policy that people bring, by its import path; everything it says is checked before anything rests on it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from adctl.domain.brought import brought_class, said, strangers_code
from adctl.domain.policies.protocol import (
    VERDICTS,
    AdHistory,
    AdVerdict,
    EvidenceColumn,
    Fact,
    PolicyResult,
    Verdict,
    VerdictColumns,
    as_columns,
)
from adctl.errors import ConfigurationError, InputRejectedError

_FIX = 'see "Extend" in the README, and adctl.domain.policies.protocol'
_LONGEST_VERSION = 100
# Where the whole numbers end that a column holds.
_BEYOND_NUMBERS = 2**63
_KILL, _KEEP = VERDICTS.index(Verdict.KILL), VERDICTS.index(Verdict.KEEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtPolicy:
    """The policy under its import path, which is the name that its models and decisions carry."""

    name: str
    version: str
    parameters: Mapping[str, int | float | str | bool]
    inner: Any

    def decide(self, history: AdHistory) -> PolicyResult:
        """What the policy says. Raises InputRejectedError, naming it, when it fails or breaks the protocol."""
        try:
            with strangers_code():
                result = self.inner.decide(_read_only(history))
                return PolicyResult(verdicts=_checked(history, result), unallocated=int(result.unallocated))
        except _BrokenError as error:
            raise InputRejectedError(f"policy {self.name!r}: {error}", fix=_FIX) from error
        # Whatever a stranger's code raises.
        except Exception as error:
            raise InputRejectedError(
                f"policy {self.name!r}: decide raised {said(error)}", fix="mend it there"
            ) from error


def _read_only(value: Any) -> Any:
    """The same history, whose columns cannot be written: others decide on it, too."""
    if isinstance(value, np.ndarray):
        column = value.view()
        column.flags.writeable = False
        return column
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _read_only(getattr(value, field.name)) for field in fields(value)})
    return value


class _BrokenError(Exception):
    """Which promise of the protocol a result breaks."""


def brought_policy(named: str, parameters: Mapping[str, int | float | str | bool]) -> BroughtPolicy:
    """The class that `named` ("module:Class") means, made with `parameters`.

    Raises ConfigurationError when it cannot be imported or made, or is no policy.
    """
    made = brought_class(named, "policy", _FIX)
    version: Any
    known: Any
    try:
        with strangers_code():
            inner = made(**parameters)
        version, known = getattr(inner, "version", None), getattr(inner, "parameters", None)
    # Whatever a stranger's code raises.
    except Exception as error:
        raise _no_policy(named, f"cannot be made: {said(error)}") from error
    _check_named(named, version, known)
    if not callable(getattr(inner, "decide", None)):
        raise _no_policy(named, "has no method decide")
    try:
        inspect.signature(inner.decide).bind(None)
    except TypeError as error:
        raise _no_policy(named, "decide does not take one history") from error
    return BroughtPolicy(name=named, version=version, parameters=dict(known), inner=inner)


def _check_named(named: str, version: object, known: object) -> None:
    """The registry can keep version and parameters, and give them back as they were."""
    if not isinstance(version, str) or not version:
        raise _no_policy(named, f"version is {version!r}, not a text")
    if not version.isprintable() or len(version) > _LONGEST_VERSION:
        raise _no_policy(named, f"version is not a printable text of {_LONGEST_VERSION} letters at most")
    if not isinstance(known, Mapping) or not all(isinstance(key, str) and key.isprintable() for key in known):
        raise _no_policy(named, "parameters are no mapping of numbers, texts and switches by their names")
    for key, value in known.items():
        if not _is_storable(value):
            raise _no_policy(named, f"parameter {key!r} is {value!r}, no finite number, printable text or switch")


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) < _BEYOND_NUMBERS


def _no_policy(named: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"policy {named!r}: {reason}", fix=_FIX)


def _checked(history: AdHistory, result: object) -> VerdictColumns:
    """The verdicts as plain columns that hold no surprises: every reason said, every fact a plain value."""
    if not isinstance(result, PolicyResult):
        raise _BrokenError(f"decide gave {type(result).__name__}, not a PolicyResult")
    if not isinstance(result.verdicts, Sequence):
        raise _BrokenError(f"verdicts are {type(result.verdicts).__name__}, not one for each ad")
    if not isinstance(result.verdicts, VerdictColumns):
        for verdict in result.verdicts:
            _check_one(verdict)
    columns = as_columns(result.verdicts)
    if tuple(columns.ad_ids) != history.ad_ids:
        raise _BrokenError(f"{len(columns)} verdicts, not one for each of {len(history.ad_ids)} ads in their order")
    _check_form(columns)
    _check_money(history, columns, result.unallocated)
    reasons = tuple(_text("a reason", str(columns.reason(ad))) for ad in range(len(columns)))
    evidence = {key: _plain(key, column, len(columns)) for key, column in columns.evidence.items()}
    _check_stated(columns.ad_ids, evidence)
    return VerdictColumns(
        ad_ids=history.ad_ids,
        verdict=columns.verdict.astype(np.int8),
        current_budget=columns.current_budget.astype(np.int64),
        budget=columns.budget.astype(np.int64),
        confidence=columns.confidence.astype(np.float64),
        evidence=evidence,
        # It can be sent to another process.
        reason=partial(_at, reasons),
    )


def _at(reasons: tuple[str, ...], ad: int) -> str:
    return reasons[ad]


def _check_one(verdict: object) -> None:
    if not isinstance(verdict, AdVerdict) or not isinstance(verdict.verdict, Verdict):
        raise _BrokenError(f"{verdict!r} is no AdVerdict with a Verdict")
    for key in ("budget", "current_budget"):
        value = getattr(verdict, key)
        if not isinstance(value, int | np.integer) or abs(int(value)) >= _BEYOND_NUMBERS:
            raise _BrokenError(f"ad {verdict.ad_id}: {key} is {value!r}, not whole minor units")
    if not isinstance(verdict.confidence, int | float | np.number):
        raise _BrokenError(f"ad {verdict.ad_id}: confidence is {verdict.confidence!r}, no number")
    if not isinstance(verdict.evidence, Mapping):
        raise _BrokenError(f"ad {verdict.ad_id}: evidence is {verdict.evidence!r}, no mapping")


def _check_form(columns: VerdictColumns) -> None:
    """Every column has an entry per ad, of its kind: numpy would make do with others, and money get lost."""
    ads = len(columns)
    for key in ("verdict", "current_budget", "budget"):
        column = getattr(columns, key)
        if not isinstance(column, np.ndarray) or column.dtype.kind != "i" or column.shape != (ads,):
            raise _BrokenError(f"{key} is no column of {ads} whole numbers")
    sure = columns.confidence
    if not isinstance(sure, np.ndarray) or sure.dtype.kind != "f" or sure.shape != (ads,):
        raise _BrokenError(f"confidence is no column of {ads} numbers")
    unknown = (columns.verdict < 0) | (columns.verdict >= len(VERDICTS))
    if unknown.any():
        raise _BrokenError(f"verdict {columns.verdict[unknown][0]} is none of VERDICTS")


def _check_money(history: AdHistory, columns: VerdictColumns, unallocated: int) -> None:
    """No unit of money may appear or be lost, and nothing may be asked of an ad that does not run."""
    if not isinstance(unallocated, int | np.integer) or unallocated < 0:
        raise _BrokenError(f"unallocated is {unallocated!r}, not a whole amount")
    _refuse(columns, columns.current_budget != history.budget, "current_budget is not the ad's share")
    _refuse(columns, columns.budget < 0, "budget is below 0")
    _refuse(columns, (columns.verdict == _KILL) & (columns.budget > 0), "is killed and given money")
    idle = ~history.active & ((columns.verdict != _KEEP) | (columns.budget > 0))
    _refuse(columns, idle, "is not active: nothing but to keep it, without money, can be decided")
    unpaid = (history.budget == 0) & (columns.budget > 0)
    _refuse(columns, unpaid, "has no budget that could be raised, and is given money")
    sure = (columns.confidence >= 0) & (columns.confidence <= 1)
    _refuse(columns, ~sure, "confidence is not between 0 and 1")
    total, given = int(history.budget.sum()), int(columns.budget.sum())
    if given + unallocated != total:
        raise _BrokenError(f"budgets of {given} and {unallocated} unallocated are not the {total} there are")


def _refuse(columns: VerdictColumns, wrong: Any, reason: str) -> None:
    if wrong.any():
        raise _BrokenError(f"ad {columns.ad_ids[int(np.argmax(wrong))]}: {reason}")


def _plain(key: object, column: EvidenceColumn, ads: int) -> EvidenceColumn:
    if not isinstance(key, str):
        raise _BrokenError(f"evidence {key!r} is named by no text")
    _text(f"evidence {key!r}", key)
    if isinstance(column, tuple | np.ndarray) and len(column) != ads:
        raise _BrokenError(f"evidence {key!r} is no column of {ads} entries")
    if isinstance(column, tuple):
        return tuple(_fact(key, value) for value in column)
    if isinstance(column, np.ndarray):
        return tuple(_fact(key, value) for value in column.tolist())
    return _fact(key, column)


def _fact(key: str, value: object) -> Fact:
    """A plain value; a number that is none says that nothing is known."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) >= _BEYOND_NUMBERS:
        raise _BrokenError(f"evidence {key!r} is a whole number beyond 64 bits")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise _BrokenError(f"evidence {key!r} is {value!r}, not a number, a text or a switch")
    return _text(f"evidence {key!r}", value) if isinstance(value, str) else value


def _text(what: str, value: str) -> str:
    if "\0" in value or value.encode(errors="ignore").decode() != value:
        raise _BrokenError(f"{what} holds what no database takes")
    return value


def _check_stated(ad_ids: tuple[str, ...], evidence: Mapping[str, EvidenceColumn]) -> None:
    """What calibration and the simulated worlds judge a policy by is read as what it is."""
    for key, is_one, kind in _JUDGED:
        column = evidence.get(key)
        values: tuple[object, ...] = column if isinstance(column, tuple) else (column,) * len(ad_ids)
        for ad_id, value in zip(ad_ids, values, strict=True):
            if value is not None and not is_one(value):
                raise _BrokenError(f"ad {ad_id}: {key} is {value!r}, not {kind}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_chance(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


# The evidence that policies are judged by, and what each must be where it is stated.
_JUDGED = (
    ("roas_low", _is_number, "a number"),
    ("roas_high", _is_number, "a number"),
    ("p_wrong", _is_chance, "a chance between 0 and 1"),
    ("wrong_roas", _is_number, "a number"),
    ("wrong_above", _is_switch, "true or false"),
)
