"""Compiling the loops of native strategies before the first of them starts: those without a book, and with one."""

from __future__ import annotations

import os
import secrets
from typing import Any

import numpy as np

from consumers.native.book import BookView, pool_row, price, quote, reserves
from consumers.native.drafts import NativeDrafts
from consumers.native.driver import NativeDriver
from consumers.native.frame import NativeFrame
from consumers.native.runner import NativeRunner
from consumers.native.strategy import NativeStrategy
from ringbuf import Reader, Writer
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, MIN_CAPACITY, SEQUENCE_ROW
from tlv.codes import Domain, Source
from tlv.jit import kernel
from tlv.layout import LAYOUT_DIGEST, BlockEnd, PoolSync
from tlv.message import build


class Silent(NativeStrategy):
    """Says nothing."""

    name = "silent"
    state = np.dtype([("seen", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805 - a kernel
        """Count."""
        state["seen"] += 1


class SilentWithBook(NativeStrategy):
    """Asks its book, and says nothing."""

    name = "silent_with_book"
    keeps_book = True
    state = np.dtype(
        [("pool", "u1", (PoolSync.layout.kinds["pool"].size,)), ("amount", "<u8", (4,)), ("out", "<u8", (4,))]
    )

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts, book: BookView) -> None:  # noqa: N805 - a kernel
        """Ask all that can be asked of a pool that nobody knows."""
        row = pool_row(book, state["pool"])
        price(book, row)
        reserves(book, row, state["amount"], state["out"])
        quote(book, row, True, state["amount"], state["out"])


def warm() -> None:
    """Compile, or load from the cache, the loops over a ring and over frames that are all there."""
    message = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [BlockEnd(1, 0, 0, 0, 0, bytes(32), 1)], sequence=1)
    table = np.zeros((INDEX_ROWS, 1), np.int64)
    table[SEQUENCE_ROW], table[LENGTH_ROW] = 1, len(message)
    buffer = np.frombuffer(bytearray(message + bytes(-len(message) % 8)), np.uint8)
    name = f"warm.{os.getpid()}.{secrets.token_hex(4)}"
    for strategy in (Silent, SilentWithBook):
        list(NativeDriver(strategy(), bytes(16)).run_over(buffer, table, 0, 1))
        with (
            Writer.create(name, capacity=MIN_CAPACITY, layout_digest=LAYOUT_DIGEST) as writer,
            Reader.attach(name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader,
        ):
            runner = NativeRunner(strategy(), reader, writer)
            runner.step()
            runner.order_hash.add(buffer)
            runner.order_hash.hexdigest()
            runner.close()
            writer.close(unlink=True)
