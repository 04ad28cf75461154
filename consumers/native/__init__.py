"""Strategies in machine code: `strategy` says how one is written, `driver` and `runner` run it.

from consumers.native import EVENT, NativeStrategy, add, has, signal, view
"""

from consumers.native.book import BookView, pool_row, price, quote, reserves
from consumers.native.drafts import NativeDrafts, add, begin_order, signal
from consumers.native.driver import NativeDriver, NativeMessage
from consumers.native.frame import (
    BLOCK,
    BLOCK_END,
    EVENT,
    FEE,
    FEE_STATE,
    GAP,
    INVALIDATION,
    REMOVED,
    REORG,
    SESSION,
    SNAPSHOT,
    TICKS,
    NativeFrame,
    fill,
    has,
    hash_of_pool,
    same_pool,
    view,
)
from consumers.native.quoting import QUOTED
from consumers.native.runner import NativeRunner
from consumers.native.strategy import NativeStrategy

__all__ = [
    "BLOCK",
    "BLOCK_END",
    "EVENT",
    "FEE",
    "FEE_STATE",
    "GAP",
    "INVALIDATION",
    "QUOTED",
    "REMOVED",
    "REORG",
    "SESSION",
    "SNAPSHOT",
    "TICKS",
    "BookView",
    "NativeDrafts",
    "NativeDriver",
    "NativeFrame",
    "NativeMessage",
    "NativeRunner",
    "NativeStrategy",
    "add",
    "begin_order",
    "fill",
    "has",
    "hash_of_pool",
    "pool_row",
    "price",
    "quote",
    "reserves",
    "same_pool",
    "signal",
    "view",
]
