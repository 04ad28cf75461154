"""`record_at` and `blank_record` as addresses, for numba; `viewing` imports it where kernels are compiled."""

from __future__ import annotations

import inspect
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from tlv.viewing import blank_record, record_at


@type_callable(record_at)  # type: ignore[untyped-decorator]
def _type_record_at(_context: Any) -> Any:
    def check(buf: Any, at: Any, dtype: Any) -> Any:
        if buf.dtype != types.uint8 or not isinstance(dtype, types.DType) or not isinstance(dtype.dtype, types.Record):
            raise TypingError("record_at: expected an array of bytes, a place and the dtype of a struct")
        return dtype.dtype(buf, types.int64, dtype)

    check.__signature__ = inspect.signature(record_at)  # type: ignore[attr-defined]
    return check


@lower_builtin(record_at, types.Array, types.int64, types.DType)  # type: ignore[untyped-decorator]
def _emit_record_at(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), context.get_value_type(signature.return_type))


@type_callable(blank_record)  # type: ignore[untyped-decorator]
def _type_blank_record(_context: Any) -> Any:
    def check(dtype: Any) -> Any:
        return dtype.dtype(dtype)

    check.__signature__ = inspect.signature(blank_record)  # type: ignore[attr-defined]
    return check


@lower_builtin(blank_record, types.DType)  # type: ignore[untyped-decorator]
def _emit_blank_record(context: Any, builder: Any, signature: Any, _args: Any) -> Any:
    size = ir.ArrayType(ir.IntType(8), signature.return_type.size)
    place = cgutils.add_global_variable(builder.module, size, builder.module.get_unique_name("blank_record"))
    place.linkage, place.initializer = "internal", ir.Constant(size, None)
    builder.store(ir.Constant(size, None), place)
    return builder.bitcast(place, context.get_value_type(signature.return_type))
