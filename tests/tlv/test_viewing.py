"""A struct at a place in a buffer: the same compiled and as plain Python, at any place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import tlv.view_instruction  # noqa: F401 - what numba makes of it, also where this suite compiles nothing
from tlv.buffers import Bytes
from tlv.layout import HEADER, HEADER_SIZE, Header
from tlv.viewing import blank_record, record_at

WORD = np.dtype("<u8")


def copy_sequence(buf: Bytes, source: int, target: int) -> Any:
    """Copy a field from one header to another; it."""
    found = record_at(buf, source, HEADER)["sequence"]
    record_at(buf, target, HEADER)["sequence"] = found
    return found


def number_at(buf: Bytes) -> Any:
    """A number is no struct."""
    return record_at(buf, 0, WORD)


def write_into_blank(value: int) -> Any:
    """What a blank header has, written into before."""
    blank_record(HEADER)["sequence"] = value
    return blank_record(HEADER)["sequence"]


COMPILED = CPUDispatcher(copy_sequence, targetoptions={"nopython": True})
COMPILED_BLANK = CPUDispatcher(write_into_blank, targetoptions={"nopython": True})
NO_STRUCT = CPUDispatcher(number_at, targetoptions={"nopython": True})


@pytest.mark.parametrize("copy", [copy_sequence, COMPILED])
def test_record_at_any_place_reads_and_writes_there_alone(copy: Any) -> None:
    for source, target in ((0, HEADER_SIZE), (3, 40), (64 - HEADER_SIZE, 0)):
        buf = np.arange(80, dtype=np.uint8)
        expected = buf.copy()
        at = Header.layout.offsets["sequence"]
        expected[target + at : target + at + 8] = expected[source + at : source + at + 8]
        assert copy(buf, source, target) == int.from_bytes(expected[source + at : source + at + 8].tobytes(), "little")
        assert (buf == expected).all()


def test_record_at_of_no_struct_is_refused_when_compiled() -> None:
    with pytest.raises(TypingError, match="expected an array of bytes, a place and the dtype of a struct"):
        NO_STRUCT(np.zeros(8, np.uint8))


@pytest.mark.parametrize("write", [write_into_blank, COMPILED_BLANK])
def test_blank_record_that_was_written_into_is_zeros_again(write: Any) -> None:
    assert [write(7), write(8)] == [0, 0]
