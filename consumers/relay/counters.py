"""What a relay did since it began, and what it found damaged.

Owns the counts of `alphapulse relay`'s statistics.  Damage is counted each time it is met, and written to the log
once for each thing that is damaged until it is sound again, so that a ring that is looked at every second does not
fill the log.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ringbuf import Histogram, Level
from ringbuf.counters import names_of

log = logging.getLogger("alphapulse.relay")


@dataclass
class Counters:
    """The counts; `clients`, `behind` and `unreadable_rings` are of now, the others since the beginning."""

    clients: Level = 0
    behind: Level = 0
    """Clients that have not reached the end of a ring yet."""
    accepted: int = 0
    refused: int = 0
    evicted: int = 0
    bytes: int = 0
    lost: int = 0
    """Messages that a client was told are lost, for each client that was told."""
    chunks: int = 0
    malformed_frames: int = 0
    unreadable_rings: Level = 0
    damaged_rings: int = 0
    """How often a ring held what no writer writes."""
    damaged_journals: int = 0
    """How often a journal, a segment or an index could not be read for what it holds."""
    damaged_cursors: int = 0
    failed_cursor_saves: int = 0
    shortages: int = 0
    """How often descriptors, memory or disk were lacking."""
    renewed_sockets: int = 0
    """How often the socket's file was gone and was made anew."""
    windows: int = 0
    """Windows that were read from journals."""
    ring_to_client: Histogram = field(default_factory=Histogram)
    """Of each frame and client, from the frame's publishing to the moment when the client's socket had taken the chunk
    in which it was due; frames that were published before the client came, and the journal's, not among them."""
    _logged: set[str] = field(default_factory=set)

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for kind in (Level, int) for name in names_of(Counters, kind)}

    def lack(self, error: OSError | MemoryError | RuntimeError, what: str) -> None:
        """Count and log a lack of descriptors, memory, threads or disk."""
        self.shortages += 1
        self.warn_once("relay", f"{what} ({error})")

    def warn_once(self, subject: str, text: str, **fields: object) -> None:
        """Log `text` unless something was logged of `subject` since it was sound."""
        if subject not in self._logged:
            self._logged.add(subject)
            log.warning(f"{subject}: {text}", extra=fields)

    def sound(self, subject: str) -> None:
        """`subject` is sound again; the next damage is logged."""
        self._logged.discard(subject)
