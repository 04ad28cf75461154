"""PancakeSwap V3: Uniswap V3's pool, with other fee tiers, and a Swap that also says what the protocol took of its fee.

The protocol's share is taken out of the fee (PancakeV3Pool.swap), so that amounts and prices are Uniswap V3's, and so
are the quotes: held against the pool's published bytecode, whose hash is the init code hash of the deployed pools.

Sources: pancakeswap/pancake-v3-contracts v3-core IPancakeV3PoolEvents, IPancakeV3Factory, PancakeV3Factory
(constructor), PancakeV3PoolDeployer.deploy: salt of token0, token1 and fee; the deployer is another contract.
"""

from __future__ import annotations

from producers.kinds import uniswap_v3
from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.uniswap_v3 import read_state, salt
from tlv.codes import Protocol
from tlv.layout import PoolSwap

SPACING_OF_FEE = {100: 1, 500: 10, 2500: 50, 10_000: 200}
"""What PancakeV3Factory enables (constructor); others are asked."""

KIND = PoolKind(
    name="PANCAKESWAP_V3",
    code=Protocol.PANCAKESWAP_V3,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, "
            "uint160 sqrt_price_x96, uint128 liquidity, int24 tick, uint128 _, uint128 _)",
        ),
    ),
    shares=tuple(shared for shared in uniswap_v3.KIND.events if shared.name != "swap"),
    proof=Proof(salt, ("fee()",), lookup="getPool(address,address,uint24)"),
    fee=Fee.OWN,
    state=StateRule(("slot0()", "liquidity()"), read_state),
    spacing_of_fee=SPACING_OF_FEE,
    tick_bitmap="tickBitmap(int16)",
    quotes="exact, with `--watch-ticks` across ticks",
)
