"""Charts as plain values: what a picture draws, whatever draws it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point, with the ends of an interval of `y` where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one name, in ascending `x`; drawn as a line, or as marks of their own with `marks`."""

    label: str
    points: tuple[Point, ...]
    marks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One panel. Fractions are shown in per cent on the axes that say so; `diagonal` draws where x equals y."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_percent: bool = False
    y_percent: bool = False
    diagonal: bool = False
