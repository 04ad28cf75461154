"""A strategy in native code: poll, handler, publish, all in one compiled loop, with no Python per frame.

Owns the loop `drive_native` and its small Python shell `NativeRunner`.  Knows no strategy: that is a kernel of yours,

    handler(state, payload, start, end, lost, message) -> end of what it wrote

    state     uint8[:], the strategy's memory; view it as a struct of your own
    payload   uint8[:], in which payload[start:end] is the message
    lost      frames lost since the last call: the handler's state may be out of date
    message   uint8[:], zeroed, into which it may write TLVs from HEADER_SIZE on (`put_tlv`); it returns where they
              end, or 0 to publish nothing.  The loop adds the header and the checksum and publishes.

An end at which no message ends is counted (`malformed`), told, and nothing is published.  A message that the ring does
not take at once is handed to `Writer.publish`, which waits, frees and evicts as for every writer.

Like every kernel the handler never raises and checks lengths before it views.  A frame that it cannot read it skips.
`consumers.price_moves` is an example.

The handler is called through a pointer (5 ns), so the loop is compiled once and cached for every strategy.  Compiled
into the loop instead, each handler would cost seconds at every start: numba caches no function that got another one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from consumers.follower import RingFollower
from consumers.runner import WAIT_S, StrategyCounts
from ringbuf import CorruptRing, FrameTooLong, Reader, RingFull, SharedCounters, Status, Writer
from ringbuf.atomics import monotonic_ns, pause
from ringbuf.kernels import count_duration, poll_into, publish_and_wake
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, TIME_ROW
from ringbuf.status import EMPTY, OK
from tlv.arguments import check_integer
from tlv.buffers import Bytes, Longs, Structs
from tlv.codes import MAX_MESSAGE, Domain, Source
from tlv.errors import UsageError
from tlv.jit import COMPILES, kernel
from tlv.kernels import check_message, put_header, seal
from tlv.layout import HEADER_SIZE
from tlv.status import OK as SOUND
from tlv.status import TOO_SHORT
from tlv.units import MS, NS

log = logging.getLogger("alphapulse.native")

Handler = Callable[[Bytes, Bytes, int, int, int, Bytes], int]

SLICE_NS = MS
"""No compiled loop runs longer: signals are served between slices."""

SIGNAL = Domain.SIGNAL.value

COUNTS = ("frames", "lost", "lost_unreported", "published", "late", "refused", "malformed", "next", "polled", "pending")
TALLY = np.dtype([(name, "<i8") for name in COUNTS])
"""What the loop counts: frames handled, frames lost and of these not yet reported to the handler, messages published,
of these on frames from before the runner, messages that the ring refused, and ends at which the handler's message does
not end.  And where it stopped: the next frame of those that were polled, and the end of a message that the ring did not
take at once (0: none)."""
REFUSED = -1
"""Returned with a message `pending`."""
TELL_EVERY_NS = NS


@kernel
def drive_native(
    handler: Handler,
    state: Bytes,
    words: Longs,
    control: Longs,
    reader: Any,
    out: Longs,
    index: Longs,
    writer_words: Longs,
    writer_control: Longs,
    writer: Any,
    message: Bytes,
    source: int,
    wall_offset_ns: int,
    tally: Any,
    histogram: Longs,
    at: int,
    began_ns: int,
    slice_ns: int,
) -> int:
    """Poll, call `handler` for each frame, publish what it writes; returns after `slice_ns` or with a status to act on.

    words..index: a Reader's; writer_*: a Writer's; wall_offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC; histogram, at: of
    the time from the publishing of a frame, since `began_ns`, to that of its message.
    """
    payload = out.view(np.uint8)
    count = tally[0]
    until = monotonic_ns() + slice_ns
    status = OK
    while status in (EMPTY, OK):
        if count["next"] == count["polled"]:
            status = poll_into(words, control, reader, out, index, index.shape[1])
            count["next"], count["polled"] = 0, reader[0]["count"]
            if reader[0]["lost_last"] != 0:
                lost = reader[0]["lost_last"] - reader[0]["lost_first"] + 1
                count["lost"] += lost
                count["lost_unreported"] += lost
        while count["next"] < count["polled"]:
            i = count["next"]
            start = index[OFFSET_ROW, i]
            end = handler(state, payload, start, start + index[LENGTH_ROW, i], count["lost_unreported"], message)
            count["lost_unreported"] = 0
            count["next"] += 1
            count["frames"] += 1
            if end == 0:
                continue
            now = monotonic_ns()
            if finish_message(message, end, source, writer[0]["sequence"], now + wall_offset_ns) != SOUND:
                count["malformed"] += 1
                message[:] = 0
                continue
            if publish_and_wake(writer_words, writer_control, writer, message, 0, end, 0, 0, now) <= 0:
                count["pending"] = end
                return REFUSED
            if index[TIME_ROW, i] < began_ns:
                count["late"] += 1
            else:
                count_duration(histogram, at, monotonic_ns() - index[TIME_ROW, i], 1)
            count["published"] += 1
            message[:end] = 0
        if monotonic_ns() >= until:
            break
        if status == EMPTY:
            pause()
    return status


@kernel
def finish_message(message: Bytes, end: int, source: int, sequence: int, timestamp_ns: int) -> int:
    """Add the header and the checksum; returns OK, or the tlv status of a message that does not end at `end`."""
    if end <= HEADER_SIZE or end > message.size:
        return TOO_SHORT
    put_header(message, 0, SIGNAL, source, 0, sequence, timestamp_ns)
    seal(message, 0, end)
    return check_message(message, 0, end, False)


def handler_type() -> Any:
    """numba's type of a pointer to a handler."""
    octets = numba.uint8[::1]
    signature = numba.int64(octets, octets, numba.int64, numba.int64, numba.int64, octets)
    return numba.types.FunctionType(signature)


def compile_loop(arguments: tuple[Any, ...]) -> None:
    """Compile `drive_native`, or load it from the cache, for a handler pointer and arguments of these types.

    Left alone, numba would compile the handler itself into the loop.
    """
    if not COMPILES:
        return
    signature = (handler_type(), *(numba.typeof(argument) for argument in arguments))
    loop: Any = drive_native
    if signature not in loop.overloads:
        loop.disable_compile(False)
        loop.compile(signature)
        loop.disable_compile()


def check_strategy(handler: object, state: object) -> None:
    """Refuse what the loop cannot call, or would read as other memory than it was given.

    Raises:
        UsageError: naming the argument.
    """
    if not callable(handler) or (COMPILES and not hasattr(handler, "py_func")):
        raise UsageError(f"handler: expected a kernel, found {handler!r}")
    if not isinstance(state, np.ndarray):
        raise UsageError(f"state: expected an array, found {type(state).__name__}")
    if state.ndim != 1 or not state.flags.c_contiguous or not state.flags.writeable or state.dtype.hasobject:
        raise UsageError(f"state: expected a contiguous row that can be written, found {state.dtype} {state.flags}")


class NativeRunner:
    """A native strategy between two rings.  What it counts is in `shared` too, if given: counters of `StrategyCounts`.

    Raises:
        UsageError: `handler` is no kernel, `state` no row of structs that can be written, `source` no u8.
    """

    def __init__(
        self,
        handler: Handler,
        state: Structs,
        reader: Reader,
        writer: Writer,
        source: int = Source.ARBITRAGE_STRATEGY,
        *,
        shared: SharedCounters | None = None,
    ) -> None:
        check_strategy(handler, state)
        self.tally: Structs = np.zeros(1, dtype=TALLY)
        self._told = (0, 0)
        self._tell_at = 0
        self._message: Bytes = np.zeros(MAX_MESSAGE, dtype=np.uint8)
        self._counts = StrategyCounts()
        self._began_ns = time.monotonic_ns()
        self._shared = shared
        if shared is not None:
            shared.bind(self._counts)
        self._handler = handler
        self._follower = RingFollower(reader)
        self._writer = writer
        self._strategy_state = state.view(np.uint8)
        self._source = check_integer("source", source, 0, 255)
        self._bind(reader)
        compile_loop(self._arguments(SLICE_NS))

    def _bind(self, reader: Reader) -> None:
        """Have the loop read from `reader`."""
        writer = self._writer
        self._reader = reader
        self._native = (
            self._strategy_state,
            reader.words,
            reader.control,
            reader.state,
            reader.out,
            reader.index,
            writer.words,
            writer.control,
            writer.state,
            self._message,
            self._source,
        )

    def _rest(self, status: Status) -> None:
        """Wait after a slice that ended with `status`, or go on with the ring that follows."""
        if status not in {Status.EMPTY, Status.CLOSED}:
            return
        self._follower.look()
        if self._follower.next_ring() is None:
            self._follower.rest(status, WAIT_S)
        else:
            self._bind(self._follower.reader)

    def close(self) -> None:
        """Leave the rings that followed the first."""
        self._follower.close()

    @property
    def counts(self) -> StrategyCounts:
        """What it counted, up to date."""
        counts, tally = self._counts, self.tally[0]
        counts.frames, counts.lost, counts.poisoned = int(tally["frames"]), int(tally["lost"]), int(tally["malformed"])
        counts.signals, counts.late_signals = int(tally["published"]), int(tally["late"])
        counts.refused_signals = int(tally["refused"])
        return counts

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False, spin: bool = False) -> None:
        """Until asked to stop; with `until_closed` also when the ring is closed and read to its end.

        `spin`: never sleep while the ring is quiet; it takes a core.

        Raises:
            CorruptRing, and what `step` raises; RingOrphaned: the signals' ring has lost its name.
        """
        try:
            while not asked_to_stop():
                self._writer.heartbeat()
                if self._shared is not None and self._shared.due:
                    self._shared.put(self.counts)
                status = self.step()
                if status is Status.CORRUPT:
                    raise CorruptRing(f"ring {self._reader.name}: no frame at position {self._reader.position}")
                if status is Status.CLOSED and until_closed:
                    return
                if not (spin and status is Status.EMPTY):
                    self._rest(status)
        finally:
            self._tell_at = 0
            self._tell()

    def step(self, slice_ns: int = SLICE_NS) -> Status:
        """One slice of the compiled loop: at least one poll, or the rest of the last one.

        Raises:
            RingFull: a reliable consumer of the signals holds their ring, and its writer's policy is RAISE; the message
            is counted as refused.  RingClosed, NotOwner: nothing can be published any more.
        """
        status = drive_native(self._handler, *self._arguments(slice_ns))
        if status == REFUSED:
            self._publish_pending()
            status = OK
        self._tell()
        return Status(status)

    def _publish_pending(self) -> None:
        """Publish the message that the ring did not take at once as every writer does: wait for a bounded time."""
        count = self.tally[0]
        end = int(count["pending"])
        count["pending"] = 0
        try:
            taken = self._writer.publish(self._message[:end].data) > 0
        except FrameTooLong:
            taken = False
        except RingFull:
            count["refused"] += 1
            raise
        finally:
            self._message[:end] = 0
        if taken:
            published_ns = int(self._reader.index[TIME_ROW, count["next"] - 1])
            if published_ns < self._began_ns:
                count["late"] += 1
            else:
                self._counts.ring_to_signal.add(time.monotonic_ns() - published_ns)
        count["published" if taken else "refused"] += 1

    def _tell(self) -> None:
        """Log what was refused or malformed since the last time, at most once a second."""
        count = self.tally[0]
        found = int(count["refused"]), int(count["malformed"])
        if found == self._told or time.monotonic_ns() < self._tell_at:
            return
        self._tell_at = time.monotonic_ns() + TELL_EVERY_NS
        self._told = found
        text = "ring %(ring)s refused %(refused)d signals; %(malformed)d times no message ended where the handler said"
        log.warning(text, {"ring": self._writer.name, "refused": found[0], "malformed": found[1]})

    def _arguments(self, slice_ns: int) -> tuple[Any, ...]:
        wall_offset_ns = time.time_ns() - time.monotonic_ns()
        histogram = self._counts.ring_to_signal
        return (
            *(*self._native, wall_offset_ns, self.tally, histogram.words, histogram.at),
            *(self._began_ns, slice_ns),
        )
