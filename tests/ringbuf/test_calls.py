"""Calls that are builtins: they do what their methods do, as machine code and as plain Python, and keep no object."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

import tlv.object_instructions  # noqa: F401 - what numba makes of them, also where this suite compiles nothing
from ringbuf import (
    BatchTooLarge,
    CorruptRing,
    FrameTooLong,
    Full,
    Loss,
    NotOwner,
    Reader,
    RingClosed,
    RingFull,
    Status,
    Wait,
    Writer,
    calls,
)
from ringbuf.calls import CompiledMethod, forget_calls
from ringbuf.kernels import taking
from ringbuf.layout import ANCHOR_0, ANCHORS, COMMIT_0, COMMIT_WORDS, DATA, TAG_WORD
from tests.tlv.plain_calls import call_plainly
from tlv.errors import UsageError
from tlv.objects import BUILTINS, ITEMS_AT, signed_object

SMALL = 1 << 16
WAYS = ["builtin" if BUILTINS else "plain", "method"]
"""The kernel as a builtin or, where nothing is compiled, as plain Python; and the method behind it."""
KERNELS = {
    "publish": calls.publish_call,
    "_append": calls.append_call,
    "publish_many": calls.publish_many_call,
    "take": calls.take_call,
    "take_many": calls.take_many_call,
}


def plain(instance: Any, name: str) -> Callable[..., Any]:
    """The call as plain Python: what a builtin is given, by addresses."""
    kernel, checked = KERNELS[name], method(instance, name)
    bound = instance.bind_call(checked)

    def call(*arguments: Any, **options: Any) -> Any:
        if bound is None:
            return checked(*arguments, **options)
        return call_plainly(kernel, bound, *arguments, **options)

    return call


def plain_address(instance: Any, name: str, *given: object) -> Callable[[], int]:
    """The same, and what it returns as it is."""
    bound = instance.bind_call(method(instance, name))
    return lambda: KERNELS[name](id(bound), id(given) + ITEMS_AT, len(given), 0)


def method(instance: Any, name: str) -> Callable[..., Any]:
    """The method that checks everything."""
    found: Callable[..., Any] = getattr(type(instance), name).__get__(instance)
    return found


def builtin(instance: Any, name: str) -> Callable[..., Any]:
    """The call as everybody gets it."""
    found: Callable[..., Any] = getattr(instance, name)
    return found


class Face:
    """A writer and a reader, and their calls in one of the three ways."""

    def __init__(self, name: str, way: str, **options: Any) -> None:
        self.writer = Writer.create(name, capacity=SMALL, **options)
        self.reader = Reader.attach(name, stale_after_s=600)
        for owner in (self.writer, self.reader):
            for call in KERNELS:
                if call in vars(type(owner)):
                    setattr(self, call, {"builtin": builtin, "plain": plain, "method": method}[way](owner, call))

    publish: Callable[..., Any]
    publish_many: Callable[..., Any]
    take: Callable[..., Any]
    take_many: Callable[..., Any]
    _append: Callable[..., Any]

    def close(self) -> None:
        self.reader.close()
        self.writer.close()

    def taken(self) -> list[tuple[bytes, int, int]]:
        found = []
        while (payload := self.take()) is not None:
            found.append((bytes(payload), self.reader.frame_sequence, self.reader.frame_kind))
        return found


@pytest.fixture(params=WAYS)
def face(request: pytest.FixtureRequest, ring_name: str) -> Iterator[Face]:
    made = Face(ring_name, request.param, full=Full.RAISE, full_timeout_s=0.0)
    yield made
    made.close()


PAYLOADS = [
    b"bytes",
    b"",
    bytearray(b"a bytearray"),
    memoryview(b"a view")[2:],
    memoryview(bytes(range(20)))[::2],
    np.arange(9, dtype=np.uint8),
    np.arange(9, dtype=np.uint8)[::-1],
]
NO_PAYLOADS = [
    None,
    "text",
    7,
    np.arange(3),
    memoryview(np.arange(3)),
    np.zeros((2, 2), np.uint8),
    memoryview(b"a").cast("b"),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda value: type(value).__name__)
def test_publish_any_row_of_bytes_is_taken_as_it_is(face: Face, payload: Any) -> None:
    before = sys.getrefcount(payload)
    assert [face.publish(payload), face.publish(payload, 7), face.publish(payload, kind=65535, key=True)] == [1, 2, 3]
    assert face.publish(payload, key=False) == 4
    with face.writer.batch():
        assert face._append(payload, 9) == 5
    assert face.taken() == [(bytes(payload), n + 1, kind) for n, kind in enumerate((0, 7, 65535, 0, 9))]
    assert sys.getrefcount(payload) == before
    assert face.reader.seek("key") is None and face.take() is not None and face.reader.frame_sequence == 3


@pytest.mark.parametrize("payload", NO_PAYLOADS, ids=lambda value: type(value).__name__)
def test_publish_what_is_no_row_of_bytes_is_refused(face: Face, payload: Any) -> None:
    for call in (face.publish, face._append, lambda one: face.publish_many([b"fine", one])):
        with pytest.raises(UsageError, match="payload: expected one row of bytes"):
            call(payload)
    assert face.taken() == [] and face.publish(b"fine") == 1


@pytest.mark.parametrize("kind", [-1, 65536, 1 << 70, 1.0, "1", None])
def test_publish_a_kind_that_is_no_u16_is_refused(face: Face, kind: Any) -> None:
    for call in (face.publish, face._append, lambda payload, kind: face.publish_many([payload], kind=kind)):
        with pytest.raises(UsageError, match="kind: expected an integer from 0 to 65535"):
            call(b"", kind)
    assert face.publish(b"", np.int64(3)) == 1
    assert face.taken() == [(b"", 1, 3)]


@pytest.mark.parametrize(
    ("arguments", "options"), [((), {}), ((b"", 1, 2), {}), ((b"", 1), {"kind": 1}), ((b"",), {"sort": 1})]
)
def test_call_with_other_arguments_is_a_type_error(face: Face, arguments: tuple[Any, ...], options: Any) -> None:
    with pytest.raises(TypeError, match="publish"):
        face.publish(*arguments, **options)


def test_publish_too_long_names_the_limit(face: Face) -> None:
    with pytest.raises(FrameTooLong, match="payload of 8161 bytes exceeds 8160"):
        face.publish(bytes(8161))
    with pytest.raises(FrameTooLong):
        face.publish_many([b"", bytes(8161)])
    assert face.publish(bytes(8160)) == 1


@pytest.mark.parametrize("kind", [list, tuple])
def test_publish_many_objects_is_one_commit_or_none(face: Face, kind: type) -> None:
    assert face.publish_many(kind([b"one", bytearray(b"two")]), kind=5) == 1
    assert face.publish_many(kind([b"three"])) == 3
    assert face.publish_many(kind([])) == 4
    with pytest.raises(BatchTooLarge):
        face.publish_many(kind([bytes(4000)] * 5))
    with pytest.raises(TypeError):
        face.publish_many(kind([b"four"]), key=True)
    assert face.taken() == [(b"one", 1, 5), (b"two", 2, 5), (b"three", 3, 0)]


def test_publish_into_a_full_ring_is_refused_by_the_policy(face: Face) -> None:
    with Reader.attach(face.writer.name, reliable=True):
        with pytest.raises(RingFull):
            while True:
                face.publish(bytes(4000))
        before = face.writer.next_sequence
        with pytest.raises(RingFull):
            face.publish_many([bytes(4000)] * 2)
        assert face.writer.next_sequence == before


def test_publish_many_that_is_dropped_says_so(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL, full=Full.DROP_NEW, full_timeout_s=0.0)
    with writer, Reader.attach(ring_name, reliable=True):
        while writer.publish_many([bytes(4000)] * 3):
            pass
        assert writer.publish_many([bytes(4000)] * 3) == 0


def test_take_gives_each_frame_then_nothing_then_the_end(face: Face) -> None:
    assert face.take() is None and face.reader.taken is Status.EMPTY
    face.publish_many([bytes([n]) * length for n, length in enumerate((1, 1024, 1025, 8160, 0))])
    assert [len(face.take()) for _ in range(5)] == [1, 1024, 1025, 8160, 0]
    assert face.reader.taken is Status.OK and face.reader.frame_time_ns > 0
    assert face.take(0.0) is None
    face.writer.close()
    assert face.take() is None and face.reader.taken is Status.CLOSED
    assert face.take(None) is None and face.take_many() is None and face.reader.taken is Status.CLOSED


def test_take_tells_a_new_writer_once(face: Face) -> None:
    face.publish(b"old")
    face.writer.close()
    with Writer.open(face.writer.name) as writer:
        writer.publish(b"new")
        assert bytes(face.take()) == b"old"
        assert face.take(1.0) is None and face.reader.taken is Status.EPOCH_CHANGED
        assert bytes(face.take()) == b"new" and face.reader.epoch == 2


@pytest.mark.parametrize("way", ["take", "take_many", "poll", "iterate"])
def test_loss_is_told_once_whoever_asks_first(face: Face, way: str) -> None:
    for _ in range(40):
        face.publish(bytes(4000))
    assert calls.take_frame(face.reader.words, face.reader.control, face.reader.state, face.reader.out) == Status.GAP
    lost = face.reader.lost  # found, and whoever found it was interrupted
    place = face.reader.place()
    for _ in range(2):
        face.reader.return_to(place)
        if way == "poll":
            poll = face.reader.poll()
            found, after = poll.loss, poll[0].sequence
        elif way == "iterate":
            found, after = (item := iter(face.reader)).__next__(), item.__next__().sequence  # type: ignore[union-attr]
        else:
            found = getattr(face, way)()
            assert face.take() is not None
            after = face.reader.frame_sequence
        assert isinstance(found, Loss) and (found.first, found.last, found.count) == (1, lost, lost)
        assert after == lost + 1


@pytest.mark.parametrize("way", ["take", "take_many"])
def test_take_of_a_lapped_reader_gives_the_loss_and_then_the_rest(face: Face, way: str) -> None:
    for _ in range(40):
        face.publish(bytes(4000))
    found = getattr(face, way)()
    assert isinstance(found, Loss) and found.first == 1
    rest = 0
    while (item := getattr(face, way)()) is not None:
        rest += len(item) if way == "take_many" else 1
    assert found.count + rest == 40 and face.reader.frame_sequence == 40 and face.reader.lost == found.count


def test_take_many_takes_what_is_there(face: Face) -> None:
    payloads = [bytes([n]) * n for n in range(10)]
    face.publish_many(payloads)
    assert face.take_many(3) == payloads[:3] and face.reader.frame_sequence == 3
    assert face.take_many() == payloads[3:] and face.reader.frame_sequence == 10
    assert face.take_many() is None and face.reader.taken is Status.EMPTY
    for wrong in (0, -1, 1 << 70, 1.0, "1"):
        with pytest.raises(UsageError, match="max_frames"):
            face.take_many(wrong)


def test_take_many_ends_before_a_frame_that_was_overwritten(face: Face) -> None:
    for _ in range(40):
        face.publish(bytes(1000))
    first = face.take_many(2)
    for _ in range(60):
        face.publish(bytes(1000))
    assert len(first) == 2 and isinstance(face.take_many(), Loss) and isinstance(face.take_many(1), list)


@pytest.mark.parametrize("mode", Wait)
def test_take_waits_for_a_frame(face: Face, mode: Wait) -> None:
    timer = threading.Timer(0.005, face.writer.publish, [b"late"])
    timer.start()
    assert bytes(face.take(None, mode)) == b"late"
    timer.join()
    assert face.take(0.001, mode) is None and face.take(0.00001) is None and face.reader.taken is Status.EMPTY
    face.publish(b"there")
    assert bytes(face.take(1, mode)) == b"there"


def test_take_with_a_time_or_a_mode_that_is_none_is_refused(face: Face) -> None:
    for wrong in (-1.0, float("nan"), "1"):
        with pytest.raises(UsageError, match="timeout_s"):
            face.take(wrong)
    with pytest.raises(UsageError, match="mode"):
        face.take(0.001, "spin")
    with pytest.raises(TypeError):
        face.take(timeout=1.0)


@pytest.mark.untraced
@pytest.mark.skipif(not BUILTINS, reason="the signal may come while a tracer of the plain code holds its lock")
def test_take_that_spins_serves_signals(face: Face) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.005, signal.pthread_kill, [main, signal.SIGUSR1])
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            face.take(60.0, Wait.SPIN)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    face.publish(b"goes on")
    assert bytes(face.take()) == b"goes on"


def test_take_of_damaged_bytes_is_corrupt_and_stays(face: Face) -> None:
    face.publish(b"damaged")
    face.writer.words[DATA + TAG_WORD] ^= 1
    for call in (face.take, face.take_many, face.take):
        with pytest.raises(CorruptRing, match="sequence 1"):
            call()


def test_closed_writer_and_reader_refuse_calls_that_were_kept(face: Face) -> None:
    face.publish(b"unread")
    publish, take = face.publish, face.take
    place = face.reader.place()
    face.close()
    face.reader.return_to(place)
    for owner in (face.writer, face.reader):
        assert owner.bind_call(print) is None
        assert not KERNELS.keys() & vars(owner).keys()
    for call in (lambda: publish(b""), lambda: face.writer.publish(b""), lambda: face.publish_many([b""])):
        with pytest.raises(RingClosed):
            call()
    for call in (take, face.reader.take, face.take_many):
        with pytest.raises(RingClosed):
            call()


def test_forked_child_has_no_writer_and_a_reader(face: Face) -> None:
    face.publish(b"for both")
    pid = os.fork()
    if pid == 0:
        try:
            face.publish(b"mine")
        except NotOwner:
            os._exit(0 if bytes(face.take()) == b"for both" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert face.publish(b"ours") == 2 and len(face.taken()) == 2


def test_take_of_a_lapped_reader_without_any_place_to_go_stays_and_says_nothing(face: Face) -> None:
    for _ in range(40):
        face.publish(bytes(4000))
    words, before = face.reader.words, face.writer.words.copy()
    for first, count in ((COMMIT_0, 2 * COMMIT_WORDS), (ANCHOR_0, ANCHORS)):
        face.writer.words[first : first + count] = 0
    assert face.take() is None and face.take_many() is None and face.reader.sequence == 1
    face.writer.words[: len(before)] = before
    assert isinstance(face.take(), Loss) and len(words)


def test_writer_that_wakes_nobody_publishes_the_same(ring_name: str) -> None:
    face = Face(ring_name, WAYS[0], no_wake=True)
    assert face.publish(b"quiet") == 1 and bytes(face.take()) == b"quiet"
    face.close()


@pytest.mark.skipif(BUILTINS, reason="compiled, these moments cannot be arranged")
class TestMoments:
    """What comes between two steps of a call."""

    @pytest.fixture
    def full(self, ring_name: str) -> Iterator[Face]:
        face = Face(ring_name, WAYS[0])
        for _ in range(3):
            face.publish(b"frame")
        yield face
        face.close()

    @pytest.mark.parametrize(
        ("call", "function"),
        [("take", "part_object"), ("take_many", "bytes_object"), ("take_many", "list_object")],
    )
    def test_frame_without_memory_for_it_is_there_the_next_time(
        self, full: Face, monkeypatch: pytest.MonkeyPatch, call: str, function: str
    ) -> None:
        monkeypatch.setattr(calls, function, lambda *_: 0)
        address = plain_address(full.reader, call)
        assert address() == 0 and full.reader.counters["frames"] == 0
        monkeypatch.undo()
        assert full.take_many() == [b"frame"] * 3 and full.reader.counters == {
            "frames": 3,
            "bytes": 15,
            "lost": 0,
            "laps": 0,
        }

    def test_memory_that_ends_within_a_batch_ends_the_batch(self, full: Face, monkeypatch: pytest.MonkeyPatch) -> None:
        make, room = calls.bytes_object, iter([True])
        monkeypatch.setattr(calls, "bytes_object", lambda *given: make(*given) if next(room, False) else 0)
        assert full.take_many() == [b"frame"]
        monkeypatch.undo()
        assert full.take_many() == [b"frame"] * 2

    def test_signal_that_raises_ends_a_spin(self, ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with Writer.create(ring_name, capacity=SMALL), Reader.attach(ring_name) as reader:
            monkeypatch.setattr(calls, "serve_signals", lambda: -1)
            assert plain_address(reader, "take", 0.001)() == 0

    def test_frame_that_comes_at_the_last_look_is_taken(self, full: Face, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = iter([full.reader.position])
        readable = calls.readable
        monkeypatch.setattr(calls, "readable", lambda *given: next(ends, readable(*given)))
        assert full.take_many() == [b"frame"] * 3
        ends = iter([full.reader.position])
        full.publish(b"late")
        monkeypatch.setattr(taking, "readable", lambda *given: next(ends, readable(*given)))
        assert bytes(full.take()) == b"late"

    def test_lap_that_loses_nothing_is_read_on(self, full: Face, monkeypatch: pytest.MonkeyPatch) -> None:
        outcomes = iter([Status.GAP])
        read = taking.read_frame
        monkeypatch.setattr(taking, "read_frame", lambda *given: next(outcomes, None) or read(*given))
        monkeypatch.setattr(taking, "skip_ahead", lambda *_: Status.GAP)
        assert bytes(full.take()) == b"frame"
        outcomes = iter([Status.GAP] * 9)
        assert full.take() is None and full.reader.taken is Status.EMPTY


def test_buffer_without_a_format_is_of_bytes() -> None:
    assert calls.is_format_of_bytes(0)


class Counter:
    """Has a method that is found as a builtin."""

    is_open = True

    def bind_call(self, checked: Callable[..., int]) -> tuple[object, ...] | None:
        return (b"12", checked) if self.is_open else None

    def count(self, *arguments: object) -> int:
        """Count."""
        return -1

    def _call(bound: int, arguments: int, count: int, names: int) -> int:  # type: ignore[misc]  # noqa: N805
        return signed_object(count)

    counted = CompiledMethod(count, CPUDispatcher(_call, targetoptions={"nopython": True}), "($self, *arguments)")
    count = counted  # type: ignore[assignment]


def test_method_is_a_builtin_until_its_instance_is_closed() -> None:
    counter = Counter()
    assert counter.count(1, 2) == 2 and counter.count is counter.count
    assert Counter.count(counter, 1, 2) == -1 and counter.count.__doc__ == "Count."
    counter.is_open = False
    kept = counter.count
    forget_calls(counter)
    assert counter.count(1, 2) == -1 and kept(1, 2) == 2 and vars(counter) == {"is_open": False}


@pytest.mark.skipif(not BUILTINS, reason="nothing is compiled")
def test_calls_keep_no_object_and_no_writer(ring_name: str) -> None:
    payload, view, kind = bytes(100), memoryview(bytearray(100)), 1234
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        payloads = [payload, view]

        def everything() -> None:
            writer.publish(payload, kind)
            writer.publish(view, kind=kind)
            writer.publish_many(payloads)
            for _ in range(3):
                reader.take()
            reader.take_many()
            reader.take()

        everything()
        shared = (payload, view, kind, None, True, writer.publish, reader.take, payloads, reader._view)
        tracemalloc.start()
        before = [sys.getrefcount(one) for one in shared]
        blocks = tracemalloc.get_traced_memory()[0]
        for _ in range(20_000):
            everything()
        grown = tracemalloc.get_traced_memory()[0] - blocks
        tracemalloc.stop()
        # `None` is counted by everything that runs beside this
        changes = [abs(sys.getrefcount(one) - count) for one, count in zip(shared, before, strict=True)]
        assert max(changes) < 100 and grown < 20_000
    del everything
    kept = writer.publish
    assert kept is not writer.publish  # a bound method by now, as of any closed writer
    assert not [one for one in gc.get_referrers(writer) if isinstance(one, type(abs))]


@pytest.mark.skipif(not BUILTINS, reason="nothing is compiled")
def test_builtins_tell_their_signature_and_what_they_do(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert str(inspect.signature(writer.publish)) == "(payload, kind=0, *, key=False)"
        assert "Publish one frame" in (writer.publish.__doc__ or "")
        assert writer.publish is writer.publish and writer.publish.__name__ == "publish"
        assert list(inspect.signature(reader.take).parameters) == ["timeout_s", "mode"]
        assert inspect.isfunction(Writer.publish) and Writer.publish(writer, b"as a function") == 1


@pytest.mark.skipif(not BUILTINS, reason="nothing is compiled")
def test_builtin_that_outlives_its_writer_still_publishes(ring_name: str) -> None:
    publish = Writer.create(ring_name, capacity=SMALL).publish
    gc.collect()
    with Reader.attach(ring_name) as reader:
        assert publish(b"alive") == 1 and bytes(reader.take() or b"") == b"alive"
    gc.collect()
    publish.__self__[5].__self__.close()  # type: ignore[attr-defined]


@pytest.mark.skipif(not BUILTINS, reason="nothing is compiled")
def test_threads_that_share_a_writer_publish_whole_frames(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 20) as writer, Reader.attach(ring_name) as reader:

        def publish(number: int) -> None:
            for _ in range(500):
                writer.publish(bytes([number]) * 64)

        threads = [threading.Thread(target=publish, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = []
        while (payloads := reader.take_many()) is not None:
            assert isinstance(payloads, list)
            found += payloads
    assert sorted(found) == sorted(bytes([number]) * 64 for number in range(4) for _ in range(500))
