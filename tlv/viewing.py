"""A struct at a place in a buffer, for kernels.

`buf[at : at + n].view(dtype)[0]` is the same, but numba cuts the slice to the buffer's bounds and checks the view at
run time, 4 ns each time; this is an address.  Uncompiled, the plain function runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Bytes
from tlv.jit import compile_with


def record_at(buf: Bytes, at: int, dtype: np.dtype[Any]) -> Any:
    """The struct of type `dtype` at `at`, which the caller knows to lie within `buf`."""
    return buf[at : at + dtype.itemsize].view(dtype)[0]


def blank_record(dtype: np.dtype[Any]) -> Any:
    """A struct of zeros, to stand for one that is not there; whoever writes into it harms nobody."""
    return np.zeros(1, dtype)[0]


compile_with("tlv.view_instruction")
