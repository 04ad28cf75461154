"""The contract events that the project understands: one table, written as the contracts' sources declare them.

Owns which log becomes which record: signature, topic0, indexed arguments, data words, and the record field that each
argument fills.  The jitted decoder, the cold decoder, the subscription's topic filter and the tests against eth-abi all
read it.  It never looks at a log and never knows a pool.

Reading a declaration: types and `indexed` are Solidity's; the name is the **record field** that takes the argument.

    `_`        checked like any other argument, then dropped
    `amount0`  int256 where the record has `amount0_in` and `amount0_out`: split by sign, positive = into the pool

Sources: uniswap/v2-core IUniswapV2Pair and IUniswapV2Factory, uniswap/v3-core IUniswapV3PoolEvents and
IUniswapV3Factory, cryptoalgebra/Algebra (1.x, as QuickSwap V3 runs it) IAlgebraPoolEvents and IAlgebraFactory.
Algebra renamed the arguments of V3's events and kept their types, so pool events share V3's topics: only the emitter's
factory tells the two apart.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from eth_hash.auto import keccak

from tlv.codes import Protocol
from tlv.layout import PoolBurn, PoolCollect, PoolCreated, PoolMint, PoolRecord, PoolState, PoolSwap, PoolSync


class Role(IntEnum):
    """What kind of contract may emit an event."""

    POOL = 0
    FACTORY = 1


class Argument(NamedTuple):
    """One event argument: its ABI type and the record fields it fills (none, one, or an in/out pair)."""

    type: str
    indexed: bool
    fields: tuple[str, ...]

    @property
    def name(self) -> str:
        """As `alphapulse decode` prints it: the record field, or what the two halves of a split amount share."""
        return self.fields[0] if len(self.fields) == 1 else "".join(self.fields[:1]).removesuffix("_in")

    @property
    def signed(self) -> bool:
        """Two's complement."""
        return self.type.startswith("int")

    @property
    def bits(self) -> int:
        """Width of the value inside its 256-bit word; the rest must be zero, or the sign."""
        return 160 if self.type == "address" else int(self.type.removeprefix("u").removeprefix("int"))


class Event(NamedTuple):
    """One event of one contract family."""

    name: str
    """As `alphapulse decode` prints it."""
    protocols: tuple[Protocol, ...]
    """The families whose contracts emit it; the first is the one it is named after."""
    role: Role
    record: type[PoolRecord]
    solidity_name: str
    arguments: tuple[Argument, ...]

    @property
    def signature(self) -> str:
        """What topic0 is the hash of."""
        return f"{self.solidity_name}({','.join(argument.type for argument in self.arguments)})"

    @property
    def topic0(self) -> str:
        """The event's first topic, lower-case hex."""
        return "0x" + keccak(self.signature.encode()).hex()

    @property
    def indexed(self) -> tuple[Argument, ...]:
        """The arguments that stand in the topics, in order; the first of them is topic 1."""
        return tuple(argument for argument in self.arguments if argument.indexed)

    @property
    def words(self) -> tuple[Argument, ...]:
        """The arguments that stand in the data, 32 bytes each, in order."""
        return tuple(argument for argument in self.arguments if not argument.indexed)


def _fields(name: str, record: type[PoolRecord]) -> tuple[str, ...]:
    if name == "_":
        return ()
    if name in record.__struct_fields__:
        return (name,)
    pair = (f"{name}_in", f"{name}_out")
    if not set(pair) <= set(record.__struct_fields__):
        raise TypeError(f"{record.__name__} has no field {name!r}")
    return pair


def _event(name: str, protocols: tuple[Protocol, ...], role: Role, record: type[PoolRecord], declaration: str) -> Event:
    solidity_name, _, arguments = declaration.removesuffix(")").partition("(")
    parsed = []
    for argument in arguments.split(", "):
        abi_type, *indexed, field = argument.split(" ")
        parsed.append(Argument(abi_type, indexed == ["indexed"], _fields(field, record)))
    return Event(name, protocols, role, record, solidity_name, tuple(parsed))


_V2 = (Protocol.UNISWAP_V2,)
_V3 = (Protocol.UNISWAP_V3, Protocol.ALGEBRA)

EVENTS = (
    _event(
        "swap",
        _V2,
        Role.POOL,
        PoolSwap,
        "Swap(address indexed sender, uint256 amount0_in, uint256 amount1_in, uint256 amount0_out, "
        "uint256 amount1_out, address indexed recipient)",
    ),
    _event("sync", _V2, Role.POOL, PoolSync, "Sync(uint112 reserve0, uint112 reserve1)"),
    _event("mint", _V2, Role.POOL, PoolMint, "Mint(address indexed sender, uint256 amount0, uint256 amount1)"),
    _event(
        "burn",
        _V2,
        Role.POOL,
        PoolBurn,
        "Burn(address indexed owner, uint256 amount0, uint256 amount1, address indexed recipient)",
    ),
    _event(
        "pair_created",
        _V2,
        Role.FACTORY,
        PoolCreated,
        "PairCreated(address indexed token0, address indexed token1, address pool, uint256 _)",
    ),
    _event(
        "swap",
        _V3,
        Role.POOL,
        PoolSwap,
        "Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, "
        "uint160 sqrt_price_x96, uint128 liquidity, int24 tick)",
    ),
    _event(
        "mint",
        _V3,
        Role.POOL,
        PoolMint,
        "Mint(address sender, address indexed owner, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount, uint256 amount0, uint256 amount1)",
    ),
    _event(
        "burn",
        _V3,
        Role.POOL,
        PoolBurn,
        "Burn(address indexed owner, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount, uint256 amount0, uint256 amount1)",
    ),
    _event(
        "collect",
        _V3,
        Role.POOL,
        PoolCollect,
        "Collect(address indexed owner, address recipient, int24 indexed tick_lower, int24 indexed tick_upper, "
        "uint128 amount0, uint128 amount1)",
    ),
    _event("initialize", _V3, Role.POOL, PoolState, "Initialize(uint160 sqrt_price_x96, int24 tick)"),
    _event(
        "pool_created",
        (Protocol.UNISWAP_V3,),
        Role.FACTORY,
        PoolCreated,
        "PoolCreated(address indexed token0, address indexed token1, uint24 indexed fee_pips, "
        "int24 tick_spacing, address pool)",
    ),
    _event(
        "pool_created",
        (Protocol.ALGEBRA,),
        Role.FACTORY,
        PoolCreated,
        "Pool(address indexed token0, address indexed token1, address pool)",
    ),
)
"""Every event, in an order that nothing outside this process may rely on."""

EVENT_OF_TOPIC: dict[str, Event] = {event.topic0: event for event in EVENTS}
"""The event of each topic0 (lower-case hex).  Its keys are the topic filter of a subscription."""
