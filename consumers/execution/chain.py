"""The states of pools inside a block, as an order in that block meets them.

Owns where in a block an order stands, and what own fills do to a pool.

    an order stands behind `share_percent` of a block's own swaps of each of its pools: of n swaps behind number
    floor(n * share / 100); in front of all events of the block if that is 0, behind all of them at 100 percent
    an own fill moves its pool: later orders meet the moved state as long as no event of the pool stands between the
    place of the fill and theirs; from the pool's next event on the chain's state counts again
    a reorg takes back both

What the chain's own traders would have done after our swap nobody knows.  That their next swap of the pool restores the
chain's state is the assumption, made in one place: here.
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.arbitrage.kept_fees import END
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.execution.fills import PoolPlace, SolidlyPair
from tlv.layout import Block, EventOrigin


class InBlock(NamedTuple):
    """Where an order meets a pool."""

    place: PoolPlace
    at: tuple[int, int]
    """The block and log index of the last event in front of the order, or that block's end."""
    swaps_before: int
    state_block: int
    """The block of the event that set the state."""


class Moved(NamedTuple):
    """What an own fill left of a pool."""

    block_number: int
    block_hash: bytes
    at: tuple[int, int]
    value: Reserves | Price


class ChainView:
    """The pools of one market ring, and its last blocks."""

    def __init__(self, book: PoolBook) -> None:
        self.book = book
        self.blocks: dict[int, Block] = {}
        """By number, those of the present branch."""
        self.hashes: dict[int, bytes] = {}
        """Of every block that began or ended, of the present branch."""
        self._swaps: dict[int, dict[bytes, set[int]]] = {}
        """Log indices of each block's swaps, by pool."""
        self._all_swaps_from: int | None = 0
        """The lowest block of which every swap came; None until the next Block, after a loss."""
        self._moved: dict[bytes, list[Moved]] = {}

    def begin(self, block: Block) -> None:
        """A block was announced."""
        if self._all_swaps_from is None:
            self._all_swaps_from = block.number
        self.blocks[block.number] = block
        self.hashes[block.number] = block.hash
        for number in [known for known in self.blocks if known < block.number - KEPT_BLOCKS]:
            del self.blocks[number]
        for number in [known for known in self.hashes if known < block.number - KEPT_BLOCKS]:
            del self.hashes[number]

    def note_swap(self, pool: bytes, origin: EventOrigin) -> None:
        """A swap of a pool, by whomever."""
        self._swaps.setdefault(origin.block_number, {}).setdefault(pool, set()).add(origin.log_index)

    def forget_swap(self, pool: bytes, origin: EventOrigin) -> None:
        """That swap is none: its event was taken back."""
        logs = self._swaps.get(origin.block_number, {}).get(pool, set())
        if self.hashes.get(origin.block_number) in (None, origin.block_hash):
            logs.discard(origin.log_index)

    def settled(self, number: int) -> None:
        """Nothing will be asked about this block's swaps any more, nor about earlier ones'."""
        for block in [known for known in self._swaps if known <= number]:
            del self._swaps[block]

    def roll_back(self, fork_number: int) -> dict[int, bytes]:
        """Blocks above the fork left the chain; their hashes by number."""
        gone = {number: known for number, known in self.hashes.items() if number > fork_number}
        for number in gone:
            del self.hashes[number]
            self.blocks.pop(number, None)
        for number in [known for known in self._swaps if known > fork_number]:
            del self._swaps[number]
        for moves in self._moved.values():
            while moves and moves[-1].block_number > fork_number:
                moves.pop()
        return gone

    def forget(self) -> None:
        """Frames were lost: swaps may be missing, and so may be blocks."""
        self._swaps.clear()
        self._moved.clear()
        self._all_swaps_from = None

    def meet(self, pool: Pool, block_number: int, share_percent: int, *, falls: bool) -> InBlock | None:
        """The pool as an order in this block meets it whose token0 goes in (`falls`), or token1; None if its state
        there is not known.

        The pool's fee must be known; of a pool whose fee moves it is the one that it takes there.
        """
        fee_pips = pool.fee(falls=falls)
        assert fee_pips is not None
        logs = sorted(self._swaps.get(block_number, {}).get(pool.address, ()))
        before = len(logs) * share_percent // 100
        counted = self._all_swaps_from is not None and block_number >= self._all_swaps_from
        if not counted and 0 < share_percent < 100:
            return None
        if share_percent == 100:
            at = (block_number, END)
        elif before == 0:
            at = (block_number - 1, END)
        else:
            at = (block_number, logs[before - 1])
        entry = next((known for known in reversed(pool.history) if (known.block_number, known.log_index) <= at), None)
        if entry is None:
            return None
        value, ticks = entry.value, None
        moves = self._moved.get(pool.address)
        if moves and (entry.block_number, entry.log_index) <= moves[-1].at <= at:
            value = moves[-1].value
        if isinstance(value, Price):
            ticks = pool.ticks.at(*at)
        if pool.fees.followed:
            block = self.blocks.get(block_number)
            fee_pips = None if block is None else pool.fees.fee_in(at, block.timestamp)
        if fee_pips is None:
            return None
        pair = SolidlyPair(pool.curve, pool.decimals0, pool.decimals1) if pool.is_solidly else None
        place = PoolPlace(value, fee_pips, ticks, pool.tick_spacing, pair)
        return InBlock(place, at, before, entry.block_number)

    def move(
        self, pool: bytes, block_number: int, block_hash: bytes, at: tuple[int, int], value: Reserves | Price
    ) -> None:
        """An own fill left the pool so."""
        moves = self._moved.setdefault(pool, [])
        moves.append(Moved(block_number, block_hash, at, value))
        while moves[0].block_number < block_number - KEPT_BLOCKS:
            del moves[0]
