"""Pictures: well-formed SVG whose marks stand where the values say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from adctl.domain.charts import Chart, Point, Series
from adctl.picture import svg

_SVG = "{http://www.w3.org/2000/svg}"


def chart(*series: Series, diagonal: bool = False) -> Chart:
    return Chart(title="A < B", x_label="day", y_label="value", series=series, diagonal=diagonal, y_percent=True)


def marks(*points: Point) -> Series:
    return Series(label="bayes & co", points=points, marks=True)


def test_a_mark_stands_between_its_neighbours_and_higher_is_up() -> None:
    found = ET.fromstring(svg([chart(marks(Point(x=0, y=0.1), Point(x=1, y=0.2), Point(x=2, y=0.9)))]))
    places = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in found.iter(f"{_SVG}circle")]
    (left, low), (middle, between), (right, high) = places
    assert left < middle < right
    assert abs((left + right) / 2 - middle) < 0.2
    assert low > between > high
    assert abs((low - between) * 7 - (between - high)) < 1


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    found = ET.fromstring(svg([chart(marks(Point(x=1, y=0.5, low=0.25, high=1.0)))]))
    height = float(next(found.iter(f"{_SVG}circle")).get("cy", ""))
    (bar,) = [one.get("d", "") for one in found.iter(f"{_SVG}path") if one.get("stroke-width") == "1.5"]
    low, high = (float(end) for end in bar.split()[1].split("V"))
    assert high < height < low
    assert abs((low - height) * 2 - (height - high)) < 1


def test_names_are_text_whatever_they_hold_and_panels_stand_side_by_side() -> None:
    drawn = svg([chart(marks(Point(x=1, y=1))), chart(Series(label="line", points=(Point(x=0, y=1), Point(x=1, y=0))))])
    found = ET.fromstring(drawn)
    texts = [one.text for one in found.iter(f"{_SVG}text")]
    assert texts.count("A < B") == 2
    assert "bayes & co" in texts
    assert [one.get("transform") for one in found.iter(f"{_SVG}g")] == ["translate(0 0)", "translate(560 0)"]


def test_a_chart_without_points_says_so() -> None:
    texts = [one.text for one in ET.fromstring(svg([chart(diagonal=True)])).iter(f"{_SVG}text")]
    assert "nothing to show yet" in texts


def test_more_lines_than_colours_still_look_different() -> None:
    lines = [Series(label=f"l{place}", points=(Point(x=0, y=1), Point(x=1, y=place))) for place in range(16)]
    drawn = ET.fromstring(svg([chart(*lines)])).iter(f"{_SVG}path")
    looks = [(one.get("stroke"), one.get("stroke-dasharray")) for one in drawn if one.get("stroke-width") == "2"]
    assert len(looks) == len(set(looks)) == 16
