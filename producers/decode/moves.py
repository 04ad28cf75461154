"""The events of the registered kinds, compiled for the kernels of `producers.decode.kernels`.

Owns the translation and nothing else: offsets come from the records' layouts, topics from the events' signatures.

    topics[e]       topic0 of event e, as `read_word` leaves it
    emitters[e, p]  whether contracts of the kind with code p emit it
    shapes[e]       what event e looks like on the chain, which record it becomes, and its runs in the two lists below
    moves           one argument each: check the next word, store it in the record
    copies          one run of bytes each, from the emitter's row (`producers.decode.pool_table`) to the record

An event's copies come first, so that an argument may overrule what the row says: a factory's event names the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from producers.decode.cold import IDENTITY
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.events import BOUNDS, Argument, ContractEvent, Relation, Role, ValueBounds
from tlv.buffers import Bytes
from tlv.record import Layout

Table = np.ndarray[Any, np.dtype[np.void]]
Topics = np.ndarray[Any, np.dtype[np.uint64]]

WORD_SIZE = 32
ADDRESS_SIZE = 20
"""Of a field for a pool it fills the first bytes; the rest are zero."""
LARGEST_I64 = (1 << 63) - 1
ABSENT = -1
"""The offset of a field that the record does not have."""


class MoveKind(IntEnum):
    """How a move stores its word."""

    DROP = 0
    UNSIGNED = 1
    SIGNED = 2
    SPLIT = 3
    """Signed, its magnitude in one of two unsigned fields: `into` if it is positive, else `out_of`."""
    ADDRESS = 4
    BY_ORDER = 5
    """Unsigned, in one of two fields: `out_of` if the row says that coin in is token1, else `into`."""
    WORD = 6
    """32 bytes, as they are printed."""
    DROP_SIGNED = 7
    PRICE = 8
    """Unsigned, of what square roots of prices can be."""


MOVE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "bits",
            "size",
            "into",
            "out_of",
            "checked",  # 0: none of the following says anything
            "least",  # and most, besides: what the value can be; any where least is above most
            "most",
            "besides",
            "relation",
            "proven",  # offset of the row's own value, or ABSENT
        )
    ]
)
COPY = np.dtype([(name, np.int64) for name in ("source", "target", "size")])
SHAPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "type",
            "size",
            "indexed",
            "words",
            "role",
            "block_number",  # offset in the record, or ABSENT
            "first_move",
            "first_copy",
            "end_copy",
        )
    ]
)


TEXT_ORDER = {"address": (MoveKind.ADDRESS, ADDRESS_SIZE), "bytes32": (MoveKind.WORD, WORD_SIZE)}
"""What is no number: how it is moved, and its bytes."""


ANY_VALUE = ValueBounds(0, -1)


def _move(argument: Argument, event: ContractEvent) -> tuple[int, ...]:
    kind, size, into, out_of = _way(argument, event.record.layout)
    least, most, besides = argument.bounds or ANY_VALUE
    if most > LARGEST_I64:
        assert argument.bounds == BOUNDS["sqrt_price_x96"], "the only ones that a limb does not hold"
        kind, (least, most, besides) = MoveKind.PRICE, ANY_VALUE
    of_row = event.role is Role.POOL and argument.name in IDENTITY
    proven = VerifiedEmitter.layout.offsets[argument.name] if of_row else ABSENT
    checked = argument.bounds is not None or argument.relation is not Relation.NONE or of_row
    what = (checked, least, most, besides, argument.relation, proven)
    return kind, argument.bits, size, into, out_of, *what


def _way(argument: Argument, layout: Layout) -> tuple[int, int, int, int]:
    """How its word is stored, in how many bytes, and where."""
    if not argument.fields:
        return MoveKind.DROP_SIGNED if argument.signed else MoveKind.DROP, 0, ABSENT, ABSENT
    into, out_of = argument.fields[0], argument.fields[-1]
    if argument.type in TEXT_ORDER:
        kind, size = TEXT_ORDER[argument.type]
        return kind, size, layout.offsets[into], ABSENT
    if argument.by_order:
        kind = MoveKind.BY_ORDER
    elif argument.split:
        kind = MoveKind.SPLIT
    else:
        kind = MoveKind.SIGNED if argument.signed else MoveKind.UNSIGNED
    return kind, layout.kinds[into].size, layout.offsets[into], layout.offsets[out_of]


def _copies(layout: Layout) -> list[tuple[int, int, int]]:
    """The fields that a record shares with a row; neighbours in both become one run."""
    runs: list[tuple[int, int, int]] = []
    for name, kind in VerifiedEmitter.layout.kinds.items():
        if name not in layout.kinds:
            continue
        source, target = VerifiedEmitter.layout.offsets[name], layout.offsets[name]
        if runs and (source, target) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + kind.size)
        else:
            runs.append((source, target, kind.size))
    return runs


class Tables(NamedTuple):
    """What the kernels know of events: arguments of theirs, since a constant would fix the kinds at compile time."""

    topics: Topics  # uint64[events, 4]
    emitters: Bytes  # uint8[events, 256]
    shapes: Table
    moves: Table
    copies: Table

    def as_bytes(self) -> tuple[Topics, Bytes, Bytes, Bytes, Bytes]:
        """As `producers.decode.kernels.decode_batch` takes them."""
        tables = (np.ascontiguousarray(table).view(np.uint8) for table in (self.shapes, self.moves, self.copies))
        return self.topics, self.emitters, *tables  # type: ignore[return-value]  # three of them


def compile_events(events: Sequence[ContractEvent]) -> Tables:
    """The tables of `events`, row for row."""
    topics = [[int(event.topic0, 16) >> 64 * limb & (1 << 64) - 1 for limb in range(4)] for event in events]
    emitters = np.zeros((len(events), 256), dtype=np.uint8)
    for row, event in zip(emitters, events, strict=True):
        row[list(event.protocols)] = 1
    rows: list[tuple[int, ...]] = []
    moves: list[tuple[int, ...]] = []
    copies: list[tuple[int, ...]] = []
    for event in events:
        layout = event.record.layout
        runs = _copies(layout)
        rows.append(
            (
                layout.type,
                layout.size,
                len(event.indexed),
                len(event.words),
                event.role,
                layout.offsets.get("block_number", ABSENT),
                len(moves),
                len(copies),
                len(copies) + len(runs),
            )
        )
        moves += [_move(argument, event) for argument in (*event.indexed, *event.words)]
        copies += runs
    return Tables(
        np.array(topics, np.uint64), emitters, np.array(rows, SHAPE), np.array(moves, MOVE), np.array(copies, COPY)
    )
