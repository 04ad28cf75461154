"""Where the time went within the last interval, from histograms that count since a process began.

Owns the histograms of the look before.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringbuf import Histogram
from ringbuf.layout import LONGEST_WORD
from tlv.buffers import Words
from tools.dashboard.shapes import HopRow


class HopIntervals:
    """Takes the histograms of one look after the other, by process and hop."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], Words] = {}

    def advance(self, histograms: Mapping[tuple[str, str], Histogram]) -> list[HopRow]:
        """Each hop's durations since the last look, over all processes; none of a hop that had none."""
        parts: dict[str, list[Histogram]] = {}
        copies = {key: histogram.copy() for key, histogram in histograms.items()}
        for (process, hop), words in copies.items():
            since = counted_since(words, self._before.get((process, hop)))
            if since is not None:
                parts.setdefault(hop, []).append(since)
        self._before = copies
        return [row for hop in sorted(parts) if (row := hop_row(hop, Histogram.merged(parts[hop]))).count]


def counted_since(words: Words, before: Words | None) -> Histogram | None:
    """What was counted since `before`; all of it if another process counts now; None at the first look."""
    if before is None:
        return None
    since = words - before
    if (since < 0).any():
        return Histogram(words.copy())
    # The longest of all is of this interval only if it grew.
    since[LONGEST_WORD] = words[LONGEST_WORD] if since[LONGEST_WORD] else 0
    return Histogram(since)


def hop_row(hop: str, histogram: Histogram) -> HopRow:
    """Percentiles of one hop."""
    p50, p90, p99, p999 = (histogram.percentile(share) for share in (0.5, 0.9, 0.99, 0.999))
    return HopRow(hop, histogram.count, p50, p90, p99, p999, histogram.longest_ns or histogram.percentile(1.0))
