"""The demo's live picture, and its lines where stdout is no terminal.

Owns layout and wording.  It computes nothing: the values come from `PipelineView`, the rings and supervisord.  What is
most important stands on top, and the stream of swaps fills what is left of the terminal's height.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.text import Text

from tlv.layout import Gap, Reorg
from tlv.units import MS
from tools.command.terminal import LEAST_NAME, TextColumn, flow, table
from tools.demo.home import Home
from tools.demo.watch import PipelineView
from tools.ringstat import RingStat
from tools.up.processes import SupervisedProcess
from tools.wording import venue_name

GOOD, BAD, QUIET, NOTED = "green", "bold red", "dim", "yellow"
SHARE_OF_LISTS = 4
"""Signals, and reorgs and gaps, each have at most so many-th of the lines that the rest leaves."""
SIGNALS = (
    TextColumn("pair", least=LEAST_NAME + 2),
    TextColumn("route", least=20),
    TextColumn("net", right=True),
    TextColumn("state"),
    TextColumn("price", rank=2, right=True),
    TextColumn("verdict", rank=3, least=LEAST_NAME + 3, prose=True),
    TextColumn("block", rank=4, right=True),
)
SWAPS = (
    TextColumn("block", right=True),
    TextColumn("venue", rank=1, least=LEAST_NAME),
    TextColumn("sold", right=True),
    TextColumn("", least=LEAST_NAME),
    TextColumn("bought", right=True),
    TextColumn("", least=LEAST_NAME),
    TextColumn("", rank=2),
)


@dataclass
class Picture:
    """Everything that one frame of the view is made of."""

    home: Home
    watch: PipelineView
    speed: str
    dashboard: str
    """Its address, or why there is none."""
    processes: list[SupervisedProcess] = field(default_factory=list)
    rings: dict[str, RingStat] = field(default_factory=dict)
    ended: bool = False
    began: float = field(default_factory=time.monotonic)

    def numbers(self) -> list[tuple[str, str]]:
        """The counters, each with its name."""
        watch, market = self.watch, self.rings.get(self.home.market)
        return [
            ("block", str(watch.head)),
            ("blocks", f"{watch.blocks:,}"),
            ("events", f"{watch.events:,}"),
            ("frames/s", f"{watch.rate:,.0f}"),
            ("pools", f"{len(watch.pools):,}"),
            ("reorgs", f"{watch.counts[Reorg.layout.type]:,}"),
            ("gaps", f"{watch.counts[Gap.layout.type]:,}"),
            ("signals", f"{watch.signal_count:,}"),
            ("withdrawn", f"{watch.withdrawn_count:,}"),
            ("filled", f"{watch.filled_count:,} of {watch.order_count:,}"),
            ("net on paper", watch.net),
            ("lag", lag_text(watch.lag_ns)),
            ("lost", f"{watch.market.lost:,}"),
            ("ring", f"{market.occupancy:.0%} of {market.capacity >> 20} MiB" if market else "-"),
        ]

    def line(self) -> str:
        """The same in one line."""
        return "  ".join(f"{name} {value}" for name, value in self.numbers())

    def lines(self, width: int, height: int) -> list[Text]:
        """The picture, at most `height` lines of at most `width` cells."""
        above = [
            self.title(),
            Text.assemble(("dashboard  ", QUIET), (self.dashboard, "bold")),
            *flow(((name, value, "") for name, value in self.numbers()), width),
            *flow(self.states(), width),
        ]
        room = max(height - len(above) - 1, 0)
        signals = self.signals(width, max(room // SHARE_OF_LISTS, 1))
        notes = self.notes(max(room // SHARE_OF_LISTS, 1))
        swaps = self.swaps(width, max(room - len(signals) - len(notes) - 1, 0))
        lines = [*above, *signals, *notes, *swaps]
        return [*lines, *[Text()] * (height - 1 - len(lines)), self.hint(width)]

    def title(self) -> Text:
        """What runs, since when, and whether the recording is over."""
        passed = int(time.monotonic() - self.began)
        pace = "without pauses" if self.speed == "max" else f"at {self.speed} times the recorded pace"
        text = Text.assemble(
            ("AlphaPulse", "bold"), f"  {passed // 60:02d}:{passed % 60:02d}", "  recorded Polygon blocks "
        )
        text.append("are over, and so is their feed" if self.ended else pace, NOTED if self.ended else "")
        return text

    def signals(self, width: int, count: int) -> list[Text]:
        """The last signals, newest below."""
        found = list(self.watch.opportunities)[-count:]
        if not found:
            return [Text("signals", QUIET), Text("none yet", QUIET)]
        rows = [
            [one.pair, one.route, str(one.net), one.over or "holds", one.price, one.verdict, str(one.block)]
            for one in found
        ]
        return table(SIGNALS, rows, width, [QUIET if one.over else GOOD if one.profitable else "" for one in found])

    def notes(self, count: int) -> list[Text]:
        """The last reorgs, gaps and ends of orders, newest below."""
        found = list(self.watch.notes)[-count:]
        lines = [Text.assemble((f"{one.kind:<6}", NOTED), one.text) for one in found]
        return [Text("reorgs, gaps, orders", QUIET), *(lines or [Text("none yet", QUIET)])]

    def swaps(self, width: int, count: int) -> list[Text]:
        """The last swaps, newest below."""
        found = list(self.watch.swaps)[-count:] if count else []
        rows = [
            [str(one.block), venue_name(one.venue), *one.sold, *one.bought, "taken back" if one.removed else ""]
            for one in found
        ]
        return table(SWAPS, rows, width, [QUIET if one.removed else "" for one in found])

    def states(self) -> Iterator[tuple[str, str, str]]:
        """Every process with its state, and how often it was started again; those that are unwell first."""
        for one in sorted(self.processes, key=is_well):
            again = f" (restarted {one.restarts}x)" if one.restarts else ""
            yield one.name, f"{one.state}{again}", BAD if again or not is_well(one) else GOOD

    def hint(self, width: int) -> Text:
        """What to do next, as much of it as there is room for."""
        dump = f"dump {self.home.market} -f"
        return flow([("Ctrl-C", "ends it", QUIET), ("ringstat", "--watch", QUIET), ("alphapulse", dump, QUIET)], width)[
            0
        ]


def is_well(one: SupervisedProcess) -> bool:
    """Whether a process needs no look."""
    return one.healthy or one.state == "starting"


def lag_text(lag_ns: int | None) -> str:
    """From the node's socket to the ring; a block's events arrive together, so it is a block's lag."""
    return "-" if lag_ns is None else f"{lag_ns / MS:.1f} ms"
