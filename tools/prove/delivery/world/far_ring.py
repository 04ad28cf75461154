"""The rings that the receiving side of a bridge makes at the far end: they survive its death, and keep all they got.

Owns what stands for `Writer`, `Reader`, `RingInfo` and `unlink` in `consumers.bridge.inward`.  The process that acts
may die at each call, before its effect.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Self

from ringbuf import RingNotFound, RingNotReady
from ringbuf.poll import Frame
from tlv.buffers import Bytes, Longs
from tools.prove.delivery.world.turns import Killed

CAPACITY = 1 << 14
"""So that `consumers.bridge.batch.limits_of_ring` cuts batches into pieces."""


class FarRing:
    """One ring."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.frames: list[bytes] = []
        self.ready = False
        self.forgetful = False
        """Whether its maker was killed between two rings, so that nobody knows what came before this one."""

    @property
    def identity(self) -> Any:
        """As much of an `Identity` as is asked for."""
        return SimpleNamespace(schema=self.schema, capacity=CAPACITY, max_payload=CAPACITY // 4)


class FarEnd:
    """The rings of one name, oldest first; its methods stand for those classes' own."""

    def __init__(self) -> None:
        self.rings: list[FarRing] = []
        self.named: FarRing | None = None
        self._unlinked_by: object = None

    # ---- Writer

    def open_or_create(self, _: str, *, capacity: int, layout_digest: int, schema: str) -> FarWriter:
        """Take over the ring if there is one, else make it."""
        if self.named is None or not self.named.ready:
            may_die()
            self.named = FarRing(schema)
            self.named.forgetful = bool(self.rings) and self._unlinked_by is not asyncio.get_running_loop()
            self.rings.append(self.named)
            may_die()
            self.named.ready = True
        return FarWriter(self, self.named)

    def open(self, _: str, *, layout_digest: int) -> FarWriter:
        """Take over the ring."""
        return FarWriter(self, self._there())

    # ---- RingInfo, Reader and unlink

    def read(self, _: str) -> Any:
        """What is known of the ring."""
        ring = self._there()
        if not ring.ready:
            raise RingNotReady("not finished")
        return SimpleNamespace(identity=ring.identity, next_sequence=len(ring.frames) + 1)

    def attach(self, _: str, *, start: int, layout_digest: int) -> FarReader:
        """A reader of it."""
        return FarReader(self._there(), start)

    def unlink(self, _: str) -> None:
        """Take its name away."""
        may_die()
        self.named, self._unlinked_by = None, asyncio.get_running_loop()

    def _there(self) -> FarRing:
        if self.named is None:
            raise RingNotFound("far")
        return self.named


class FarWriter:
    """Stands for a `Writer`."""

    def __init__(self, end: FarEnd, ring: FarRing) -> None:
        self._end, self._ring = end, ring
        self.identity = ring.identity

    def publish(self, message: bytes) -> None:
        """Publish a message."""
        may_die()
        self._ring.frames.append(message)

    def publish_many(self, buffer: Bytes, offsets: Longs, lengths: Longs) -> None:
        """Publish frames with one commit."""
        may_die()
        spans = zip(offsets.tolist(), lengths.tolist(), strict=True)
        self._ring.frames += [buffer[begin : begin + size].tobytes() for begin, size in spans]

    def heartbeat(self) -> None:
        """Nobody reads it."""

    def close(self, *, unlink: bool = False) -> None:
        """Close it."""
        if unlink:
            self._end.unlink("")


class FarReader:
    """Stands for a `Reader`."""

    def __init__(self, ring: FarRing, start: int) -> None:
        self._ring, self._at = ring, start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def poll(self, count: int) -> list[Frame]:
        """The next frames."""
        frames = self._ring.frames[self._at - 1 : self._at - 1 + count]
        return [Frame(self._at + i, 0, 0, memoryview(frame)) for i, frame in enumerate(frames)]


def may_die() -> None:
    """Let the process that asks be killed here.

    Raises:
        Killed: it is, or was before.
    """
    loop: Any = asyncio.get_running_loop()
    if loop.struck():
        raise Killed
