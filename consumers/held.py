"""The rings of one name that this process has attached, one after the other.

Owns their maps, and the question whether a ring has ended: it has no name any more, and no writer.  A map outlives its
name, so what a consumer has not read of a replaced ring is read from there.  `consumers.incarnations` decides what
follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from consumers.incarnations import Extent
from ringbuf import Reader, RingNotFound, RingNotReady, Status
from ringbuf.kernels import seek_latest, seek_oldest

LOOK_S = 0.1
"""How often the name is looked at: two system calls."""
NAMELESS_S = 2.0
"""How long a replaced ring whose writer still publishes is followed.  That writer notices within its heartbeat."""
HELD_BEHIND = 3
"""Replaced rings whose maps are kept for whoever has not read them: each takes its capacity in shared memory."""
KEPT_ENDS = 64
"""Rings of which only the end is remembered: so many replacements later a loss is still counted."""
SEEK_TRIES = 1000


class HeldRing:
    """One attached ring; `reader` is None once its map was given back."""

    def __init__(self, reader: Reader) -> None:
        self.uuid = reader.uuid
        self.reader: Reader | None = reader
        self.ended = False
        self.older: frozenset[bytes] = frozenset()
        """See `Extent`."""
        self.behind = 1
        """One more than the last sequence that is known, once it has ended."""
        self._probe = reader.state.copy()
        self._nameless_since: float | None = None
        self._end_seen = True

    def settle(self, now: float, *, replaced: bool) -> None:
        """Find out whether it has ended; `replaced` says that another ring has the name."""
        if self.ended or self.reader is None or (not replaced and not self.reader.nameless):
            return
        since = self._nameless_since = now if self._nameless_since is None else self._nameless_since
        if self.reader.abandoned or (replaced and now - since > NAMELESS_S):
            self._end()

    def _end(self) -> None:
        extent = self.extent()
        self.behind, self._end_seen, self.ended = extent.behind, extent.end_seen, True

    def extent(self) -> Extent:
        """What can be read of it."""
        reader = self.reader
        if reader is None:
            return Extent(self.uuid, self.behind, self.behind, True, self.older, self._end_seen, nameless=True)
        first = self._seek(reader, oldest=True)
        behind, end_seen = self.behind, self._end_seen
        if not self.ended:
            end = self._seek(reader, oldest=False)
            end_seen = end is not None
            behind = max(end or 1, first or 1)
        first, nameless = min(first or behind, behind), self.ended or reader.nameless
        return Extent(self.uuid, first, behind, self.ended, self.older, end_seen, nameless)

    def _seek(self, reader: Reader, *, oldest: bool) -> int | None:
        """The sequence at one end of the ring; None if what stands there is damaged."""
        for _ in range(SEEK_TRIES):
            moved = oldest and seek_oldest(reader.words, self._probe, 0)
            if moved or seek_latest(reader.words, self._probe):
                return int(self._probe[0]["sequence"])
        return None

    def release(self) -> None:
        """Give the map back; the end stays known."""
        if self.reader is not None:
            self._end()
            self.reader.close()
            self.reader = None


class HeldRings:
    """The rings of one name, oldest first.

    `attach` makes a reader of the one that has the name now, `recorded` says which incarnations the journal has."""

    def __init__(self, attach: Callable[[], Reader], recorded: Callable[[], Collection[bytes]] = tuple) -> None:
        self.rings: list[HeldRing] = []
        self._attach, self._recorded = attach, recorded
        self._next_look = 0.0

    @property
    def newest(self) -> HeldRing | None:
        """The last one that had the name."""
        return self.rings[-1] if self.rings else None

    def get(self, uuid: bytes) -> HeldRing | None:
        """The ring with this uuid."""
        for ring in self.rings:  # not by `next`: a relay asks for each chunk, and a generator took 0.4 of 0.5 us
            if ring.uuid == uuid:
                return ring
        return None

    def look(self, now: float) -> Reader | None:
        """Look at the name, unless it was just looked at.  Returns the reader of a ring that is new.

        Raises:
            SegmentError: what has the name is no ring of ours.
        """
        if now < self._next_look:
            return None
        self._next_look = now + LOOK_S
        newest, fresh = self.newest, None
        if newest is None or newest.reader is None or newest.reader.check() is Status.ORPHANED:
            fresh = self._attach_new()
        for ring in self.rings:
            ring.settle(now, replaced=ring is not self.rings[-1])
        return fresh

    def _attach_new(self) -> Reader | None:
        try:
            reader = self._attach()
        except (RingNotFound, RingNotReady):
            return None
        if self.get(reader.uuid) is not None:
            reader.close()
            return None
        self.adopt(reader)
        recorded = frozenset(self._recorded())
        if reader.check() is not Status.ORPHANED:
            self.rings[-1].older = recorded - {reader.uuid}
        return reader

    def adopt(self, reader: Reader) -> None:
        """Hold the ring of `reader` as the newest."""
        self.rings.append(HeldRing(reader))
        for ring in self.rings[:-KEPT_ENDS]:
            ring.release()
        del self.rings[:-KEPT_ENDS]

    def extents(self) -> list[Extent]:
        """What can be read of each, oldest first."""
        return [ring.extent() for ring in self.rings]

    def close(self) -> None:
        """Give all maps back."""
        for ring in self.rings:
            ring.release()
