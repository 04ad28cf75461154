"""Charts as SVG text: lines, bars, and the distribution of a number.

Owns the drawing.  A chart is a picture with a title and a description, which a screen reader reads; its colours are CSS
variables of the page, so that it follows light, dark and print.  All texts are escaped.  No script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 88, 16, 14, 40
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
MOST_POINTS = 1_200
"""More points than pixels say nothing; of each column the lowest and the highest are drawn."""
BINS = 40
TICKS = 5
LONGEST_LABEL = 28
BAR_HEIGHT = 22
MANY_COLUMNS = 12

Point = tuple[float, float]
Formatter = Callable[[float], str]


class ChartLine(NamedTuple):
    """One line of a chart."""

    name: str
    points: Sequence[Point]
    style: str = "a"
    """A CSS class of the page: a, b or c."""
    stepped: bool = False
    """Whether a value holds until the next."""
    filled: bool = False


class Bin(NamedTuple):
    """How many values lie from `low` to below `high`."""

    low: float
    high: float
    values: int


def number(value: float) -> str:
    """A number as an axis shows it: 1,200 or 0.0015 or 1.5e-9."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-6:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round numbers from about `low` to about `high`: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * factor for factor in (1, 2, 5, 10) if raw <= power * factor * 1.0000001), power * 10)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def spread(values: Sequence[float], *, with_zero: bool = False) -> tuple[float, float]:
    """The lowest and the highest of finite values, apart from each other."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        room = abs(low) * 0.05 or 1.0
        low, high = low - room, high + room
    return low, high


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about `MOST_POINTS` of them: the first, the last, and the extremes of each stretch."""
    if len(points) <= MOST_POINTS:
        return list(points)
    size = math.ceil(len(points) / (MOST_POINTS // 2))
    kept: list[Point] = [points[0]]
    for begin in range(1, len(points), size):
        part = points[begin : begin + size]
        extremes = {
            min(range(len(part)), key=lambda at: part[at][1]),
            max(range(len(part)), key=lambda at: part[at][1]),
        }
        kept += [part[at] for at in sorted(extremes)]
    return [*kept, points[-1]] if kept[-1] != points[-1] else kept


def bins_of(values: Sequence[float], count: int = BINS) -> list[Bin]:
    """The distribution of finite values in bins of equal width; one bin if they are all equal."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return []
    low, high = min(finite), max(finite)
    if low == high:
        return [Bin(low, high, len(finite))]
    width = (high - low) / count
    found = [0] * count
    for value in finite:
        found[min(int((value - low) / width), count - 1)] += 1
    return [Bin(low + at * width, low + (at + 1) * width, many) for at, many in enumerate(found)]


def line_chart(
    name: str,
    title: str,
    description: str,
    lines: Sequence[ChartLine],
    *,
    show_x: Formatter = number,
    show_y: Formatter = number,
    unit_x: str = "",
    unit_y: str = "",
) -> str:
    """Lines over numbers.  `name` is unique in the page."""
    finite = [[point for point in line.points if all(map(math.isfinite, point))] for line in lines]
    drawn = [line._replace(points=thinned(points)) for line, points in zip(lines, finite, strict=True)]
    xs = spread([x for line in drawn for x, _ in line.points])
    ys = spread([y for line in drawn for _, y in line.points], with_zero=True)

    def place(point: Point) -> Point:
        return (
            LEFT + (point[0] - xs[0]) / (xs[1] - xs[0]) * INNER_WIDTH,
            TOP + (ys[1] - point[1]) / (ys[1] - ys[0]) * INNER_HEIGHT,
        )

    parts = axes(xs, ys, show_x, show_y, unit_x, unit_y)
    for line in drawn:
        placed = [place(point) for point in line.points]
        if not placed:
            continue
        path = path_of(placed, stepped=line.stepped)
        if line.filled:
            zero = place((xs[0], 0.0))[1]
            area = f"{path}V{zero:.1f}H{placed[0][0]:.1f}Z"
            parts.append(f'<path class="area {line.style}" d="{area}"/>')
        parts.append(f'<path class="line {line.style}" d="{path}"><title>{escape(line.name)}</title></path>')
        if len(placed) == 1:
            parts.append(f'<circle class="dot {line.style}" cx="{placed[0][0]:.1f}" cy="{placed[0][1]:.1f}" r="3"/>')
    if len(lines) > 1:
        parts += legend(lines)
    return picture(name, title, description, parts, HEIGHT)


def path_of(points: Sequence[Point], *, stepped: bool) -> str:
    """The `d` of a path through places."""
    begin = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    if stepped:
        return begin + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    return begin + "".join(f"L{x:.1f},{y:.1f}" for x, y in points[1:])


def legend(lines: Sequence[ChartLine]) -> list[str]:
    """The names of lines, in their colours."""
    parts = []
    for at, line in enumerate(lines):
        x = LEFT + 8 + at * 190
        parts.append(f'<rect class="bar {line.style}" x="{x}" y="{TOP}" width="10" height="10"/>')
        parts.append(f'<text x="{x + 15}" y="{TOP + 9}">{escape(shortened(line.name))}</text>')
    return parts


def axes(
    xs: tuple[float, float],
    ys: tuple[float, float],
    show_x: Formatter,
    show_y: Formatter,
    unit_x: str,
    unit_y: str,
) -> list[str]:
    """Grid, ticks and units."""
    parts = []
    for value in ticks(*ys):
        y = TOP + (ys[1] - value) / (ys[1] - ys[0]) * INNER_HEIGHT
        kind = "zero" if value == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="end" x="{LEFT - 6}" y="{y + 4:.1f}">{escape(show_y(value))}</text>')
    for value in ticks(*xs) if xs[1] > xs[0] else ():
        x = LEFT + (value - xs[0]) / (xs[1] - xs[0]) * INNER_WIDTH
        parts.append(f'<path class="grid" d="M{x:.1f},{TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{escape(show_x(value))}</text>')
    if unit_x:
        parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">{escape(unit_x)}</text>')
    if unit_y:
        parts.append(f'<text x="4" y="{HEIGHT - 6}">{escape(unit_y)}</text>')
    return parts


def histogram(name: str, title: str, description: str, values: Sequence[float], *, unit: str) -> str:
    """How often which value came."""
    bins = bins_of(values)
    xs = spread([edge for one in bins for edge in (one.low, one.high)])
    ys = (0.0, float(max((one.values for one in bins), default=1)))
    parts = axes(xs, ys, number, number, unit, "orders")
    for one in bins:
        if not one.values:
            continue
        left = LEFT + (one.low - xs[0]) / (xs[1] - xs[0]) * INNER_WIDTH
        right = LEFT + (one.high - xs[0]) / (xs[1] - xs[0]) * INNER_WIDTH
        height = one.values / ys[1] * INNER_HEIGHT
        what = f"{number(one.low)} to {number(one.high)} {unit}: {one.values}"
        parts.append(
            f'<rect class="bar a" x="{left:.1f}" y="{TOP + INNER_HEIGHT - height:.1f}" '
            f'width="{max(right - left - 1, 2):.1f}" height="{height:.1f}"><title>{escape(what)}</title></rect>'
        )
    return picture(name, title, description, parts, HEIGHT)


def bar_chart(name: str, title: str, description: str, bars: Sequence[tuple[str, float]]) -> str:
    """A bar for each name, below each other, none below 0."""
    height = TOP + BAR_HEIGHT * max(len(bars), 1) + 10
    most = max((value for _, value in bars), default=0) or 1
    room = WIDTH - RIGHT - 220 - 70
    parts = []
    for at, (label, value) in enumerate(bars):
        y = TOP + at * BAR_HEIGHT
        width = max(value, 0) / most * room
        parts.append(f'<text class="end" x="212" y="{y + 14}">{escape(shortened(label))}</text>')
        parts.append(f'<rect class="bar a" x="220" y="{y + 3}" width="{width:.1f}" height="{BAR_HEIGHT - 7}"/>')
        parts.append(f'<text x="{220 + width + 6:.1f}" y="{y + 14}">{escape(number(value))}</text>')
    return picture(name, title, description, parts, height)


def column_chart(name: str, title: str, description: str, columns: Sequence[tuple[str, float]], *, unit: str) -> str:
    """A column for each name, side by side; every third is named if there are many."""
    ys = (0.0, float(max((value for _, value in columns), default=0)) or 1.0)
    parts = axes((0.0, 0.0), ys, lambda _: "", number, "", unit)
    width = INNER_WIDTH / max(len(columns), 1)
    every = 3 if len(columns) > MANY_COLUMNS else 1
    for at, (label, value) in enumerate(columns):
        height = max(value, 0) / ys[1] * INNER_HEIGHT
        left = LEFT + at * width
        parts.append(
            f'<rect class="bar a" x="{left + 1:.1f}" y="{TOP + INNER_HEIGHT - height:.1f}" width="{width - 2:.1f}" '
            f'height="{height:.1f}"><title>{escape(f"{label}: {number(value)}")}</title></rect>'
        )
        if at % every == 0:
            middle = left + width / 2
            parts.append(f'<text class="middle" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}">{escape(label)}</text>')
    return picture(name, title, description, parts, HEIGHT)


def shortened(text: str) -> str:
    """A label that has room."""
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def picture(name: str, title: str, description: str, parts: Sequence[str], height: int) -> str:
    """The SVG element around what was drawn."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
