"""The one process that publishes into a ring.

Owns the writer's private state and lock.  It must never touch a shared word itself: kernels do.

One thread at a time: kernels release the GIL and hold no lock.  `publish`, `publish_many` of objects and `append` hold
the GIL instead, each for its whole call (`ringbuf.calls`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import numpy as np

from ringbuf import kernels
from ringbuf.calls import MAX_KIND, append_call, bind, compiled_call, forget_calls, publish_call, publish_many_call
from ringbuf.errors import (
    BadSegment,
    BatchTooLarge,
    FrameTooLong,
    NotOwner,
    RingClosed,
    RingFull,
    RingNotFound,
    RingNotReady,
    RingOrphaned,
)
from ringbuf.identity import Identity, new_identity
from ringbuf.layout import (
    BACK_PRESSURE,
    CLOSED,
    DROPPED,
    EPOCH,
    EVICTED,
    EVICTIONS,
    FREE,
    HEARTBEAT,
    JOINED,
    KEY,
    MAX_BATCH_SHARE,
    RECOVERIES,
    REJECTS,
    SLOTS,
    WRITER,
)
from ringbuf.locks import FIRST_SLOT_BYTE, RingLock
from ringbuf.memory import advise
from ringbuf.names import ring_object
from ringbuf.ring import Ring, claim, create_ring, finish_creation, lock_ring, open_ring, unlink_ring
from ringbuf.status import FULL, OK, TOO_LONG
from tlv.arguments import check_integer, check_seconds
from tlv.buffers import Bytes, Longs, State, Words
from tlv.errors import UsageError

DEFAULT_CAPACITY = 1 << 24  # 87,000 frames of 128 bytes: how late a lossy reader may be
RELIEF_SLICE_S = 0.0005
STANDBY_SLICE_S = 0.002
MAX_GID = (1 << 32) - 2
"""The number above it means "as it is" to chown(2)."""

Payload = bytes | bytearray | memoryview | Bytes


class Full(Enum):
    """What a writer does when a reliable consumer has not made room within `full_timeout_s`."""

    EVICT = "evict"  # the consumer loses its slot; its `evicted` is True from then on
    RAISE = "raise"  # `publish` raises RingFull
    DROP_NEW = "drop_new"  # the frame is dropped and counted


class WriterOptions(TypedDict, total=False):
    """What each writer of a ring decides for itself."""

    layout_digest: int  # of the messages carried; another one in the ring is refused; 0 = any
    no_wake: bool  # never wake sleepers: saves a full fence per publish when every reader spins
    full: Full
    full_timeout_s: float  # how long a full ring is waited for
    prefault: bool  # these three: see `memory.advise`; refusals are in `Writer.memory`
    lock_memory: bool
    huge_pages: bool


class Writer:
    """Publishes frames.  Made by `create`, `open` or `open_or_create`; a context manager."""

    def __init__(self, ring: Ring, lock: RingLock, options: WriterOptions) -> None:
        self.name = ring.name
        self.uuid = ring.identity.uuid
        self.identity = ring.identity
        self.words: Words = ring.words
        self.control: Words = ring.control
        self.state = new_state(ring.identity)  # what the kernels call `writer`
        self._ring = ring
        self._lock = lock
        self._full = options.get("full", Full.EVICT)
        self._full_timeout_s = options.get("full_timeout_s", 0.1)
        self._no_wake = options.get("no_wake", False)
        self._publish = kernels.publish if self._no_wake else kernels.publish_and_wake
        self._max_payload = ring.identity.max_payload
        self._staging = np.zeros(self._max_payload + 8, dtype=np.uint8)
        self._stage = self._staging.data
        if kernels.take_over(self.words, self.state, time.monotonic_ns(), os.getpid()) != OK:
            raise BadSegment(f"ring {self.name}: no commit record belongs to its tail; unlink it")
        lock.on_fork = self._disable
        self.memory = advise(
            self.words,
            prefault=options.get("prefault", False),
            lock_memory=options.get("lock_memory", False),
            huge_pages=options.get("huge_pages", False),
        )

    @classmethod
    def create(
        cls,
        name: str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        max_frame: int | None = None,
        reserve: int | None = None,
        schema: str = "",
        group: int | None = None,
        **options: Unpack[WriterOptions],
    ) -> Self:
        """Make a new ring and become its writer.

        Raises:
            BadRingName, BadGeometry, AlreadyExists, NotOwner, NoSpace, UnsafeSegment: see `ringbuf.errors`.
            UsageError: an option that cannot be, a group that is not ours.
        """
        check_options(group, options)
        digest = options.get("layout_digest", 0)
        identity = new_identity(
            name, capacity=capacity, max_frame=max_frame, reserve=reserve, layout_digest=digest, schema=schema
        )
        lock = claim(name)
        try:
            return cls._make(identity, group, lock, options)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, name: str, **options: Unpack[WriterOptions]) -> Self:
        """Take over a ring whose writer closed it or died: the next epoch, the sequence goes on.

        Raises:
            RingNotFound, RingNotReady, NotOwner, BadSegment, UnsafeSegment: see `ringbuf.errors`.
        """
        check_options(None, options)
        open_ring(name, writable=False).close()  # a ring that is not there gets no lock object
        lock = claim(name)
        try:
            return cls._continue(name, lock, options)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open_or_create(
        cls,
        name: str,
        *,
        capacity: int = DEFAULT_CAPACITY,
        max_frame: int | None = None,
        reserve: int | None = None,
        schema: str = "",
        group: int | None = None,
        **options: Unpack[WriterOptions],
    ) -> Self:
        """Take over the ring if there is one (as it is: the geometry given is for a new one), else create it."""
        check_options(group, options)
        digest = options.get("layout_digest", 0)
        identity = new_identity(
            name, capacity=capacity, max_frame=max_frame, reserve=reserve, layout_digest=digest, schema=schema
        )
        lock = claim(name)
        try:
            try:
                return cls._continue(name, lock, options)
            except (RingNotFound, RingNotReady):
                return cls._make(identity, group, lock, options)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def standby(cls, name: str, *, timeout_s: float | None = None, **options: Unpack[WriterOptions]) -> Self:
        """Wait until the writer of an existing ring closes it or dies, and take over at once.

        Kernels should be warm (`ringbuf.warm`).  Looks 500 times a second, which costs 0.1 % of a core.

        Raises:
            NotOwner: the writer is still there after `timeout_s`; and what `open` raises.
        """
        deadline = None if timeout_s is None else time.monotonic() + check_seconds("timeout_s", timeout_s)
        while True:
            try:
                return cls.open(name, **options)
            except NotOwner:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            time.sleep(STANDBY_SLICE_S)

    @classmethod
    def _make(cls, identity: Identity, group: int | None, lock: RingLock, options: WriterOptions) -> Self:
        ring = create_ring(identity, group=group)
        writer = cls._own(ring, lock, options)
        finish_creation(ring)
        return writer

    @classmethod
    def _continue(cls, name: str, lock: RingLock, options: WriterOptions) -> Self:
        ring = open_ring(name, writable=True, layout_digest=options.get("layout_digest", 0))
        writer = cls._own(ring, lock, options)
        writer._count(RECOVERIES)
        kernels.wake(writer.words, writer.control, writer.state)
        return writer

    @classmethod
    def _own(cls, ring: Ring, lock: RingLock, options: WriterOptions) -> Self:
        try:
            lock_ring(ring, lock)
            return cls(ring, lock, options)
        except BaseException:
            ring.close()
            raise

    @property
    def epoch(self) -> int:
        """1 for the first writer of the ring, one more for each that took over."""
        return kernels.get_word(self.words, EPOCH)

    @property
    def next_sequence(self) -> int:
        """The sequence that the next frame will get."""
        return int(self.state[0]["sequence"])

    @property
    def reliable_readers(self) -> int:
        """How many readers this writer waits for."""
        return sum(kernels.slot_state(self.control, slot) == JOINED for slot in range(SLOTS))

    @property
    def evictions(self) -> int:
        """How often a writer of this ring has evicted a reliable reader."""
        return kernels.get_word(self.words, EVICTIONS)

    @compiled_call(publish_call, "($self, payload, kind=0, *, key=False)")
    def publish(
        self,
        payload: Payload,
        kind: int = 0,  # u16, the publisher's own; refused beyond
        *,
        key: bool = False,  # a frame from which a late reader can start
    ) -> int:
        """Publish one frame and return its sequence (0 if it was dropped, policy DROP_NEW).

        Raises:
            UsageError: `payload` is not one row of bytes, or `kind` no u16.
            FrameTooLong, RingClosed: see `ringbuf.errors`.
            NotOwner: after a fork.
            RingFull: with the policy RAISE.
        """
        kind = checked_kind(kind)
        length = self._stage_payload(payload)
        now_ns = time.monotonic_ns()
        flags = KEY if key else 0

        def attempt() -> int:
            return self._publish(self.words, self.control, self.state, self._staging, 0, length, kind, flags, now_ns)

        sequence = attempt()
        return sequence if sequence > 0 else self._settle(sequence, length, attempt)

    @compiled_call(publish_many_call, "($self, buffer, offsets=None, lengths=None, kind=0)")
    def publish_many(
        self,
        buffer: Bytes | Sequence[Payload],
        offsets: Longs | None = None,
        lengths: Longs | None = None,
        kind: int = 0,
    ) -> int:
        """Publish many frames with one commit; returns the first sequence (0 if they were dropped, policy DROP_NEW).

        `buffer` is a list or tuple of payloads, each as `publish` takes it; or the frames are
        `buffer[offsets[i] : offsets[i] + lengths[i]]` for all i, which needs no object for each.

        Raises:
            UsageError: an array of another type or shape, `buffer` with strides, a frame beyond `buffer`, or `kind`.
            BatchTooLarge: more than a quarter of the ring; and what `publish` raises.  Then nothing was published.
        """
        kind = checked_kind(kind)
        if isinstance(buffer, list | tuple) and offsets is None and lengths is None:
            return self._publish_payloads(buffer, kind)
        buffer = check_row("buffer", buffer, np.uint8)
        offsets = check_row("offsets", offsets, np.int64)
        lengths = check_row("lengths", lengths, np.int64)
        if not buffer.flags.c_contiguous:
            raise UsageError(f"buffer: expected contiguous bytes, found strides of {buffer.strides[0]} bytes")
        if len(offsets) != len(lengths):
            raise UsageError(f"publish_many: {len(offsets)} offsets, but {len(lengths)} lengths")
        if len(offsets) == 0:
            return self.next_sequence
        if offsets.min() < 0 or lengths.min() < 0 or (offsets > len(buffer) - lengths).any():
            raise UsageError(f"publish_many: frames reach beyond the {len(buffer)} bytes of the buffer")

        def attempt() -> int:
            return kernels.publish_many(
                self.words, self.control, self.state, buffer, offsets, lengths, kind, time.monotonic_ns()
            )

        first = attempt()
        if first < 0:
            first = self._settle(first, int(lengths.max()), attempt)
        if first > 0 and not self._no_wake:
            kernels.wake(self.words, self.control, self.state)
        return first

    def _publish_payloads(self, payloads: Sequence[Payload], kind: int) -> int:
        first = self.next_sequence
        try:
            for payload in payloads:
                if Writer._append(self, payload, kind) == 0:
                    kernels.abandon(self.state)
                    return 0
        except BaseException:
            kernels.abandon(self.state)
            raise
        self._commit()
        return first

    def batch(self) -> WriteBatch:
        """Frames appended in the `with` block become visible together at its end, or not at all on an exception.

        A `publish` inside the block would commit what was appended so far.
        """
        return WriteBatch(self)

    def heartbeat(self) -> None:
        """Store a time stamp; a writer that neither publishes nor does this is WRITER_STALE to its readers.

        Also looks whether the ring still has its name, which costs two system calls.

        Raises:
            RingOrphaned: it has not: readers that attach do not find this ring, and what is published is lost to them.
        """
        self._check_usable()
        if self._ring.is_orphaned():
            raise RingOrphaned(
                f"ring {self.name}: expected {ring_object(self.name)} to be this writer's ring, found that the name is"
                " gone or means another one; what is published here reaches no new reader"
            )
        kernels.put_word(self.words, HEARTBEAT, time.monotonic_ns())

    def close(self, *, unlink: bool = False) -> None:
        """Mark the ring closed, wake its readers and leave it; `unlink` removes its name as well."""
        if self._lock.fd < 0:
            return
        kernels.set_state(self.words, self.state, CLOSED)
        if unlink:
            unlink_ring(self.name)
        self._disable()
        self._lock.on_fork = None  # breaks the reference cycle: the maps are freed with the last reference
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bind_call(self, checked: Callable[..., int]) -> tuple[object, ...] | None:
        """What a builtin of this writer is bound to, see `ringbuf.calls`."""
        if self._max_payload < 0:
            return None
        return bind(checked, self.words, self.control, self.state, wakes=not self._no_wake)

    def _disable(self) -> None:
        """Refuse every further publish, in kernels too, and drop the maps."""
        forget_calls(self)
        self.state[0]["max_payload"] = -1
        self._max_payload = -1
        self._ring.close()

    @compiled_call(append_call, "($self, payload, kind=0, *, key=False)")
    def _append(self, payload: Payload, kind: int = 0, *, key: bool = False) -> int:
        kind = checked_kind(kind)
        length = self._stage_payload(payload)
        now_ns = time.monotonic_ns()
        flags = KEY if key else 0

        def attempt() -> int:
            return kernels.append(self.words, self.control, self.state, self._staging, 0, length, kind, flags, now_ns)

        sequence = attempt()
        return sequence if sequence > 0 else self._settle(sequence, length, attempt)

    def _stage_payload(self, payload: Payload) -> int:
        """Copy a payload to where the kernels take it from, unless it is too long for a frame; returns its length."""
        try:
            length = len(payload)
            if length <= self._max_payload:
                self._stage[:length] = payload  # type: ignore[assignment]  # an ndarray has the buffer protocol
        except (TypeError, ValueError, BufferError) as error:
            raise no_row_of_bytes(payload, error) from None
        return length

    def _commit(self) -> None:
        kernels.commit(self.words, self.state, time.monotonic_ns())
        if not self._no_wake:
            kernels.wake(self.words, self.control, self.state)

    def _check_usable(self) -> None:
        if self._lock.forked:
            raise NotOwner(f"ring {self.name}: its writer stayed in the parent of this forked process")
        if self._lock.fd < 0:
            raise RingClosed(f"ring {self.name}: this writer was closed")

    def _count(self, word: int) -> None:
        kernels.put_word(self.words, word, kernels.get_word(self.words, word) + 1)

    def _free_if_dead(self, slot: int) -> bool:
        """Free a consumer slot whose holder died, holding its lock meanwhile: nobody new announces it in between."""
        if not self._lock.try_lock(FIRST_SLOT_BYTE + slot):
            return False
        kernels.set_slot(self.control, slot, FREE)
        self._lock.unlock(FIRST_SLOT_BYTE + slot)
        return True

    def _settle(self, outcome: int, length: int, attempt: Callable[[], int]) -> int:
        """Turn a refusal into the error it means; or, if the ring is full, make room and try again."""
        deadline = time.monotonic() + self._full_timeout_s
        if outcome == FULL:
            self._count(BACK_PRESSURE)
        while outcome == FULL:
            # Only a consumer below the gate of the refused attempt blocks; one that has read on since does not, even if
            # it is the slowest by now.
            limit = int(self.state[0]["gate"]) - self.identity.capacity + 1
            slot = kernels.blocking_slot(self.control, limit)
            if slot < 0 or self._free_if_dead(slot):
                pass  # no consumer blocks any more
            elif time.monotonic() < deadline:
                time.sleep(RELIEF_SLICE_S)
            elif self._full is Full.EVICT:
                kernels.set_slot(self.control, slot, EVICTED)
                self._count(EVICTIONS)
            elif self._full is Full.DROP_NEW:
                self._count(DROPPED)
                return 0
            else:
                raise RingFull(f"ring {self.name}: consumer slot {slot} made no room in {self._full_timeout_s} s")
            outcome = attempt()
        if outcome > 0:
            return outcome
        self._check_usable()
        self._count(REJECTS)
        where = f"(ring {self.name}, sequence {self.next_sequence})"
        if outcome == TOO_LONG:
            raise FrameTooLong(f"payload of {length} bytes exceeds {self._max_payload} {where}")
        raise BatchTooLarge(f"the batch exceeds {int(self.state[0]['max_batch'])} bytes of frames {where}")


class WriteBatch:
    """Frames that become visible together.  A context manager, made by `Writer.batch`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._inside = False

    def append(self, payload: Payload, kind: int = 0, *, key: bool = False) -> int:
        """Add a frame and return the sequence it will have; raises what `publish` raises, and BatchTooLarge."""
        if not self._inside:
            raise UsageError(f"ring {self._writer.name}: a batch takes frames in its `with` block alone")
        return self._writer._append(payload, kind, key=key)

    def __enter__(self) -> Self:
        self._inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if kind is None:
            self._writer._commit()
        else:
            kernels.abandon(self._writer.state)


def check_options(group: object, options: WriterOptions) -> None:
    """Refuse options of a writer that cannot be.

    Raises:
        UsageError: naming the option.
    """
    unknown = sorted(set(options) - set(WriterOptions.__annotations__))
    if unknown:
        raise UsageError(f"{unknown[0]}: no option of a writer; expected {', '.join(WriterOptions.__annotations__)}")
    if group is not None:
        check_integer("group", group, 0, MAX_GID)
    if "full" in options and not isinstance(options["full"], Full):
        raise UsageError(f"full: expected one of {', '.join(map(str, Full))}, found {options['full']!r}")
    check_seconds("full_timeout_s", options.get("full_timeout_s", 0.0))


def no_row_of_bytes(payload: object, error: Exception) -> UsageError:
    """The error for a payload that cannot be copied as bytes."""
    return UsageError(f"payload: expected one row of bytes, found {type(payload).__name__} ({error})")


def checked_kind(kind: int) -> int:
    """`kind` as an int.

    Raises:
        UsageError: it is no u16.
    """
    return check_integer("kind", kind, 0, MAX_KIND)


def check_row(name: str, array: object, dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """`array`, unless it is no one-dimensional array of `dtype`: a kernel would read its memory as another type.

    Raises:
        UsageError.
    """
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{name}: expected a {dtype.__name__} array, found {type(array).__name__}")
    if array.dtype != dtype or array.ndim != 1:
        found = f"{array.dtype} of {array.ndim} dimensions"
        raise UsageError(f"{name}: expected {dtype.__name__} of one dimension, found {found}")
    return array


def new_state(identity: Identity) -> State:
    """The private state of a writer before it has taken over."""
    state = np.zeros(1, dtype=WRITER)
    me = state[0]
    me["capacity"] = identity.capacity
    me["salt"] = identity.salt
    me["reserve"] = identity.reserve
    me["max_payload"] = identity.max_payload
    me["max_batch"] = identity.capacity // MAX_BATCH_SHARE
    me["region_bytes"] = identity.region_bytes
    return state
