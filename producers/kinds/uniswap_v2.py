"""Uniswap V2 and its forks: constant product, one fee a factory.

Sources: uniswap/v2-core IUniswapV2Pair, IUniswapV2Factory, UniswapV2Factory.createPair, UniswapV2Pair._update.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from tlv.codes import Protocol
from tlv.layout import PoolBurn, PoolCreated, PoolMint, PoolSwap, PoolSync


def salt(token0: bytes, token1: bytes, _: tuple[int, ...]) -> bytes:
    """Hash of the packed tokens."""
    return keccak(token0 + token1)


def read_state(answers: list[list[int]]) -> StateAnswer | None:
    """From `getReserves()`: reserve0, reserve1, time of the last change."""
    words = answers[0]
    if len(words) != 3 or max(words[:2]) >= 1 << 112:
        return None
    return StateAnswer(reserve0=words[0], reserve1=words[1])


KIND = PoolKind(
    name="UNISWAP_V2",
    code=Protocol.UNISWAP_V2,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(address indexed sender, uint256 amount0_in, uint256 amount1_in, uint256 amount0_out, "
            "uint256 amount1_out, address indexed recipient)",
        ),
        event("sync", Role.POOL, PoolSync, "Sync(uint112 reserve0, uint112 reserve1)"),
        event("mint", Role.POOL, PoolMint, "Mint(address indexed sender, uint256 amount0, uint256 amount1)"),
        event(
            "burn",
            Role.POOL,
            PoolBurn,
            "Burn(address indexed owner, uint256 amount0, uint256 amount1, address indexed recipient)",
        ),
        event(
            "pair_created",
            Role.FACTORY,
            PoolCreated,
            "PairCreated(address indexed token0, address indexed token1, address pool, uint256 _)",
        ),
    ),
    proof=Proof(salt, lookup="getPair(address,address)"),
    fee=Fee.FACTORY,
    state=StateRule(("getReserves()",), read_state),
    synced=(PoolSwap, PoolMint, PoolBurn),
    quotes="exact",
)
