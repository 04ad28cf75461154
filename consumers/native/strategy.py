"""A strategy in machine code, as a person writes one: a class with a state, parameters and a handler.

    STATE = np.dtype([("threshold_pips", "<i8"), ("seen", "<i8")])

    class MoverParams(msgspec.Struct, frozen=True):
        threshold_pips: int = 10_000

    class Mover(NativeStrategy):
        name = "mover"
        params = MoverParams        # a field of the state that has a parameter's name begins with its value
        state = STATE
        wants = frozenset({PoolSync})

        @kernel
        def handler(state, frame, drafts):
            if frame.what == EVENT and has(frame, PoolSync):
                state["seen"] += 1

`frame`: `consumers.native.frame`; `drafts`: `consumers.native.drafts`; with `keeps_book = True` a fourth argument,
`book`: `consumers.native.book`.  A handler gives no value back, never raises and makes no objects: what it keeps is in
its state, what it says it writes into `drafts`.  `consumers.examples.native_mover` is a whole one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from consumers.native.build import check_native
from tlv.buffers import Structs
from tlv.codes import Source
from tlv.errors import UsageError
from tlv.filter import MessageFilter
from tlv.record import Record


class NativeStrategy:
    """Subclass it, with `name`, `state` and `handler`; hosts make and run it as any `Strategy`.

    Raises:
        UsageError: the class is none that can run (`build.check_native`), or a parameter does not fit its field.
    """

    name: ClassVar[str] = "native"
    """At most 20 bytes: it is a field of every signal."""
    version: ClassVar[int] = 1
    source: ClassVar[Source] = Source.USER_STRATEGY
    wants: ClassVar[frozenset[type[Record]]] = frozenset()
    """Records whose messages it is called for, as of `Strategy`; empty = all."""
    params: ClassVar[type[Any] | None] = None
    """A `msgspec.Struct` class of its parameters, as of `Strategy`."""
    records: ClassVar[tuple[type[Record], ...]] = ()
    """Records of its own, which its signals carry."""
    state: ClassVar[np.dtype[Any]]
    """A struct: the handler's memory, zeros at the beginning."""
    handler: ClassVar[Any]
    """A `@kernel` (state, frame, drafts), with `keeps_book` (state, frame, drafts, book)."""
    keeps_book: ClassVar[bool] = False
    """Whether the states of all pools are kept for it, up to the frame that it gets."""
    inline: ClassVar[bool] = False
    """Whether the loops are compiled for it alone, with its handler inside: docs/strategies.md says what that gives."""

    def __init__(self, settings: Any = None) -> None:
        cls = type(self)
        check_native(cls)
        if settings is None and cls.params is not None:
            settings = cls.params()
        self.settings = settings
        """The parameters; None if the class declares none."""
        self.memory: Structs = np.zeros(1, cls.state)
        for name in getattr(cls.params, "__struct_fields__", ()):
            if name in (cls.state.names or ()):
                self._set(name, getattr(settings, name))
        self.prepare(self.memory[0])

    @property
    def counts(self) -> dict[str, int]:
        """The integers of its state, parameters left out."""
        known = set(getattr(type(self).params, "__struct_fields__", ()))
        state = type(self).state
        names = [name for name in state.names or () if state[name].kind in "iu" and name not in known]
        return {name: int(self.memory[0][name]) for name in names}

    def prepare(self, state: Any) -> None:
        """Fill the state before the first frame, in Python; parameters of equal names stand in it already."""

    def _set(self, name: str, value: Any) -> None:
        kind = type(self).state[name]
        limits = np.iinfo(kind) if kind.kind in "iu" else None
        fits = isinstance(value, int | float) and (limits is None or limits.min <= value <= limits.max)
        if not fits or (limits is not None and not isinstance(value, int)):
            raise UsageError(f"parameter {name}: expected a number that fits {kind} of the state, found {value!r}")
        self.memory[0][name] = value


def filter_of_native(strategy: NativeStrategy) -> MessageFilter:
    """The messages for which the handler is called."""
    return MessageFilter.of(types=strategy.wants)
