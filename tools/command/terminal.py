"""Pictures in a terminal: lines that never wrap and never scroll.

Owns widths and the screen: a picture is a function from columns and rows to lines, drawn anew when something changed or
when the terminal's size did.  It must never know what is shown.  Widths are in terminal cells, of which some characters
take two.  Lines are rich's `Text`: what stands in them is never read as markup.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.text import Text

from tools.command.printable import printable

ELLIPSIS = "…"
GAP = "  "
LEAST_NAME = 9
"""Cells that a name keeps, however narrow the terminal is: eight characters and the ellipsis."""
NAP_S = 0.1
REDRAW_S = 1.0
Drawing = Callable[[int, int], Sequence[Text]]


class TextColumn(NamedTuple):
    """A column of a table; where the width does not suffice those of the highest rank are left out first."""

    title: str
    rank: int = 0
    right: bool = False
    least: int | None = None
    """Cells to which it may be shortened; None: it is shown whole."""
    prose: bool = False
    """Whether it is shortened at its end, as sentences are, and not in its middle, as names are."""


def is_screen() -> bool:
    """Whether stdout is a terminal on which lines can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def shorten(text: str, width: int) -> str:
    """The text in at most `width` cells, what is left out in its middle shown as an ellipsis."""
    if cell_len(text) <= width:
        return text
    left, right = "", ""
    for head, tail in zip(text, reversed(text), strict=True):
        if cell_len(left) + cell_len(head) + cell_len(right) > width - 1:
            break
        left += head
        if cell_len(left) + cell_len(tail) + cell_len(right) > width - 1:
            break
        right = tail + right
    return left + ELLIPSIS + right


def padded(text: str, width: int, column: TextColumn) -> str:
    """The text in exactly `width` cells."""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + ELLIPSIS if column.prose else shorten(text, width)
    blank = " " * (width - cell_len(text))
    return blank + text if column.right else text + blank


def table(
    columns: Sequence[TextColumn], rows: Iterable[Sequence[str]], width: int | None, styles: Sequence[str] = ()
) -> list[Text]:
    """A title line, and a line for each row with its style; without `width` nothing is shortened or left out."""
    cells = [[printable(cell) for cell in row] for row in rows]
    natural = [
        max(cell_len(column.title), *(cell_len(row[number]) for row in cells)) if cells else cell_len(column.title)
        for number, column in enumerate(columns)
    ]
    shown, widths = fitted(columns, natural, width)

    def line(row: Sequence[str], style: str) -> Text:
        parts = [padded(row[number], size, columns[number]) for number, size in zip(shown, widths, strict=True)]
        return Text(GAP.join(parts).rstrip(), style=style, no_wrap=True)

    title = line([column.title for column in columns], "dim")
    return [title, *(line(row, styles[number] if styles else "") for number, row in enumerate(cells))]


def fitted(columns: Sequence[TextColumn], natural: Sequence[int], width: int | None) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide."""
    shown = list(range(len(columns)))

    def least(number: int) -> int:
        column = columns[number]
        return natural[number] if column.least is None else min(natural[number], column.least)

    def needed(sizes: Iterable[int]) -> int:
        sizes = list(sizes)
        return sum(sizes) + len(GAP) * (len(sizes) - 1)

    if width is None:
        return shown, list(natural)
    while needed(map(least, shown)) > width and any(columns[number].rank for number in shown):
        shown.remove(max(shown, key=lambda number: columns[number].rank))
    widths = [natural[number] for number in shown]
    while needed(widths) > width:
        slack = [size - least(number) for number, size in zip(shown, widths, strict=True)]
        if max(slack) <= 0:
            break
        widths[slack.index(max(slack))] -= 1
    return shown, widths


def flow(pairs: Iterable[tuple[str, str, str]], width: int) -> list[Text]:
    """Names with values and the values' styles, side by side in as many lines as it takes."""
    lines: list[Text] = []
    for name, value, style in pairs:
        item = Text.assemble((f"{name} ", "dim"), (printable(value), style), no_wrap=True)
        if lines and lines[-1].cell_len + len(GAP) + item.cell_len <= width:
            lines[-1].append(GAP).append(item)
        else:
            lines.append(item)
    return lines


def print_lines(lines: Iterable[Text]) -> None:
    """On stdout, without wrapping; with colours if that is a terminal that has them."""
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(line, highlight=False)


class Screen:
    """The whole terminal, showing a picture; a context manager, at whose end what was there before comes back."""

    def __init__(self, picture: Drawing) -> None:
        from rich.live import Live

        self._picture = picture
        self._lines: Sequence[Text] = ()
        self._drawn = 0.0
        self._console = Console()
        self._live = Live(self, console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        self._console.size = terminal_size()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._lines

    def draw(self) -> None:
        """Show the picture as it is now; if it is the same, once in `REDRAW_S`, for who else writes on the terminal."""
        resized = self.is_resized
        self._console.size = width, height = terminal_size()
        lines = self._picture(width, height)[:height]
        for line in lines:
            line.truncate(width)
        now = time.monotonic()
        if resized or lines != self._lines or now - self._drawn >= REDRAW_S:
            self._lines, self._drawn = lines, now
            self._live.refresh()

    def wait(self, seconds: float) -> None:
        """Let time pass; the picture is drawn anew meanwhile if the terminal's size changes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.is_resized:
                self.draw()
            time.sleep(min(left, NAP_S))

    @property
    def is_resized(self) -> bool:
        """Whether the terminal has another size than when the picture was drawn."""
        return self._console.size != terminal_size()


def terminal_size() -> ConsoleDimensions:
    """Columns and rows of the terminal at stdout."""
    with contextlib.suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        if columns and rows:
            return ConsoleDimensions(columns, rows)
    return ConsoleDimensions(80, 24)
