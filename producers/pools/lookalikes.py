"""Contracts that speak like a pool and are none, told by the structure of their logs.

topic0 does not identify an event: Aave's and Compound's tokens emit `Mint(address,uint256,uint256)` as well, and on
Polygon they emit most of them.  What the hash leaves open, the logs themselves can settle:

    shape   other arguments are indexed, so the log has another number of topics or of data bytes
    Sync    a V2 pair writes its reserves, and emits Sync, in every call that emits Swap, Mint or Burn
            (uniswap/v2-core, UniswapV2Pair._update); a token has no reserves.  Kinds declare it: `PoolKind.synced`

This is evidence against, never proof for: who passes may still be no pool.  Verification belongs to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable

from producers.decode.cold import Refusal, RefusedLog, decode_log, identify
from producers.kinds.events import ContractEvent
from producers.kinds.registry import kind_of
from producers.node.rpc_types import Log
from tlv.layout import PoolSync

OTHER_SHAPE = (Refusal.WRONG_TOPIC_COUNT, Refusal.WRONG_DATA_SIZE)


def is_lookalike(logs: Iterable[Log]) -> bool:
    """Whether these logs prove their emitter to be no pool.

    All of them are of one emitter, and of each transaction every log of that emitter is there: where only some were
    kept, a missing Sync means nothing.  Logs that are no events of ours, that are damaged, or whose transaction is
    unknown prove nothing.
    """
    moved, synced = set(), set()
    for log in logs:
        try:
            event = identify(log)
            decode_log(log)
        except RefusedLog as refused:
            if refused.refusal in OTHER_SHAPE:
                return True
            continue
        transaction = (log.block_hash, log.transaction_hash)
        if log.transaction_hash is None:
            continue
        if event.record is PoolSync:
            synced.add(transaction)
        elif _needs_sync(event):
            moved.add(transaction)
    return not moved <= synced


def _needs_sync(event: ContractEvent) -> bool:
    """Whether no kind that emits `event` does so without a Sync."""
    return all((kind := kind_of(code)) is not None and event.record in kind.synced for code in event.protocols)
