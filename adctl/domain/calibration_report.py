"""How bands of stated chances are shown: the table's columns and rows, and the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adctl.domain.calibration import Band
from adctl.domain.charts import Chart, Point, Series
from adctl.domain.report import Cell, Column, Kind, Table


def reliability_table(told: Mapping[str, Sequence[Band]], *, who: str, title: str, empty: str) -> Table:
    """The bands of each policy or model; `who` is what the names are names of."""
    return Table(
        key="reliability",
        title=title,
        columns=(
            Column(key=who, label=who),
            Column(key="least", label="from", kind=Kind.PERCENT),
            Column(key="most", label="below", kind=Kind.PERCENT),
            Column(key="verdicts", label="verdicts", kind=Kind.COUNT),
            Column(key="ads", label="ads", kind=Kind.COUNT),
            Column(key="said", label="said", kind=Kind.PERCENT),
            Column(key="wrong", label="were wrong", kind=Kind.PERCENT),
            Column(key="low", label="from", kind=Kind.PERCENT),
            Column(key="high", label="to", kind=Kind.PERCENT),
        ),
        rows=tuple({who: name, **_row(band)} for name, found in told.items() for band in found),
        empty=empty,
    )


def _row(band: Band) -> Mapping[str, Cell]:
    return {
        "least": band.least,
        "most": band.most,
        "verdicts": band.verdicts,
        "ads": band.ads,
        "said": band.said,
        "wrong": band.wrong,
        "low": band.low,
        "high": band.high,
    }


def reliability_chart(told: Mapping[str, Sequence[Band]]) -> Chart:
    """The part that was wrong over what was stated, with its interval."""
    return Chart(
        title="Verdicts: stated chance of being wrong, and how many were",
        x_label="stated",
        y_label="were wrong",
        series=tuple(_marks(name, found) for name, found in told.items() if found),
        x_percent=True,
        y_percent=True,
        diagonal=True,
    )


def _marks(name: str, found: Sequence[Band]) -> Series:
    points = (Point(x=band.said, y=band.wrong, low=band.low, high=band.high) for band in found)
    return Series(label=name, points=tuple(points), marks=True)
