"""Uniswap V3 and its forks: concentrated liquidity, a fee for each pool.

Sources: uniswap/v3-core IUniswapV3PoolEvents, IUniswapV3Factory, UniswapV3PoolDeployer, UniswapV3Factory.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from tlv.codes import Protocol
from tlv.layout import PoolBurn, PoolCollect, PoolCreated, PoolMint, PoolState, PoolSwap

SPACING_OF_FEE = {100: 1, 500: 10, 3000: 60, 10_000: 200}
"""What UniswapV3Factory enables (constructor, and `enableFeeAmount` for 100); others are asked."""


def salt(token0: bytes, token1: bytes, words: tuple[int, ...]) -> bytes:
    """Hash of the ABI-encoded tokens and fee."""
    return keccak(b"".join(value.rjust(32, b"\0") for value in (token0, token1, words[0].to_bytes(32, "big"))))


def read_state(answers: list[list[int]]) -> StateAnswer | None:
    """From price and tick, which begin the first answer, and liquidity, which is the second."""
    first, second = answers
    if len(first) < 2 or len(second) != 1:
        return None
    price, tick, liquidity = first[0], first[1] - (first[1] >> 255 << 256), second[0]
    if price >= 1 << 160 or not -(1 << 23) <= tick < 1 << 23 or liquidity >= 1 << 128:
        return None
    return StateAnswer(sqrt_price_x96=price, tick=tick, liquidity=liquidity)


POOL_EVENTS = (
    event(
        "swap",
        Role.POOL,
        PoolSwap,
        "Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, "
        "uint160 sqrt_price_x96, uint128 liquidity, int24 tick)",
    ),
    event(
        "mint",
        Role.POOL,
        PoolMint,
        "Mint(address sender, address indexed owner, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount, uint256 amount0, uint256 amount1)",
    ),
    event(
        "burn",
        Role.POOL,
        PoolBurn,
        "Burn(address indexed owner, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount, uint256 amount0, uint256 amount1)",
    ),
    event(
        "collect",
        Role.POOL,
        PoolCollect,
        "Collect(address indexed owner, address recipient, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount0, uint128 amount1)",
    ),
    event("initialize", Role.POOL, PoolState, "Initialize(uint160 sqrt_price_x96, int24 tick)"),
)

KIND = PoolKind(
    name="UNISWAP_V3",
    code=Protocol.UNISWAP_V3,
    events=(
        *POOL_EVENTS,
        event(
            "pool_created",
            Role.FACTORY,
            PoolCreated,
            "PoolCreated(address indexed token0, address indexed token1, uint24 indexed fee_pips, "
            "int24 tick_spacing, address pool)",
        ),
    ),
    proof=Proof(salt, ("fee()",), lookup="getPool(address,address,uint24)"),
    fee=Fee.OWN,
    state=StateRule(("slot0()", "liquidity()"), read_state),
    spacing_of_fee=SPACING_OF_FEE,
    tick_bitmap="tickBitmap(int16)",
    quotes="exact, with `--watch-ticks` across ticks",
)
