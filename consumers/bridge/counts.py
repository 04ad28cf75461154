"""What the two sides of a bridge count.  This file does not know NATS."""

from __future__ import annotations

from dataclasses import dataclass

from ringbuf import Level


@dataclass
class Sent:
    """What the sending side did."""

    batches: int = 0
    """Acknowledged, as are frames."""
    frames: int = 0
    from_journal: int = 0
    lost: int = 0
    too_large: int = 0
    """Of the lost: frames larger than the server takes."""
    replacements: int = 0
    unknown_ends: int = 0
    """Rings that were replaced while nobody saw how they ended."""
    connections: int = 0
    failures: int = 0
    """Times that the broker failed, refused or was not as it was; each is tried again."""
    last_sequence: Level = 0
    failing_now: Level = 0
    """1 from a failure until the broker was well for a while."""


@dataclass
class Received:
    """What the receiving side did."""

    batches: int = 0
    frames: int = 0
    repeated: int = 0
    lost: int = 0
    refused: int = 0
    connections: int = 0
    failures: int = 0
    """Times that the broker failed, refused or was not as it was; each is tried again."""
    last_sequence: Level = 0
    failing_now: Level = 0
    """1 from a failure until the broker was well for a while."""
