"""Which frames of a journal executors need, once all orders are known.

Of a pool's state an executor asks only if an order goes through the pool, or if the pool sets the price of an order's
token in the chain's coin.  No other pool changes what it publishes, so the compiled filter leaves their frames out.
Where a pool's frame is no message that can be read, none is left out: what is lost by it is lost live, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

import numpy as np

from consumers.backtest.mapped_journal import FRAMES_PER_POLL, MappedJournal
from consumers.execution.executor import PaperExecutor
from consumers.execution.orders import Order
from consumers.select_frames import COLUMNS, OTHERWISE, index_frames
from consumers.strategy import Strategy, dispatch
from ringbuf import Poll
from tlv.buffers import Longs
from tlv.errors import FrameError
from tlv.filter import IS_POOL, POOL_BYTES, TOKEN0_AT, TOKEN1_AT, TOKEN_BYTES, MessageFilter
from tlv.layout import PoolRecord
from tlv.message import parse

EVERYTHING = MessageFilter.of(types=PaperExecutor.wants)
NAMES_SIZE = TOKEN1_AT + TOKEN_BYTES
"""Of a pool's identity and its two tokens, with which its records begin."""


def needed_frames(journal: MappedJournal, orders: Iterable[Order], coins: Set[bytes]) -> MessageFilter:
    """The frames that executors need for these orders; `coins`: what they take for the chain's coin."""
    pools: set[bytes] = set()
    tokens: set[bytes] = set()
    for order in orders:
        pools.update(leg.pool.ljust(POOL_BYTES, b"\0") for leg in order.legs)
        tokens |= {order.token_in, order.token_out}
    try:
        for name in names_of(poll for _, poll in journal.polls()):
            pair = {name[TOKEN0_AT:TOKEN1_AT], name[TOKEN1_AT:]}
            if pair & tokens and pair & coins:
                pools.add(name[:POOL_BYTES])
    except FrameError:
        return EVERYTHING
    return MessageFilter(EVERYTHING.types, pools=frozenset(pools))


def names_of(polls: Iterable[Poll]) -> Set[bytes]:
    """What the records of each pool begin with: its identity and its tokens.

    Raises:
        FrameError: a frame is no message, or lacks the origin of its event.
    """
    found: set[bytes] = set()
    table: Longs = np.zeros((FRAMES_PER_POLL, COLUMNS), np.int64)
    for poll in polls:
        rows = table[: index_frames(poll.buffer, poll.offsets, poll.lengths, EVERYTHING.tables, table)]
        kinds, places, origins = rows[:, 1], rows[:, 2], rows[:, 3]
        is_pool = (kinds != OTHERWISE) & (IS_POOL[kinds] != 0)
        found.update(name for at in rows[~is_pool | (origins == 0), 0].tolist() for name in names_in(poll[at].payload))
        events = places[is_pool & (origins != 0)]
        names = np.ascontiguousarray(poll.buffer[events[:, None] + np.arange(NAMES_SIZE)])
        found.update(names.view(f"V{NAMES_SIZE}")[:, 0].tolist())
    return found


def names_in(payload: bytes | memoryview) -> Iterator[bytes]:
    """The pool that a message names, if it begins with a pool's record."""
    message = parse(payload, verify=False)
    dispatch(NOBODY, message)
    for record in message.records[:1]:
        if isinstance(record, PoolRecord):
            yield record.pool.ljust(POOL_BYTES, b"\0") + record.token0 + record.token1


NOBODY = Strategy()
"""Takes every record and does nothing."""
