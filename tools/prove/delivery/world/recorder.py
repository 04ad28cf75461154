"""The recorder's process: the project's own `Recorder` over the simulated rings and journal.

Slow, killed, away, asked to stop, evicted, without a free slot, refused by the disk.  What it writes is judged where it
writes it: `journal_writer`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from consumers.journal import DiskRefused
from consumers.recorder import Recorder
from ringbuf import NoFreeSlot, Poll, RingNotFound
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.journal_writer import JournalDesk
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.rings import NAME, AttachedRing, ProducedRing, RingName
from tools.prove.delivery.world.turns import Turns, pause


class RecordedRing(AttachedRing):
    """A ring as the recorder reads it: at most so much in a turn."""

    def __init__(self, name: RingName, ring: ProducedRing, process: RecorderModel) -> None:
        super().__init__(name, ring)
        self.polled_from = 0
        self._process = process

    def poll(self, max_frames: int = 256, max_bytes: int | None = None) -> Poll:
        """Poll what the turn leaves room for."""
        self._process.reads = self
        while self._process.left <= 0:
            pause()
        self.polled_from = self.sequence
        self._process.judge(self)
        poll = super().poll(min(max_frames, self._process.left), max_bytes)
        self._process.left -= len(poll)
        return poll

    def join(self) -> None:
        """Become reliable, unless others hold all slots."""
        if self._process.chances.strikes("no_slot", 0.3):
            raise NoFreeSlot(NAME)
        super().join()

    def wait(self, _: float) -> None:
        """Nothing to read: the turn ends."""
        pause()


class RecorderModel:
    """One process of it."""

    def __init__(self, name: RingName, desk: JournalDesk, chances: Chances, findings: Findings) -> None:
        self.chances = chances
        self.left = 0
        """Frames that it may still read in this turn."""
        self.reads: RecordedRing | None = None
        self._name, self._desk, self._findings = name, desk, findings
        self._attached: list[RecordedRing] = []
        self._asked_to_stop = False
        self._turns = Turns(self._live)
        desk.take_over(self._turns)

    def attach(self) -> Any:
        """What stands for `Reader.attach`."""
        self._attached.append(self._name.attach(lambda name, ring: RecordedRing(name, ring, self)))
        return self._attached[-1]

    @property
    def stands(self) -> tuple[bytes, int] | None:
        """The ring that it reads, and the sequence that it records next."""
        reads = self.reads
        return (reads.uuid, self._desk.next_of(reads.uuid) or reads.polled_from) if reads is not None else None

    def judge(self, ring: RecordedRing) -> None:
        """What it is about to read goes on behind what it wrote; where it wrote nothing, at the ring's oldest."""
        wanted = self._desk.next_of(ring.uuid) or ring.ring.first
        if ring.expected > wanted:
            words = f"ring {ring.ring.number}: it reads {ring.expected}, and has not written {wanted}"
            self._findings.break_rule("recorder skips", words)

    def judge_leaving(self, uuid: bytes) -> None:
        """It closes the journal of a ring: it has read all of it, or was asked to stop."""
        reads = self.reads
        if reads is not None and reads.uuid == uuid and reads.lag_bytes and not self._asked_to_stop:
            words = f"ring {reads.ring.number} at {reads.expected}, which published {reads.ring.behind - 1}"
            self._findings.break_rule("recorder leaves", words)

    def step(self, most: int) -> bool:
        """Record at most `most` frames; False once it ended, as it was asked to."""
        self.left = most
        self._desk.process = self
        self._turns.resume()
        return not self._turns.ended

    def _live(self) -> None:
        while not self._asked_to_stop:
            with suppress(DiskRefused):  # asked to stop while the disk refuses
                self._record()

    def _record(self) -> None:
        try:
            recorder = Recorder(NAME, Path(NAME), report=self._report, stop=self._asked)
        except RingNotFound:
            pause()
            return
        with recorder:
            recorder.run(self._asked, until_closed=False)

    def _asked(self) -> bool:
        return self._asked_to_stop

    def _report(self, words: str) -> None:
        if not self._turns.killed:
            self._findings.note(f"recorder: {words}")

    def stop(self) -> None:
        """Ask it to stop."""
        self._asked_to_stop = True

    def kill(self) -> None:
        """End it; the writer does not wait for a dead reader."""
        self._turns.kill()
        for reader in self._attached:
            reader.close()
