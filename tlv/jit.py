"""How a kernel is compiled.

Owns the one numba decorator of the project.  Where nothing is compiled (NUMBA_DISABLE_JIT=1) a kernel is the function
itself, and numba is not imported: that takes 0.2 s, longer than `ringstat` and `status` look (bench `start`).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

COMPILES = os.environ.get("NUMBA_DISABLE_JIT", "") in ("", "0")
"""Whether kernels are machine code in this process."""


def import_compiler() -> Any:
    """numba, which stays: the garbage collector looks through it neither while it is imported nor before the end.

    numba is not shown `coverage` and `yaml`, all of which it imports where they are installed, for options that are off
    here.  To a ring that was made, written and read, 0.70 s of processor time become 0.55 s.
    """
    collects, hidden = gc.isenabled(), {"coverage", "yaml"} - sys.modules.keys()
    gc.disable()
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # imported, it is not found
    try:
        return importlib.import_module("numba")
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        atexit.register(gc.unfreeze)  # libraries that count at the end what was collected (duckdb) find their objects
        (gc.enable if collects else gc.disable)()


if COMPILES:
    numba = import_compiler()

    from tlv.kernel_cache import ROOT, use_private_cache

    use_private_cache(ROOT)


def kernel(function: F) -> F:
    """Compile `function` on its first call: no GIL, cached, division as numpy does it (a kernel never raises).

    A kernel allocates nothing, so it is compiled without reference counting: the atomic counts of the arrays passed
    from one kernel to the next took 80 of 95 ns of a ring publish.
    """
    return _compiled(function)


def inline_kernel(function: F) -> F:
    """A kernel that is compiled into each kernel that calls it.

    For what is called for every frame with many arguments: each array is seven words on the stack, which LLVM does not
    spare by itself.  A frame through the native loop took 86 ns, and 53 with its parts inlined (bench `strategy`).
    """
    return _compiled(function, forceinline=True)


def outline_kernel(function: F) -> F:
    """A kernel that stays a function of its own where an inline kernel calls it, for what is rare.

    numba inlines whatever it first compiles for an inline kernel, unless that says otherwise.
    """
    return _compiled(function, forceinline=False)


def _compiled(function: F, **more: bool) -> F:
    if not COMPILES:
        return function
    compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy", _nrt=False, **more)(function)
    return compiled


def compile_with(instructions: str) -> None:
    """Import the module with the instructions that numba makes of the caller's functions, if anything is compiled."""
    if COMPILES:
        importlib.import_module(instructions)
