"""What the strategies of this host said, by the frame on which they said it.

Owns which rings are read for it: those whose newest message is a signal.  It changes none of them.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ringbuf import RingNotFound, RingNotReady, list_rings
from ringbuf.newest import newest_frames
from tlv.buffers import Longs
from tlv.codes import Domain
from tlv.errors import FrameError, SegmentError
from tlv.layout import HEADER, HEADER_SIZE, SignalIdentity
from tlv.message import parse
from tlv.units import NS
from tools.trace.frames import RingFrames, wall_offset_ns


class SignalSeen(NamedTuple):
    """One signal."""

    ring: str
    sequence: int
    publish_ns: int
    ring_created_ns: int
    """A frame from before it was read late by a strategy that began later."""
    identity: SignalIdentity


class Signals:
    """The signals that the rings of this host hold."""

    def __init__(self) -> None:
        self._offset_ns = wall_offset_ns()
        self.unreadable: dict[str, str] = {}
        """Rings that could not be read, and why."""
        self._begin_ns: dict[str, int] = {}
        """Of a ring whose first signals were overwritten or not read, when the oldest was published."""
        self._speaking_of: defaultdict[bytes, set[str]] = defaultdict(set)
        """The rings that have signals on frames of a ring."""
        self._by_trigger: defaultdict[bytes, defaultdict[int, list[SignalSeen]]]
        self._by_trigger = defaultdict(lambda: defaultdict(list))

    @classmethod
    def of_this_host(cls, reach: int | None = None) -> Signals:
        """Read them all, or the newest `reach` of each ring."""
        signals = cls()
        for name in list_rings():
            try:
                if speaks_of_signals(name):
                    signals.read(name, reach)
            except (RingNotFound, RingNotReady):
                continue  # removed since, or being made: it holds nothing
            except SegmentError as error:
                signals.unreadable[name] = str(error)
        return signals

    def read(self, name: str, reach: int | None = None) -> None:
        """Read the ring `name`, or its newest `reach` frames.

        Raises:
            SegmentError.
        """
        with closing(RingFrames(name, reach)) as frames:
            for piece in frames.pieces(b"", -1):
                for frame in piece.poll:
                    self._begin_ns.setdefault(name, frame.publish_time_ns if frame.sequence > 1 else 0)
                    try:
                        message = parse(frame.payload)
                    except FrameError:
                        continue  # whoever reads the ring finds out
                    identity = message.first(SignalIdentity)
                    if identity is not None:
                        seen = SignalSeen(name, frame.sequence, frame.publish_time_ns, frames.created_ns, identity)
                        self._by_trigger[identity.trigger_ring][identity.trigger_sequence].append(seen)
                        self._speaking_of[identity.trigger_ring].add(name)

    def comparable(self, offset_ns: int) -> bool:
        """Whether publish times that become wall time by `offset_ns` are of the same monotonic clock as the signals'.

        It is another one before a reboot; it stands still while the machine is suspended.
        """
        return abs(offset_ns - self._offset_ns) < NS

    def triggers_in(self, ring: bytes) -> Longs:
        """Sequences of the frames of `ring` on which there are signals."""
        return np.array(list(self._by_trigger[ring]), dtype=np.int64)

    def overwritten(self, ring: bytes, publish_ns: int) -> list[str]:
        """Rings that speak of `ring` and do not have their signals of that time any more."""
        return sorted(name for name in self._speaking_of[ring] if publish_ns < self._begin_ns[name])

    def all_on(self, ring: bytes, sequence: int) -> list[SignalSeen]:
        """Those that name a frame."""
        return self._by_trigger[ring][sequence]

    def on(self, ring: bytes, sequence: int, publish_ns: int, offset_ns: int) -> list[SignalSeen]:
        """Those on one frame that was published then: of each id the first since.

        The same signal comes again when a strategy reads a copy of the frame, from a journal or a replayed ring.
        """
        found: dict[int, SignalSeen] = {}
        if self.comparable(offset_ns):
            for seen in sorted(self.all_on(ring, sequence), key=lambda seen: seen.publish_ns):
                if seen.publish_ns >= publish_ns:
                    found.setdefault(seen.identity.signal_id, seen)
        return list(found.values())


def speaks_of_signals(name: str) -> bool:
    """Whether the newest message of a ring is a signal.

    Raises:
        SegmentError.
    """
    for frame in newest_frames(name):
        if len(frame.payload) < HEADER_SIZE:
            return False
        header = np.frombuffer(frame.payload[:HEADER_SIZE], HEADER)[0]
        return int(header["domain"]) == Domain.SIGNAL
    return False
