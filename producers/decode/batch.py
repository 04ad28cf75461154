"""Many logs to many sealed messages in one call: the Python face of the hot path.

Owns the buffers and how logs become the flat text that `producers.decode.kernels` reads.  It knows no socket, no ring
and no block: it is given logs and what the caller knows of them, and fills one buffer that `Writer.publish_many` takes
as it is.

    logs --attrgetter, join--> one ASCII text and where each field stands     no Python bytecode per log
    text --decode_batch------> header | PoolXxx | EventOrigin, sealed         native, one pass

Tried and lost: a kernel that finds the fields in the frames themselves, without msgspec and without the join.  It
takes 0.8 us a log, but eight texts, by which blocks, identities and pools are known, must then be cut out in Python,
1.9 us; msgspec makes them all in 1.4, and the join is 1.0 (recorded Polygon logs).  It would pay once a block knows its
logs as words in an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from producers.decode.cold import Refusal
from producers.decode.kernels import CONTEXT, ORIGIN_SIZE, Contexts, decode_batch
from producers.decode.moves import compile_events
from producers.decode.pool_table import PoolTable
from producers.kinds.emitter_key import spelled_key_of
from producers.kinds.events import EVENTS
from producers.node.rpc_types import Log
from tlv.buffers import Bytes, Longs
from tlv.kernels import EXTENDED_FORM
from tlv.layout import HEADER_SIZE, PoolRecord
from tlv.record import RECORDS

fixed_fields = attrgetter("block_number", "transaction_index", "log_index", "block_hash", "transaction_hash", "data")
"""In the order of the picture in `producers.decode.kernels`."""
topics_of = attrgetter("topics")

MAX_MESSAGE_SIZE = (
    HEADER_SIZE
    + 2 * EXTENDED_FORM
    + ORIGIN_SIZE
    + max(record.layout.size for record in RECORDS.values() if issubclass(record, PoolRecord))
)
"""Of any event that a kind can declare."""


class FlatLogs(NamedTuple):
    """A batch as the kernel reads it: its fields one after the other in `text`."""

    text: Bytes
    lengths: Longs
    """Characters of each field; behind them, of each log, how many topics it has."""


def flatten(logs: Sequence[Log]) -> FlatLogs:
    """The text of `logs`, field after field.  A field that the node left out has no characters."""
    topics = list(map(topics_of, logs))
    fields = list(chain(chain.from_iterable(map(fixed_fields, logs)), chain.from_iterable(topics)))
    try:
        joined = "".join(fields)
    except TypeError:  # a field that the node left out; looking for None beforehand would cost 0.3 us a log
        fields = [field or "" for field in fields]
        joined = "".join(fields)
    # A character that is no ASCII becomes one "?": no digit, so its field is refused, and nothing moves.  A bytearray,
    # as numba resolves a read-only array on its slow path.
    text = np.frombuffer(bytearray(joined.encode("ascii", "replace")), dtype=np.uint8)
    count = len(fields) + len(topics)
    return FlatLogs(text, np.fromiter(chain(map(len, fields), map(len, topics)), dtype=np.int64, count=count))


def same_context(
    rows: Sequence[int], flags: Sequence[int] | int, block_timestamp: int, receive_time_ns: int
) -> Contexts:
    """The CONTEXT of each of some logs of one block that came at one time.

    One log's is made of its words: 0.9 us, where setting the fields by name takes 3.5.
    """
    if len(rows) == 1:
        flag = flags if isinstance(flags, int) else flags[0]
        return np.array([rows[0], flag, block_timestamp, receive_time_ns], dtype=np.int64).view(CONTEXT)
    context = np.zeros(len(rows), dtype=CONTEXT)
    context["row"], context["flags"] = rows, flags
    context["block_timestamp"], context["receive_time_ns"] = block_timestamp, receive_time_ns
    return context


class Decoded(NamedTuple):
    """The outcome of a batch.  The arrays are the decoder's own and good until its next call."""

    buffer: Bytes
    offsets: Longs
    lengths: Longs
    """Message k is `buffer[offsets[k]:][:lengths[k]]`; a refused log has none, so they are dense."""
    refusals: Bytes
    """A `Refusal` for each log."""
    events: Longs
    """Index into `producers.kinds.events.EVENTS` for each log, -1 if its topic is none of them."""


def count_refusals(refusals: Bytes) -> dict[Refusal, int]:
    """How many logs were refused, by reason."""
    counts = np.bincount(refusals, minlength=len(Refusal))
    return {refusal: int(counts[refusal]) for refusal in Refusal if refusal and counts[refusal]}


class BatchDecoder:
    """Decodes batches of logs against one pool table, by the kinds that are registered when it is made.

    Keeps its buffers, which grow to the largest batch seen.
    """

    def __init__(self, pools: PoolTable, source: int) -> None:
        self._pools = pools
        self._tables = compile_events(EVENTS).as_bytes()
        self._source = int(source)  # numba looks up the type of an IntEnum in Python: 110 us a call
        self._word = np.zeros(8, dtype=np.uint64)
        self._starts = np.empty(0, dtype=np.int64)
        self._reserve(256)

    def context(self, logs: int) -> Contexts:
        """A zeroed CONTEXT for each of `logs` logs, for the caller to fill before `decode`."""
        return np.zeros(logs, dtype=CONTEXT)

    def rows(self, logs: Sequence[Log]) -> Longs:
        """The pool-table row of each log's emitter, -1 where it is not in the table."""
        row_of, named = self._pools.row_of, self._pools.named
        keys = (spelled_key_of(log) if log.address in named else log.address for log in logs)
        return np.fromiter((row_of.get(key, -1) for key in keys), dtype=np.int64, count=len(logs))

    def decode(self, logs: Sequence[Log], context: Contexts, *, first_sequence: int, timestamp_ns: int) -> Decoded:
        """Decode `logs`; message k of the result has sequence `first_sequence + k`.

        `context` is one CONTEXT for each log.  Never raises for what a log holds: see `Decoded.refusals`.
        """
        count = len(logs)
        if count > len(self._refusals):
            self._reserve(2 * count)
        text, lengths = flatten(logs)
        if lengths.size > self._starts.size:
            self._starts = np.empty(2 * lengths.size, dtype=np.int64)
        messages = decode_batch(
            *self._tables,
            text,
            lengths,
            count,
            self._pools.rows.view(np.uint8),
            context.view(np.uint8),
            self._source,
            first_sequence,
            timestamp_ns,
            self._word,
            self._starts,
            self._buffer,
            self._offsets,
            self._lengths,
            self._refusals,
            self._events,
        )
        return Decoded(
            self._buffer,
            self._offsets[:messages],
            self._lengths[:messages],
            self._refusals[:count],
            self._events[:count],
        )

    def _reserve(self, logs: int) -> None:
        self._buffer = np.empty(logs * MAX_MESSAGE_SIZE, dtype=np.uint8)
        self._offsets = np.empty(logs, dtype=np.int64)
        self._lengths = np.empty(logs, dtype=np.int64)
        self._refusals = np.empty(logs, dtype=np.uint8)
        self._events = np.empty(logs, dtype=np.int64)
