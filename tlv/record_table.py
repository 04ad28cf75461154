"""The classes of the records as machine code knows them: which fields each has, where they are, and how they are read.

Owns the table, in memory that does not move, and how it is filled.  It must never read or write a message: that is
`tlv.record_kernels` and `tlv.record_writing`.

A class is in the table from the second time on: `RecordTable.teach` notes it when Python first meets it.  The table
holds addresses, so it keeps what it was taught.
"""

from __future__ import annotations

import ctypes
from struct import pack

import numpy as np

from tlv.jit import inline_kernel
from tlv.layout import Header
from tlv.objects import BYTES_AT, OBJECT_BYTES, STACK_WORDS, WORD
from tlv.record import RECORDS, Record

(REGISTRY_AT, ROWS_OF_AT, ERRORS_AT, NONE_AT, TRUE_AT, INT_AT, BYTES_TYPE_AT, STR_AT, LIST_TYPE_AT, ROWS_AT) = (
    WORD * at for at in range(10)
)
"""In the table: addresses of `RECORDS`, of `RecordTable.rows_of`, of the text "replace", of None, True and the types
int, bytes, str and list; then the rows of the types."""
SIZE_OF, COUNT_OF, DOMAIN_OF, PACKED_OF, TYPE_OF = (WORD * at for at in range(1, 6))
"""In a row, behind the class: its size, how many fields it has, its domain (0: any), the bytes without its padding, its
type.  Then its fields."""
FORM_OF, OFFSET_OF, WIDTH_OF, SLOT_OF = (WORD * at for at in range(4))
"""Of a field: its form, where it begins, how many bytes it has, and where an instance has its value."""
ROW_HEAD, FIELD_BYTES = 6 * WORD, 4 * WORD
ROW_BYTES = ROW_HEAD + STACK_WORDS * FIELD_BYTES
MEMBER_AT = OBJECT_BYTES + 3 * WORD  # in a member descriptor: its definition, which is (name, type, offset, ...)


class RecordTable:
    """The classes of the records, for kernels: a row for each TLV type, and one for the header."""

    def __init__(self) -> None:
        self._words = np.zeros((ROWS_AT + 256 * ROW_BYTES) // WORD, np.int64)
        self.rows_of: dict[type[Record], int] = {}
        """The address of the row that a class was taught to; another class may have it now."""
        self.taught: dict[int, type[Record]] = {}
        """By type, the class that was taught last; also one that is left to Python."""
        errors = b"replace"
        self._kept: list[object] = [errors]
        known = (RECORDS, self.rows_of, errors, None, True, int, bytes, str, list)
        self._words[: len(known)] = [id(one) for one in known]
        self._words[ERRORS_AT // WORD] += BYTES_AT
        self.teach(Header)

    @property
    def address(self) -> int:
        """Where kernels find it."""
        return self._words.ctypes.data

    def teach(self, cls: type[Record]) -> None:
        """Let kernels read and write records of this class, in the place of one that had its type before.

        One of more fields than `STACK_WORDS` is left to Python.
        """
        layout = cls.layout
        self._kept.append(cls)
        self.taught[layout.type] = cls
        first = (ROWS_AT + layout.type * ROW_BYTES) // WORD
        self._words[first] = 0
        kinds = layout.kinds.items()
        if len(kinds) > STACK_WORDS:
            return
        packed = sum(kind.size for _, kind in kinds)
        row = [layout.size, len(kinds), layout.domain or 0, packed, layout.type]
        for name, kind in kinds:
            row += [kind.form, layout.offsets[name], kind.size, slot_of(cls, name)]
        self._words[first + 1 : first + 1 + len(row)] = row
        self._words[first] = id(cls)
        self.rows_of[cls] = self.address + first * WORD


def slot_of(cls: type[Record], name: str) -> int:
    """Where an instance has the field's value: the offset of its slot, as CPython's member descriptor has it."""
    descriptor = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
    definition = ctypes.c_int64.from_address(id(descriptor) + MEMBER_AT).value
    assert ctypes.c_char_p.from_address(definition).value == name.encode()
    return ctypes.c_int64.from_address(definition + 2 * WORD).value


TABLE = RecordTable()
"""The table of this process."""


def words(*numbers: int) -> bytes:
    """A job of a builtin."""
    return pack(f"={len(numbers)}q", *numbers)


def bound_to(*known: object) -> tuple[object, ...]:
    """What a builtin is bound to: the addresses of the table and of `known`, and these themselves."""
    return (words(TABLE.address, *map(id, known)), TABLE, *known)


@inline_kernel
def row_of(table: int, number: int) -> int:
    """The address of a type's row."""
    return table + ROWS_AT + number * ROW_BYTES
