"""The compiled loops of the ring's benchmark, and what they are compared with.

Owns the inner loops only: `tools.bench.ring.topologies` decides in which process, on which core and for how long they
run.  A loop returns after about a millisecond, so that Ctrl-C is served.
"""

from __future__ import annotations

from ringbuf.atomics import monotonic_ns
from ringbuf.kernels import poll_into, publish, publish_and_wake, sleep_on
from ringbuf.layout import TIME_ROW
from ringbuf.status import OK
from tlv.buffers import Bytes, State, Words
from tlv.jit import kernel

TURNS = 1 << 14
"""Turns of a loop per call: about a millisecond."""


@kernel
def publish_loop(words: Words, control: Words, writer: State, payload: Bytes, turns: int) -> int:
    """Publish the payload `turns` times, waking nobody; returns the last sequence."""
    sequence = 0
    for _ in range(turns):
        sequence = publish(words, control, writer, payload, 0, len(payload), 0, 0, 0)
    return sequence


@kernel
def publish_and_wake_loop(words: Words, control: Words, writer: State, payload: Bytes, turns: int) -> int:
    """The same with a check for sleepers after each frame, which costs a full fence."""
    sequence = 0
    for _ in range(turns):
        sequence = publish_and_wake(words, control, writer, payload, 0, len(payload), 0, 0, 0)
    return sequence


@kernel
def publish_when_room_loop(words: Words, control: Words, writer: State, payload: Bytes, turns: int) -> int:
    """Try to publish `turns` times beside a reliable reader; returns how often there was room."""
    published = 0
    for _ in range(turns):
        published += publish(words, control, writer, payload, 0, len(payload), 0, 0, 0) > 0
    return published


@kernel
def read_loop(words: Words, control: Words, reader: State, out: Words, index: Words, turns: int) -> int:
    """Poll `turns` times; returns the frames that came."""
    frames = 0
    for _ in range(turns):
        if poll_into(words, control, reader, out, index, index.shape[1]) == OK:
            frames += reader[0]["count"]
    return frames


@kernel
def await_frame(words: Words, control: Words, reader: State, out: Words, index: Words, turns: int) -> bool:
    """Poll until a frame came, at most `turns` times."""
    came = False
    while turns > 0 and not came:
        came = poll_into(words, control, reader, out, index, 1) == OK
        turns -= 1
    return came


@kernel
def ping_loop(
    words: Words,
    control: Words,
    writer: State,
    payload: Bytes,
    back_words: Words,
    back_control: Words,
    reader: State,
    out: Words,
    index: Words,
    times_ns: Words,
) -> int:
    """Publish and wait for the answer, once per element of `times_ns`; returns how many answers came."""
    for i in range(len(times_ns)):
        begin = monotonic_ns()
        publish(words, control, writer, payload, 0, len(payload), 0, 0, 0)
        if not await_frame(back_words, back_control, reader, out, index, 1 << 22):
            return i
        times_ns[i] = monotonic_ns() - begin
    return len(times_ns)


@kernel
def pong_loop(
    words: Words,
    control: Words,
    reader: State,
    out: Words,
    index: Words,
    back_words: Words,
    back_control: Words,
    writer: State,
    payload: Bytes,
    turns: int,
) -> int:
    """Answer each frame with a frame, for at most `turns` looks; returns how many were answered."""
    answered = 0
    for _ in range(turns):
        if poll_into(words, control, reader, out, index, 1) == OK:
            publish(back_words, back_control, writer, payload, 0, len(payload), 0, 0, 0)
            answered += 1
    return answered


@kernel
def sleep_loop(words: Words, control: Words, reader: State, out: Words, index: Words, late_ns: Words) -> int:
    """Sleep until there is a frame, for 50 ms at most; `late_ns` gets the time since its publish; 1 if one came."""
    sleep_on(words, control, reader, 50_000_000)
    woke = monotonic_ns()
    if poll_into(words, control, reader, out, index, 1) != OK:
        return 0
    late_ns[0] = woke - index[TIME_ROW, 0]
    return 1


@kernel
def copy_loop(target: Words, payload: Words, at: int, turns: int) -> int:
    """The least that any publisher could do: copy the payload `turns` times along a memory of the ring's size."""
    size = len(payload)
    for _ in range(turns):
        for i in range(size):
            target[at + i] = payload[i]
        at += size
        if at > len(target) - size:
            at = 0
    return at


@kernel
def nothing(value: int) -> int:
    """What a call costs that does nothing."""
    return value
