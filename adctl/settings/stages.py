"""The stage values of an account as adctl.toml states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from adctl.domain import money as amounts
from adctl.domain.deals import Outcome
from adctl.settings.keys import Context, Key, UnfitError, as_table, bounded, minor_units, quoted, shown

_WANTS = 'write STAGE_ID = { value = "2250.00", confidence = 0.6, outcome = "open" }'
_KNOWN = ("value", "confidence", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What a deal in this stage is worth: minor units of the account's currency, and how sure that is (0 to 1)."""

    value: int
    confidence: Decimal
    outcome: Outcome


def stage_table(says: str, *, example: str, under: str) -> Key:
    """A table of pipelines, each a table of stages."""

    def read(raw: object, context: Context) -> Mapping[str, Mapping[str, StageSettings]]:
        pipelines = as_table(raw, _WANTS)
        return MappingProxyType({name: _pipeline(name, stages, context) for name, stages in pipelines.items()})

    return Key(read=read, says=says, example=example, under=under, show=_stage_shown)


def _pipeline(name: str, raw: object, context: Context) -> Mapping[str, StageSettings]:
    if not isinstance(raw, dict):
        raise UnfitError(f"{quoted(raw)} is no table of stages", _WANTS, at=name)
    return MappingProxyType({stage: _stage(f"{name}.{stage}", fields, context) for stage, fields in raw.items()})


def _stage(place: str, raw: object, context: Context) -> StageSettings:
    if not isinstance(raw, dict) or sorted(raw) != sorted(_KNOWN):
        raise UnfitError("needs value, confidence and outcome, and nothing else", _WANTS, at=place)
    at = "value"
    try:
        value = minor_units(raw[at], context)
        at = "confidence"
        confidence = bounded(raw[at], 0, 1, 4, "write a number from 0 to 1")
    except UnfitError as unfit:
        raise UnfitError(unfit.reason, unfit.fix, at=f"{place}.{at}") from unfit
    if raw["outcome"] not in list(Outcome):
        raise UnfitError(f"{quoted(raw['outcome'])} is no outcome", "write open, won or lost", at=f"{place}.outcome")
    return StageSettings(value=value, confidence=confidence, outcome=Outcome(raw["outcome"]))


def _stage_shown(value: object, currency: str) -> str:
    if not isinstance(value, StageSettings):
        return shown(value)
    return f"{amounts.show(value.value, currency)}, confidence {value.confidence}, {value.outcome}"
