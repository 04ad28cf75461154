"""One thread alone: calls, memcpy, and what stands above them, `Writer.publish`, codec, CRC, Store, a plain strategy.

Owns these rows.  What is measured with another bench's functions is that bench's reading, under the table's name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import numpy as np

from consumers.extras import missing
from ringbuf import Writer
from tools.bench.limits.loops import memcpy_loop, nothing
from tools.bench.limits.rounds import ROUNDS, is_quick, middle, take_turns
from tools.bench.limits.rows import (
    BUILD,
    BUILD_SWAP,
    CRC,
    EVENTS,
    FRAME,
    PARSE,
    PARSE_SWAP,
    PUBLISH,
    PUBLISH_CALLS,
    TargetRow,
)
from tools.bench.plain_strategy import run_plain
from tools.bench.result import BenchResult
from tools.bench.ring.loops import publish_loop
from tools.bench.ring.setting import CAPACITY, PAYLOAD, ring
from tools.bench.timing import fastest
from tools.bench.tlv import run_crc, run_python_face
from tools.command.needs import is_installed

CALLS = 2_000
"""Of one pass; the fastest pass counts."""
SIZES = (64, 256, 1024, 4096, 16_384, 65_536)
COPIED = 1 << 20
"""Bytes of one pass of a memcpy, and of publishing."""
EVENT_BATCHES = 5
"""Enough messages of the store's bench for the events that are read."""
MILLION, NS, GIGA = 1e6, 1e9, 1e9


def run(seconds: float) -> Iterator[BenchResult]:
    """Every row, the machine's first."""
    yield from calls(seconds)
    yield from copies(seconds)
    yield from in_rounds((BUILD, PARSE, BUILD_SWAP, PARSE_SWAP), run_python_face, seconds)
    yield from in_rounds((CRC,), run_crc, seconds)
    yield from in_rounds((FRAME,), lambda length: [run_plain(length)], seconds)
    yield events(seconds)


def in_rounds(
    rows: tuple[TargetRow, ...], bench: Callable[[float], list[BenchResult]], seconds: float
) -> Iterator[BenchResult]:
    """Another bench's readings as rows of the table; `bench` measures baselines itself, `seconds` in all."""
    count = 1 if is_quick(seconds) else ROUNDS
    runs = [bench(seconds / count) for _ in range(count)]
    for row, found in zip(rows, zip(*runs, strict=True), strict=True):
        readings = tuple(one.value for one in found)
        baseline = middle([one.baseline_value for one in found])
        yield row.reading(middle(readings), found[0].baseline_name, baseline, found[-1].note, readings)


def seconds_each(work: Callable[[], object], count: int, seconds: float) -> float:
    """Seconds of one of the `count` things that `work` does, in its fastest pass."""
    return fastest(work, seconds) / count


# ---- calls


def calls(seconds: float) -> Iterator[BenchResult]:
    """An empty compiled call, a builtin one, and `Writer.publish` beside the first."""
    payload = PAYLOAD.tobytes()
    with ring() as writer, ring(no_wake=False) as waking:
        found = take_turns(
            {
                "nothing": partial(seconds_each, partial(call_often, nothing), CALLS),
                "builtin": partial(seconds_each, partial(call_often, abs), CALLS),
                "publish": partial(seconds_each, partial(publish_often, waking, payload), CALLS),
                "silent": partial(seconds_each, partial(publish_often, writer, payload), CALLS),
            },
            seconds,
        )
    took = {name: middle(readings) for name, readings in found.items()}
    for name, who in (("an empty compiled call", "nothing"), ("a builtin call, abs(1)", "builtin")):
        value, ours = NS * took[who], NS * took["publish"]
        note = "one int in, one out"
        yield BenchResult(f"limit, {name}", value, "ns", "Writer.publish", ours, ours / value, None, note)
    rate, empty = 1 / took["publish"] / MILLION, 1 / took["nothing"] / MILLION
    note = f"128-byte payload, sleepers looked for; {1 / took['silent'] / MILLION:.2f} M/s with no_wake"
    rounds = tuple(1 / one / MILLION for one in found["publish"])
    yield PUBLISH.reading(rate, "an empty compiled call", empty, note, rounds)
    calls_each = tuple(one / call for one, call in zip(found["publish"], found["nothing"], strict=True))
    yield PUBLISH_CALLS.reading(middle(calls_each), "an empty compiled call", 1.0, rounds=calls_each)


def call_often(function: Callable[[int], object]) -> None:
    """The loop that all calls stand in."""
    for _ in repeat(None, CALLS):
        function(1)


def publish_often(writer: Writer, payload: bytes) -> None:
    """The same with a frame."""
    for _ in repeat(None, CALLS):
        writer.publish(payload)


# ---- memcpy


def copies(seconds: float) -> Iterator[BenchResult]:
    """A memcpy along memory of the ring's size, beside native publish of the same bytes."""
    for size in SIZES:
        payload, target = np.ones(size, np.uint8), np.zeros(CAPACITY, np.uint8)
        turns = COPIED // size
        with ring() as writer:
            publish = partial(publish_loop, writer.words, writer.control, writer.state, payload, turns)
            found = take_turns(
                {
                    "copy": partial(seconds_each, Along(target, payload, turns), COPIED),
                    "publish": partial(seconds_each, publish, COPIED),
                },
                seconds / 2,
            )
        copied, published = (1 / middle(found[name]) / GIGA for name in ("copy", "publish"))
        yield BenchResult(
            f"limit, memcpy of {size} bytes", copied, "GB/s", "native publish", published, copied / published
        )


class Along:
    """Copies that go on where the last ones ended, so that no line stays in the first cache."""

    def __init__(self, target: np.ndarray, payload: np.ndarray, turns: int) -> None:
        self._target, self._payload, self._turns = target, payload, turns
        self._at = 0

    def __call__(self) -> None:
        """One pass."""
        self._at = memcpy_loop(self._target, self._at, self._payload, self._turns)


# ---- the store


def events(seconds: float) -> BenchResult:
    """Typed events of a journal, one by one, beside `struct` and pyarrow in plain Python."""
    if not is_installed("pyarrow"):
        return EVENTS.missing(missing("pyarrow"))
    from consumers.store import Store
    from tools.bench import store

    with tempfile.TemporaryDirectory(prefix="bench-limits") as folder:
        home = Path(folder)
        store.write_journal(home, pack=False, batches=EVENT_BATCHES)
        opened = Store.open(home)
        found = take_turns(
            {
                "events": partial(store.rate, lambda: sum(1 for _ in islice(opened, store.EVENTS)), store.EVENTS),
                "plain": partial(store.rate, lambda: store.arrow_in_python(home), store.EVENTS),
            },
            seconds,
        )
    return EVENTS.reading(
        middle(found["events"]), "struct and pyarrow in Python", middle(found["plain"]), rounds=found["events"]
    )
