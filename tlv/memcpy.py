"""`copy_bytes` as a memcpy, for numba; `copying` imports it where kernels are compiled."""

from __future__ import annotations

import inspect
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from tlv.copying import copy_bytes


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
