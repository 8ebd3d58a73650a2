"""The three answers a guard gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Guard(StrEnum):
    """The guards by the names an operator reads."""

    UNCHANGED = "unchanged"
    STALE = "stale"
    DUPLICATE = "duplicate"
    CONFIDENCE = "confidence"
    HANDS_OFF = "hands-off"
    QUIET_HOURS = "quiet hours"
    LEARNING = "learning phase"
    FRESHNESS = "freshness"
    CAMPAIGN_RATE = "rate per campaign"
    AD_SET_RATE = "rate per ad set"
    KILLS = "kills per run"
    LAST_AD = "last active ad"
    STEP = "step"
    VELOCITY = "velocity"
    FLOOR = "floor"
    CEILING = "ceiling"
    CAP = "cap"
    FUNDING = "funding"


Figure = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A guard moved a budget (minor units) to the nearest one it allows."""

    guard: Guard
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """May be queued. `target` is the integer (or status) to send; `fuzz_ppm` what the fuzz did, parts per million."""

    target: int | str
    clipped_by: tuple[Clip, ...]
    jitter_ms: int
    fuzz_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Would pass later: at `until`, or when something else happens where that is None; `reason` says which."""

    guard: Guard
    value: Figure
    limit: Figure
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Does not pass by waiting."""

    guard: Guard
    value: Figure
    limit: Figure
    reason: str


Answer = Pass | Wait | Refuse
