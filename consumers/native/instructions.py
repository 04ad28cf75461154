"""What record classes are to numba, so that kernels can take one: `view(frame, PoolSync)`.

Owns the numba type of a record class and what `view`, `has` and `add` are compiled to.  `frame` imports it where
kernels are compiled.
"""

from __future__ import annotations

from typing import Any

import msgspec
from numba import types
from numba.core.datamodel import models, register_default
from numba.core.errors import TypingError
from numba.core.imputils import lower_constant
from numba.extending import overload, typeof_impl

from consumers.native.drafts import add, begin_record
from consumers.native.frame import find_record, has, view
from tlv.record import Record
from tlv.viewing import blank_record, record_at

WITHOUT_MEMORY = {"_nrt": False}
"""Nothing is allocated, as in every kernel (`tlv.jit`)."""


class RecordClass(types.Opaque):  # type: ignore[misc]  # numba is untyped
    """The type of one record class: it has no value at run time."""

    def __init__(self, cls: type[Record]) -> None:
        self.layout = cls.layout
        super().__init__(f"RecordClass({cls.__name__}, {cls.layout.type}, {cls.layout.dtype.descr})")


register_default(RecordClass)(models.OpaqueModel)


@typeof_impl.register(type(msgspec.Struct))  # type: ignore[untyped-decorator]
def _type_of_class(value: Any, _context: Any) -> RecordClass | None:
    return RecordClass(value) if issubclass(value, Record) and hasattr(value, "layout") else None


@lower_constant(RecordClass)  # type: ignore[untyped-decorator]
def _constant(context: Any, _builder: Any, _kind: Any, _value: Any) -> Any:
    return context.get_dummy_value()


def _layout(where: str, cls: Any) -> Any:
    if not isinstance(cls, RecordClass) or not cls.layout.type:
        raise TypingError(f"{where}: expected a record class such as PoolSync, found {cls}")
    return cls.layout


@overload(view, jit_options=WITHOUT_MEMORY)  # type: ignore[untyped-decorator]
def _view(frame: Any, cls: Any) -> Any:
    layout = _layout("view", cls)
    number, size, dtype = layout.type, layout.size, layout.dtype

    def viewed(frame: Any, cls: Any) -> Any:
        at = find_record(frame, number, size)
        if at < 0:
            return blank_record(dtype)
        return record_at(frame.payload, at, dtype)

    return viewed


@overload(has, jit_options=WITHOUT_MEMORY)  # type: ignore[untyped-decorator]
def _has(frame: Any, cls: Any) -> Any:
    layout = _layout("has", cls)
    number, size = layout.type, layout.size

    def found(frame: Any, cls: Any) -> Any:
        return frame.type == number and frame.size == size

    return found


@overload(add, jit_options=WITHOUT_MEMORY)  # type: ignore[untyped-decorator]
def _add(drafts: Any, cls: Any) -> Any:
    layout = _layout("add", cls)
    number, size, dtype = layout.type, layout.size, layout.dtype

    def added(drafts: Any, cls: Any) -> Any:
        at = begin_record(drafts, number, size)
        return record_at(drafts.buffer, at, dtype)

    return added
