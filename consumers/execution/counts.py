"""What a process that executes orders on paper counts.

Owns the struct alone: `status` reads it without the executor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringbuf import Histogram, Level


@dataclass
class ExecutionCounts:
    """What an executor's process did since it began."""

    frames: int = 0
    """Of the market."""
    lost: int = 0
    """Frames of the market that it could not read any more: states were unknown from there on."""
    poisoned: int = 0
    orders: int = 0
    orders_lost: int = 0
    """Frames of strategies' rings that were overwritten before they were read; orders may have been among them."""
    published: int = 0
    filled: int = 0
    failed: int = 0
    refused: int = 0
    """Orders that were not attempted."""
    undone: int = 0
    breaker: Level = 1
    """A `tlv.codes.BreakerState`."""
    end_to_report: Histogram = field(default_factory=Histogram)
    """Of each attempt, from the publishing of its block's end to that of its report."""
