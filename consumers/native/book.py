"""The states of all pools for a native handler.

Owns `NativeBook`, which applies in Python what `book_kernels.fold` leaves to its caller, and `BookView`, the arrays that
handlers get.
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.arbitrage import book_kernels
from consumers.arbitrage.book_kernels import FULL, BookTables, grown, make_tables
from tlv.message import parse

POOLS, STATES = 64, 1024
"""Room at the beginning; both grow."""


class BookView(NamedTuple):
    """What a handler gets."""

    tables: BookTables


class NativeBook:
    """The pools of one ring, in arrays."""

    def __init__(self) -> None:
        self.view = BookView(make_tables(POOLS, STATES))

    def attend(self, why: int, payload: bytes) -> None:
        """Apply the frame at which `fold` returned `why`."""
        if why == FULL:
            self.view = self.view._replace(tables=grown(self.view.tables))
            return
        parse(payload, verify=False)

    def lose(self) -> None:
        """Frames were lost: every state is unknown."""
        self.view.tables.meta[book_kernels.COMPLETE_FROM] = -1
        book_kernels.forget_all(self.view.tables, 0)
