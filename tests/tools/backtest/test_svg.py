"""Charts: numbers stand where they belong, texts are escaped, and no input makes a picture that is none."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from tools.backtest.svg import (
    MOST_POINTS,
    Bin,
    ChartLine,
    bar_chart,
    bins_of,
    column_chart,
    histogram,
    line_chart,
    number,
    spread,
    thinned,
    ticks,
)

ODD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (0, 1e-9, [0, 2e-10, 4e-10, 6e-10, 8e-10, 1e-9]),
        (3, 3, [3]),
        (0, 7e20, [0, 2e20, 4e20, 6e20]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1200, "1,200"), (0.0015, "0.0015"), (1.5e-9, "1.5e-09"), (-2.5, "-2.5"), (1e20, "1e+20")],
)
def test_number_is_short(value: float, text: str) -> None:
    assert number(value) == text


def test_bins_hold_every_finite_value_once() -> None:
    values = [float(value % 97) for value in range(1_000)]
    bins = bins_of([*values, *ODD])
    assert sum(one.values for one in bins) == 1_000
    assert (bins[0].low, bins[-1].high) == (0.0, 96.0)
    assert bins_of([2.0, 2.0]) == [Bin(2.0, 2.0, 2)]
    assert bins_of(ODD) == bins_of([]) == []


def test_thinned_keeps_ends_and_extremes() -> None:
    points = [(float(at), math.sin(at / 50)) for at in range(50_000)]
    points[31_234] = (31_234.0, 99.0)
    points[31_999] = (31_999.0, -99.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert points[31_234] in kept and points[31_999] in kept
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)


def test_spread_of_equal_or_odd_values_is_a_range() -> None:
    for values in ([], [5.0], [5.0, 5.0], ODD, [0.0]):
        low, high = spread(values)
        assert math.isfinite(low) and low < high


Draw = Callable[[str], str]
DRAWINGS: list[Draw] = [
    lambda text: line_chart(
        "n", text, text, [ChartLine(text, [(0, 1), (1, 2)]), ChartLine(text, [(0, 3)])], unit_x=text
    ),
    lambda text: bar_chart("n", text, text, [(text, 3), ("b", 0)]),
    lambda text: column_chart("n", text, text, [(text, 3), ("b", 0)], unit=text),
    lambda text: histogram("n", text, text, [1, 2, 3], unit=text),
]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_chart_is_sound_xml_with_title_and_description_whatever_the_texts(draw: Draw) -> None:
    text = "<script>\"&'</title>"
    root = ET.fromstring(draw(text))
    assert [child.tag for child in root][:2] == ["title", "desc"]
    assert root[0].text == root[1].text == text
    assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
    assert not list(root.iter("script"))


@pytest.mark.parametrize(
    "svg",
    [
        line_chart("n", "t", "d", []),
        line_chart("n", "t", "d", [ChartLine("a", [])]),
        line_chart("n", "t", "d", [ChartLine("a", [(value, value) for value in ODD])]),
        line_chart("n", "t", "d", [ChartLine("a", [(0, 1e300), (1, -1e300)], stepped=True, filled=True)]),
        bar_chart("n", "t", "d", []),
        bar_chart("n", "t", "d", [("a", -5)]),
        column_chart("n", "t", "d", [], unit=""),
        histogram("n", "t", "d", [], unit=""),
        histogram("n", "t", "d", [7.0], unit=""),
    ],
)
def test_chart_of_nothing_or_of_odd_numbers_has_no_odd_number_in_it(svg: str) -> None:
    ET.fromstring(svg)
    assert not re.search(r"\b(nan|inf)\b", svg, re.IGNORECASE)
    widths = [float(found) for found in re.findall(r'(?:width|height)="([^"]+)"', svg)]
    assert all(width >= 0 for width in widths)


def test_line_goes_through_its_points() -> None:
    root = ET.fromstring(line_chart("n", "t", "d", [ChartLine("a", [(0, 0), (5, 10), (10, 0)])]))
    [path] = [one for one in root.iter("path") if "line" in one.get("class", "")]
    places = [tuple(map(float, found)) for found in re.findall(r"([\d.]+),([\d.]+)", path.get("d", ""))]
    assert [x for x, _ in places] == pytest.approx([88, 396, 704])
    assert places[0][1] == places[2][1] > places[1][1]
