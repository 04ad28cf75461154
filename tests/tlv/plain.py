"""Every kernel in both its forms: compiled, and as the Python function it was written as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def both(kernel: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The compiled kernel and its Python source; the source alone when the suite runs without the compiler."""
    source = getattr(kernel, "py_func", None)
    return [kernel] if source is None else [kernel, source]
