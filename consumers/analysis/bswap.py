"""`flip_word` as one `bswap`, for numba; `flipping` imports it where kernels are compiled."""

from __future__ import annotations

import inspect
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from consumers.analysis.flipping import flip_word

WORD = ir.IntType(64)


@type_callable(flip_word)  # type: ignore[untyped-decorator]
def _type_flip_word(_context: Any) -> Any:
    def check(out: Any, at: Any, source: Any, start: Any) -> Any:
        if not out.mutable or out.dtype != types.uint8 or source.dtype != types.uint8:
            raise TypingError("flip_word: expected two arrays of bytes, the first one writable")
        return types.none(out, types.int64, source, types.int64)

    check.__signature__ = inspect.signature(flip_word)  # type: ignore[attr-defined]
    return check


@lower_builtin(flip_word, types.Array, types.int64, types.Array, types.int64)  # type: ignore[untyped-decorator]
def _emit_flip_word(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    places = []
    for array, position in ((0, 1), (2, 3)):
        data = context.make_array(signature.args[array])(context, builder, args[array]).data
        places.append(builder.bitcast(builder.gep(data, [args[position]]), WORD.as_pointer()))
    target, source = places
    swap = builder.module.declare_intrinsic("llvm.bswap", [WORD])
    builder.store(builder.call(swap, [builder.load(source, align=1)]), target, align=1)
    return context.get_dummy_value()
