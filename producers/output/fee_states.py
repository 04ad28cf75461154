"""What decides the fee of watched Algebra pools, read from the node: their fee moves with time, not with events alone.

Owns the reading of a FeeState, and its message; `producers.output.pool_readings` owns whose is due.  It must never
compute a fee: readers do, for the timestamp of their choice, and move what they know with the pool's own events.

    due --(the newest complete block)--> the program, the slot of the volume --> FeeState, its Timepoints
            ^                                   |
            |                                   +-- refused, or the two contradict each other: 16 blocks later
            +-- disconnected, block dropped; the moment a day ago comes near the end of the Timepoints that were told
"""

from __future__ import annotations

from functools import partial

from producers.blocks.block import Block
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
from producers.output.pool_readings import PAUSE_BLOCKS, TIMEOUT_S, PoolReadings, ToldReading
from tlv.codes import Domain, Flag
from tlv.layout import FeeState, PoolRecord

MAX_AT_ONCE = 4
AHEAD_S = 40
"""How long before a FeeState ends to be enough the next one is read."""


class FeeStates(PoolReadings):
    """The FeeStates of one chain, and their messages."""

    most_at_once = MAX_AT_ONCE

    @staticmethod
    def has_reading(pool: VerifiedEmitter) -> bool:
        """Whether its kind's fee moves with time."""
        kind = kind_of(pool.protocol)
        return kind is not None and kind.fee_states

    def _begin(self, row: int, block: Block) -> None:
        call = {"data": call_data(self._introductions.pool(row).pool, block.timestamp)}
        about = About(block.hash, block.number)
        self._calls.call(about, call, partial(self._take, row, block), timeout_s=TIMEOUT_S)

    def _take(self, row: int, block: Block, answer: Answer) -> None:
        reading = read_fee(answer) if isinstance(answer, str) else None
        if reading is None:
            self._refuse(row, block, answer)
            return
        pool = f"0x{self._introductions.pool(row).pool.hex()}"
        about = About(block.hash, block.number)
        self._calls.storage(about, pool, VOLUME_SLOT, partial(self._take_volume, row, block, reading), TIMEOUT_S)

    def _take_volume(self, row: int, block: Block, reading: FeeReading, answer: Answer) -> None:
        volume = read_volume(answer, reading.liquidity) if isinstance(answer, str) else None
        if volume is None or not self._is_canonical(block):
            self._refuse(row, block, answer)
            return
        self._end(row)
        pool = self._introductions.pool(row)
        if self.is_followed(pool):
            head = fee_state_of(pool, block, reading, volume)
            self._outbox.put(Domain.MARKET_DATA, head, *reading.points, flags=Flag.SNAPSHOT)
            self._told[row] = ToldReading(block.number, enough_until(reading))
            self._stats.fee_states += 1

    def _refuse(self, row: int, block: Block, answer: Answer) -> None:
        """Without a FeeState: ask again, at once if it was not the pool's fault."""
        if answer is DISCONNECTED or not self._is_canonical(block):
            self._end(row, ask_again_at=0)
        else:
            self._stats.refused_fee_states += 1
            self._end(row, ask_again_at=block.number + PAUSE_BLOCKS)


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
