"""From a strategy's class to machine code, or to one line that says what is wrong with it.

Owns the checks of a `NativeStrategy` class, the compilation of its handler, and the copies of the loops that have a
handler compiled into them.

A handler is compiled for its own state's dtype and called through a pointer of one type, whatever the strategy: a
record is passed as its address.  So the loops are compiled once, for any handler, and cached.  Inlined loops
(`inlined`) are compiled for one handler, and cached with the file that it stands in.
"""

from __future__ import annotations

import dis
import inspect
import re
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from consumers.native import loop
from consumers.native.drafts import NAME_BYTES, make_drafts
from consumers.native.frame import NativeFrame
from tlv.errors import UsageError
from tlv.jit import COMPILES, inline_kernel, kernel

if COMPILES:
    import numba
    from numba.core.errors import NumbaError, UnsupportedBytecodeError
    from numba.experimental import function_type

OPAQUE = np.dtype([("byte", "u1")])
"""What the loops take a strategy's state for."""
PLAIN = ("state", "frame", "drafts")
WITH_BOOK = (*PLAIN, "book")
"""The arguments of a handler, in this order."""


class Built(NamedTuple):
    """A strategy as the loops take it."""

    handler: Any
    """A pointer, or 0 where it is compiled into the loops."""
    drive: Callable[..., int]
    run: Callable[..., tuple[int, int]]
    opaque: bool
    """Whether the loops take the state for `OPAQUE`."""


def place_of(cls: type[Any], function: Any) -> str:
    """`file:line` of a function, or of the class if it has none."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return cls.__module__


def check_native(cls: type[Any]) -> None:
    """Refuse a class that no loop can run.

    Raises:
        UsageError: no handler, one that is no kernel, or of other arguments; a name, version or source that does not
            fit its field; a state that is no struct of plain numbers.  The message begins with file and line.
    """
    handler = inspect.getattr_static(cls, "handler", None)
    handler = handler.__func__ if isinstance(handler, staticmethod) else handler
    wanted = WITH_BOOK if cls.keeps_book else PLAIN
    shape = f"handler({', '.join(wanted)})"
    where = f"{place_of(cls, handler)}: {cls.__name__}"
    if handler is None:
        raise UsageError(f"{where}: expected a kernel {shape}, found no handler")
    function = getattr(handler, "py_func", handler)
    if not inspect.isfunction(function):
        raise UsageError(f"{where}.handler: expected a kernel {shape}, found {handler!r}")
    if COMPILES and not hasattr(handler, "py_func"):
        raise UsageError(f"{where}.handler: expected a kernel, found a plain function: write @kernel above it")
    parameters = inspect.signature(function).parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(positional) != len(wanted) or len(positional) != len(parameters):
        hint = "" if cls.keeps_book or len(positional) != len(WITH_BOOK) else "; `keeps_book = True` adds the book"
        raise UsageError(f"{where}: expected {shape}, found handler({', '.join(map(str, parameters))}){hint}")
    if inspect.isgeneratorfunction(function):
        raise UsageError(f"{where}.handler: expected a function, found a generator: it has a `yield`")
    raising = next((one for one in dis.get_instructions(function) if one.opname == "RAISE_VARARGS"), None)
    if raising is not None:
        where = (
            f"{function.__code__.co_filename}:{raising.positions.lineno if raising.positions else 0}: {cls.__name__}"
        )
        raise UsageError(f"{where}.handler: a handler cannot raise: what it does not like it leaves with `return`")
    _check_words(cls, where)
    state = getattr(cls, "state", None)
    if not isinstance(state, np.dtype) or state.names is None:
        raise UsageError(f"{where}.state: expected a numpy dtype with named fields, found {state!r}")
    for name, kind in plain_fields(state, ""):
        fits = kind.kind in "iub" or (kind.kind == "f" and kind.itemsize in (4, 8))
        if not fits or not kind.isnative:
            hint = ": texts are arrays of u1" if kind.kind in "SU" else ""
            raise UsageError(
                f"{where}.state: field {name!r}: expected integers, bools, floats of 4 or 8 bytes, in this machine's "
                f"byte order, or arrays of them, found {kind}{hint}"
            )


def plain_fields(dtype: np.dtype[Any], above: str) -> Iterator[tuple[str, np.dtype[Any]]]:
    """The fields of a struct, and of those within it, with the types of their elements."""
    for name in dtype.names or ():
        kind = dtype[name].base
        if kind.names is None:
            yield f"{above}{name}", kind
        else:
            yield from plain_fields(kind, f"{above}{name}.")


def _check_words(cls: type[Any], where: str) -> None:
    name = cls.name
    if not isinstance(name, str) or not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise UsageError(f"{where}.name: expected 1 to {NAME_BYTES} bytes of text, found {name!r}")
    for what, most in (("version", (1 << 32) - 1), ("source", 255)):
        value = getattr(cls, what)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise UsageError(f"{where}.{what}: expected an integer from 0 to {most}, found {value!r}")


def build(cls: type[Any], book: Any, *, inline: bool) -> Built:
    """Compile the handler of a class that `check_native` let pass; `book`: None, or a view of one, for its type.

    Raises:
        UsageError: the compiler refuses it; one line, with the file and line of the user's code.
    """
    handler = cls.handler
    drive, run = loops_with_book() if cls.keeps_book else (loop.drive_native, loop.run_native)
    if not COMPILES:
        return Built(handler, drive, run, opaque=False)
    pointer = HandlerPointer(cls, handler, book)
    return inlined(cls, handler) if inline else Built(pointer, drive, run, opaque=True)


def example_frame() -> NativeFrame:
    """A frame of nothing, for its type."""
    return NativeFrame(np.zeros(1, np.uint8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


if COMPILES:

    class HandlerPointer(numba.types.WrapperAddressProtocol):  # type: ignore[misc]  # numba is untyped
        """A compiled handler, as numba calls one through its address."""

        def __init__(self, cls: type[Any], handler: Any, book: Any) -> None:
            state = numba.typeof(np.zeros(1, cls.state)[0])
            others = [numba.typeof(example_frame()), numba.typeof(make_drafts("", 0, 0))]
            if book is not None:
                others.append(numba.typeof(book))
            try:
                handler.compile((state, *others))
                result = handler.overloads[(state, *others)].signature.return_type
            except (NumbaError, UnsupportedBytecodeError) as error:
                raise UsageError(readable(error, cls, handler)) from None
            if result != numba.types.none:
                where = f"{place_of(cls, handler)}: {cls.__name__}"
                raise UsageError(f"{where}.handler: expected no return value, found {result}: `signal` and `add` write")
            none = numba.types.none
            self._address = function_type._get_wrapper_address(handler, none(state, *others))
            self._signature = none(numba.from_dtype(OPAQUE), *others)

        def __wrapper_address__(self) -> int:
            """Where the machine code begins."""
            return int(self._address)

        def signature(self) -> Any:
            """What the loops take it for."""
            return self._signature


ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
RAISED = re.compile(r"\.? ?Raised from (None|(?P<path>.*) \((?P<line>\d+)\))$")
PLACE = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+)')
NOISE = (
    "failed in ",
    "during: ",
    "there are ",
    "- of which",
    "overload",
    "file ",
    "def ",
    "<source",
    "enable logging",
    "- resolution failure",
    "this error may have",
    "- argument",
    "the type of ",
)
"""How lines of numba's errors begin that say nothing about the code."""


FUNCTION = re.compile(r"Function\(<(?:built-in )?function (\w+)[^>]*>\)")
LONG_TYPES = (
    "NativeFrame",
    "NativeDrafts",
    "BookView",
    "BookTables",
    "TickArrays",
    "Record",
    "RecordClass",
    "Literal[str]",
)


def readable(error: Exception, cls: type[Any], handler: Any) -> str:
    """`file:line: Class.handler: what` of an error of numba's, whose text has up to a hundred lines."""
    text = ESCAPE.sub("", str(error))
    code = handler.py_func.__code__
    path, line = code.co_filename, code.co_firstlineno
    places = [*PLACE.finditer(text), *RAISED.finditer(text)]
    own = [int(found["line"]) for found in places if found["path"] and path.endswith(found["path"].lstrip("."))]
    found_at = getattr(error, "loc", None)
    if own:
        line = own[-1]
    elif found_at is not None and found_at.filename == path:
        line = found_at.line
    return f"{path}:{line}: {cls.__name__}.handler: {gist(text)}"


def gist(text: str) -> str:
    """What an error of numba's says, without where and how it was found."""
    lines = [stripped for one in text.splitlines() if (stripped := one.strip())]
    if "opcode (IMPORT_NAME)" in text:
        return "an import within it; expected it at the top of the file"
    if "NRT required" in text:
        return "it makes an array, a list or another object; a kernel works in its arguments' memory alone"
    saying = [one for one in lines if not one.lower().startswith(NOISE) and not one.startswith(("^", "%", ">>>"))]
    calls = [one.removeprefix(">>>").strip() for one in lines if one.startswith(">>>")]
    first = saying[0] if saying else lines[0]
    more = f" {calls[0]}" if calls and first.endswith(":") else ""
    return shortened(first + more)


def shortened(text: str) -> str:
    """Types by their names alone: a frame's own has three hundred letters."""
    text = FUNCTION.sub(r"\1", text)
    for name in LONG_TYPES:
        while (at := text.find(f"{name}(")) >= 0:
            end, depth = at + len(name), 0
            for end in range(at + len(name), len(text)):
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                if depth == 0:
                    break
            text = text[:at] + name + text[end + 1 :]
    return RAISED.sub("", text.replace("unaligned array", "array"))


def inlined(cls: type[Any], handler: Any) -> Built:
    """Copies of the loops with the handler compiled into them, which the compiler then optimises as one.

    A copy stands, for numba's cache, in the file of the class, under the class' name: it is compiled again when that
    file, or one beside it that it imports, is edited.
    """

    def call_plain(_handler: Any, state: Any, frame: NativeFrame, drafts: Any, _book: Any) -> None:
        inlined_handler(state, frame, drafts)  # type: ignore[name-defined]  # noqa: F821 - of the copy's globals

    def call_booked(_handler: Any, state: Any, frame: NativeFrame, drafts: Any, book: Any) -> None:
        inlined_handler(state, frame, drafts, book)  # type: ignore[name-defined]  # noqa: F821 - of the copy's globals

    function = handler.py_func
    home = KernelHome(function.__code__.co_filename, function.__module__, cls.__qualname__)
    handler_home = KernelHome(function.__code__.co_filename, function.__module__, f"{function.__qualname__}.inlined")
    inside = copied(function, handler_home, {}, inline_kernel)
    call = copied(call_booked if cls.keeps_book else call_plain, home, {"inlined_handler": inside}, inline_kernel)
    drive, run = copied_loops(home, call)
    return Built(0, drive, run, opaque=False)


class KernelHome(NamedTuple):
    """Where a copy of a kernel stands for numba's cache."""

    path: str
    module: str
    name: str


def copied_loops(home: KernelHome, call: Any) -> tuple[Any, Any]:
    """`drive_native` and `run_native` that call a handler by `call`."""
    names = {"call_handler": call}
    names["deliver"] = copied(loop.deliver, home, names, inline_kernel)
    return copied(loop.drive_native, home, names), copied(loop.run_native, home, names)


@cache
def loops_with_book() -> tuple[Any, Any]:
    """The loops for handlers that get the book."""
    return copied_loops(KernelHome(loop.__file__, loop.__name__, "with_book"), loop.call_with_book)


def copied(function: Any, home: KernelHome, names: dict[str, Any], compiler: Callable[[Any], Any] = kernel) -> Any:
    """A kernel of the same code with other global names."""
    plain = getattr(function, "py_func", function)
    qualified = f"{home.name}.{plain.__name__}"
    code = plain.__code__.replace(co_filename=home.path, co_qualname=qualified)
    copy = types.FunctionType(code, {**plain.__globals__, **names}, plain.__name__, plain.__defaults__)
    copy.__qualname__, copy.__module__ = qualified, home.module
    return compiler(copy)
