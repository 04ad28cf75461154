"""Tokens that charge for a transfer (fee on transfer), found out by what pools say of one.

Owns the evidence and the count by token.  It never looks at Transfer logs, and takes no mark back: the token's code is
the same on every branch.

A pool that holds reserves measures what came in by its own balance, so its Sync agrees with its Swap whatever a token
takes from the receiver.  What betrays a token is

    charged to the sender     a pool paid out so much of it, none came in, and its reserve fell by another amount
                              between the Syncs before and after
    charged to the receiver   one pool says that it paid so much of it straight to a second one, and that one, in the
                              same transaction, that less came in

Where neither happens a token is not known to charge.  Sources: UniswapV2Pair.swap and _update, Solidly BaseV1Pair.swap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from consumers.arbitrage.pool_state import HOLDS_RESERVES, Entry, Pool, Reserves
from tlv.layout import EventOrigin, PoolSwap


class TaxedTokens:
    """The tokens of one ring that were seen to charge."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        """Swaps that showed it, by token."""
        self._transaction: tuple[bytes, int] = (b"", 0)
        self._last_log = -1
        self._sent: dict[tuple[bytes, bytes], int] = {}
        """What pools paid to an address, of a token, in the transaction at hand."""

    def touches(self, pool: Pool) -> bool:
        """Whether one of the pool's tokens charges: then its quotes do not say what a trader gets."""
        return bool(self.seen) and (pool.token0 in self.seen or pool.token1 in self.seen)

    def take(self, record: PoolSwap, origin: EventOrigin, history: Sequence[Entry]) -> None:
        """A swap, and its pool's states up to the Sync in front of it."""
        self._follow(origin)
        flows = (
            (record.token0, record.amount0_in, record.amount0_out),
            (record.token1, record.amount1_in, record.amount1_out),
        )
        if record.protocol in HOLDS_RESERVES:
            fell = fall_of(origin, history)
            for at, (token, came, paid) in enumerate(flows):
                sent = self._sent.pop((record.pool, token), 0)
                charged_sender = fell is not None and came == 0 and paid > 0 and fell[at] != paid
                if came < sent or charged_sender:
                    self.seen[token] += 1
        for token, _, paid in flows:
            if paid > 0:
                key = record.recipient, token
                self._sent[key] = self._sent.get(key, 0) + paid

    def _follow(self, origin: EventOrigin) -> None:
        """Begin anew with each transaction, and where its events do not come in their order."""
        transaction = origin.block_hash, origin.transaction_index
        if transaction != self._transaction or origin.log_index < self._last_log:
            self._sent.clear()
        self._transaction, self._last_log = transaction, origin.log_index


def fall_of(origin: EventOrigin, history: Sequence[Entry]) -> tuple[int, int] | None:
    """By how much the reserves fell in the Sync right in front of a swap; None if they are not known."""
    if len(history) < 2:
        return None
    before, after = history[-2:]
    if (after.block_hash, after.log_index + 1) != (origin.block_hash, origin.log_index):
        return None
    if not isinstance(before.value, Reserves) or not isinstance(after.value, Reserves):
        return None
    return before.value.reserve0 - after.value.reserve0, before.value.reserve1 - after.value.reserve1
