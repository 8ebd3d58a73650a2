"""From the budget a policy wants to the integer that may be sent: fuzz, step, velocity, floor, ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from uuid import UUID

from adctl.domain.changes import priced
from adctl.domain.guards.answers import Clip, Guard, Refuse, Wait
from adctl.domain.guards.context import ValueInForce
from adctl.domain.guards.draws import fuzz_ppm, fuzzed
from adctl.domain.guards.limits import Limits
from adctl.domain.money import show


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The integers `low`..`high` that a guard allows; none when they cross. `high` None is no upper end."""

    guard: Guard
    low: int
    high: int | None

    def clip(self, amount: int) -> int:
        amount = max(amount, self.low)
        return amount if self.high is None else min(amount, self.high)

    def holds(self, amount: int) -> bool:
        return self.low <= amount and (self.high is None or amount <= self.high)

    def __str__(self) -> str:
        return f"at least {self.low}" if self.high is None else f"{self.low}..{self.high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """The integer that may be sent, the guards that moved it, and the fuzz that was added before them."""

    target: int
    clipped_by: tuple[Clip, ...]
    fuzz_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWish:
    """A change of one entity's daily budget. `values` are those of the past; `current` counts as well."""

    change_id: UUID
    entity_id: str
    current: int
    wanted: int
    values: Sequence[ValueInForce]
    currency: str


def shape_budget(wish: BudgetWish, limits: Limits, now: datetime) -> Shaped | Wait | Refuse:
    """Clips the wish to what every guard allows, or says which guard leaves nothing of it.

    A clip never turns a raise into a cut or the other way round.
    """
    start, ppm = _fuzz(wish, limits)
    velocity = velocity_band([value.value for value in _in_window(wish, limits, now)], limits)
    bands = (_step(wish.current, limits), velocity, _floor(wish, limits), _ceiling(wish, limits))
    if velocity.high is not None and velocity.low > velocity.high:
        return _velocity_blocks(wish, start, velocity, limits, now)
    target, clips = _clip(start, bands)
    if _right_way(wish, target) and all(band.holds(target) for band in bands):
        return Shaped(target=target, clipped_by=clips, fuzz_ppm=ppm)
    if clips[-1].guard is Guard.VELOCITY:
        return _velocity_blocks(wish, start, velocity, limits, now)
    return _refusal(wish, clips[-1], bands)


def is_allowed(wish: BudgetWish, target: int, limits: Limits, now: datetime) -> bool:
    """Whether every guard of the amount lets this very integer pass."""
    velocity = velocity_band([value.value for value in _in_window(wish, limits, now)], limits)
    bands = (_step(wish.current, limits), velocity, _floor(wish, limits), _ceiling(wish, limits))
    return _right_way(wish, target) and all(band.holds(target) for band in bands)


def velocity_band(values: Sequence[int], limits: Limits) -> Band:
    """The integers within the velocity limit of every one of `values` at once; both ends pass."""
    return Band(
        guard=Guard.VELOCITY,
        low=ceil((1 - limits.velocity) * max(values)),
        high=floor((1 + limits.velocity) * min(values)),
    )


def _fuzz(wish: BudgetWish, limits: Limits) -> tuple[int, int]:
    """The fuzzed wish and the parts per million; no fuzz where it would undo or turn the change."""
    ppm = fuzz_ppm(wish.change_id, limits.fuzz)
    amount = fuzzed(wish.wanted, ppm)
    return (amount, ppm) if _right_way(wish, amount) else (wish.wanted, 0)


def _step(current: int, limits: Limits) -> Band:
    return Band(guard=Guard.STEP, low=ceil((1 - limits.step) * current), high=floor((1 + limits.step) * current))


def _floor(wish: BudgetWish, limits: Limits) -> Band:
    return Band(guard=Guard.FLOOR, low=max(limits.floor, limits.floors.get(wish.entity_id, limits.floor)), high=None)


def _ceiling(wish: BudgetWish, limits: Limits) -> Band:
    ends = [end for end in (limits.ceiling, limits.ceilings.get(wish.entity_id)) if end is not None]
    return Band(guard=Guard.CEILING, low=0, high=min(ends, default=None))


def _in_window(wish: BudgetWish, limits: Limits, at: datetime) -> list[ValueInForce]:
    """What was in force less than a window before `at`; a value leaves exactly a window after its end."""
    recent = [value for value in wish.values if value.until is None or value.until + limits.velocity_window > at]
    return [ValueInForce(value=wish.current, until=None), *recent]


def _clip(amount: int, bands: Sequence[Band]) -> tuple[int, tuple[Clip, ...]]:
    clips: list[Clip] = []
    for band in bands:
        clipped = band.clip(amount)
        if clipped != amount:
            clips.append(Clip(guard=band.guard, before=amount, after=clipped))
        amount = clipped
    return amount, tuple(clips)


def _right_way(wish: BudgetWish, target: int) -> bool:
    """Whether `target` still changes the budget, and in the direction that was wanted."""
    return (target - wish.current) * (wish.wanted - wish.current) > 0


def _refusal(wish: BudgetWish, last: Clip, bands: Sequence[Band]) -> Refuse:
    """Floor or ceiling asks for what the other guards forbid, or leaves nothing of the change."""
    asked = next(band for band in bands if band.guard is last.guard)
    said = {band.guard: priced(band.guard, band, wish.currency) for band in bands if band.low or band.high is not None}
    others = ", ".join(f"{guard} {told}" for guard, told in said.items() if guard is not last.guard)
    current, wanted = (show(amount, wish.currency) for amount in (wish.current, wish.wanted))
    return Refuse(
        guard=last.guard,
        value=last.before,
        limit=str(asked),
        reason=f"{last.guard} allows {said[last.guard]}, the others {others}: nothing is left of {current} to {wanted}",
    )


def _velocity_blocks(wish: BudgetWish, start: int, band: Band, limits: Limits, now: datetime) -> Wait | Refuse:
    """Waits for values to leave the window where that makes room; the current value itself never leaves."""
    share = f"{float(limits.velocity * 100):g} %"
    if not _has_room(wish, start, [], limits):
        return Refuse(
            guard=Guard.VELOCITY,
            value=start,
            limit=str(band),
            reason=f"{share} of {show(wish.current, wish.currency)} is less than {show(1, wish.currency)}",
        )
    values = {value.value for value in _in_window(wish, limits, now)}
    least, most = (show(amount, wish.currency) for amount in (min(values), max(values)))
    return Wait(
        guard=Guard.VELOCITY,
        value=start,
        limit=str(band),
        until=_room_at(wish, start, limits),
        reason=f"{least} to {most} were in force within {limits.velocity_window}; {share} of each allow none",
    )


def _room_at(wish: BudgetWish, start: int, limits: Limits) -> datetime | None:
    """When enough values will have left the window; None while one that may still be in force blocks.

    Moments that are over make no room: more values were in the window then.
    """
    moments = sorted(value.until + limits.velocity_window for value in wish.values if value.until is not None)
    return next((at for at in moments if _has_room(wish, start, _in_window(wish, limits, at), limits)), None)


def _has_room(wish: BudgetWish, start: int, values: Sequence[ValueInForce], limits: Limits) -> bool:
    """Whether the wish would move the right way if only `values`, and the current one, were in force."""
    bands = _step(wish.current, limits), velocity_band([wish.current, *(value.value for value in values)], limits)
    target, _ = _clip(start, bands)
    return _right_way(wish, target) and all(band.holds(target) for band in bands)
