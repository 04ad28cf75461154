"""Keys of a TOML table: what each may hold, and every mistake at once.

Owns the checking of values by key, and the words in which a mistake is told.  It knows no chain: which keys there are
stands in `producers.chains.chain_keys`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eth_hash.auto import keccak

from tlv.addresses import read_address

HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
HASH_OF_NOTHING = f"0x{keccak(b'').hex()}"
SHOWN = 80
"""Characters of a value that a message repeats."""


class Mistake(NamedTuple):
    """One key that cannot be used."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@dataclass(frozen=True)
class Key:
    """One key of a table."""

    name: str
    read: Callable[[Any], Any]
    """The value as it is used.  Raises ValueError with what was expected and found."""
    about: str
    """For whoever writes the file."""
    required: bool = False


@dataclass(frozen=True)
class TableKey:
    """A key that holds a table, or several of them."""

    name: str
    keys: tuple[Key, ...]
    about: str
    several: bool = False


Keys = tuple[Key | TableKey, ...]


def read_table(found: Mapping[str, Any], keys: Keys, mistakes: list[Mistake], path: str = "") -> dict[str, Any]:
    """The values that can be used; everything else is added to `mistakes`."""
    known = {key.name: key for key in keys}
    values: dict[str, Any] = {}
    for name, value in found.items():
        where = path + name
        key = known.get(name)
        if key is None:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
            mistakes.append(Mistake(where, f"unknown key; {hint}"))
        elif isinstance(key, TableKey):
            values[name] = _read_tables(value, key, mistakes, where)
        else:
            try:
                values[name] = key.read(value)
            except ValueError as error:
                mistakes.append(Mistake(where, str(error)))
    for key in keys:
        if isinstance(key, Key) and key.required and key.name not in found:
            mistakes.append(Mistake(path + key.name, f"missing; {key.about}"))
    return values


def _read_tables(value: Any, key: TableKey, mistakes: list[Mistake], where: str) -> Any:
    if not key.several:
        if isinstance(value, dict):
            return read_table(value, key.keys, mistakes, f"{where}.")
        mistakes.append(Mistake(where, f"expected a table, found {shown(value)}"))
        return {}
    if not isinstance(value, list):
        mistakes.append(Mistake(where, f"expected [[{key.name}]] tables, found {shown(value)}"))
        return []
    tables = []
    for place, table in enumerate(value):
        if isinstance(table, dict):
            tables.append(read_table(table, key.keys, mistakes, f"{where}[{place}]."))
        else:
            mistakes.append(Mistake(f"{where}[{place}]", f"expected a table, found {shown(table)}"))
    return tables


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def whole(least: int, most: int = (1 << 63) - 1) -> Callable[[Any], int]:
    """A whole number within these bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, found {shown(value)}")
        return value

    return read


def seconds(value: Any) -> float:
    """A duration."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"expected a number of seconds, found {shown(value)}")
    return float(value)


def matching(pattern: str, expected: str) -> Callable[[Any], str]:
    """A text of this form."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(f"expected {expected}, found {shown(value)}")
        return value

    return read


def one_of(names: Callable[[], list[str]]) -> Callable[[Any], str]:
    """One of an enumeration."""

    def read(value: Any) -> str:
        if value not in names():
            raise ValueError(f"expected one of {', '.join(names())}, found {shown(value)}")
        return str(value)

    return read


def address(value: Any) -> str:
    """An address in any spelling, as lower case."""
    if not isinstance(value, str):
        raise ValueError(f"expected 0x and 40 hex digits, found {shown(value)}")
    return read_address(value)


def contract(value: Any) -> str:
    """An address at which a contract can be."""
    found = address(value)
    if int(found, 16) == 0:
        raise ValueError(f"expected the address of a contract, found {shown(value)}")
    return found


def code_hash(value: Any) -> str:
    """The hash of code that makes a contract."""
    found = hash32(value)
    if int(found, 16) == 0 or found == HASH_OF_NOTHING:
        raise ValueError(f"expected keccak256 of code, found {shown(value)}")
    return found


def hash32(value: Any) -> str:
    """A hash in either case, as lower case."""
    if not isinstance(value, str) or not HASH.fullmatch(value):
        raise ValueError(f"expected 0x and 64 hex digits, found {shown(value)}")
    return value.lower()


def text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, found {shown(value)}")
    return value


def list_of(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """A list; the first element that cannot be is named by its place."""

    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"expected a list, found {shown(value)}")
        found = []
        for place, element in enumerate(value):
            try:
                found.append(read(element))
            except ValueError as error:
                raise ValueError(f"element {place}: {error}") from None
        return found

    return read_all
