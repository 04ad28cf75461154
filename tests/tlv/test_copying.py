"""One memcpy: as a plain function, and as what numba puts in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import tlv.memcpy  # noqa: F401 - what numba makes of it, also where this suite compiles nothing
from tlv.buffers import Bytes
from tlv.copying import copy_bytes


def copy_five(out: Bytes, source: Bytes) -> None:
    copy_bytes(out, 2, source, 3, 5)


COMPILED = CPUDispatcher(copy_five, targetoptions={"nopython": True})


@pytest.mark.parametrize("copy", [copy_five, COMPILED])
def test_copy_bytes_copies_the_range_and_nothing_else(copy: Callable[[Bytes, Bytes], Any]) -> None:
    out = np.zeros(9, np.uint8)
    copy(out, np.arange(10, dtype=np.uint8))
    assert out.tolist() == [0, 0, 3, 4, 5, 6, 7, 0, 0]


def test_copy_bytes_into_a_read_only_array_does_not_compile() -> None:
    out = np.zeros(9, np.uint8)
    out.flags.writeable = False
    with pytest.raises(TypingError, match="two arrays of bytes, the first one writable"):
        COMPILED(out, np.arange(10, dtype=np.uint8))
