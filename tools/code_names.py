"""The names of codes, also of those that this build does not know: their numbers.

It imports no layout, since commands that start quickly use it.
"""

from __future__ import annotations

from enum import IntEnum


def code_key(codes: type[IntEnum], number: int) -> str:
    """The name of a code as JSON has it, in small letters."""
    try:
        return codes(number).name.lower()
    except ValueError:
        return str(number)


def code_name(codes: type[IntEnum], number: int) -> str:
    """The same with its words apart."""
    return code_key(codes, number).replace("_", " ")
