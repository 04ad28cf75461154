"""Which columns the table of a record type has, and rows of it as bytes.

Owns names and places of columns.  Every table begins with the message's own columns, then has the record's fields under
their names, then those of the EventOrigin behind it, and the ring.  A name that is taken gets a prefix: a PoolState has
its `block_number` and its `origin_block_number`.

Wide integers are big-endian here and little-endian on the wire: big-endian bytes sort as the numbers do (but for the
sign of an i256), so Parquet's statistics and DuckDB's ORDER BY work on them, and hex digits read in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from consumers.analysis import kernels
from consumers.analysis.kernels import COLUMN_FACTS, FRAME, HAS_ORIGIN, MESSAGE, ORIGIN, VALUE
from ringbuf.layout import SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Bytes, Longs
from tlv.codes import VENDOR_TYPES
from tlv.fields import FieldKind
from tlv.layout import EventOrigin, Header, PoolRecord
from tlv.record import Record

WIDE = frozenset({"u128", "i128", "u256", "i256"})
INT64 = FieldKind("i64", "<i8", 0, "q")
FLAG = FieldKind("u8", "u1", 0, "B")
FIRST_ROWS = 1 << 10
MOST_ROWS = 1 << 16
"""Rows of a type's first block, and of its largest.  Each block is four times the one before, so that a type with one
row does not take the room of 65,536."""


class Column(NamedTuple):
    """One column: its name, the kind of its bytes, and their place in a message (which part, and the offset in it)."""

    name: str
    kind: FieldKind
    part: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return self.kind.size

    @property
    def is_wide(self) -> bool:
        """Whether the values are integers of more than 64 bits."""
        return self.kind.name in WIDE


def joins_origin(cls: type[Record]) -> bool:
    """Whether the origin's columns stand in the table of `cls`; they are null where a message has none."""
    return issubclass(cls, PoolRecord) or cls.layout.type in VENDOR_TYPES


@cache
def columns_of(cls: type[Record]) -> tuple[Column, ...]:
    """The columns of the table of `cls`, in their order."""
    head = Header.layout
    columns = {
        "sequence": Column("sequence", INT64, FRAME, SEQUENCE_ROW),
        "published_ns": Column("published_ns", INT64, FRAME, TIME_ROW),
        "message_sequence": Column("message_sequence", INT64, MESSAGE, head.offsets["sequence"]),
        **{
            name: Column(name, head.kinds[name], MESSAGE, head.offsets[name])
            for name in ("timestamp_ns", "source", "flags")
        },
    }
    parts = [(cls, VALUE, "record_")]
    if joins_origin(cls):
        parts.append((EventOrigin, ORIGIN, "origin_"))
    for part_cls, part, prefix in parts:
        for field, kind in part_cls.layout.kinds.items():
            name = prefix + field if field in columns or field == "ring" else field
            columns[name] = Column(name, kind, part, part_cls.layout.offsets[field])
    return tuple(columns.values())


class RowBlock:
    """Rows of one table as bytes, column after column, and how many of them are filled."""

    def __init__(self, cls: type[Record], ring: bytes, room: int) -> None:
        self.cls = cls
        self.ring = ring
        self.room = room
        self.rows = 0
        self.columns = columns_of(cls)
        sources = [*self.columns, Column("", FLAG, HAS_ORIGIN, 0)]
        # The room is a multiple of 64, so every column begins at a multiple of 64 bytes, Arrow's recommended alignment.
        bases = np.cumsum([0, *(column.size * room for column in sources)])
        self.facts: Longs = np.zeros((COLUMN_FACTS, len(sources)), np.int64)
        for i, column in enumerate(sources):
            self.facts[:, i] = column.part, column.offset, column.size, column.is_wide, bases[i]
        self.arena = np.empty(int(bases[-1]), np.uint8)

    def take(
        self,
        buffer: Bytes,
        table: Longs,
        listed: Longs,
        begin: int,
        count: int,
        picked: Longs,
    ) -> int:
        """Copy listed rows from `begin` on until the block is full; returns where to go on (`count`: all done)."""
        done, self.rows = kernels.copy_rows(
            buffer,
            table,
            listed,
            begin,
            count,
            self.cls.layout.type,
            picked,
            self.facts,
            self.arena,
            self.rows,
            self.room,
        )
        return done

    def bytes_of(self, index: int) -> Bytes:
        """The bytes of column `index`; the index behind the last column gives the flags of `has_origin`."""
        _, _, size, _, base = self.facts[:, index].tolist()
        return self.arena[base : base + size * self.rows]

    def sequences(self) -> Longs:
        """The sequence of each row's frame."""
        return self.bytes_of(0).view(np.int64)

    def only(self, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> RowBlock:
        """The rows that `kept` is true of; this block if that is all."""
        if kept.all():
            return self
        found = RowBlock(self.cls, self.ring, self.room)
        found.rows = int(np.count_nonzero(kept))
        for index in range(len(self.columns) + 1):
            found.bytes_of(index)[:] = self.bytes_of(index).reshape(self.rows, -1)[kept].reshape(-1)
        return found

    def has_origin(self) -> Bytes:
        """1 for each row whose message has an EventOrigin."""
        return self.bytes_of(len(self.columns))


class Blocks:
    """The blocks of rows, by record type, that one segment's scan fills."""

    def __init__(self, ring: bytes, clock_offset_ns: int, classes: dict[int, type[Record]]) -> None:
        self._ring = ring
        self._clock_offset_ns = clock_offset_ns
        self._classes = classes
        self._open: dict[int, RowBlock] = {}
        self._full: list[RowBlock] = []

    def take(
        self,
        buffer: Bytes,
        table: Longs,
        listed: Longs,
        count: int,
        picked: Longs,
    ) -> None:
        """Add the first `count` listed rows, each to the block of its type."""
        for tlv_type in np.flatnonzero(np.bincount(listed[kernels.TYPE_ROW, :count])).tolist():
            done = 0
            while done < count:
                done = self._with_room(tlv_type).take(buffer, table, listed, done, count, picked)

    def _with_room(self, tlv_type: int) -> RowBlock:
        block = self._open.get(tlv_type)
        if block is None or block.rows == block.room:
            room = FIRST_ROWS if block is None else min(4 * block.room, MOST_ROWS)
            if block is not None:
                self._full.append(block)
            block = self._open[tlv_type] = RowBlock(self._classes[tlv_type], self._ring, room)
        return block

    def finish(self) -> Iterator[RowBlock]:
        """All blocks, those of one type in the order of their rows."""
        for block in [*self._full, *self._open.values()]:
            published = next(i for i, column in enumerate(block.columns) if column.name == "published_ns")
            # Frames carry the monotonic clock, tables the wall clock.
            block.bytes_of(published).view(np.int64)[:] += self._clock_offset_ns
            yield block
