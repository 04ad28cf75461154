"""Velodrome V2 and Aerodrome: Solidly's pairs with another Swap and Burn, and a factory whose fee is each pool's.

Pools are clones of one implementation, so the factory's `init_code_hash` is that of the clone's code (ERC-1167).

Sources: velodrome-finance/contracts and aerodrome-finance/contracts IPool, Pool, IPoolFactory, PoolFactory.
"""

from __future__ import annotations

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof
from producers.kinds.solidly import BASIS_POINT, MINT, STATE, SYNC, salt
from tlv.codes import Curve, Protocol
from tlv.layout import PoolBurn, PoolCreated, PoolMint, PoolSwap

KIND = PoolKind(
    name="VELODROME",
    code=Protocol.VELODROME,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(address indexed sender, address indexed recipient, uint256 amount0_in, uint256 amount1_in, "
            "uint256 amount0_out, uint256 amount1_out)",
        ),
        event(
            "burn",
            Role.POOL,
            PoolBurn,
            "Burn(address indexed owner, address indexed recipient, uint256 amount0, uint256 amount1)",
        ),
        event(
            "pool_created",
            Role.FACTORY,
            PoolCreated,
            "PoolCreated(address indexed token0, address indexed token1, bool indexed _, address pool, uint256 _)",
        ),
    ),
    shares=(SYNC, MINT),
    proof=Proof(salt, ("stable()",), lookup="getPool(address,address,bool)"),
    fee=Fee.FACTORY,
    fee_unit=BASIS_POINT,
    state=STATE,
    synced=(PoolSwap, PoolMint, PoolBurn),
    stable_curve=Curve.VELODROME,
    quotes="exact, volatile and stable",
)
