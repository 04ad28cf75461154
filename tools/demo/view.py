"""The demo's live picture, and one line a second where stdout is no terminal.

Owns layout and wording.  It computes nothing: the values come from `PipelineView`, the rings and supervisord.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tlv.layout import Gap, Reorg
from tlv.units import MS
from tlv.venues import VENUES
from tools.demo.home import Home
from tools.demo.watch import PipelineView
from tools.ringstat import RingStat
from tools.up.processes import SupervisedProcess

GOOD, BAD, QUIET = "green", "bold red", "dim"


@dataclass
class Picture:
    """Everything that one frame of the view is made of."""

    home: Home
    watch: PipelineView
    speed: str
    processes: list[SupervisedProcess] = field(default_factory=list)
    rings: dict[str, RingStat] = field(default_factory=dict)
    ended: bool = False
    began: float = field(default_factory=time.monotonic)

    def numbers(self) -> list[tuple[str, str]]:
        """The counters, each with its name."""
        watch, market = self.watch, self.rings.get(self.home.market)
        return [
            ("block", f"{watch.head:,}"),
            ("blocks", f"{watch.blocks:,}"),
            ("events", f"{watch.events:,}"),
            ("frames/s", f"{watch.rate:,.0f}"),
            ("pools", f"{len(watch.symbols):,}"),
            ("reorgs", f"{watch.counts[Reorg.layout.type]:,}"),
            ("gaps", f"{watch.counts[Gap.layout.type]:,}"),
            ("signals", f"{watch.signal_count:,}"),
            ("lag", lag_text(watch.lag_ns)),
            ("lost", f"{watch.market.lost:,}"),
            ("ring", f"{market.occupancy:.0%} of {market.capacity >> 20} MiB" if market else "-"),
        ]

    def line(self) -> str:
        """The same in one line."""
        return "  ".join(f"{name} {value}" for name, value in self.numbers())

    def __rich__(self) -> RenderableType:
        return Group(self.title(), self.numbers_table(), self.swaps_table(), self.notes(), self.states(), self.hint())

    def title(self) -> Text:
        """What runs, since when, and whether the recording is over."""
        passed = int(time.monotonic() - self.began)
        text = Text.assemble(("AlphaPulse", "bold"), f"  recorded Polygon blocks at speed {self.speed}  ")
        text.append(f"{passed // 60:02d}:{passed % 60:02d}", QUIET)
        if self.ended:
            text.append("  the recording is over (its feed is stale); everything keeps running", "yellow")
        return text

    def numbers_table(self) -> Panel:
        """Counters side by side."""
        table = Table(box=None, pad_edge=False, show_header=True, header_style=QUIET)
        for name, _ in self.numbers():
            table.add_column(name, justify="right")
        table.add_row(*(value for _, value in self.numbers()))
        return Panel(table, title="market", title_align="left")

    def swaps_table(self) -> Panel:
        """The last swaps, newest below."""
        table = Table(box=None, pad_edge=False, header_style=QUIET, expand=True)
        table.add_column("block", justify="right", width=11)
        table.add_column("venue", width=20)
        table.add_column("sold", justify="right")
        table.add_column("bought", justify="right")
        for swap in self.watch.swaps:
            style = "strike " + QUIET if swap.removed else ""
            table.add_row(f"{swap.block:,}", venue_name(swap.venue), swap.sold, swap.bought, style=style)
        return Panel(table, title="last swaps", title_align="left")

    def notes(self) -> Panel:
        """Reorgs, gaps and signals, newest below."""
        text = "\n".join(self.watch.notes) or "no reorg, gap or signal yet"
        return Panel(text, title="what else happened", title_align="left")

    def states(self) -> Text:
        """Every process with its state, and how often it was started again."""
        text = Text()
        for one in self.processes:
            text.append(f"{one.name} ", QUIET)
            text.append(one.state, GOOD if one.healthy or one.state == "starting" else BAD)
            text.append(f" (restarted {one.restarts}x)  " if one.restarts else "  ", BAD)
        return text

    def hint(self) -> Text:
        """What to do next."""
        return Text(
            f"Ctrl-C stops everything.  In another terminal:  ringstat   alphapulse dump {self.home.market} --follow",
            QUIET,
        )


def venue_name(number: int) -> str:
    """A venue as a person reads it."""
    return (VENUES.name_of(number) or str(number)).rpartition(".")[2]


def lag_text(lag_ns: int | None) -> str:
    """From the node's socket to the ring; a block's events arrive together, so it is a block's lag."""
    return "-" if lag_ns is None else f"{lag_ns / MS:.1f} ms"
