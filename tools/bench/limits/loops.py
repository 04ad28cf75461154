"""The compiled loops of the limits.

Owns the inner loops only, as `tools.bench.ring.loops` does; rows stand in the other files.
"""

from __future__ import annotations

from ringbuf.atomics import load_acquire, monotonic_ns, pause, store_release
from ringbuf.kernels import append, commit, poll_into
from ringbuf.status import OK
from tlv.buffers import Bytes, State, Words
from tlv.copying import copy_bytes
from tlv.jit import kernel

TRIPS = 16
"""Round trips between two looks at the clock, which takes as long as one of them."""


@kernel
def nothing(value: int) -> int:
    """The least that a compiled function does."""
    return value


@kernel
def serve_loop(word: Words, times_ns: Words, patience: int) -> int:
    """Pass the word on and wait until it is back, TRIPS times for each element of `times_ns`; returns how many are set.

    The word is even when it is here.  An element is the time of its trips; `patience` bounds the looks for one.
    """
    for i in range(len(times_ns)):
        begin = monotonic_ns()
        for _ in range(TRIPS):
            sent = load_acquire(word, 0) + 1
            store_release(word, 0, sent)
            looks = 0
            while load_acquire(word, 0) == sent:
                looks += 1
                if looks > patience:
                    return i
        times_ns[i] = monotonic_ns() - begin
    return len(times_ns)


@kernel
def return_loop(word: Words, turns: int) -> int:
    """The other side: send the word back whenever it is here, for `turns` looks; returns how often it was."""
    returned = 0
    for _ in range(turns):
        here = load_acquire(word, 0)
        if here & 1:
            store_release(word, 0, here + 1)
            returned += 1
    return returned


@kernel
def memcpy_loop(target: Bytes, at: int, payload: Bytes, turns: int) -> int:
    """Copy the payload `turns` times along `target`; returns where the next copy would go."""
    size = len(payload)
    for _ in range(turns):
        if at > len(target) - size:
            at = 0
        copy_bytes(target, at, payload, 0, size)
        at += size
    return at


@kernel
def read_and_work_loop(
    words: Words, control: Words, reader: State, out: Words, index: Words, turns: int, pauses: int
) -> int:
    """Poll `turns` times, and work for `pauses` hints of a spin loop after each frame; returns the frames that came."""
    frames = 0
    for _ in range(turns):
        if poll_into(words, control, reader, out, index, index.shape[1]) == OK:
            frames += reader[0]["count"]
            for _ in range(pauses * reader[0]["count"]):
                pause()
    return frames


@kernel
def publish_in_turns_loop(
    words: Words, control: Words, writer: State, payload: Bytes, turn: Words, frames: int, times_ns: Words, looks: int
) -> int:
    """Publish `frames` whenever `turn` is even, and make it odd, for so many looks; returns how often it was timed."""
    done = 0
    while looks > 0 and done < len(times_ns):
        looks -= 1
        now = load_acquire(turn, 0)
        if now & 1:
            pause()
            continue
        begin = monotonic_ns()
        for _ in range(frames):
            append(words, control, writer, payload, 0, len(payload), 0, 0, 0)
            commit(words, writer, 0)
        times_ns[done] = monotonic_ns() - begin
        done += 1
        store_release(turn, 0, now + 1)
    return done


@kernel
def read_in_turns_loop(
    words: Words,
    control: Words,
    reader: State,
    out: Words,
    index: Words,
    turn: Words,
    frames: int,
    times_ns: Words,
    looks: int,
) -> int:
    """The other side: read the frames whenever `turn` is odd, and make it even."""
    done = 0
    while looks > 0 and done < len(times_ns):
        looks -= 1
        now = load_acquire(turn, 0)
        if now & 1 == 0:
            pause()
            continue
        begin = monotonic_ns()
        came = 0
        while came < frames and poll_into(words, control, reader, out, index, index.shape[1]) == OK:
            came += reader[0]["count"]
        times_ns[done] = monotonic_ns() - begin
        done += 1
        store_release(turn, 0, now + 1)
    return done
