"""What the messages of one ring say of its feed, and of anomalies, followed as they come.

Owns a reader that never slows the writer.  It keeps the newest heartbeat, the emitters whose events are held back, and
what a ring of anomalies says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ringbuf import CorruptRing, Frame, Poll, Reader, Status
from tlv.codes import Domain, EmitterProof, Source
from tlv.errors import FrameError
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, Heartbeat, SystemHealth, Unproven
from tlv.message import Message, parse
from tlv.units import NS
from tools.feed_stat import LAST_COLLECTOR, FeedStat, stat_of
from tools.obs.anomalies import SeenAnomalies

KEPT = (Heartbeat.layout.type, Unproven.layout.type, SystemHealth.layout.type)
FRAMES = 4096
MOST_POLLS = 256
"""In one look, so that a ring which is written faster than it is read does not keep it: 1,000,000 frames."""
MOST_EMITTERS = 1024


@dataclass(frozen=True)
class HeldEmitter:
    """An emitter that could not be proven to be a pool, and events of which are held back for that."""

    emitter: str
    since_block: int
    events: int


def kept_frames(poll: Poll) -> list[Frame]:
    """Those whose first record is of a type that is kept: a few of thousands, found without a look at each."""
    # A frame shorter than a header may be the last thing in the buffer.
    first = np.minimum(poll.offsets + HEADER_SIZE, len(poll.buffer) - 1)
    kept = np.isin(poll.buffer[first], KEPT) & (poll.lengths > HEADER_SIZE)
    return [poll[index] for index in np.flatnonzero(kept).tolist()]


class RingWatch:
    """Follows ring `name` from its oldest frame, or from its end; `taker` gets each poll that has frames or a loss.

    Raises:
        SegmentError: there is no such ring, or none that this build can read.
    """

    def __init__(self, name: str, *, oldest: bool, taker: Callable[[str, bytes, Poll], None] | None = None) -> None:
        self._reader = Reader.attach(name, start="oldest" if oldest else "latest", layout_digest=LAYOUT_DIGEST)
        self._taker = taker
        self.uuid = self._reader.uuid
        self.missed = 0
        """Frames that were overwritten before they were read: emitters held back, and anomalies, may be missing."""
        self.anomalies = SeenAnomalies()
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_ns = 0
        self._held: dict[bytes, HeldEmitter] = {}
        self._held_since_ns = 0

    def advance(self, now_ns: int) -> None:
        """Read everything that has come.

        Raises:
            CorruptRing: the ring holds what no writer writes.
        """
        for _ in range(MOST_POLLS):
            poll = self._reader.poll(FRAMES)
            if poll.status is Status.CORRUPT:
                raise CorruptRing(
                    f"ring {self._reader.name}: no frame where sequence {self._reader.sequence} should be"
                )
            if poll.loss is not None:
                self.missed += poll.loss.count
                self.anomalies.lose()
            if self._taker is not None and (len(poll) or poll.loss is not None):
                self._taker(self._reader.name, self.uuid, poll)
            for frame in kept_frames(poll):
                self._take(bytes(frame.payload), frame.publish_time_ns)
            if poll.status in {Status.EMPTY, Status.CLOSED}:
                break
        if self._heartbeat is None or not self._heartbeat.held_back:
            self._held_since_ns = 0
        else:
            self._held_since_ns = self._held_since_ns or now_ns

    def _take(self, payload: bytes, published_ns: int) -> None:
        try:
            message = parse(payload)
        except FrameError:
            return  # no message of ours; whoever delivers the ring counts it
        if message.header.domain != Domain.SYSTEM:
            return
        if message.header.source == Source.ANOMALY_WATCH:
            health = message.first(SystemHealth)
            if health is not None:
                self.anomalies.take(health)
        if message.header.source > LAST_COLLECTOR:
            return
        heartbeat = message.first(Heartbeat)
        if heartbeat is not None:
            self._heartbeat, self._heartbeat_ns = heartbeat, published_ns
        self._note_unproven(message)

    def _note_unproven(self, message: Message) -> None:
        record = message.first(Unproven)
        if record is None:
            return
        self._held.pop(record.emitter, None)
        if record.standing == EmitterProof.UNKNOWN and record.held_back:
            self._held[record.emitter] = HeldEmitter(f"0x{record.emitter.hex()}", record.since_block, record.held_back)
        if len(self._held) > MOST_EMITTERS:
            del self._held[next(iter(self._held))]

    def feed(self, now_ns: int) -> FeedStat | None:
        """What the newest heartbeat says; None if none came."""
        if self._heartbeat is None:
            return None
        return stat_of(self._heartbeat, (now_ns - self._heartbeat_ns) / NS)

    def held(self) -> list[HeldEmitter]:
        """The emitters whose events are held back, the newest declared last."""
        return list(self._held.values())

    def held_for_s(self, now_ns: int) -> float:
        """How long something has been held back without a pause."""
        return (now_ns - self._held_since_ns) / NS if self._held_since_ns else 0.0

    def close(self) -> None:
        """Leave the ring."""
        self._reader.close()
