"""A journal of the bundled recording with its reorgs."""

from __future__ import annotations

from pathlib import Path

from tests.consumers.journal_frames import append, open_writer
from tests.consumers.recorded_market import Publisher, canonical_events, orphaned_events


def write_recording(directory: Path) -> None:
    """The orphaned blocks of the recording, each taken back, then all canonical ones; several segments."""
    publisher = Publisher()
    for number in sorted({origin.block_number for _, origin in orphaned_events()}):
        dropped = [event for event in orphaned_events() if event[1].block_number == number]
        publisher.blocks(dropped)
        publisher.reorg(number - 1, bytes(32), dropped)
    publisher.blocks(canonical_events())
    payloads = [data for _, _, data in publisher.frames]
    for first in range(0, len(payloads), 2000):
        with open_writer(directory, ring_uuid=first.to_bytes(16, "big")) as writer:
            append(writer, payloads[first : first + 2000], 1)
