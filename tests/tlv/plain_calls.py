"""A kernel that becomes a builtin, called as plain Python."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

from tlv.objects import ITEMS_AT, drop_reference, raised


def call_plainly(kernel: Callable[..., int], bound: tuple[object, ...], *arguments: object, **named: object) -> Any:
    """What the builtin would return, or raise."""
    given, names = (*arguments, *named.values()), tuple(map(sys.intern, named))
    found = int(kernel(id(bound), id(given) + ITEMS_AT, len(arguments), id(names) if names else 0))
    if found == 0:
        raise raised.pop()
    try:
        return ctypes.cast(found, ctypes.py_object).value
    finally:
        drop_reference(found)
