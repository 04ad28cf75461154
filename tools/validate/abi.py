"""Events as eth-abi decodes them: the second opinion on every value in the ring.

Owns the declarations once more, on purpose: nothing here comes from the collector's decoder, so that a mistake there
cannot hide.  Topics are literals, values are decoded by `eth_abi`, and a record is only read, field by field.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from producers.kinds.registry import kind_named
from producers.node.rpc_types import Log
from tlv.layout import (
    PoolBurn,
    PoolCollect,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
)

HEX = re.compile(r"\A0x(?:[0-9a-fA-F]{2})*\Z", re.ASCII)
NUMBER = re.compile(r"\A0x[0-9a-fA-F]{0,64}\Z", re.ASCII)
WORD = 32
COINS = ("coin_in", "coin_out")
"""By index they are a pool's own matter: which tokens they are is not in the event."""


def _codes(*names: str) -> frozenset[int]:
    return frozenset(kind.code for kind in map(kind_named, names) if kind is not None)


SOLIDLY, VELODROME = _codes("SOLIDLY"), _codes("VELODROME")
V2 = _codes("UNISWAP_V2")
V3 = _codes("UNISWAP_V3", "ALGEBRA", "ALGEBRA_INTEGRAL", "SLIPSTREAM")
PANCAKE, KYBER = _codes("PANCAKESWAP_V3"), _codes("KYBER_ELASTIC")
V4 = _codes("UNISWAP_V4")
INTEGRAL, CURVE = _codes("ALGEBRA_INTEGRAL"), _codes("CURVE")
CONCENTRATED_WORDS = "int256 amount0, int256 amount1, uint160 sqrt_price_x96, uint128 liquidity, int24 tick"
INDICES = "{0} coin_in, uint256 amount_in, {0} coin_out, uint256 amount_out"
WOO_WORDS = "uint256 amount_in, uint256 amount_out, address sender"


class Declaration(NamedTuple):
    """One event: whose it is, and its arguments as pairs of ABI type and record field."""

    name: str
    families: frozenset[int]
    by_factory: bool
    record: type[PoolRecord]
    indexed: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]


class AbiEvent(NamedTuple):
    """One log as eth-abi reads it."""

    event: Declaration
    values: dict[str, Any]


def _arguments(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (argument.split(" ") for argument in text.split(", ") if argument)
    return tuple((abi_type, name) for abi_type, name in pairs)


def _event(
    name: str,
    families: frozenset[int],
    record: type[PoolRecord],
    indexed: str,
    data: str,
    *,
    by_factory: bool = False,
) -> Declaration:
    return Declaration(name, families, by_factory, record, _arguments(indexed), _arguments(data))


EVENTS = {
    "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822": _event(
        "swap",
        V2 | SOLIDLY,
        PoolSwap,
        "address sender, address recipient",
        "uint256 amount0_in, uint256 amount1_in, uint256 amount0_out, uint256 amount1_out",
    ),
    "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1": _event(
        "sync", V2, PoolSync, "", "uint112 reserve0, uint112 reserve1"
    ),
    "0x4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f": _event(
        "mint", V2 | SOLIDLY | VELODROME, PoolMint, "address sender", "uint256 amount0, uint256 amount1"
    ),
    "0xdccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496": _event(
        "burn", V2 | SOLIDLY, PoolBurn, "address owner, address recipient", "uint256 amount0, uint256 amount1"
    ),
    "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9": _event(
        "pair_created", V2, PoolCreated, "address token0, address token1", "address pool, uint256 _", by_factory=True
    ),
    "0xcf2aa50876cdfbb541206f89af0ee78d44a2abf8d328e37fa4917f982149848a": _event(
        "sync", SOLIDLY | VELODROME, PoolSync, "", "uint256 reserve0, uint256 reserve1"
    ),
    "0xc4805696c66d7cf352fc1d6bb633ad5ee82f6cb577c453024b6e0eb8306c6fc9": _event(
        "pair_created",
        SOLIDLY,
        PoolCreated,
        "address token0, address token1",
        "bool _, address pool, uint256 _",
        by_factory=True,
    ),
    "0xb3e2773606abfd36b5bd91394b3a54d1398336c65005baf7bf7a05efeffaf75b": _event(
        "swap",
        VELODROME,
        PoolSwap,
        "address sender, address recipient",
        "uint256 amount0_in, uint256 amount1_in, uint256 amount0_out, uint256 amount1_out",
    ),
    "0x5d624aa9c148153ab3446c1b154f660ee7701e549fe9b62dab7171b1c80e6fa2": _event(
        "burn", VELODROME, PoolBurn, "address owner, address recipient", "uint256 amount0, uint256 amount1"
    ),
    "0x2128d88d14c80cb081c1252a5acff7a264671bf199ce226b53788fb26065005e": _event(
        "pool_created",
        VELODROME,
        PoolCreated,
        "address token0, address token1, bool _",
        "address pool, uint256 _",
        by_factory=True,
    ),
    "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67": _event(
        "swap",
        V3 | KYBER,
        PoolSwap,
        "address sender, address recipient",
        "int256 amount0, int256 amount1, uint160 sqrt_price_x96, uint128 liquidity, int24 tick",
    ),
    "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde": _event(
        "mint",
        V3 | PANCAKE | KYBER,
        PoolMint,
        "address owner, int24 tick_lower, int24 tick_upper",
        "address sender, uint128 amount, uint256 amount0, uint256 amount1",
    ),
    "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c": _event(
        "burn",
        V3 | PANCAKE | KYBER,
        PoolBurn,
        "address owner, int24 tick_lower, int24 tick_upper",
        "uint128 amount, uint256 amount0, uint256 amount1",
    ),
    "0x70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0": _event(
        "collect",
        V3 | PANCAKE,
        PoolCollect,
        "address owner, int24 tick_lower, int24 tick_upper",
        "address recipient, uint128 amount0, uint128 amount1",
    ),
    "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95": _event(
        "initialize", V3 | PANCAKE | KYBER, PoolState, "", "uint160 sqrt_price_x96, int24 tick"
    ),
    "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118": _event(
        "pool_created",
        _codes("UNISWAP_V3", "PANCAKESWAP_V3"),
        PoolCreated,
        "address token0, address token1, uint24 fee_pips",
        "int24 tick_spacing, address pool",
        by_factory=True,
    ),
    "0x91ccaa7a278130b65168c3a0c8d3bcae84cf5e43704342bd3ec0b59e59c036db": _event(
        "pool_created",
        _codes("ALGEBRA", "ALGEBRA_INTEGRAL"),
        PoolCreated,
        "address token0, address token1",
        "address pool",
        by_factory=True,
    ),
    "0x121cb44ee54098b1a04743c487e7460d8dd429b27f88b1f4d4767396e1a59f79": _event(
        "swap",
        INTEGRAL,
        PoolSwap,
        "address sender, address recipient",
        f"{CONCENTRATED_WORDS}, uint24 _, uint24 _",
    ),
    "0x932214d4a69c27c086643126ed97c32681da179064c678836c173f99bd13ca01": _event(
        "burn",
        INTEGRAL,
        PoolBurn,
        "address owner, int24 tick_lower, int24 tick_upper",
        "uint128 amount, uint256 amount0, uint256 amount1, uint24 _",
    ),
    "0x8a5f030f5fc13b04a1e4ef7c47177e3d76b0e80e1d9be9843db37caa5b7b9b8f": _event(
        "pool_created",
        INTEGRAL,
        PoolCreated,
        "address _, address token0, address token1",
        "address pool",
        by_factory=True,
    ),
    "0x19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83": _event(
        "swap",
        PANCAKE,
        PoolSwap,
        "address sender, address recipient",
        f"{CONCENTRATED_WORDS}, uint128 _, uint128 _",
    ),
    "0x2170c741c41531aec20e7c107c24eecfdd15e69c9bb0a8dd37b1840b9e0b207b": _event(
        "swap",
        _codes("BALANCER_V2"),
        PoolSwap,
        "bytes32 pool, address coin_in, address coin_out",
        "uint256 amount_in, uint256 amount_out",
    ),
    "0x8b3e96f2b889fa771c53c981b40daf005f63f637f1869f707052d15a3dd97140": _event(
        "swap", CURVE, PoolSwap, "address sender", INDICES.format("int128")
    ),
    "0xb2e76ae99761dc136e598d4a629bb347eccb9532a5f8bbd72e18467c3c34cc98": _event(
        "swap", CURVE, PoolSwap, "address sender", INDICES.format("uint256")
    ),
    "0x143f1f8e861fbdeddd5b46e844b7d3ac7b86a122f36e8c463859ee6811b1f29c": _event(
        "swap", CURVE, PoolSwap, "address sender", f"{INDICES.format('uint256')}, uint256 _, uint256 _"
    ),
    "0xd013ca23e77a65003c2c659c5442c00c805371b7fc1ebd4c206c41d1536bd90b": _event(
        "swap", CURVE, PoolSwap, "address sender", INDICES.format("int128")
    ),
    "0xc2c0245e056d5fb095f04cd6373bc770802ebd1e6c918eb78fdef843cdb37b0f": _event(
        "swap",
        _codes("DODO"),
        PoolSwap,
        "",
        "address coin_in, address coin_out, uint256 amount_in, uint256 amount_out, address sender, address recipient",
    ),
    "0x90d51bc25f44dddb7620733c08a051656d433bed5de7322f9988d78f123ab5d1": _event(
        "swap", _codes("WOOFI"), PoolSwap, "address coin_in, address coin_out, address recipient", WOO_WORDS
    ),
    "0x74ef34e2ea7c5d9f7b7ed44e97ad44b4303416c3a660c3fb5b3bdb95a1d6abd3": _event(
        "swap",
        _codes("WOOFI"),
        PoolSwap,
        "address coin_in, address coin_out, address recipient",
        f"{WOO_WORDS}, address _",
    ),
    "0x0e8e403c2d36126272b08c75823e988381d9dc47f2f0a9a080d95f891d95c469": _event(
        "swap",
        _codes("WOOFI"),
        PoolSwap,
        "address coin_in, address coin_out, address recipient",
        f"{WOO_WORDS}, address _, uint256 _, uint256 _",
    ),
    "0xab0d57f0df537bb25e80245ef7748fa62353808c54d6e528a9dd20887aed9ac2": _event(
        "pool_created",
        _codes("SLIPSTREAM"),
        PoolCreated,
        "address token0, address token1, int24 tick_spacing",
        "address pool",
        by_factory=True,
    ),
    "0x598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a": _event(
        "fee", _codes("ALGEBRA"), PoolFee, "", "uint16 fee_pips"
    ),
    "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438": _event(
        "initialize",
        V4,
        PoolState,
        "bytes32 pool, address token0, address token1",
        "uint24 fee_pips, int24 tick_spacing, address hooks, uint160 sqrt_price_x96, int24 tick",
    ),
    "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f": _event(
        "swap",
        V4,
        PoolSwap,
        "bytes32 pool, address sender",
        "int128 -amount0, int128 -amount1, uint160 sqrt_price_x96, uint128 liquidity, int24 tick, uint24 swap_fee_pips",
    ),
    "0xf208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec": _event(
        "modify_liquidity",
        V4,
        PoolLiquidity,
        "bytes32 pool, address sender",
        "int24 tick_lower, int24 tick_upper, int256 liquidity_delta, bytes32 salt",
    ),
    "0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9": _event(
        "protocol_fee_updated", V4, PoolFee, "bytes32 pool", "uint24 _"
    ),
}
"""By topic 0.  A name with `-` in front is an amount that is negative where it goes into the pool."""


def decode_event(log: Log) -> AbiEvent | None:
    """The event of `log`, or None if it is no well-formed event of ours.

    eth-abi looks neither at the number of topics nor at bytes after the last word; both are demanded here.
    """
    topics = [read_hex(topic) for topic in trimmed(log.topics)]
    event = EVENTS.get((log.topics[0] or "").lower()) if log.topics else None
    data = read_hex(log.data)
    if event is None or data is None or len(topics) != len(event.indexed) + 1 or len(data) != WORD * len(event.data):
        return None
    values: dict[str, Any] = {}
    try:
        for (abi_type, name), topic in zip(event.indexed, topics[1:], strict=True):
            if topic is None or len(topic) != WORD:
                return None
            values[name] = decode([abi_type], topic)[0]
        values |= zip(
            (name for _, name in event.data), decode([abi_type for abi_type, _ in event.data], data), strict=True
        )
    except DecodingError:
        return None
    values.pop("_", None)
    types = {name: abi_type for abi_type, name in (*event.indexed, *event.data)}
    return AbiEvent(
        event, {name: bytes.fromhex(v[2:]) if types[name] == "address" else v for name, v in values.items()}
    )


def differences(record: PoolRecord, decoded: AbiEvent) -> list[str]:
    """Where a record of the ring says something else than eth-abi, one line each."""
    if type(record) is not decoded.event.record:
        return [f"expected a {decoded.event.record.__name__}, found a {type(record).__name__}"]
    told = {name: value for name, value in decoded.values.items() if not (name in COINS and isinstance(value, int))}
    found = {name: value_of(record, name) for name in told}
    return [
        f"{name}: expected {value!r}, found {found[name]!r}" for name, value in told.items() if found[name] != value
    ]


def value_of(record: Any, name: str) -> Any:
    """The argument `name` as a record carries it; V3's signed amounts are put together again.  Of two named coins one
    went in and one out."""
    if name.startswith("-"):
        return -value_of(record, name[1:])
    named, _, way = name.partition("_")
    if way in ("in", "out") and named in ("amount", "coin"):
        amounts = getattr(record, f"amount0_{way}"), getattr(record, f"amount1_{way}")
        return sum(amounts) if named == "amount" else (record.token1 if amounts[1] else record.token0)
    if hasattr(record, name):
        return getattr(record, name)
    return getattr(record, f"{name}_in") - getattr(record, f"{name}_out")


def trimmed(topics: tuple[str | None, ...]) -> list[str | None]:
    """Topics without the nulls that some indexers pad them with."""
    kept = list(topics)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def read_hex(text: str | None) -> bytes | None:
    """Bytes of strict hex; None if it is none."""
    return bytes.fromhex(text[2:]) if text is not None and HEX.match(text) else None


def read_number(text: str | None) -> int | None:
    """A quantity (`0x` is zero, as some nodes write it); None if it is none."""
    if text is None or not NUMBER.match(text):
        return None
    return int(text, 16) if len(text) > 2 else 0
