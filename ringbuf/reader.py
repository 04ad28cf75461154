"""One consumer of a ring.

Owns a reader's private state and buffers.  It must never write into the ring: its map of it is read-only.  What the
writer reads of it (a wait ticket, a reliable consumer's position) is on the control page.

A reader copies a frame out and then checks that it was not overwritten meanwhile, so a slow reader slows nobody: it
detects that it was lapped, reports the exact range it lost, and goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from ringbuf import kernels
from ringbuf.calls import (
    DEFAULT_FRAMES,
    MOST_FRAMES,
    SPIN_FIRST_NS,
    SPIN_SLICE_NS,
    bind,
    compiled_call,
    forget_calls,
    take_call,
    take_many_call,
)
from ringbuf.declare import word_of
from ringbuf.errors import CorruptRing, NoFreeSlot, RingClosed, RingOrphaned
from ringbuf.identity import Identity
from ringbuf.layout import CLOSED as CLOSED_STATE
from ringbuf.layout import (
    EPOCH,
    EVICTED,
    FREE,
    HEARTBEAT,
    INDEX_ROWS,
    KEY_FRAME,
    LATEST,
    NO_LIMIT,
    OLDEST,
    PUBLISH_NS,
    READER,
    SLOTS,
    STATE,
    TAIL,
)
from ringbuf.locks import FIRST_SLOT_BYTE, WRITER_BYTE, RingLock
from ringbuf.memory import advise
from ringbuf.names import lock_object
from ringbuf.poll import Frame, Loss, Poll
from ringbuf.ring import Ring, open_ring
from ringbuf.status import OK, Status, Wait
from tlv.arguments import check_integer, check_seconds, check_start
from tlv.buffers import Longs, State, Words
from tlv.errors import UsageError
from tlv.units import MS, NS

Start = Literal["latest", "oldest", "key"]
PLACES = {"latest": LATEST, "key": KEY_FRAME, "oldest": OLDEST}


DEFAULT_BUFFER_BYTES = 1 << 18  # stays in a core's second-level cache
YIELD_THEN_NS = 100_000
SLEEP_SLICE_NS = 50 * MS  # the delay if a writer is killed between its commit and its wake-up
CHECK_EVERY_S = 0.5  # `check` (does the writer live, does the name mean this ring) costs three system calls
STALE_AFTER_S = 5.0
SEEK_TRIES = 1000
MOST_BUFFER_BYTES = 1 << 34
MAX_UID = (1 << 32) - 2
FRAME_LENGTH, FRAME_KIND, FRAME_SEQUENCE, FRAME_NS, TAKEN = (
    word_of(READER, field) for field in ("frame_length", "frame_kind", "frame_sequence", "frame_ns", "taken")
)


class ReaderPlace(NamedTuple):
    """A place to which a reader can return."""

    state: State


class Reader:
    """Reads frames.  Made by `attach`; a context manager; iterating yields frames and losses until it is closed."""

    def __init__(self, ring: Ring, lock: RingLock, on_lap: Start, buffer_bytes: int, stale_after_s: float) -> None:
        self.name = ring.name
        self.uuid = ring.identity.uuid
        self.identity = ring.identity
        self.words: Words = ring.words
        self.control: Words = ring.control
        self.state = new_state(ring.identity, PLACES[on_lap])  # what the kernels call `reader`
        self.state[0]["epoch"] = kernels.get_word(self.words, EPOCH)
        room = max(buffer_bytes, ring.identity.max_payload) // 8 + 1
        self.out: Longs = np.zeros(room, dtype=np.int64)
        self.index: Longs = np.zeros((INDEX_ROWS, 256), dtype=np.int64)
        self._bytes = self.out.view(np.uint8)
        self._view = self._bytes.data
        self._private = self.state.view(np.int64).data  # a word takes 40 ns there, and 130 as a field of the array
        self._ring = ring
        self._lock = lock
        self._stale_after_ns = int(stale_after_s * NS)
        self._next_check = time.monotonic() + CHECK_EVERY_S
        self._slot = -1  # the slot whose lock we hold, evicted or not
        self.memory: dict[str, str] = {}
        lock.on_fork = self._leave_slot_with_parent

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        start: Start | int = "latest",
        on_lap: Start = "oldest",
        layout_digest: int = 0,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        stale_after_s: float = STALE_AFTER_S,
        reliable: bool = False,
        prefault: bool = False,
        lock_memory: bool = False,
        huge_pages: bool = False,
        owner: int | None = None,
    ) -> Self:
        """Start to read a ring: at its end, its oldest intact frame, its latest key frame, or a sequence.

        A `start` sequence that was overwritten already comes as a loss first.  `on_lap` says where to go on after
        having been lapped.  With `reliable` the writer waits for this reader, see `join`.  `owner` is the uid of
        another user who let our group read.  For the three memory options see `memory.advise`.

        Raises:
            RingNotFound, RingNotReady, BadSegment, UnsafeSegment, NoFreeSlot: see `ringbuf.errors`.
            UsageError: a sequence below 1 or yet to come.
        """
        if not isinstance(on_lap, str) or on_lap not in PLACES:
            raise UsageError(f"on_lap: expected one of {', '.join(PLACES)}, found {on_lap!r}")
        place = check_start("start", start, "key")
        check_integer("buffer_bytes", buffer_bytes, 1, MOST_BUFFER_BYTES)
        check_seconds("stale_after_s", stale_after_s)
        check_integer("layout_digest", layout_digest, 0, NO_LIMIT)
        if owner is not None:
            owner = check_integer("owner", owner, 0, MAX_UID)
        ring = open_ring(name, writable=False, layout_digest=layout_digest, owner=owner)
        try:
            lock = RingLock(lock_object(name, owner), owner=owner)
        except BaseException:
            ring.close()
            raise
        reader = cls(ring, lock, on_lap, buffer_bytes, stale_after_s)
        try:
            reader.memory = advise(reader.words, prefault=prefault, lock_memory=lock_memory, huge_pages=huge_pages)
            reader.seek(start)
            if reliable:
                reader.join()
                if place == "latest":
                    reader.seek("latest")
        except BaseException:
            reader.close()
            raise
        return reader

    def seek(self, start: Start | int) -> None:
        """Go on reading elsewhere: see `attach`."""
        words, state = self.words, self.state
        place = check_start("start", start, "key")
        if isinstance(place, int):
            self._seek_sequence(place)
            return
        moved = place == "key" and kernels.seek_key(words, state)
        if place == "oldest":
            moved = kernels.seek_oldest(words, state, 0)
        for _ in range(SEEK_TRIES):  # a fast writer may overtake the look at its commit record, but not for ever
            moved = moved or kernels.seek_latest(words, state) or kernels.seek_oldest(words, state, 0)
        if not moved:
            raise CorruptRing(f"ring {self.name}: neither a commit record nor an anchor is valid")
        if place == "oldest":
            kernels.seek_oldest(words, state, 0)  # frames may have come to an empty ring before `seek_latest`

    def _seek_sequence(self, wanted: int) -> None:
        if not kernels.seek_sequence(self.words, self.state, wanted):
            self.seek("latest")
        before = self.counters
        while self.sequence < wanted:
            status = self.poll(min(wanted - self.sequence, self.index.shape[1])).status
            if status in {Status.EMPTY, Status.CLOSED}:
                raise UsageError(f"ring {self.name}: sequence {wanted} is yet to come (next is {self.sequence})")
            if status is Status.CORRUPT:
                raise self._corrupt()
        for name, value in before.items():  # what was skipped on the way was neither delivered nor lost
            self.state[0][name] = value
        if self.sequence > wanted:
            self.state[0]["untold_first"], self.state[0]["untold_last"] = wanted, self.sequence - 1
            self.state[0]["lost"] += self.sequence - wanted

    def _corrupt(self) -> CorruptRing:
        return CorruptRing(f"ring {self.name}: no frame at position {self.position}, sequence {self.sequence}")

    def join(self) -> None:
        """Become reliable: from here on the writer waits, for a bounded time, before it overwrites unread frames.

        Frames count as read at the next `poll` or `wait`.  Until the writer's next scan of the slots it may lap a
        reader that is far behind; that comes as a loss, as always.  Also the way back in after an
        eviction.

        Raises:
            NoFreeSlot: all 64 are held by living readers.
        """
        self._check_usable()
        if self._slot < 0:
            self._slot = next((slot for slot in range(SLOTS) if self._lock.try_lock(FIRST_SLOT_BYTE + slot)), -1)
        if self._slot < 0:
            raise NoFreeSlot(f"ring {self.name}: all {SLOTS} consumer slots are held by living readers")
        kernels.describe_slot(self.control, self._slot, os.getpid(), time.monotonic_ns())
        kernels.announce_slot(self.control, self._slot, self.position)
        self.state[0]["slot"] = self._slot
        self.state[0]["evicted"] = 0

    def _leave_slot_with_parent(self) -> None:
        self._slot = -1
        self.state[0]["slot"] = -1

    @property
    def evicted(self) -> bool:
        """Whether the writer evicted this reader, which is lossy since."""
        if self.state[0]["slot"] >= 0:
            return kernels.slot_state(self.control, self._slot) == EVICTED
        return bool(self.state[0]["evicted"])

    @property
    def position(self) -> int:
        """This reader's position in the ring's endless stream of bytes."""
        return int(self.state[0]["position"])

    @property
    def sequence(self) -> int:
        """The sequence expected next."""
        return int(self.state[0]["sequence"])

    @property
    def lost(self) -> int:
        """Frames that were overwritten before this reader read them."""
        return int(self.state[0]["lost"])

    @property
    def epoch(self) -> int:
        """The writer epoch whose frames are being read."""
        return int(self.state[0]["epoch"])

    @property
    def lag_bytes(self) -> int:
        """Bytes published and not yet read."""
        return kernels.get_word(self.words, TAIL) - self.position

    @property
    def counters(self) -> dict[str, int]:
        """Frames and bytes delivered, frames lost, times lapped."""
        return {name: int(self.state[0][name]) for name in ("frames", "bytes", "lost", "laps")}

    def place(self) -> ReaderPlace:
        """Where this reader stands, to return to."""
        return ReaderPlace(self.state.copy())

    def return_to(self, place: ReaderPlace) -> None:
        """Go back to `place`, as if nothing had been polled since: the same frames follow, or their loss."""
        self.state[:] = place.state
        self.state[0]["closed"] = self.closed

    def poll(self, max_frames: int = 256, max_bytes: int | None = None) -> Poll:
        """Copy out what can be read, up to `max_frames` and `max_bytes` of payloads.  Never waits.

        Raises:
            RingClosed: this reader was closed.
            UsageError: `max_frames` is no integer from 0 on, or `max_bytes` none from 1 on.
        """
        self._check_usable()
        if type(max_frames) is not int or not 0 <= max_frames <= self.index.shape[1]:
            max_frames = check_integer("max_frames", max_frames, 0, MOST_FRAMES)
            if max_frames > self.index.shape[1]:
                self.index = np.zeros((INDEX_ROWS, max_frames), dtype=np.int64)
        out = self.out
        if max_bytes is not None:
            out = out[: (check_integer("max_bytes", max_bytes, 1, NO_LIMIT) + 7) // 8]
        status = Status(kernels.poll_into(self.words, self.control, self.state, out, self.index, max_frames))
        me = self.state[0]
        loss = self._take_untold()
        if me["lost_last"]:
            loss = Loss(self.uuid, int(me["lost_first"]) if loss is None else loss.first, int(me["lost_last"]))
        if loss is not None and status is Status.EMPTY:
            status = Status.GAP
        need = int(me["need"]) if status is Status.NEED else 0
        return Poll(status, loss, need, self._bytes, self._view, self.index[:, : int(me["count"])])

    def _take_untold(self) -> Loss | None:
        """The loss that is found and not told yet: from now on it is."""
        me = self.state[0]
        if not me["untold_last"]:
            return None
        loss = Loss(self.uuid, int(me["untold_first"]), int(me["untold_last"]))
        me["untold_last"] = 0
        return loss

    @compiled_call(take_call, "($self, timeout_s=0.0, mode='backoff', /)")
    def take(self, timeout_s: float | None = 0.0, mode: Wait = Wait.BACKOFF, /) -> memoryview | Loss | None:
        """The payload of the next frame, or the loss before it; None if there is neither within `timeout_s`.

        The payload is valid until this reader takes or polls again; `frame_sequence`, `frame_kind` and `frame_time_ns`
        are of the same frame.  A loss comes once, where the lost frames would have come.  `taken` says why there is
        nothing: EMPTY, CLOSED, EPOCH_CHANGED (once, at a new writer's first frame); after a wait WRITER_STALE,
        WRITER_DEAD or ORPHANED.  `timeout_s` None waits for one of these; `mode` says how.

        Raises:
            RingClosed: this reader was closed.
            CorruptRing: bytes that no writer writes; the reader does not move.
            UsageError: a time or a mode that is none.
        """
        self._check_usable()
        deadline = None if timeout_s is None else time.monotonic() + check_seconds("timeout_s", timeout_s)
        while True:
            status = Status(kernels.take_frame(self.words, self.control, self.state, self.out))
            if status is Status.EMPTY and timeout_s != 0:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                status = self.wait(left, mode)
                if status is Status.OK:
                    continue
            self.state[0]["taken"] = status
            if status is Status.CORRUPT:
                raise self._corrupt()
            if status is Status.OK:
                return self._view[: self._private[FRAME_LENGTH]]
            return self._take_untold()

    @compiled_call(take_many_call, "($self, max_frames=256, /)")
    def take_many(self, max_frames: int = DEFAULT_FRAMES, /) -> list[bytes] | Loss | None:
        """Copies of the payloads of the next frames, at most `max_frames`, or the loss before them; else None.

        Their sequences are dense and end with `frame_sequence`.  Never waits.  Otherwise like `take`.
        """
        check_integer("max_frames", max_frames, 1, MOST_FRAMES)
        first = Reader.take(self)
        if first is None or isinstance(first, Loss):
            return first
        payloads = [bytes(first)]
        words, state = self.words, self.state
        while (
            len(payloads) < max_frames
            and kernels.read_frame(words, state, kernels.readable(words, state), self.out, 0) == OK
        ):
            payloads.append(bytes(self._view[: self._private[FRAME_LENGTH]]))
        return payloads

    @property
    def taken(self) -> Status:
        """What came of the last `take` or `take_many`."""
        return Status(self._private[TAKEN])

    @property
    def frame_sequence(self) -> int:
        """Sequence of the frame that was taken last."""
        return self._private[FRAME_SEQUENCE]

    @property
    def frame_kind(self) -> int:
        """The publisher's `kind` of the frame that was taken last."""
        return self._private[FRAME_KIND]

    @property
    def frame_time_ns(self) -> int:
        """When the frame that was taken last was published, ns of CLOCK_MONOTONIC."""
        return self._private[FRAME_NS]

    def wait(self, timeout_s: float | None = None, mode: Wait = Wait.BACKOFF) -> Status:
        """Wait until there is something to read, or the state of ring or writer changes.

        Returns OK (`poll` returns frames, a loss or EPOCH_CHANGED), EMPTY after `timeout_s`, CLOSED, WRITER_STALE,
        WRITER_DEAD or ORPHANED.  Ctrl-C and other signals are served while it waits.
        """
        self._check_usable()
        if not isinstance(mode, Wait):
            raise UsageError(f"mode: expected one of {', '.join(map(str, Wait))}, found {mode!r}")
        begin = time.monotonic_ns()
        deadline = None if timeout_s is None else begin + int(check_seconds("timeout_s", timeout_s) * NS)
        while True:
            status = self.look()
            if status is not Status.EMPTY:
                return status
            now = time.monotonic_ns()
            if deadline is not None and now >= deadline:
                return Status.EMPTY
            self._pass_time(mode, begin, now, SLEEP_SLICE_NS if deadline is None else deadline - now)

    def _pass_time(self, mode: Wait, begin: int, now: int, left: int) -> None:
        waited = now - begin
        if mode is Wait.SPIN or (mode is Wait.BACKOFF and waited < SPIN_FIRST_NS):
            slice_ns = SPIN_SLICE_NS if mode is Wait.SPIN else SPIN_FIRST_NS
            kernels.spin(self.words, self.state, now + min(slice_ns, left))
        elif mode is Wait.YIELD or (mode is Wait.BACKOFF and waited < YIELD_THEN_NS):
            slice_ns = SPIN_SLICE_NS if mode is Wait.YIELD else YIELD_THEN_NS
            kernels.spin_yielding(self.words, self.state, now + min(slice_ns, left))
        else:
            kernels.sleep_on(self.words, self.control, self.state, min(SLEEP_SLICE_NS, left))

    def look(self) -> Status:
        """The status that ends a wait, EMPTY to go on; the part that costs system calls every `CHECK_EVERY_S`.

        What was read before it counts as read: a reliable consumer must be done with it.
        """
        self._check_usable()
        kernels.mark_read(self.control, self.state)
        if kernels.get_word(self.words, TAIL) != self.position or self.state[0]["untold_last"]:
            return Status.OK
        if kernels.get_word(self.words, EPOCH) != self.epoch:
            return Status.OK
        if kernels.get_word(self.words, STATE) == CLOSED_STATE:
            return Status.OK if kernels.get_word(self.words, TAIL) != self.position else Status.CLOSED
        if time.monotonic() < self._next_check:
            return Status.EMPTY
        return self.check()

    def check(self) -> Status:
        """Check the ring's name and its writer: EMPTY if both are there, else ORPHANED, WRITER_DEAD or WRITER_STALE.

        Costs three system calls; `wait` does it twice a second.
        """
        self._check_usable()
        self._next_check = time.monotonic() + CHECK_EVERY_S
        if self._ring.is_orphaned():
            return Status.ORPHANED
        if self._lock.forked:
            self._lock = RingLock(lock_object(self.name, self._ring.owner), owner=self._ring.owner)
        if not self._lock.is_held(WRITER_BYTE):
            return Status.WRITER_DEAD
        last_sign_ns = max(kernels.get_word(self.words, HEARTBEAT), kernels.get_word(self.words, PUBLISH_NS))
        stale = time.monotonic_ns() - last_sign_ns > self._stale_after_ns
        return Status.WRITER_STALE if stale else Status.EMPTY

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._ring.fd < 0

    @property
    def reliable(self) -> bool:
        """Whether the writer waits for this reader, or did until it evicted it."""
        return self._slot >= 0

    @property
    def nameless(self) -> bool:
        """Whether the ring's name is gone or means another ring."""
        return self._ring.is_orphaned()

    @property
    def abandoned(self) -> bool:
        """Whether the ring has no writer: it is closed, or its writer died.  With its name gone, none will come."""
        return kernels.get_word(self.words, STATE) == CLOSED_STATE or not self._lock.is_held(WRITER_BYTE)

    def __iter__(self) -> Iterator[Frame | Loss]:
        """Yield frames and losses as they come, waiting in between, until the ring is closed.

        A dead or stale writer is waited for: another may take over.

        Raises:
            RingOrphaned, CorruptRing.
        """
        while True:
            poll = self.poll()
            if poll.loss is not None:
                yield poll.loss
            yield from poll
            if poll.status is Status.CLOSED:
                return
            if poll.status is Status.CORRUPT:
                raise self._corrupt()
            if poll.status is Status.EMPTY and self.wait() is Status.ORPHANED:
                raise RingOrphaned(f"ring {self.name}: its name is gone or means another ring; attach again")

    def close(self) -> None:
        """Leave the ring."""
        self.state[0]["closed"] = 1
        forget_calls(self)
        if self._slot >= 0 and self._lock.fd >= 0:
            kernels.set_slot(self.control, self._slot, FREE)
            self._slot = -1
        self._lock.on_fork = None  # breaks the reference cycle: the maps are freed with the last reference
        self._lock.close()
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bind_call(self, checked: Callable[..., Any]) -> tuple[object, ...] | None:
        """What a builtin of this reader is bound to, see `ringbuf.calls`."""
        if self.closed:
            return None
        return bind(checked, self.words, self.control, self.state, out=self.out, view=self._view)

    def _check_usable(self) -> None:
        if self._ring.fd < 0:
            raise RingClosed(f"ring {self.name}: this reader was closed")


def new_state(identity: Identity, on_lap: int) -> State:
    """The private state of a reader before its first seek."""
    state = np.zeros(1, dtype=READER)
    me = state[0]
    me["capacity"] = identity.capacity
    me["salt"] = identity.salt
    me["max_payload"] = identity.max_payload
    me["region_bytes"] = identity.region_bytes
    me["on_lap"] = on_lap
    me["slot"] = -1
    return state
