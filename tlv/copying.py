"""One memcpy that kernels can call.

numba cannot express it: `out[a:b] = payload[c:d]` becomes a loop with bounds and overlap checks, 73 ns for the 232
bytes of a swap; this is 3 ns (bench `journal`).  Uncompiled, the plain function runs.
"""

from __future__ import annotations

import inspect
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from tlv.buffers import Bytes


def copy_bytes(out: Bytes, at: int, source: Bytes, start: int, length: int) -> None:
    """Copy source[start : start + length] to out[at:].  Both ranges were checked by the caller and do not overlap."""
    out[at : at + length] = source[start : start + length]


@type_callable(copy_bytes)  # type: ignore[untyped-decorator]
def _type_copy_bytes(_context: Any) -> Any:
    def check(out: Any, at: Any, source: Any, start: Any, length: Any) -> Any:
        if not out.mutable or out.dtype != types.uint8 or source.dtype != types.uint8:
            raise TypingError("copy_bytes: expected two arrays of bytes, the first one writable")
        return types.none(out, types.int64, source, types.int64, types.int64)

    check.__signature__ = inspect.signature(copy_bytes)  # type: ignore[attr-defined]
    return check


@lower_builtin(copy_bytes, types.Array, types.int64, types.Array, types.int64, types.int64)  # type: ignore[untyped-decorator]
def _emit_copy_bytes(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    out = context.make_array(signature.args[0])(context, builder, args[0]).data
    source = context.make_array(signature.args[2])(context, builder, args[2]).data
    cgutils.raw_memcpy(builder, builder.gep(out, [args[1]]), builder.gep(source, [args[3]]), args[4], 1)
    return context.get_dummy_value()
