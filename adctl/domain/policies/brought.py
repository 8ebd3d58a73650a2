"""A policy that people bring, by its import path; everything it says is checked before anything rests on it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adctl.domain.brought import brought_class, said
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
            result = self.inner.decide(history)
            return PolicyResult(verdicts=_checked(history, result), unallocated=int(result.unallocated))
        except _BrokenError as error:
            raise InputRejectedError(f"policy {self.name!r}: {error}", fix=_FIX) from error
        # Whatever a stranger's code raises.
        except Exception as error:
            raise InputRejectedError(f"policy {self.name!r}: decide raised {said(error)}") from error


class _BrokenError(Exception):
    """Which promise of the protocol a result breaks."""


def brought_policy(named: str, parameters: Mapping[str, int | float | str | bool]) -> BroughtPolicy:
    """The class that `named` ("module:Class") means, made with `parameters`.

    Raises ConfigurationError when it cannot be imported or made, or is no policy.
    """
    made = brought_class(named, "policy", _FIX)
    try:
        inner = made(**parameters)
        version, known = getattr(inner, "version", None), getattr(inner, "parameters", None)
    # Whatever a stranger's code raises.
    except Exception as error:
        raise _no_policy(named, f"cannot be made: {said(error)}") from error
    if not isinstance(version, str) or not version:
        raise _no_policy(named, f"version is {version!r}, not a text")
    if not isinstance(known, Mapping) or not all(isinstance(value, int | float | str) for value in known.values()):
        raise _no_policy(named, "parameters are no mapping of numbers, texts and switches")
    if not callable(getattr(inner, "decide", None)):
        raise _no_policy(named, "has no method decide")
    try:
        inspect.signature(inner.decide).bind(None)
    except TypeError as error:
        raise _no_policy(named, "decide does not take one history") from error
    return BroughtPolicy(name=named, version=version, parameters=dict(known), inner=inner)


def _no_policy(named: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"policy {named!r}: {reason}", fix=_FIX)


def _checked(history: AdHistory, result: object) -> VerdictColumns:
    """The verdicts as plain columns that hold no surprises: every reason said, every fact a plain value."""
    if not isinstance(result, PolicyResult):
        raise _BrokenError(f"decide gave {type(result).__name__}, not a PolicyResult")
    if not isinstance(result.verdicts, VerdictColumns):
        for verdict in result.verdicts:
            _check_one(verdict)
    columns = as_columns(result.verdicts)
    if columns.ad_ids != history.ad_ids:
        raise _BrokenError(f"{len(columns)} verdicts, not one for each of {len(history.ad_ids)} ads in their order")
    _check_money(history, columns, result.unallocated)
    reasons = tuple(str(columns.reason(ad)) for ad in range(len(columns)))
    return VerdictColumns(
        ad_ids=columns.ad_ids,
        verdict=columns.verdict,
        current_budget=columns.current_budget,
        budget=columns.budget,
        confidence=columns.confidence,
        evidence={key: _plain(key, column) for key, column in columns.evidence.items()},
        reason=reasons.__getitem__,
    )


def _check_one(verdict: object) -> None:
    if not isinstance(verdict, AdVerdict) or not isinstance(verdict.verdict, Verdict):
        raise _BrokenError(f"{verdict!r} is no AdVerdict with a Verdict")
    for key in ("budget", "current_budget"):
        if not isinstance(getattr(verdict, key), int | np.integer):
            raise _BrokenError(f"ad {verdict.ad_id}: {key} is {getattr(verdict, key)!r}, not whole minor units")


def _check_money(history: AdHistory, columns: VerdictColumns, unallocated: int) -> None:
    """No unit of money may appear or be lost, and nothing may be asked of an ad that does not run."""
    _refuse(columns, columns.current_budget != history.budget, "current_budget is not the ad's share")
    _refuse(columns, columns.budget < 0, "budget is below 0")
    _refuse(columns, (columns.verdict == _KILL) & (columns.budget > 0), "is killed and given money")
    idle = ~history.active & ((columns.verdict != _KEEP) | (columns.budget > 0))
    _refuse(columns, idle, "is not active: nothing but to keep it, without money, can be decided")
    sure = (columns.confidence >= 0) & (columns.confidence <= 1)
    _refuse(columns, ~sure, "confidence is not between 0 and 1")
    total, given = int(history.budget.sum()), int(columns.budget.sum())
    if given + unallocated != total:
        raise _BrokenError(f"budgets of {given} and {unallocated} unallocated are not the {total} there are")


def _refuse(columns: VerdictColumns, wrong: Any, reason: str) -> None:
    if wrong.any():
        raise _BrokenError(f"ad {columns.ad_ids[int(np.argmax(wrong))]}: {reason}")


def _plain(key: str, column: EvidenceColumn) -> EvidenceColumn:
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
    if value is not None and not isinstance(value, bool | int | float | str):
        raise _BrokenError(f"evidence {key!r} is {value!r}, not a number, a text or a switch")
    return value
