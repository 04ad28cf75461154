"""A strategy of a test, as a user has it in a file: what was burnt since the last reorg, told at each reorg."""

from __future__ import annotations

from consumers.strategy import Strategy
from tlv.fields import I64, U256
from tlv.layout import EventOrigin, PoolBurn, PoolRecord, Reorg
from tlv.record import Record, record

ALL_BITS = (1 << 256) - 1


@record(type=247)
class BurntSoFar(Record, frozen=True):
    """What was burnt of token0 of all pools since the beginning, and frames lost."""

    burnt: U256
    burns: I64
    lost: I64


class ReorgTeller(Strategy):
    """Sums up every burn, and says the sum at every reorg."""

    name = "reorg_teller"
    wants = frozenset({Reorg, PoolBurn})
    records = (BurntSoFar,)

    def __init__(self) -> None:
        self.burnt = self.burns = self.lost = 0

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Add a burn."""
        assert isinstance(record, PoolBurn)
        self.burns += 1
        self.burnt = (self.burnt * 3 + record.amount0 + origin.block_number) & ALL_BITS

    def on_reorg(self, reorg: Reorg) -> None:
        """Say all that was burnt."""
        self.emit(BurntSoFar(burnt=self.burnt, burns=self.burns, lost=self.lost))

    def on_lost(self, first: int, last: int) -> None:
        """Count what is missing: a stream with a loss is another stream."""
        self.lost += last - first + 1
