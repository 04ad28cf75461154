"""Kernels beyond what the Python faces use, the compiled atomics, and the promises their comments make."""

from __future__ import annotations

import ast
import itertools
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import ringbuf
import ringbuf.instructions  # what numba makes of the atomics, also where this suite compiles nothing
from ringbuf import Reader, RingInfo, Status, Writer, atomics, kernels, warm
from ringbuf.atomics import (
    fence_acquire,
    fence_release,
    fence_seq_cst,
    fetch_max,
    futex_wait,
    futex_wake,
    load_acquire,
    load_four,
    load_monotonic,
    monotonic_ns,
    pause,
    store_four,
    store_monotonic,
    store_release,
    word_at,
    yield_core,
)
from ringbuf.layout import COMMIT_0, COMMIT_SEQUENCE, COMMIT_WORDS, DATA, INTENT, KEY, SEQUENCE_WORD, TAG_WORD
from ringbuf.status import FULL, TOO_LONG

SMALL = 1 << 16
PACKAGE = Path(ringbuf.__file__).parent


def touch_everything(words: np.ndarray, bytes_: np.ndarray) -> int:
    store_monotonic(words, 1, 5)
    fence_release()
    store_release(words, 2, load_acquire(words, 1) + 1)
    fence_acquire()
    fence_seq_cst()
    pause()
    yield_core()
    begin = monotonic_ns()
    slept = futex_wait(words, 1, 5, 2_000_000)  # nobody wakes us
    changed = futex_wait(words, 1, 4, 2_000_000_000)  # not what stands there: returns at once
    late = 0 if monotonic_ns() - begin >= 2_000_000 else 1
    woken = futex_wake(words, 1)
    before = fetch_max(words, 3, 9)
    lower = fetch_max(words, 3, 2)
    return slept + changed + woken + before + lower + late + load_monotonic(words, 2) + word_at(bytes_, 1)


def test_atomics_compiled_and_plain_do_the_same() -> None:
    bytes_ = np.arange(16, dtype=np.uint8)
    compiled = CPUDispatcher(touch_everything, targetoptions={"nopython": True})
    results = []
    for function in (touch_everything, compiled):
        words = np.zeros(8, dtype=np.int64)
        results.append((function(words, bytes_), words.tolist()))
    assert results[0] == results[1]
    assert results[0][0] == -1 - 1 + 0 + 0 + 9 + 0 + 6 + int.from_bytes(bytes(range(1, 9)), "little")
    assert results[0][1] == [0, 5, 6, 9, 0, 0, 0, 0]


def test_atomics_store_into_a_read_only_map_does_not_compile() -> None:
    words = np.zeros(8, dtype=np.int64)
    words.flags.writeable = False
    compiled = CPUDispatcher(touch_everything, targetoptions={"nopython": True})
    with pytest.raises(TypingError, match="the array is a reader's, and its mapping is read-only"):
        compiled(words, np.zeros(16, dtype=np.uint8))


def copy_both_ways(words: np.ndarray, bytes_: np.ndarray, out: np.ndarray) -> None:
    store_four(words, 1, bytes_, 3)
    load_four(words, 0, out, 2)


def test_copies_of_four_words_compiled_and_plain_do_the_same() -> None:
    bytes_ = np.arange(64, dtype=np.uint8)
    for function in (copy_both_ways, CPUDispatcher(copy_both_ways, targetoptions={"nopython": True})):
        words, out = np.zeros(6, dtype=np.int64), np.zeros(7, dtype=np.int64)
        function(words, bytes_, out)
        assert words.tobytes() == bytes(8) + bytes(range(3, 35)) + bytes(8)
        assert out.tobytes() == bytes(24) + bytes(range(3, 27)) + bytes(8)


@pytest.mark.parametrize(
    ("read_only", "types", "refusal"),
    [
        (0, (np.int64, np.uint8, np.int64), "store_four: what it writes to is read-only"),
        (2, (np.int64, np.uint8, np.int64), "load_four: what it writes to is read-only"),
        (1, (np.int64, np.int64, np.int64), "store_four: expected words, and uint8 on the private side"),
        (1, (np.int64, np.uint8, np.uint8), "load_four: expected words, and int64 on the private side"),
    ],
)
def test_copies_of_four_words_of_wrong_arrays_do_not_compile(
    read_only: int, types: tuple[type, type, type], refusal: str
) -> None:
    arrays = [np.zeros(64, dtype) for dtype in types]
    arrays[read_only].flags.writeable = False
    with pytest.raises(TypingError, match=refusal):
        CPUDispatcher(copy_both_ways, targetoptions={"nopython": True})(*arrays)


@pytest.mark.parametrize("length", range(75))
def test_payload_of_any_length_and_place_comes_whole_and_with_zeros_behind(ring_name: str, length: int) -> None:
    source = np.arange(1, 101, dtype=np.uint8)
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        kernels.publish(writer.words, writer.control, writer.state, source, length % 9, length, 0, 0, 0)
        assert kernels.poll_into(reader.words, reader.control, reader.state, reader.out, reader.index, 1) == Status.OK
        padded = source[length % 9 : length % 9 + length].tobytes() + bytes(-length % 8)
        assert reader.out.tobytes()[: len(padded)] == padded


def test_read_frame_tells_of_the_frame_that_it_took(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        writer.publish(b"12345678", kind=7, key=True)
        tail = int(writer.state[0]["tail"])
        assert kernels.read_frame(reader.words, reader.state, tail, reader.out, 0) == Status.OK
        assert kernels.read_frame(reader.words, reader.state, tail, reader.out, 0) == Status.EMPTY
        me = reader.state[0]
        told = [int(me["frame_" + name]) for name in ("sequence", "kind", "flags", "length")]
        assert told == [1, 7, KEY, 8] and me["frame_ns"] > 0
        assert (reader.position, int(me["sequence"]), int(me["frames"]), int(me["bytes"])) == (tail, 2, 1, 8)


def test_futex_sleeper_is_woken_by_another_thread() -> None:
    words = np.zeros(1, dtype=np.int64)
    results: list[int] = []
    sleeper = threading.Thread(target=lambda: results.append(futex_wait(words, 0, 0, 10_000_000_000)))
    sleeper.start()
    while not futex_wake(words, 0):
        pass
    sleeper.join()
    assert results == [0]


def test_publish_kernel_when_full_or_too_long_changes_nothing(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, reliable=True):
        buffer = np.zeros(8192, dtype=np.uint8)

        def publish(length: int) -> int:
            native = (writer.words, writer.control, writer.state)
            return kernels.publish(*native, buffer, 0, length, 0, 0, 1)

        while (outcome := publish(4000)) > 0:
            pass
        before = writer.state.copy()
        assert outcome == FULL and publish(8161) == TOO_LONG and (writer.state == before).all()


def test_poll_into_for_one_frame_delivers_one_frame_at_a_time(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        writer.publish(b"12345678")
        writer.publish(b"")
        native = (reader.words, reader.control, reader.state, reader.out, reader.index, 1)
        assert kernels.poll_into(*native) == Status.OK and reader.out[0] == int.from_bytes(b"12345678", "little")
        assert kernels.poll_into(*native) == Status.OK and kernels.poll_into(*native) == Status.EMPTY


def test_read_frame_into_a_wrong_place_is_never_a_frame(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        for _ in range(3000):
            writer.publish(bytes(range(96)))
        tail = int(writer.state[0]["tail"])
        lapped = (tail - SMALL) & -64
        for position, wanted in ((lapped - 128, Status.GAP), (tail - 64, Status.CORRUPT), (0, Status.GAP)):
            reader.state[0]["position"] = position
            assert kernels.read_frame(reader.words, reader.state, tail, reader.out, 0) == wanted
            assert reader.position == position
        reader.state[0]["position"] = tail + 64  # an end behind the reader: a damaged tail
        assert kernels.read_frame(reader.words, reader.state, tail, reader.out, 0) == Status.CORRUPT


def test_warm_calls_its_progress_once_per_step() -> None:
    seen: list[tuple[str, int, int]] = []
    warm(lambda step, done, total: seen.append((step, done, total)))
    assert seen[-1][1] == seen[-1][2] == len(seen) - 1 and seen[-1][0] == "ready"
    warm()


def test_warm_uses_every_kernel_on_a_machine_that_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock finds an hour gone, so that whatever waits for a time does not wait at all."""
    used, now = set(), itertools.count(time.monotonic_ns(), 3_600_000_000_000)
    for name in kernels.__all__:
        if callable(kernel := getattr(kernels, name)):
            monkeypatch.setattr(
                kernels, name, lambda *given, name=name, kernel=kernel: used.add(name) or kernel(*given)
            )
    monkeypatch.setattr("ringbuf.reader.time.monotonic_ns", now.__next__)
    warm()
    assert {"spin", "spin_yielding", "sleep_on"} <= used


def kernel_functions() -> list[tuple[str, ast.FunctionDef]]:
    """Every function of the kernels, with the source it stands in."""
    sources = [path.read_text() for path in sorted((PACKAGE / "kernels").glob("*.py"))]
    return [
        (source, node) for source in sources for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
    ]


def test_sync_comments_name_partners_that_name_them() -> None:
    ends: dict[str, dict[str, set[str]]] = {}
    for source, function in kernel_functions():
        for line in source.splitlines()[function.lineno : function.end_lineno]:
            if match := re.search(r"# SYNC (\w+): pairs with (\w+)(?: and (\w+))?", line):
                partners = {name for name in match.groups()[1:] if name}
                ends.setdefault(match[1], {}).setdefault(function.name, set()).update(partners)
    known = {"join", "gate", "intent", "record", "tail", "anchor", "key", "ticket", "epoch", "state", "magic"}
    assert set(ends) == known
    for name, by_function in ends.items():
        for function, partners in by_function.items():
            for partner in partners:
                assert function in by_function.get(partner, set()), f"SYNC {name}: {partner} does not name {function}"


def test_shared_words_are_touched_by_nothing_but_atomics() -> None:
    assert kernel_functions()
    for _, function in kernel_functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                assert node.value.id not in {"words", "control"}, f"{function.name}, line {node.lineno}"


def test_ring_imports_no_record_type() -> None:
    allowed = {
        "tlv.arguments",
        "tlv.buffers",
        "tlv.errors",
        "tlv.fields",
        "tlv.jit",
        "tlv.nearest",
        "tlv.objects",
        "tlv.units",
    }
    for path in PACKAGE.rglob("*.py"):
        imported = set(re.findall(r"^\s*(?:from|import) (tlv[\w.]*)", path.read_text(), re.M))
        assert imported <= allowed, f"{path.name} imports {imported - allowed}"


def test_word_at_reads_at_any_alignment() -> None:
    bytes_ = np.frombuffer(bytes(range(32)), dtype=np.uint8)
    assert [atomics.word_at(bytes_, i) & 255 for i in range(16)] == list(range(16))


def test_read_frame_overwritten_during_the_copy_is_a_gap_for_frames_pads_and_lack_of_room(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        while int(writer.state[0]["head"]) < SMALL - 64:
            writer.publish(bytes(8))
        pad_at = int(writer.state[0]["head"])
        writer.publish(bytes(100))
        tail = int(writer.state[0]["tail"])
        with Reader.attach(ring_name, start="oldest") as reader:
            kernels.put_word(writer.words, INTENT, pad_at + SMALL + 64)  # as if the writer were about to overwrite all
            for position, sequence, room in ((pad_at - 64, 1023, 100), (pad_at - 64, 1023, 0), (pad_at, 1024, 100)):
                reader.state[0]["position"], reader.state[0]["sequence"] = position, sequence
                outcome = kernels.read_frame(reader.words, reader.state, tail, reader.out[:room], 0)
                assert outcome == Status.GAP and reader.position == position


def test_seek_to_records_that_no_writer_wrote_does_not_move(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        for _ in range(4):
            writer.publish(b"12345678")
        kernels.put_word(writer.words, DATA + SEQUENCE_WORD, 99)
        assert kernels.seek_at(reader.words, reader.state, 0, 0) == 0
        assert kernels.seek_oldest(reader.words, reader.state, 0) == 0 and reader.position == 0
        for turn in range(2):
            kernels.put_word(writer.words, COMMIT_0 + turn * COMMIT_WORDS + COMMIT_SEQUENCE, 99)
        assert kernels.seek_latest(reader.words, reader.state) == 0 and reader.position == 0


def test_skip_ahead_twice_in_a_poll_is_one_gap(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, on_lap="latest") as reader:
        for _ in range(2):
            for _ in range(1500):
                writer.publish(b"12345678")
            assert kernels.skip_ahead(reader.words, reader.state) == Status.GAP
        assert kernels.skip_ahead(reader.words, reader.state) == Status.GAP  # nothing lost this time
        me = reader.state[0]
        assert (me["lost_first"], me["lost_last"], me["lost"], me["laps"]) == (1, 3000, 3000, 3)


def test_blocking_slot_is_the_slowest(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, reliable=True):
        writer.publish(b"12345678")
        with Reader.attach(ring_name, reliable=True):
            assert kernels.blocking_slot(writer.control, 1 << 40) == 0
            assert kernels.blocking_slot(writer.control, 0) == -1


def test_sleep_on_with_something_to_read_does_not_sleep(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        writer.publish(b"12345678")
        assert kernels.sleep_on(reader.words, reader.control, reader.state, 1 << 60) == 1
        writer.publish(b"12345678")
        assert RingInfo.read(ring_name).counters["wakes"] == 1  # the ticket was left all the same


def test_ring_closed_twice_is_closed(ring_name: str) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    reader = Reader.attach(ring_name)
    reader.close()
    reader.close()


@pytest.mark.parametrize("position", [-64, 1, 63, 1 << 30])
def test_seek_to_a_place_that_cannot_be_moves_nothing(ring_name: str, position: int) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, start="oldest") as reader:
        writer.publish(b"one")
        writer.words[DATA + ((position & (SMALL - 1)) >> 3) + TAG_WORD] = position ^ int(reader.state[0]["salt"])
        assert kernels.seek_at(reader.words, reader.state, position, 0) == 0
        assert reader.position == 0
