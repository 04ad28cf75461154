"""What the log says of what a feed declares: gaps, logs that are not published, repairs.

Owns the words.  It must never decide what is declared: it reads the counters.  How often a line is repeated is
`producers.node.remarks`'s.
"""

from __future__ import annotations

from producers.node.remarks import Remarks
from producers.statistics import Statistics


class Declared:
    """What was declared since the last look."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}

    def lines(self, remarks: Remarks, stats: Statistics, now_ns: int) -> list[tuple[str, dict[str, int]]]:
        """The lines for the log, each with the blocks that it names, as fields."""
        lines = []
        blocks = dict(zip(("block", "last_block"), stats.gaps[-1], strict=True)) if stats.gaps else {}
        for kind, (number, text) in declarations(stats).items():
            new = number - self._before.get(kind, 0)
            self._before[kind] = number
            if new > 0 and (line := remarks.remark(kind, text, now_ns, new)) is not None:
                lines.append((line, blocks if kind == "gap" else {}))
        return lines


def declarations(stats: Statistics) -> dict[str, tuple[int, str]]:
    """What a feed declares: how often so far, and the last of it in words."""
    first, last = stats.gaps[-1] if stats.gaps else (0, 0)
    blocks = f"block {first}" if first == last else f"blocks {first} to {last}"
    return {
        "gap": (stats.gap_count, f"{blocks}: declared as a gap, {stats.gap_count} so far"),
        "unproven": (
            stats.quarantined_logs,
            f"{stats.quarantined_logs} logs of emitters that the node could not prove are not published",
        ),
        "marked": (
            stats.unproven_events,
            f"{stats.unproven_events} events of emitters that the node could not prove are published, flagged UNPROVEN",
        ),
        "refused": (
            sum(stats.refused.values()),
            f"{sum(stats.refused.values())} logs of proven pools broke a rule and are not published",
        ),
        "repair": (stats.repairs, f"{stats.repairs} logs came after their block had been closed"),
        "short": (
            stats.cross_check_finds,
            f"{stats.cross_check_finds} logs were listed only by the second endpoint",
        ),
    }
