"""A strategy in native code: poll, handler, publish, all in one compiled loop, with no Python per frame.

Owns the loop `drive_native` and its small Python shell `NativeRunner`.  Knows no strategy: that is a kernel of yours,

    handler(state, payload, start, end, lost, message) -> end of what it wrote

    state     uint8[:], the strategy's memory; view it as a struct of your own
    payload   uint8[:], in which payload[start:end] is the message
    lost      frames lost since the last call: the handler's state may be out of date
    message   uint8[:], into which it may write TLVs from HEADER_SIZE on (`put_tlv`); it returns where they end,
              or 0 to publish nothing.  The loop adds the header and the checksum and publishes.

Like every kernel the handler never raises and checks lengths before it views.  A frame that it cannot read it skips.
`consumers.price_moves` is an example.

The handler is called through a pointer (5 ns), so the loop is compiled once and cached for every strategy.  Compiled
into the loop instead, each handler would cost seconds at every start: numba caches no function that got another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from consumers.runner import rest
from ringbuf import CorruptRing, Reader, Status, Writer
from ringbuf.atomics import monotonic_ns, pause
from ringbuf.kernels import poll_into, publish_and_wake
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, TIME_ROW
from ringbuf.status import EMPTY, OK
from tlv.buffers import Bytes, Longs, Structs
from tlv.codes import MAX_MESSAGE, Domain, Source
from tlv.jit import kernel
from tlv.kernels import put_header, seal
from tlv.units import MS

Handler = Callable[[Bytes, Bytes, int, int, int, Bytes], int]

SLICE_NS = MS
"""No compiled loop runs longer: signals are served between slices."""
KEPT_LATENCIES = 1 << 16

SIGNAL = Domain.SIGNAL.value

TALLY = np.dtype(
    [("frames", "<i8"), ("lost", "<i8"), ("lost_unreported", "<i8"), ("published", "<i8"), ("refused", "<i8")]
)
"""What the loop counts: frames handled, frames lost and of these not yet reported to the handler, messages published,
and messages that the ring refused."""


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
    latencies: Longs,
    slice_ns: int,
) -> int:
    """Poll, call `handler` for each frame, publish what it writes; returns after `slice_ns` or with a status to act on.

    words..index: a Reader's; writer_*: a Writer's; wall_offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC.
    """
    payload = out.view(np.uint8)
    count = tally[0]
    until = monotonic_ns() + slice_ns
    status = EMPTY
    while status in (EMPTY, OK):
        status = poll_into(words, control, reader, out, index, index.shape[1])
        if reader[0]["lost_last"] != 0:
            lost = reader[0]["lost_last"] - reader[0]["lost_first"] + 1
            count["lost"] += lost
            count["lost_unreported"] += lost
        frames = reader[0]["count"]
        for i in range(frames):
            start = index[OFFSET_ROW, i]
            end = handler(state, payload, start, start + index[LENGTH_ROW, i], count["lost_unreported"], message)
            count["lost_unreported"] = 0
            if end > 0:
                now = monotonic_ns()
                put_header(message, 0, SIGNAL, source, 0, writer[0]["sequence"], now + wall_offset_ns)
                seal(message, 0, end)
                if publish_and_wake(writer_words, writer_control, writer, message, 0, end, 0, 0, now) > 0:
                    latencies[count["published"] % len(latencies)] = monotonic_ns() - index[TIME_ROW, i]
                    count["published"] += 1
                else:
                    count["refused"] += 1
        count["frames"] += frames
        if monotonic_ns() >= until:
            break
        if status == EMPTY:
            pause()
    return status


def handler_type() -> Any:
    """numba's type of a pointer to a handler."""
    octets = numba.uint8[::1]
    signature = numba.int64(octets, octets, numba.int64, numba.int64, numba.int64, octets)
    return numba.types.FunctionType(signature)


def compile_loop(arguments: tuple[Any, ...]) -> None:
    """Compile `drive_native`, or load it from the cache, for a handler pointer and arguments of these types.

    Left alone, numba would compile the handler itself into the loop.
    """
    if numba.config.DISABLE_JIT:
        return
    signature = (handler_type(), *(numba.typeof(argument) for argument in arguments))
    loop: Any = drive_native
    if signature not in loop.overloads:
        loop.disable_compile(False)
        loop.compile(signature)
        loop.disable_compile()


class NativeRunner:
    """A native strategy between two rings."""

    def __init__(
        self,
        handler: Handler,
        state: Structs,
        reader: Reader,
        writer: Writer,
        source: int = Source.ARBITRAGE_STRATEGY,
    ) -> None:
        self.tally: Structs = np.zeros(1, dtype=TALLY)
        self._latencies: Longs = np.zeros(KEPT_LATENCIES, dtype=np.int64)
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._native = (
            state.view(np.uint8),
            reader.words,
            reader.control,
            reader.state,
            reader.out,
            reader.index,
            writer.words,
            writer.control,
            writer.state,
            np.zeros(MAX_MESSAGE, dtype=np.uint8),
            int(source),
        )
        compile_loop(self._arguments(SLICE_NS))

    @property
    def latencies(self) -> Longs:
        """From the publishing of a frame to the publishing of the handler's message on it, ns; the newest ones."""
        return self._latencies[: min(int(self.tally[0]["published"]), KEPT_LATENCIES)]

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False, spin: bool = False) -> None:
        """Until asked to stop; with `until_closed` also when the ring is closed and read to its end.

        `spin`: never sleep while the ring is quiet; it takes a core.

        Raises:
            RingOrphaned, CorruptRing.
        """
        while not asked_to_stop():
            self._writer.heartbeat()
            status = self.step()
            if status is Status.CORRUPT:
                raise CorruptRing(f"ring {self._reader.name}: no frame at position {self._reader.position}")
            if status is Status.CLOSED and until_closed:
                return
            if not (spin and status is Status.EMPTY):
                rest(self._reader, status)

    def step(self, slice_ns: int = SLICE_NS) -> Status:
        """One slice of the compiled loop: at least one poll."""
        return Status(drive_native(self._handler, *self._arguments(slice_ns)))

    def _arguments(self, slice_ns: int) -> tuple[Any, ...]:
        wall_offset_ns = time.time_ns() - time.monotonic_ns()
        return (*self._native, wall_offset_ns, self.tally, self._latencies, slice_ns)
