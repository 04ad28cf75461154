"""A pool of three coins as a collector publishes it: under one id, a PoolState and swaps for each pair that it trades.
Its swaps say neither price nor liquidity."""

from __future__ import annotations

from tests.tools.dashboard.polls import Published
from tlv.codes import Domain, Flag, Protocol, Venue
from tlv.layout import EventOrigin, PoolCoin, PoolState, PoolSwap

POOL, NOBODY = b"\x70" * 20, bytes(20)
COINS = [(b"\x11" * 20, "DAI", 18), (b"\x22" * 20, "USDC", 6), (b"\x33" * 20, "WBTC", 8)]

Head = tuple[bytes, bytes, bytes, int, int, int, int]


def pairs_of_three_coins(protocol: Protocol = Protocol.CURVE) -> list[tuple[Head, tuple[str, str]]]:
    """What each pair's records begin with, and its symbols."""
    pairs = [(COINS[at], COINS[other]) for at, other in ((0, 1), (0, 2), (1, 2))]
    return [
        ((POOL, first[0], second[0], Venue.QUICKSWAP_V2, first[2], second[2], protocol), (first[1], second[1]))
        for first, second in pairs
    ]


def state_of(head: Head, symbols: tuple[str, str]) -> PoolState:
    """What the collector says of a pair when it introduces it."""
    return PoolState(*head, 0, 0, 0, 0, 0, 0, 0, 0, NOBODY, *symbols)


def swap_of(head: Head, amount_in: int = 5) -> PoolSwap:
    """So much of token0 for twice as much of token1."""
    return PoolSwap(*head, amount_in, 0, 0, 2 * amount_in, 0, 0, 0, NOBODY, NOBODY)


def published(protocol: Protocol = Protocol.CURVE) -> Published:
    """Each pair's PoolState, and a swap of it."""
    ring = Published()
    coins = [PoolCoin(token, symbol, index, decimals) for index, (token, symbol, decimals) in enumerate(COINS)]
    for log_index, (head, symbols) in enumerate(pairs_of_three_coins(protocol)):
        ring.put(Domain.MARKET_DATA, [state_of(head, symbols), *coins], Flag.SNAPSHOT)
        ring.put(Domain.MARKET_DATA, [swap_of(head), EventOrigin(7, 0, 0, 0, log_index, b"h" * 32, bytes(32))])
    return ring
