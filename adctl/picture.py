"""Charts as one SVG document, written by hand: no library, no script, the same bytes for the same values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from adctl.domain.charts import Chart, Point, Series

_WIDTH, _HEIGHT = 560, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 18, 44, 54
_LEGEND_LINE = 18
# Okabe and Ito: told apart also by those who do not see all colours. Beyond them, each comes again with another dash.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("none", "7 4", "2 3")
_TICKS = 6


def svg(charts: Sequence[Chart]) -> str:
    """The charts side by side, each with its legend below."""
    legend = max((len(chart.series) for chart in charts), default=0) * _LEGEND_LINE
    width, height = _WIDTH * max(len(charts), 1), _HEIGHT + legend + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, chart in enumerate(charts):
        lines += [f'<g transform="translate({place * _WIDTH} 0)">', *_Panel(chart).lines(), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


class _Panel:
    """One chart with the scales that its values need."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        points = [point for series in chart.series for point in series.points]
        self._x = _ticks([point.x for point in points])
        self._y = _ticks([y for point in points for y in (point.y, point.low, point.high) if y is not None])
        if chart.diagonal:
            self._x = self._y = max(self._x, self._y, key=lambda ticks: ticks[-1])

    def lines(self) -> Iterator[str]:
        chart = self._chart
        yield _text(_LEFT, 24, chart.title, size=14, weight="bold")
        yield from self._axes()
        if chart.diagonal:
            start, end = (self._at(Point(x=at, y=at)) for at in (self._x[0], self._x[-1]))
            yield f'<path d="M{start}L{end}" stroke="#999" stroke-dasharray="4 4" fill="none"/>'
        if not any(series.points for series in chart.series):
            yield _text(_WIDTH / 2, _HEIGHT / 2, "nothing to show yet", anchor="middle")
        for place, series in enumerate(chart.series):
            color = _COLORS[place % len(_COLORS)]
            dash = _DASHES[place // len(_COLORS) % len(_DASHES)]
            yield from self._drawn(series, color, dash)
            y = _HEIGHT + place * _LEGEND_LINE + 8
            yield _line(f"M{_LEFT - 6} {y - 4}h22", color, dash, width=6 if series.marks else 3)
            yield _text(_LEFT + 22, y, series.label)

    def _axes(self) -> Iterator[str]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for tick in self._y:
            y = self._up(tick)
            yield f'<path d="M{_LEFT} {y}H{right}" stroke="#e4e4e4"/>'
            yield _text(_LEFT - 8, y + 4, _told(tick, percent=self._chart.y_percent), anchor="end")
        for tick in self._x:
            x = self._along(tick)
            yield f'<path d="M{x} {bottom}v5" stroke="#222"/>'
            yield _text(x, bottom + 19, _told(tick, percent=self._chart.x_percent), anchor="middle")
        yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" stroke="#222" fill="none"/>'
        yield _text((_LEFT + right) / 2, _HEIGHT - 14, self._chart.x_label, anchor="middle")
        middle = (_TOP + bottom) / 2
        turned = f'transform="rotate(-90 16 {_short(middle)})"'
        yield _text(16, middle, self._chart.y_label, anchor="middle", extra=turned)

    def _drawn(self, series: Series, color: str, dash: str) -> Iterator[str]:
        if series.points and not series.marks:
            path = "L".join(self._at(point) for point in series.points)
            yield _line(f"M{path}", color, dash, width=2)
        for point in series.points if series.marks else ():
            x, y = self._along(point.x), self._up(point.y)
            if point.low is not None and point.high is not None:
                ends = f"M{x} {self._up(point.low)}V{self._up(point.high)}"
                yield _line(ends, color, dash, width=1.5)
            yield f'<circle cx="{x}" cy="{y}" r="4.5" fill="{color}"/>'

    def _at(self, point: Point) -> str:
        return f"{self._along(point.x)} {self._up(point.y)}"

    def _along(self, x: float) -> str:
        return _short(_LEFT + _part(x, self._x) * (_WIDTH - _LEFT - _RIGHT))

    def _up(self, y: float) -> float:
        bottom = _HEIGHT - _BOTTOM
        return round(bottom - _part(y, self._y) * (bottom - _TOP), 1)


def _part(value: float, ticks: Sequence[float]) -> float:
    return (value - ticks[0]) / (ticks[-1] - ticks[0])


def _ticks(values: Sequence[float]) -> tuple[float, ...]:
    """Round numbers from 0, or below it, to beyond the largest value."""
    low, high = min([0.0, *values]), max([*values, 0.0])
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * _TICKS >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(round(place * step, 12) for place in range(first, max(last, first + 1) + 1))


def _told(tick: float, *, percent: bool) -> str:
    return f"{tick * 100:.6g}%" if percent else f"{tick:,.6g}"


def _line(path: str, color: str, dash: str, *, width: float) -> str:
    return (
        f'<path d="{path}" stroke="{color}" stroke-width="{width:g}" stroke-dasharray="{dash}" fill="none" '
        'stroke-linejoin="round"/>'
    )


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _text(
    x: float | str,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: str = "normal",
    anchor: str = "start",
    extra: str = "",
) -> str:
    place = f'x="{x if isinstance(x, str) else _short(x)}" y="{_short(y)}"'
    return (
        f'<text {place} font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'
    )
