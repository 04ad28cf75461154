"""Detectors of what concerns a pool: a price that leaves the pair's other pools, liquidity that leaves the pool.

A pool is judged when its block is over, so a trade that is undone within its block is none.  All of it is in integers;
ratios are rounded down to a basis point.
"""

from __future__ import annotations

from consumers.anomalies.announcements import Announcements, Sighting
from consumers.anomalies.watched_pools import LIQUIDITY_BLOCKS, WatchedPool, WatchedPools, apply_event
from tlv.codes import AnomalyKind
from tlv.layout import BlockEnd, EventOrigin, PoolRecord, PoolState, SystemHealth

BPS = 10_000
FRESH_BLOCKS = 256
"""A price without an event for so many blocks is compared with no more."""
USUAL_AFTER_BLOCKS = 256
"""A distance that lasts so long is how things are: the anomaly ends."""


class Pools:
    """Prices and liquidity of all pools, judged block by block."""

    def __init__(self, announcements: Announcements, price_jump_bps: int, liquidity_drop_bps: int) -> None:
        self.book = WatchedPools()
        self._announcements = announcements
        self._jump, self._drop = price_jump_bps, liquidity_drop_bps

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """An event that stands.  One of an older block than the pool's newest was fetched late and says nothing new."""
        pool = self.book.of(record)
        if origin.block_number < pool.block_number:
            return
        if origin.block_hash != pool.block_hash:
            if not pool.is_judged:
                self._judge_through(origin.block_number - 1)
            self.book.enter(pool, origin, self._announcements.place.sequence)
        apply_event(pool, record)

    def on_snapshot(self, record: PoolState) -> None:
        """A state as of the end of a block; of one that is followed its events have said it."""
        if record.block_number and self.book.find(record.pool) is None:
            pool = self.book.of(record)
            apply_event(pool, record)
            pool.most_liquidity, pool.most_at = pool.liquidity, record.block_number
            pool.block_number = record.block_number

    def on_block_end(self, end: BlockEnd) -> None:
        """Judge the pools of a block, and what lasts."""
        self._judge_through(end.number)
        for (kind, pool), began in list(self._announcements.lasting.items()):
            if kind == AnomalyKind.PRICE_JUMP:
                self._look_again(pool, began, end.number, end.hash)

    def _judge_through(self, number: int) -> None:
        for pool in self.book.take_unjudged(number):
            self._judge_price(pool)
            self._judge_liquidity(pool)

    def _judge_price(self, pool: WatchedPool) -> None:
        reference, others = self._price_of_others(pool)
        if reference is None or pool.price is None or not pool.price_before:
            return
        moved = distance_bps(pool.price, pool.price_before)
        away = distance_bps(pool.price, reference)
        left = away > distance_bps(pool.price_before, reference)
        if moved >= self._jump and away >= self._jump and left:
            text = f"moved {moved} bps in its block; {others} other pools"
            self._announcements.judge(self._sighting(pool, away, text), begins=True, ends=False)

    def _look_again(self, pool_id: bytes, began: SystemHealth, number: int, block_hash: bytes) -> None:
        """Whether a distance has gone, or lasted so long that it is usual."""
        pool = self.book.find(pool_id)
        reference, others = self._price_of_others(pool) if pool is not None else (None, 0)
        if pool is None or pool.price is None or reference is None:
            away, ends, text = began.value, False, "its price, or that of others, is not known any more"
        else:
            away = distance_bps(pool.price, reference)
            ends, text = away <= self._jump // 2, f"{away} bps from {others} other pools"
        usual = abs(number - began.block_number) >= USUAL_AFTER_BLOCKS
        sighting = Sighting(
            *(AnomalyKind.PRICE_JUMP, away, self._jump, began.first_sequence, text, number, block_hash),
            *(pool_id, began.venue),
        )
        self._announcements.judge(sighting, begins=False, ends=ends or usual)

    def _price_of_others(self, pool: WatchedPool) -> tuple[int | None, int]:
        """The median price of the pair's other pools of which something came lately, and their number."""
        known = (
            other.price
            for other in self.book.others(pool)
            if other.price and abs(pool.block_number - other.block_number) <= FRESH_BLOCKS
        )
        prices = sorted(known)
        if not prices:
            return None, 0
        middle = len(prices) // 2
        median = prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) // 2
        return median, len(prices)

    def _judge_liquidity(self, pool: WatchedPool) -> None:
        now, most = pool.liquidity, pool.most_liquidity
        if now is None:
            return
        if most is not None and now < most:
            drop = (most - now) * BPS // most
            if drop >= self._drop:
                text = f"{drop} bps since block {pool.most_at}"
                sighting = self._sighting(pool, drop, text)._replace(
                    kind=AnomalyKind.LIQUIDITY_DROP, threshold=self._drop
                )
                self._announcements.once(sighting)
            elif pool.block_number - pool.most_at < LIQUIDITY_BLOCKS:
                return
        pool.most_liquidity, pool.most_at = now, pool.block_number

    def _sighting(self, pool: WatchedPool, value: int, text: str) -> Sighting:
        return Sighting(
            *(AnomalyKind.PRICE_JUMP, value, self._jump, pool.first, text),
            *(pool.block_number, pool.block_hash, pool.pool, pool.venue),
        )


def distance_bps(price: int, reference: int) -> int:
    """How far a price is from another, in basis points of the latter; `reference` above 0."""
    return abs(price - reference) * BPS // reference
