"""How the recorder writes: what stands for `JournalWriter`, and the judgement of what is written.

what is written goes on where the journal of that ring ends, and nothing is written twice
a gap is written only of what the ring has overwritten
a ring is marked as ended only behind its last frame
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from consumers.journal import DiskRefused, JournalRemoved
from ringbuf.layout import SEQUENCE_ROW
from tlv.codes import Reason
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.rings import RingName
from tools.prove.delivery.world.turns import Turns


class JournalDesk:
    """The folder that the recorder writes, as its processes find it one after the other."""

    def __init__(
        self, name: RingName, journal: WorldJournal, clock: DeliveryClock, chances: Chances, findings: Findings
    ) -> None:
        self.name, self.journal, self.findings = name, journal, findings
        self.process: Any = None
        self._turns: Turns | None = None
        self._writer: WorldWriter | None = None
        self._clock, self._chances = clock, chances
        self._full_until = 0.0

    def take_over(self, turns: Turns) -> None:
        """Another process records."""
        self._turns, self._writer = turns, None

    @property
    def is_dead(self) -> bool:
        """Whether the process that writes was killed."""
        return self._turns is None or self._turns.killed

    def attach(self, *_: object, **__: object) -> Any:
        """Stands for `Reader.attach` of the recorder."""
        return self.process.attach()

    def open(self, _: Path, *, ring_uuid: bytes, **__: object) -> WorldWriter:
        """Stands for the class `JournalWriter`."""
        self.refuse()
        self._writer = WorldWriter(self, ring_uuid)
        return self._writer

    def next_of(self, uuid: bytes) -> int | None:
        """Where the recorder writes next, if it writes this ring and has begun."""
        writer = self._writer
        return writer.resume_at if writer is not None and writer.uuid == uuid else None

    def refuse(self) -> None:
        """Be a full disk, for a while.

        Raises:
            DiskRefused: it is.
        """
        chances, now = self._chances, self._clock.now
        if now >= self._full_until and chances.strikes("full_disk", 0.03):
            self._full_until = now + chances.seconds("full_disk", 8)
        if now < self._full_until and not chances.honest:
            raise DiskRefused("no room")


class WorldWriter:
    """Appends to the journal, of one ring."""

    def __init__(self, desk: JournalDesk, uuid: bytes) -> None:
        self.uuid = uuid
        self._desk, self._journal = desk, desk.journal
        self._removals = desk.journal.removals
        last = desk.journal.last_sound()
        self._next = last.behind if last is not None and last.uuid == uuid else 0
        self._continues = False

    @property
    def resume_at(self) -> int | None:
        """As of `JournalWriter`."""
        return self._next or None

    def append(self, _: np.ndarray, table: np.ndarray, count: int) -> None:
        """As of `JournalWriter`."""
        first = int(table[SEQUENCE_ROW, 0])
        self._write(first, first + count, lost=False)

    def append_gap(self, first: int, last: int, _: Reason) -> None:
        """As of `JournalWriter`."""
        ring = self._desk.name.of(self.uuid)
        if last >= ring.first:
            words = f"a gap from {first} to {last} of ring {ring.number}, which has everything from {ring.first} on"
            self._desk.findings.break_rule("recorder lost", words)
        self._write(first, last + 1, lost=True)

    def _write(self, first: int, behind: int, *, lost: bool) -> None:
        if self._desk.is_dead:
            return
        self._desk.refuse()
        if self._removals != self._journal.removals:
            raise JournalRemoved("the segment has no name any more")
        if self._next and first != self._next:
            words = f"ring {self._desk.name.of(self.uuid).number}: {first} follows {self._next - 1}"
            self._desk.findings.break_rule("recorder order", words)
        self._journal.append(self.uuid, first, behind, lost=lost, anew=not self._continues)
        self._next, self._continues = behind, True

    def close(self, *, ring_ended: bool = False) -> None:
        """As of `JournalWriter`."""
        ring = self._desk.name.of(self.uuid)
        if self._desk.is_dead or self._removals != self._journal.removals:
            return
        self._desk.process.judge_leaving(self.uuid)
        if not ring_ended or not self._next:
            return
        if self._next != ring.behind or ring.named or ring.owned:
            words = f"ring {ring.number} is marked as ended behind {self._next - 1}; it published {ring.behind - 1}"
            self._desk.findings.break_rule("recorder end", words)
        self._journal.end(self.uuid, self._next)
