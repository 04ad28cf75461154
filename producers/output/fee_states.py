"""What decides the fee of watched Algebra pools, read from the node: their fee moves with time, not with events alone.

Owns whose FeeState is due, the reading of one, and its message.  It must never compute a fee: readers do, for the
timestamp of their choice, and move what they know with the pool's own events.

    due --(the newest complete block)--> the program, the slot of the volume --> FeeState, its Timepoints
            ^                                   |
            |                                   +-- refused, or the two contradict each other: 16 blocks later
            +-- disconnected, block dropped; the moment a day ago comes near the end of the Timepoints that were told

Pools become due as their tick maps do (`producers.output.tick_maps`), and of the same watch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from producers.blocks.block import Block
from producers.context import Context
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.registry import kind_of
from producers.node.calls_at import About, Answer
from producers.node.jsonrpc import DISCONNECTED
from producers.output.fee_program import (
    VOLUME_SLOT,
    WINDOW_S,
    FeeReading,
    call_data,
    read_fee,
    read_volume,
)
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.tick_maps import PAUSE_BLOCKS, TickWatch
from tlv.codes import Domain, Flag
from tlv.layout import FeeState, PoolRecord

MAX_AT_ONCE = 4
TIMEOUT_S = 20.0
AHEAD_S = 40
"""How long before a FeeState ends to be enough the next one is read."""


class FeeStates:
    """The FeeStates that are due, and their messages."""

    def __init__(
        self,
        context: Context,
        introductions: Introductions,
        outbox: Outbox,
        is_canonical: Callable[[Block], bool],
        watch: TickWatch,
    ) -> None:
        self._calls, self._stats, self._introductions, self._outbox = (
            context.calls,
            context.stats,
            introductions,
            outbox,
        )
        self._is_canonical, self._watch = is_canonical, watch
        self.is_followed: Callable[[VerifiedEmitter], bool] = lambda _: True
        """Whether readers get every event that moves the pool's fee."""
        self.due: dict[int, int] = {}
        """Row, and the lowest block number whose FeeState is of use."""
        self._reading: set[int] = set()
        self._told: dict[int, tuple[int, int]] = {}
        """Row, the block number of the FeeState that readers have, and until when it is enough (0: for ever)."""

    def want(self, row: int, since_block: int = 0) -> None:
        """Tell what decides one pool's fee, if it is watched, as of `since_block` or later."""
        pool = self._introductions.pool(row)
        kind = kind_of(pool.protocol)
        if kind is not None and kind.fee_states and self._watch.names(pool) and self.is_followed(pool):
            self.due[row] = max(self.due.get(row, 0), since_block)

    def want_all(self, since_block: int) -> None:
        """The same of every watched pool that readers have heard of."""
        for row in self._introductions.known:
            self.want(row, since_block)

    def reorganise(self, lowest: int) -> None:
        """Blocks from `lowest` on left the chain, and with them what was read as of these: ask again."""
        for row in [row for row, (number, _) in self._told.items() if number >= lowest]:
            del self._told[row]
            self.want(row)

    def pump(self, block: Block) -> None:
        """Begin to read what is due, as of `block`, which is complete."""
        for row in [row for row, (_, until) in self._told.items() if 0 < until <= block.timestamp]:
            del self._told[row]
            self.want(row)
        for row, since_block in list(self.due.items()):
            if len(self._reading) >= MAX_AT_ONCE:
                return
            if since_block <= block.number and row not in self._reading:
                del self.due[row]
                self._reading.add(row)
                call = {"data": call_data(self._introductions.pool(row).pool, block.timestamp)}
                about = About(block.hash, block.number)
                self._calls.call(about, call, partial(self._take, row, block), timeout_s=TIMEOUT_S)

    def _take(self, row: int, block: Block, answer: Answer) -> None:
        reading = read_fee(answer) if isinstance(answer, str) else None
        if reading is None:
            self._end(row, block, answer)
            return
        pool = f"0x{self._introductions.pool(row).pool.hex()}"
        about = About(block.hash, block.number)
        self._calls.storage(about, pool, VOLUME_SLOT, partial(self._take_volume, row, block, reading), TIMEOUT_S)

    def _take_volume(self, row: int, block: Block, reading: FeeReading, answer: Answer) -> None:
        volume = read_volume(answer, reading.liquidity) if isinstance(answer, str) else None
        if volume is None or not self._is_canonical(block):
            self._end(row, block, answer)
            return
        self._reading.discard(row)
        pool = self._introductions.pool(row)
        if self.is_followed(pool):
            head = fee_state_of(pool, block, reading, volume)
            self._outbox.put(Domain.MARKET_DATA, head, *reading.points, flags=Flag.SNAPSHOT)
            self._told[row] = (block.number, enough_until(reading))
            self._stats.fee_states += 1

    def _end(self, row: int, block: Block, answer: Answer) -> None:
        """Without a FeeState: ask again, at once if it was not the pool's fault."""
        self._reading.discard(row)
        if answer is DISCONNECTED or not self._is_canonical(block):
            self.want(row)
        else:
            self._stats.refused_fee_states += 1
            self.want(row, block.number + PAUSE_BLOCKS)


def fee_state_of(pool: VerifiedEmitter, block: Block, reading: FeeReading, volume: int) -> FeeState:
    """The record of a reading."""
    alpha1, alpha2, beta1, beta2, gamma1, gamma2, volume_beta, volume_gamma, base_fee = reading.config
    return FeeState(
        **{name: getattr(pool, name) for name in PoolRecord.__struct_fields__},
        volume=volume,
        block_number=block.number,
        block_hash=bytes.fromhex(block.hash[2:]),
        tick=reading.tick,
        fee_pips=reading.fee_pips,
        beta1=beta1,
        beta2=beta2,
        volume_beta=volume_beta,
        alpha1=alpha1,
        alpha2=alpha2,
        gamma1=gamma1,
        gamma2=gamma2,
        volume_gamma=volume_gamma,
        base_fee=base_fee,
        count=len(reading.points),
    )


def enough_until(reading: FeeReading) -> int:
    """Until when readers find the moment a day ago between two of the Timepoints, less what reading takes; 0: always,
    since all up to the last are among them."""
    if len(reading.points) < 3:
        return 0
    end, before = reading.points[-3], reading.points[-2]
    return 0 if end.sequence + 1 == before.sequence else end.timestamp + WINDOW_S - AHEAD_S
