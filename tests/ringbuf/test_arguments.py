"""Public arguments of Writer and Reader (row 56): what goes in comes out byte for byte, or a UsageError names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import Reader, Writer, unlink
from tests.junk import junk
from tlv.errors import SegmentError, UsageError

CAPACITY = 1 << 16
DTYPES = ["u1", "i1", "u2", "<i4", ">i4", "<u8", "<i8", "<f8", "?", "S1"]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Writer, Reader]]:
    name = f"test{os.getpid()}.arguments"
    with Writer.create(name, capacity=CAPACITY) as writer, Reader.attach(name, stale_after_s=600) as reader:
        yield writer, reader
    unlink(name)


def published(reader: Reader) -> list[tuple[bytes, int]]:
    return [(bytes(frame.payload), frame.kind) for frame in reader.poll()]


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """An array of any type and stride over 240 bytes, perhaps read-only or of two dimensions."""
    base = np.frombuffer(bytes(range(240)), dtype=draw(st.sampled_from(DTYPES)))
    array = base if draw(st.booleans()) else base.copy()
    step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
    array = array[draw(st.integers(0, 5)) :: step][: draw(st.integers(0, 40))]
    return array.reshape(1, -1) if draw(st.integers(0, 4)) == 0 else array


def views(array: np.ndarray[Any, Any], form: str) -> Any:
    return {"array": array, "view": array.data, "bytes": array.tobytes(), "bytearray": bytearray(array.tobytes())}[form]


@settings(max_examples=300, deadline=None)
@given(array=arrays(), form=st.sampled_from(["array", "view", "bytes", "bytearray"]), batched=st.booleans())
def test_publish_any_buffer_is_exact_or_refused(
    pair: tuple[Writer, Reader], array: np.ndarray[Any, Any], form: str, batched: bool
) -> None:
    writer, reader = pair
    payload = views(array, form)
    try:
        if batched:
            with writer.batch() as batch:
                batch.append(payload, 7)
        else:
            writer.publish(payload, 7)
    except UsageError:
        assert form in {"array", "view"} and (array.dtype != np.uint8 or array.ndim != 1)
        assert published(reader) == []
    else:
        assert published(reader) == [(array.tobytes(), 7)]


@settings(max_examples=300, deadline=None)
@given(
    buffer=arrays(),
    offset=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 50),
    length=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 50),
    rows=st.sampled_from(["i8", "i8", "i8", "u8", "i4", "f8"]),
    step=st.sampled_from([1, 2, -1]),
)
def test_publish_many_any_arrays_are_exact_or_refused(
    pair: tuple[Writer, Reader], buffer: np.ndarray[Any, Any], offset: int, length: int, rows: str, step: int
) -> None:
    writer, reader = pair
    with np.errstate(all="ignore"):
        offsets = np.array([0, 0, offset, offset]).astype(rows)[::step][-2:]
        lengths = np.array([length, length, length, length]).astype(rows)[::step][-2:]
    try:
        writer.publish_many(buffer, offsets, lengths, 65535)
    except UsageError:
        assert published(reader) == []
    else:
        whole = buffer.tobytes()
        wanted = [(whole[int(o) : int(o) + int(n)], 65535) for o, n in zip(offsets, lengths, strict=True)]
        assert buffer.dtype == np.uint8 and rows == "i8" and published(reader) == wanted


@given(kind=st.integers() | st.floats() | st.text() | st.none() | st.integers(0, 65535).map(np.uint64))
def test_publish_any_kind_is_exact_or_refused(pair: tuple[Writer, Reader], kind: Any) -> None:
    writer, reader = pair
    right = isinstance(kind, int | np.integer) and 0 <= kind <= 65535
    for publish in (
        lambda: writer.publish(b"x", kind),
        lambda: writer.publish_many(np.full(1, 120, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64), kind),
    ):
        if right:
            publish()
            assert published(reader) == [(b"x", int(kind))]
        else:
            with pytest.raises(UsageError, match="kind: expected an integer from 0 to 65535, found"):
                publish()


@pytest.mark.parametrize("name", ["buffer", "offsets", "lengths"])
def test_publish_many_of_a_list_is_refused_by_name(pair: tuple[Writer, Reader], name: str) -> None:
    arguments: dict[str, Any] = {
        "buffer": np.zeros(8, np.uint8),
        "offsets": np.zeros(1, np.int64),
        "lengths": np.ones(1, np.int64),
    }
    with pytest.raises(UsageError, match=f"{name}: expected a u?int.* array, found list"):
        pair[0].publish_many(**arguments | {name: [0]})


def test_publish_many_of_a_strided_buffer_is_refused(pair: tuple[Writer, Reader]) -> None:
    with pytest.raises(UsageError, match="buffer: expected contiguous bytes, found strides of -1 bytes"):
        pair[0].publish_many(np.arange(8, dtype=np.uint8)[::-1], np.zeros(1, np.int64), np.ones(1, np.int64))


JUNK = junk(1 << 64, -(1 << 63), object(), np.bool_(1)) | st.integers(-2, 300).map(np.int64)
"""What a public argument may be given."""

WRITER_ARGUMENTS = ["name", "capacity", "max_frame", "reserve", "schema", "group", "layout_digest", "full"]
READER_ARGUMENTS = ["name", "start", "on_lap", "layout_digest", "buffer_bytes", "stale_after_s", "owner"]


@settings(max_examples=400)
@given(argument=st.sampled_from([*WRITER_ARGUMENTS, "full_timeout_s", "no_such_option"]), value=JUNK)
def test_create_of_any_argument_makes_what_was_asked_for_or_refuses_it_by_name(argument: str, value: Any) -> None:
    name = f"test{os.getpid()}.arguments.create"
    try:
        writer = Writer.create(**{"name": name, "capacity": CAPACITY} | {argument: value})
    except UsageError as error:
        assert argument in str(error)
        return
    try:
        assert argument != "no_such_option"
        if argument in {"capacity", "max_frame", "reserve", "schema", "layout_digest"} and value is not None:
            assert getattr(writer.identity, argument) == value and type(value) in {int, str}
    finally:
        writer.close(unlink=True)


@settings(max_examples=400)
@given(argument=st.sampled_from(READER_ARGUMENTS), value=JUNK)
def test_attach_with_any_argument_reads_what_was_asked_for_or_refuses_it_by_name(
    pair: tuple[Writer, Reader], argument: str, value: Any
) -> None:
    writer, kept = pair
    kept.seek("latest")
    sequence = writer.publish(b"x")
    kept.poll()
    if argument == "buffer_bytes" and isinstance(value, int | np.integer) and value > 1 << 20:
        return  # allowed, and more than this machine need have
    try:
        with Reader.attach(**{"name": writer.name, "start": sequence} | {argument: value}) as reader:
            found = [frame.sequence for frame in reader.poll()]
            first = value if argument == "start" else sequence
            assert found[:1] == ([first] if first <= sequence else [])  # the next frame may be waited for
    except UsageError as error:
        assert argument in str(error) or "is yet to come" in str(error)
    except SegmentError:
        assert argument in {"owner", "layout_digest", "name"}


@settings(max_examples=400)
@given(argument=st.sampled_from(["max_frames", "max_bytes", "timeout_s", "mode", "start"]), value=JUNK)
def test_poll_wait_and_seek_with_any_argument_are_exact_or_refused_by_name(
    pair: tuple[Writer, Reader], argument: str, value: Any
) -> None:
    writer, reader = pair
    reader.seek("latest")
    first = writer.publish(b"1")
    writer.publish(b"2")
    try:
        if argument == "start":
            reader.seek(value)
            return
        if argument in {"timeout_s", "mode"}:
            assert reader.wait(**{"timeout_s": 0, argument: value}).name == "OK"
        if argument == "max_frames" and isinstance(value, int | np.integer) and value > 1 << 20:
            return
        poll = reader.poll(**{argument: value} if argument.startswith("max") else {})
        assert [frame.sequence for frame in poll] == [first, first + 1][: len(poll)] and (
            len(poll) > 0 or argument == "max_frames"
        )
        assert argument != "max_frames" or len(poll) == min(int(value), 2)
    except UsageError as error:
        assert argument in str(error) or "is yet to come" in str(error)
        reader.seek("latest")


def test_batch_takes_frames_in_its_block_alone(pair: tuple[Writer, Reader]) -> None:
    writer, reader = pair
    reader.seek("latest")
    batch = writer.batch()
    with pytest.raises(UsageError, match="in its `with` block alone"):
        batch.append(b"before")
    with batch:
        batch.append(b"inside")
    with pytest.raises(UsageError, match="in its `with` block alone"):
        batch.append(b"behind")
    writer.publish(b"next")
    assert published(reader) == [(b"inside", 0), (b"next", 0)]


@settings(deadline=None)
@given(start=st.integers(-(1 << 65), 1 << 65) | st.integers(-2, 8))
def test_attach_at_any_sequence_begins_there_or_is_refused(start: int) -> None:
    name = f"test{os.getpid()}.arguments.start"
    with Writer.create(name, capacity=CAPACITY) as writer:
        try:
            for i in range(5):
                writer.publish(bytes([i + 1]))
            if not 1 <= start <= 6:
                with pytest.raises(UsageError):
                    Reader.attach(name, start=start)
                return
            with Reader.attach(name, start=start) as reader:
                poll = reader.poll()
                assert [frame.sequence for frame in poll] == list(range(start, 6))
                assert poll.loss is None and reader.lost == 0
        finally:
            writer.close(unlink=True)
