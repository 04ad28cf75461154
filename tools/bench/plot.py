"""Charts as SVG text: lines over two logarithmic axes, in the style of docs/pictures.

Owns the drawing.  Equal data give equal bytes.  It has one colour, the text's, so that it is read on light and on dark;
lines are told apart by dashes and by the shape of their points.  Where a chart stands in a page of the site,
tools/docs/hooks.py takes its style away and assets/site.css says the same.  Charts of a backtest's report
(`tools/backtest/svg.py`) have linear axes and the colours of their page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 540, 52, 256
"""Of the area between the axes, in the picture's units."""
LEAST_FACTOR = 4.0
"""Between the ends of an axis: noise of a flat line must not fill the picture."""
STEPS = (1, 2, 5)
MOST_TICKS = 8
DASHES = ("", "7 4", "2 3", "9 3 2 3")
HALF = 3.5
"""Of a mark's width."""
STYLE = """  <style>
    svg { color: #1c2733; background: #fff; font-family: system-ui, sans-serif; }
    @media (prefers-color-scheme: dark) { svg { color: #d7dee6; background: #1b2129; } }
    rect, path { fill: none; stroke: currentColor; stroke-width: 1.3; }
    text { fill: currentColor; font-size: 14px; text-anchor: middle; }
    .left { text-anchor: start; }
    .right { text-anchor: end; }
    .note { font-size: 13px; opacity: 0.85; }
    .grid { opacity: 0.2; stroke-width: 1; }
    .point { fill: currentColor; }
  </style>
"""
PREFIXES = {9: "G", 6: "M", 3: "k", 0: ""}


class CurveLine(NamedTuple):
    """A named line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """A logarithmic axis: what it begins and ends with, and where these stand in the picture."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        """Where a value stands."""
        return self.begin + (self.end - self.begin) * math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def ticks(self) -> list[float]:
        """The values that are written beside it."""
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        fine = [step * 10.0**exponent for exponent in exponents for step in STEPS]
        inside = [value for value in fine if self.low * 0.999 <= value <= self.high * 1.001]
        if len(inside) <= MOST_TICKS:
            return inside
        return [value for value in inside if f"{value:e}"[0] == "1"]


def axis_of(values: Sequence[float], begin: float, end: float) -> Axis:
    """The axis that has room for all values, which are positive."""
    low, high = min(values), max(values)
    widened = max(math.sqrt(LEAST_FACTOR / (high / low)), 1.0)
    return Axis(low / widened / 1.05, high * widened * 1.05, begin, end)


def chart(label: str, x_label: str, y_label: str, lines: Sequence[CurveLine]) -> str:
    """The picture; `label` says to who cannot see it what it shows.  Points that no logarithm has are left out."""
    drawn = [CurveLine(line.name, [point for point in line.points if min(point) > 0]) for line in lines]
    drawn = [line for line in drawn if line.points]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(label)}">\n{STYLE}'
    )
    if not drawn:
        return head + text(WIDTH / 2, HEIGHT / 2, "nothing was measured") + "</svg>\n"
    x_axis = axis_of([x for line in drawn for x, _ in line.points], LEFT, RIGHT)
    y_axis = axis_of([y for line in drawn for _, y in line.points], BOTTOM, TOP)
    parts = [head, *grid(x_axis, y_axis)]
    for number, line in enumerate(drawn):
        parts += curve(number, line, x_axis, y_axis)
    parts += [
        text((LEFT + RIGHT) / 2, HEIGHT - 12, x_label, "note"),
        text(LEFT, 18, y_label, "left note"),
        *legend(drawn),
        "</svg>\n",
    ]
    return "".join(parts)


def grid(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    """Frame, lines at the ticks and what they are."""
    yield f'  <rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}"/>\n'
    for value in x_axis.ticks:
        at = x_axis.place(value)
        yield f'  <path d="M{at:.1f} {TOP} V{BOTTOM}" class="grid"/>\n'
        yield text(at, BOTTOM + 20, shown(value), "note")
    for value in y_axis.ticks:
        at = y_axis.place(value)
        yield f'  <path d="M{LEFT} {at:.1f} H{RIGHT}" class="grid"/>\n'
        yield text(LEFT - 8, at + 4, shown(value), "right note")


def curve(number: int, line: CurveLine, x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    """A line and its marks."""
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in line.points]
    way = " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'  <path d="M{way}"{dashed(number)}/>\n'
    for x, y in places:
        yield f'  <path d="{mark(number, x, y)}" class="point"/>\n'


def legend(lines: Sequence[CurveLine]) -> Iterator[str]:
    """The names of the lines, above the frame."""
    x = float(LEFT)
    for number, line in enumerate(lines):
        yield f'  <path d="M{x:.1f} {TOP - 12} h24"{dashed(number)}/>\n'
        yield f'  <path d="{mark(number, x + 12, TOP - 12)}" class="point"/>\n'
        yield text(x + 30, TOP - 8, line.name, "left note")
        x += 44 + 7.2 * len(line.name)


def dashed(number: int) -> str:
    """The attribute that tells a line from others."""
    dashes = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def mark(number: int, x: float, y: float) -> str:
    """The shape of a line's points: square, diamond, triangle."""
    size = HALF
    tall, top = size + 1, y - size - 1
    shapes = (
        f"M{x - size:.1f} {y - size:.1f} h{2 * size:g} v{2 * size:g} h{-2 * size:g} z",
        f"M{x:.1f} {top:.1f} l{tall:g} {tall:g} l{-tall:g} {tall:g} l{-tall:g} {-tall:g} z",
        f"M{x:.1f} {top:.1f} l{tall:g} {2 * size:g} h{-2 * tall:g} z",
    )
    return shapes[number % len(shapes)]


def text(x: float, y: float, words: str, classes: str = "") -> str:
    """A line of text."""
    named = f' class="{classes}"' if classes else ""
    return f'  <text x="{x:.1f}" y="{y:.1f}"{named}>{escape(words)}</text>\n'


def shown(value: float) -> str:
    """A tick's value: 10 k, 0.5, 2 M."""
    exponent = next((one for one in PREFIXES if value >= 10**one * 0.999), 0)
    number = f"{value / 10**exponent:.12g}" if exponent else f"{value:.3g}"
    return f"{number} {PREFIXES[exponent]}".strip()
