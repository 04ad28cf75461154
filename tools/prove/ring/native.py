"""Self-checking frames, published and checked in compiled loops.

Owns the self-checking payload: every word of frame n is computed from n, so a torn, stale or foreign word is detected.
It must never know how many processes run these loops, or what kills them.
"""

from __future__ import annotations

import numpy as np

from ringbuf import Reader, Wait, Writer
from ringbuf.atomics import load_acquire, monotonic_ns, store_release
from ringbuf.kernels import append, commit, poll_into, publish, publish_and_wake, sleep_on, wake
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from ringbuf.status import CLOSED, CORRUPT, EMPTY, EPOCH_CHANGED
from tlv.buffers import Bytes, State, Structs, Words
from tlv.jit import kernel
from tools.rig.processes import fresh_name

MIX = 0x1E3779B97F4A7C15
LENGTHS = 193  # payloads of 8 to 200 bytes, not only whole words

TALLY = np.dtype(
    [
        ("delivered", "<i8"),
        ("lost", "<i8"),
        ("torn", "<i8"),
        ("out_of_order", "<i8"),
        ("corrupt", "<i8"),
        ("gaps", "<i8"),
        ("epochs", "<i8"),
        ("expected", "<i8"),
        ("started_at", "<i8"),
        ("closed", "<i8"),
    ]
)


@kernel
def word_of_frame(sequence: int, i: int) -> int:
    """Word `i` of the payload of frame `sequence`."""
    return (sequence * MIX) ^ (i + 1) * (sequence | 1)


@kernel
def fill(scratch: Words, sequence: int) -> int:
    """Write the payload of frame `sequence`; returns its length."""
    length = 8 + sequence * 7 % LENGTHS
    for i in range((length + 7) >> 3):
        scratch[i] = word_of_frame(sequence, i)
    return length


@kernel
def publish_checked(words: Words, control: Words, writer: State, buffer: Bytes, scratch: Words, count: int) -> int:
    """Publish `count` self-checking frames one by one, waking nobody; `scratch` is `buffer` as words."""
    for _ in range(count):
        length = fill(scratch, writer[0]["sequence"])
        sequence = publish(words, control, writer, buffer, 0, length, 0, 0, 1)
        if sequence < 0:
            return sequence
    return count


@kernel
def publish_batches(words: Words, control: Words, writer: State, buffer: Bytes, scratch: Words, count: int) -> int:
    """`publish_checked` in commits of eight frames."""
    for i in range(count):
        length = fill(scratch, writer[0]["sequence"])
        sequence = append(words, control, writer, buffer, 0, length, 0, 0, 1)
        if sequence < 0:
            return sequence
        if i % 8 == 7:
            commit(words, writer, 1)
            wake(words, control, writer)
    commit(words, writer, 1)
    return count


@kernel
def check_frame(out: Words, offset: int, length: int, sequence: int) -> int:
    """1 if a delivered payload is the one of frame `sequence`."""
    if length != 8 + sequence * 7 % LENGTHS:
        return 0
    at = offset >> 3
    for i in range(length >> 3):
        if out[at + i] != word_of_frame(sequence, i):
            return 0
    rest = length & 7
    if rest:
        keep = (1 << (8 * rest)) - 1
        i = length >> 3
        return 1 if out[at + i] & keep == word_of_frame(sequence, i) & keep else 0
    return 1


@kernel
def read_checked(
    words: Words, control: Words, reader: State, out: Words, index: Words, tally: State, polls: int
) -> int:
    """Poll `polls` times, or until there is nothing to read, and check everything; returns the last status."""
    seen = tally[0]
    status = EMPTY
    for _ in range(polls):
        status = poll_into(words, control, reader, out, index, index.shape[1])
        me = reader[0]
        if me["lost_last"]:
            if me["lost_first"] != seen["expected"]:
                seen["out_of_order"] += 1
            seen["lost"] += me["lost_last"] - me["lost_first"] + 1
            seen["gaps"] += 1
            seen["expected"] = me["lost_last"] + 1
        for i in range(me["count"]):
            sequence = index[SEQUENCE_ROW, i]
            if sequence != seen["expected"]:
                seen["out_of_order"] += 1
            if not check_frame(out, index[OFFSET_ROW, i], index[LENGTH_ROW, i], sequence):
                seen["torn"] += 1
            seen["expected"] = sequence + 1
        seen["delivered"] += me["count"]
        if status == EPOCH_CHANGED:
            seen["epochs"] += 1
        if status == CORRUPT:
            seen["corrupt"] += 1
            return status
        if status == CLOSED:
            seen["closed"] = 1
            return status
        if status == EMPTY:
            return status
    return status


@kernel
def sleep_and_count(
    words: Words, control: Words, reader: State, out: Words, index: Words, flags: Words, me: int, until: int
) -> int:
    """Announce each sleep in `flags[me]`, sleep up to 10 s, read the frame; returns how many sleeps timed out."""
    late = 0
    while reader[0]["sequence"] <= until:
        store_release(flags, me, reader[0]["sequence"])
        begin = monotonic_ns()
        sleep_on(words, control, reader, 10_000_000_000)
        if monotonic_ns() - begin > 9_000_000_000:
            late += 1
        poll_into(words, control, reader, out, index, 16)
    store_release(flags, me, until + 1)
    return late


@kernel
def publish_to_sleepers(
    words: Words, control: Words, writer: State, buffer: Bytes, flags: Words, readers: int, count: int
) -> int:
    """Publish the next frame each time all readers are about to sleep, `count` times or for a millisecond or so."""
    until = monotonic_ns() + 1_000_000
    done = 0
    while done < count:
        for i in range(readers):
            while load_acquire(flags, i) != writer[0]["sequence"]:
                if monotonic_ns() > until:
                    return done
        publish_and_wake(words, control, writer, buffer, 0, 8, 0, 0, 1)
        done += 1
    return done


class SelfCheckingFrames:
    """A writer's buffer, as bytes and as words."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.scratch = np.zeros(64, dtype=np.int64)
        self.buffer = self.scratch.view(np.uint8)

    def publish(self, count: int) -> int:
        """Publish `count` self-checking frames."""
        return publish_checked(
            self.writer.words, self.writer.control, self.writer.state, self.buffer, self.scratch, count
        )

    def publish_batches(self, count: int) -> int:
        """The same in batches of eight."""
        return publish_batches(
            self.writer.words, self.writer.control, self.writer.state, self.buffer, self.scratch, count
        )


class Checker:
    """A reader that checks every frame; `tally` may be in shared memory, for another process to evaluate."""

    def __init__(self, reader: Reader, tally: Structs | None = None) -> None:
        self.reader = reader
        self.tally = np.zeros(1, dtype=TALLY) if tally is None else tally
        self.tally[0]["expected"] = self.tally[0]["started_at"] = reader.sequence

    def read(self, polls: int = 64) -> int:
        """Poll and check; returns the last status."""
        reader = self.reader
        return read_checked(reader.words, reader.control, reader.state, reader.out, reader.index, self.tally, polls)


def warm_native() -> None:
    """Compile every loop of this file, so that forked children start at once."""
    with fresh_name("warm") as name, Writer.create(name, capacity=1 << 16) as writer:
        source = SelfCheckingFrames(writer)
        with Reader.attach(name) as reader:
            source.publish(1)
            source.publish_batches(1)
            Checker(reader).read()
            flags = np.zeros(1, dtype=np.int64)
            sleep_and_count(reader.words, reader.control, reader.state, reader.out, reader.index, flags, 0, 0)
            publish_to_sleepers(writer.words, writer.control, writer.state, source.buffer, flags, 1, 0)
            reader.wait(0.0)
            for mode in Wait:
                reader.wait(0.001, mode)
        with Reader.attach(name, start="oldest"), Reader.attach(name, start=1):
            pass
    with fresh_name("warm") as name:
        Writer.create(name, capacity=1 << 16).close()
        Writer.open(name).close()
