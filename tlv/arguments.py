"""Checks of public arguments: the value as its plain Python type, or a UsageError with the argument's name."""

from __future__ import annotations

import contextlib
from operator import index
from typing import SupportsFloat

from tlv.errors import UsageError

MOST_SEQUENCE = (1 << 63) - 1
MOST_SECONDS = 1e9
"""Thirty years.  More overflows a deadline in nanoseconds."""


def check_integer(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int from `low` to `high`; numpy's integers are welcome, bools and floats are not.

    Raises:
        UsageError.
    """
    if type(value) is int and low <= value <= high:
        return value
    try:
        found = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        found = None
    if found is None or not low <= found <= high:
        raise UsageError(f"{name}: expected an integer from {low} to {high}, found {value!r}")
    return int(found)


def check_seconds(name: str, value: object, *, above_zero: bool = False) -> float:
    """`value` as a finite number of seconds from 0 on, or above it.

    Raises:
        UsageError.
    """
    try:
        number = isinstance(value, SupportsFloat) and not isinstance(value, bool)
        found = float(value) if number else float("nan")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not 0 <= found <= MOST_SECONDS or (above_zero and found == 0):
        least = "above 0" if above_zero else "from 0"
        raise UsageError(f"{name}: expected seconds {least} to {MOST_SECONDS:g}, found {value!r}")
    return found


def check_start(name: str, value: object, *others: str, sequences: bool = True) -> str | int:
    """Where reading begins, in the words that mean the same everywhere: `oldest`, `latest`, or a sequence from 1 on.

    `others` are further words of one reader; `sequences` says whether it knows sequences.

    Raises:
        UsageError: it is none of them.
    """
    words = ("oldest", "latest", *others)
    if isinstance(value, str) and value in words:
        return value
    if sequences and not isinstance(value, str | bool):
        with contextlib.suppress(TypeError):
            if 1 <= (sequence := index(value)) <= MOST_SEQUENCE:  # type: ignore[arg-type]
                return sequence
    expected = f"{', '.join(words)} or a sequence from 1 on" if sequences else f"one of {', '.join(words)}"
    raise UsageError(f"{name}: expected {expected}, found {value!r}")
