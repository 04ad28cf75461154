"""Compiles every kernel before it is needed, so that a program's first seconds do not wait for it.

Owns the list of calls that does so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import numpy as np

from ringbuf import kernels
from ringbuf.histogram import Histogram
from ringbuf.layout import MIN_CAPACITY, NO_LIMIT
from ringbuf.newest import newest_frames
from ringbuf.reader import Reader
from ringbuf.writer import Writer


def warm(progress: Callable[[str, int, int], None] | None = None) -> None:
    """Compile, or load from the cache, every kernel, by using each once on a ring of our own.

    `progress(step, done, total)` is called before each step and once at the end.
    """
    name = f"warm.{os.getpid()}.{secrets.token_hex(4)}"
    with Writer.create(name, capacity=MIN_CAPACITY) as writer:
        with Reader.attach(name, start="oldest") as reader:
            steps = warm_up_steps(writer, reader)
            for done, (step, run) in enumerate(steps):
                if progress is not None:
                    progress(step, done, len(steps))
                run()
            if progress is not None:
                progress("ready", len(steps), len(steps))
        writer.close(unlink=True)


def warm_up_steps(writer: Writer, reader: Reader) -> list[tuple[str, Callable[[], object]]]:
    """One named call per kernel that compiles separately."""
    buffer, ones = np.zeros(64, dtype=np.uint8), np.full(2, 8, dtype=np.int64)

    def batch() -> None:
        with writer.batch() as frames:
            frames.append(b"")
            Writer._append(writer, b"")

    def publish() -> None:
        writer.publish(b"", key=True)
        Writer.publish(writer, b"")  # what the builtin leaves to it

    def take() -> None:
        reader.take()
        reader.take_many()
        Reader.take_many(reader)

    return [
        ("publish", publish),
        ("publish without waking", lambda: kernels.publish(*native(writer), buffer, 0, 8, 0, 0, 0)),
        ("batch", batch),
        ("publish_many", lambda: writer.publish_many(buffer, ones, ones)),
        ("heartbeat", writer.heartbeat),
        ("poll", reader.poll),
        ("read a frame", lambda: kernels.read_frame(reader.words, reader.state, reader.position, reader.out, 0)),
        ("publish objects", lambda: writer.publish_many([b""])),
        ("seek", lambda: seek_everywhere(reader)),
        ("take", take),
        ("drain", reader.poll),
        ("look", lambda: reader.wait(0.0)),
        # Not `wait`: on a machine that pauses, its time is over before it waits, and the kernel stays uncompiled.
        ("spin", lambda: kernels.spin(reader.words, reader.state, 0)),
        ("yield", lambda: kernels.spin_yielding(reader.words, reader.state, 0)),
        ("sleep", lambda: kernels.sleep_on(reader.words, reader.control, reader.state, 0)),
        ("join", reader.join),
        ("evict", lambda: (reader.evicted, kernels.blocking_slot(writer.control, NO_LIMIT))),
        ("newest frames", lambda: list(newest_frames(reader.name))),
        ("skip ahead", lambda: kernels.skip_ahead(reader.words, reader.state)),
        ("count", count_something),
    ]


def count_something() -> None:
    """Counts and histograms, as every process keeps them."""
    histogram, moments = Histogram(), np.zeros(1, dtype=np.int64)
    histogram.add(1)
    histogram.add_ages(moments, 1)
    histogram.below([1])
    kernels.put_words(moments, 0, moments)


def native(writer: Writer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first three arguments of every publishing kernel."""
    return writer.words, writer.control, writer.state


def seek_everywhere(reader: Reader) -> None:
    """Every way to find a place to start."""
    for place in ("latest", "oldest", "key", 1):
        reader.seek(place)
