"""What an event costs as the pools that are known get more: in the collector, and in both books of strategies.

Owns made-up pools.  Each pass takes events of pools drawn anew from all of them, more than the caches of a core hold,
so that a lookup is of a pool that was not just looked up; the fastest pass counts.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
import numpy as np

from consumers.arbitrage.book_kernels import DONE, BookTables, fold, grown, learn_pair, make_tables
from consumers.arbitrage.pool_book import PoolBook
from producers.decode.batch import BatchDecoder
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.node.rpc_types import Log
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.buffers import Bytes
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.copying import copy_bytes
from tlv.jit import kernel
from tlv.layout import HEADER_SIZE, EventOrigin, PoolSync
from tlv.message import build
from tools.bench.collector.decode import DAY, SWAP_WORDS
from tools.bench.curves.fit import curve
from tools.bench.result import BenchResult
from tools.recording import bundled_recording

SIZES = (10**2, 10**3, 10**4, 10**5, 10**6)
QUICK_S = 0.1
"""Below this many seconds a reading the last size is left out: only to fill its tables takes some."""
MOST_OBJECTS = 10**5
"""Pools of a book in Python: an object takes some 2 KB."""
EVENTS, PYTHON_EVENTS, LOGS = 1 << 16, 2000, 500
ADDRESS_BYTES = 20
VALUE_AT = HEADER_SIZE + 2
"""Where the first record of a message stands, which begins with its pool."""
IDENTITY = (bytes([101] * 20), bytes([102] * 20), Venue.QUICKSWAP_V2, 18, 6)
ORIGIN = EventOrigin(1, 0, 0, 0, 0, bytes(32), bytes(32))
BLOCK_AT = EventOrigin.layout.offsets["block_number"]
EVENTS_OF_BLOCK = 128
"""Blocks rise: the events of one block are all kept, for reorgs."""
ENTRIES = 1 << 18
SEED = 1
NS_PER_S = 1e9


def run(seconds: float) -> Iterator[BenchResult]:
    """Three curves, in nanoseconds an event."""
    sizes = SIZES if seconds >= QUICK_S else SIZES[:-1]
    yield curve("pools: native book", "ns", over(sizes, in_native_book, seconds), "a Sync of any of them, folded")
    yield curve(
        "pools: collector",
        "ns",
        over(sizes, in_collector, seconds),
        f"logs of Uniswap V3 swaps, found and decoded in batches of {LOGS}",
    )
    yield curve(
        "pools: book in Python",
        "ns",
        over([size for size in sizes if size <= MOST_OBJECTS], in_python_book, seconds),
        "a Sync that is parsed already, applied",
    )


def over(
    sizes: tuple[int, ...] | list[int], measure: Callable[[int, float], float], seconds: float
) -> list[tuple[float, float]]:
    """The points of a curve."""
    return [(float(size), measure(size, seconds)) for size in sizes]


def addresses(count: int) -> Bytes:
    """uint8[count, 20]: made-up addresses, no two alike: their last bytes are their numbers."""
    found = np.random.default_rng(SEED).integers(0, 256, (count, ADDRESS_BYTES), np.uint8)
    found[:, -4:] = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    return found


def best_ns(turn: Callable[[], tuple[float, int]], seconds: float) -> float:
    """Nanoseconds an event of the fastest of some turns, each of which says (seconds, events)."""
    turn()
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        took, events = turn()
        best = min(best, took / events)
    return best * NS_PER_S


# ---- native


@kernel
def learn_all(tables: BookTables, record: Bytes, pools: Bytes) -> None:
    """Name each pool by a record that is of it but for its address."""
    for i in range(len(pools)):
        copy_bytes(record, 0, pools[i], 0, ADDRESS_BYTES)
        learn_pair(tables, record, 0)


def in_native_book(count: int, seconds: float) -> float:
    """A Sync of one of `count` pools through the fold of native strategies."""
    known, rng = addresses(count), np.random.default_rng(SEED)
    tables = make_tables(1 << count.bit_length(), ENTRIES)
    sync = PoolSync(bytes(20), *IDENTITY, Protocol.UNISWAP_V2, 1 << 100, 1 << 90)
    learn_all(tables, np.frombuffer(bytearray(sync.pack()), np.uint8), known)
    message = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, ORIGIN], sequence=1)
    stride = len(message) + 7 & -8
    buffer = np.tile(np.frombuffer(message.ljust(stride, b"\0"), np.uint8), (EVENTS, 1))
    table = np.zeros((INDEX_ROWS, EVENTS), np.int64)
    table[OFFSET_ROW], table[LENGTH_ROW] = np.arange(EVENTS) * stride, len(message)
    table[SEQUENCE_ROW] = np.arange(EVENTS) + 1

    origin_at, newest = message.index(ORIGIN.pack()), 0
    numbers = buffer[:, origin_at + BLOCK_AT : origin_at + BLOCK_AT + 8]

    def turn() -> tuple[float, int]:
        nonlocal tables, newest
        numbers[:] = (newest + np.arange(EVENTS) // EVENTS_OF_BLOCK).astype("<u8").view(np.uint8).reshape(EVENTS, 8)
        newest += EVENTS // EVENTS_OF_BLOCK
        buffer[:, VALUE_AT : VALUE_AT + ADDRESS_BYTES] = known[rng.integers(0, count, EVENTS)]
        took, column = 0.0, 0
        while column < EVENTS:
            begin = time.perf_counter()
            column, why = fold(tables, buffer.reshape(-1), table, column, EVENTS, 0)
            took += time.perf_counter() - begin
            if why != DONE:
                tables = grown(tables)
        return took, EVENTS

    for _ in range(count // EVENTS):
        turn()  # memory that nobody touched yet would be counted to the events that touch it first
    return best_ns(turn, seconds)


# ---- Python


def in_python_book(count: int, seconds: float) -> float:
    """A Sync of one of `count` pools applied to a `PoolBook`."""
    book, known, rng = PoolBook(), addresses(count), random.Random(SEED)

    def sync(number: int) -> PoolSync:
        reserve = (1 << 100) + rng.getrandbits(64)
        return PoolSync(known[number].tobytes(), *IDENTITY, Protocol.UNISWAP_V2, reserve, 1 << 90)

    for number in range(count):
        book.apply(sync(number), ORIGIN)

    newest = 0

    def turn() -> tuple[float, int]:
        nonlocal newest
        drawn = []
        for number in range(PYTHON_EVENTS):
            newest += number % EVENTS_OF_BLOCK == 0
            origin = EventOrigin(newest, 0, 0, 0, number % EVENTS_OF_BLOCK, bytes(32), bytes(32))
            drawn.append((sync(rng.randrange(count)), origin))
        begin = time.perf_counter()
        for record, origin in drawn:
            book.apply(record, origin)
        return time.perf_counter() - begin, PYTHON_EVENTS

    return best_ns(turn, seconds)


# ---- the collector


def in_collector(count: int, seconds: float) -> float:
    """A log of one of `count` pools, from its text to a sealed message."""
    known, rng = addresses(count), random.Random(SEED)
    emitter = VerifiedEmitter(bytes(20), *IDENTITY, protocol=Protocol.UNISWAP_V3)
    rows = np.repeat(np.frombuffer(emitter.pack(), VerifiedEmitter.layout.dtype), count)
    rows.view(np.uint8).reshape(count, -1)[:, :ADDRESS_BYTES] = known
    table = PoolTable()
    table.add_unknown(rows)
    decoder = BatchDecoder(table, Source.ETHEREUM_COLLECTOR)
    logs = swap_logs()

    def turn() -> tuple[float, int]:
        drawn = [
            msgspec.structs.replace(log, address=f"0x{known[rng.randrange(count)].tobytes().hex()}") for log in logs
        ]
        begin = time.perf_counter()
        context = decoder.context(len(drawn))
        context["row"] = decoder.rows(drawn)
        decoder.decode(drawn, context, first_sequence=1, timestamp_ns=0)
        return time.perf_counter() - begin, len(drawn)

    return best_ns(turn, seconds)


def swap_logs() -> list[Log]:
    """Swaps of a real pool."""
    with gzip.open(bundled_recording("ethereum") / DAY) as file:
        logs = [msgspec.json.decode(line, type=Log) for line in islice(file, 2 * LOGS)]
    return [log for log in logs if log.data is not None and len(log.data) == 2 + 64 * len(SWAP_WORDS)][:LOGS]
