"""Public arguments of Writer and Reader: what goes in comes out byte for byte, or is refused with a UsageError."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import Reader, Writer, unlink
from tlv.errors import UsageError

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
