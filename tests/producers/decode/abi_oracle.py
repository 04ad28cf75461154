"""What eth-abi makes of a log: the oracle that both decoders are held against.

Nothing of the decoding is shared with the code under test: the topics are literals, the hex pattern and the argument
names are written out once more, and every value is decoded by `eth_abi`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from eth_abi import encode
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry

from producers.node.rpc_types import Log

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "tools" / "recording" / "data"
LOG_FILES = (
    "polygon/recording_2021-04-20_canonical_logs.jsonl.gz",
    "polygon/recording_2021-04-20_orphaned_logs.jsonl.gz",
    "polygon/full_blocks_10M_20M_40M_logs.jsonl.gz",
    "ethereum/full_blocks_17686110-17686121_logs.jsonl.gz",
    "ethereum/univ3_usdc_weth_500_2024-01-05_logs.jsonl.gz",
)
MOST_COINS = 8
EVENTS_IN_FILE = (480, 18, 61, 1078, 6234)
"""How many logs of each file eth-abi accepts as one of our events, whoever emitted them."""

EVENTS: dict[str, tuple[str, str, list[str], list[str], list[str], list[str]]] = {
    "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822": (
        "uniswap_v2",
        "swap",
        ["address", "address"],
        ["sender", "recipient"],
        ["uint256"] * 4,
        ["amount0_in", "amount1_in", "amount0_out", "amount1_out"],
    ),
    "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1": (
        "uniswap_v2",
        "sync",
        [],
        [],
        ["uint112"] * 2,
        ["reserve0", "reserve1"],
    ),
    "0x4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f": (
        "uniswap_v2",
        "mint",
        ["address"],
        ["sender"],
        ["uint256"] * 2,
        ["amount0", "amount1"],
    ),
    "0xdccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496": (
        "uniswap_v2",
        "burn",
        ["address", "address"],
        ["owner", "recipient"],
        ["uint256"] * 2,
        ["amount0", "amount1"],
    ),
    "0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9": (
        "uniswap_v2",
        "pair_created",
        ["address", "address"],
        ["token0", "token1"],
        ["address", "uint256"],
        ["pool", "_"],
    ),
    "0xcf2aa50876cdfbb541206f89af0ee78d44a2abf8d328e37fa4917f982149848a": (
        "solidly",
        "sync",
        [],
        [],
        ["uint256"] * 2,
        ["reserve0", "reserve1"],
    ),
    "0xc4805696c66d7cf352fc1d6bb633ad5ee82f6cb577c453024b6e0eb8306c6fc9": (
        "solidly",
        "pair_created",
        ["address", "address"],
        ["token0", "token1"],
        ["bool", "address", "uint256"],
        ["_", "pool", "_"],
    ),
    "0xb3e2773606abfd36b5bd91394b3a54d1398336c65005baf7bf7a05efeffaf75b": (
        "velodrome",
        "swap",
        ["address", "address"],
        ["sender", "recipient"],
        ["uint256"] * 4,
        ["amount0_in", "amount1_in", "amount0_out", "amount1_out"],
    ),
    "0x5d624aa9c148153ab3446c1b154f660ee7701e549fe9b62dab7171b1c80e6fa2": (
        "velodrome",
        "burn",
        ["address", "address"],
        ["owner", "recipient"],
        ["uint256"] * 2,
        ["amount0", "amount1"],
    ),
    "0x2128d88d14c80cb081c1252a5acff7a264671bf199ce226b53788fb26065005e": (
        "velodrome",
        "pool_created",
        ["address", "address", "bool"],
        ["token0", "token1", "_"],
        ["address", "uint256"],
        ["pool", "_"],
    ),
    "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67": (
        "uniswap_v3",
        "swap",
        ["address", "address"],
        ["sender", "recipient"],
        ["int256", "int256", "uint160", "uint128", "int24"],
        ["amount0", "amount1", "sqrt_price_x96", "liquidity", "tick"],
    ),
    "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde": (
        "uniswap_v3",
        "mint",
        ["address", "int24", "int24"],
        ["owner", "tick_lower", "tick_upper"],
        ["address", "uint128", "uint256", "uint256"],
        ["sender", "amount", "amount0", "amount1"],
    ),
    "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c": (
        "uniswap_v3",
        "burn",
        ["address", "int24", "int24"],
        ["owner", "tick_lower", "tick_upper"],
        ["uint128", "uint256", "uint256"],
        ["amount", "amount0", "amount1"],
    ),
    "0x70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0": (
        "uniswap_v3",
        "collect",
        ["address", "int24", "int24"],
        ["owner", "tick_lower", "tick_upper"],
        ["address", "uint128", "uint128"],
        ["recipient", "amount0", "amount1"],
    ),
    "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95": (
        "uniswap_v3",
        "initialize",
        [],
        [],
        ["uint160", "int24"],
        ["sqrt_price_x96", "tick"],
    ),
    "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118": (
        "uniswap_v3",
        "pool_created",
        ["address", "address", "uint24"],
        ["token0", "token1", "fee_pips"],
        ["int24", "address"],
        ["tick_spacing", "pool"],
    ),
    "0x91ccaa7a278130b65168c3a0c8d3bcae84cf5e43704342bd3ec0b59e59c036db": (
        "algebra",
        "pool_created",
        ["address", "address"],
        ["token0", "token1"],
        ["address"],
        ["pool"],
    ),
    "0x121cb44ee54098b1a04743c487e7460d8dd429b27f88b1f4d4767396e1a59f79": (
        "algebra_integral",
        "swap",
        ["address", "address"],
        ["sender", "recipient"],
        ["int256", "int256", "uint160", "uint128", "int24", "uint24", "uint24"],
        ["amount0", "amount1", "sqrt_price_x96", "liquidity", "tick", "_", "_"],
    ),
    "0x932214d4a69c27c086643126ed97c32681da179064c678836c173f99bd13ca01": (
        "algebra_integral",
        "burn",
        ["address", "int24", "int24"],
        ["owner", "tick_lower", "tick_upper"],
        ["uint128", "uint256", "uint256", "uint24"],
        ["amount", "amount0", "amount1", "_"],
    ),
    "0x8a5f030f5fc13b04a1e4ef7c47177e3d76b0e80e1d9be9843db37caa5b7b9b8f": (
        "algebra_integral",
        "pool_created",
        ["address", "address", "address"],
        ["_", "token0", "token1"],
        ["address"],
        ["pool"],
    ),
    "0x19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83": (
        "pancakeswap_v3",
        "swap",
        ["address", "address"],
        ["sender", "recipient"],
        ["int256", "int256", "uint160", "uint128", "int24", "uint128", "uint128"],
        ["amount0", "amount1", "sqrt_price_x96", "liquidity", "tick", "_", "_"],
    ),
    "0x2170c741c41531aec20e7c107c24eecfdd15e69c9bb0a8dd37b1840b9e0b207b": (
        "balancer_v2",
        "swap",
        ["bytes32", "address", "address"],
        ["pool", "coin_in", "coin_out"],
        ["uint256", "uint256"],
        ["amount_in", "amount_out"],
    ),
    "0x8b3e96f2b889fa771c53c981b40daf005f63f637f1869f707052d15a3dd97140": (
        "curve",
        "swap",
        ["address"],
        ["sender"],
        ["int128", "uint256", "int128", "uint256"],
        ["coin_in", "amount_in", "coin_out", "amount_out"],
    ),
    "0xb2e76ae99761dc136e598d4a629bb347eccb9532a5f8bbd72e18467c3c34cc98": (
        "curve",
        "swap",
        ["address"],
        ["sender"],
        ["uint256", "uint256", "uint256", "uint256"],
        ["coin_in", "amount_in", "coin_out", "amount_out"],
    ),
    "0x143f1f8e861fbdeddd5b46e844b7d3ac7b86a122f36e8c463859ee6811b1f29c": (
        "curve",
        "swap",
        ["address"],
        ["sender"],
        ["uint256", "uint256", "uint256", "uint256", "uint256", "uint256"],
        ["coin_in", "amount_in", "coin_out", "amount_out", "_", "_"],
    ),
    "0xd013ca23e77a65003c2c659c5442c00c805371b7fc1ebd4c206c41d1536bd90b": (
        "curve",
        "swap",
        ["address"],
        ["sender"],
        ["int128", "uint256", "int128", "uint256"],
        ["coin_in", "amount_in", "coin_out", "amount_out"],
    ),
    "0xc2c0245e056d5fb095f04cd6373bc770802ebd1e6c918eb78fdef843cdb37b0f": (
        "dodo",
        "swap",
        [],
        [],
        ["address", "address", "uint256", "uint256", "address", "address"],
        ["coin_in", "coin_out", "amount_in", "amount_out", "sender", "recipient"],
    ),
    "0x90d51bc25f44dddb7620733c08a051656d433bed5de7322f9988d78f123ab5d1": (
        "woofi",
        "swap",
        ["address", "address", "address"],
        ["coin_in", "coin_out", "recipient"],
        ["uint256", "uint256", "address"],
        ["amount_in", "amount_out", "sender"],
    ),
    "0x74ef34e2ea7c5d9f7b7ed44e97ad44b4303416c3a660c3fb5b3bdb95a1d6abd3": (
        "woofi",
        "swap",
        ["address", "address", "address"],
        ["coin_in", "coin_out", "recipient"],
        ["uint256", "uint256", "address", "address"],
        ["amount_in", "amount_out", "sender", "_"],
    ),
    "0x0e8e403c2d36126272b08c75823e988381d9dc47f2f0a9a080d95f891d95c469": (
        "woofi",
        "swap",
        ["address", "address", "address"],
        ["coin_in", "coin_out", "recipient"],
        ["uint256", "uint256", "address", "address", "uint256", "uint256"],
        ["amount_in", "amount_out", "sender", "_", "_", "_"],
    ),
    "0x598b9f043c813aa6be3426ca60d1c65d17256312890be5118dab55b0775ebe2a": (
        "algebra",
        "fee",
        [],
        [],
        ["uint16"],
        ["fee_pips"],
    ),
    "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f": (
        "uniswap_v4",
        "swap",
        ["bytes32", "address"],
        ["pool", "sender"],
        ["int128", "int128", "uint160", "uint128", "int24", "uint24"],
        ["-amount0", "-amount1", "sqrt_price_x96", "liquidity", "tick", "swap_fee_pips"],
    ),
    "0xf208f4912782fd25c7f114ca3723a2d5dd6f3bcc3ac8db5af63baa85f711d5ec": (
        "uniswap_v4",
        "modify_liquidity",
        ["bytes32", "address"],
        ["pool", "sender"],
        ["int24", "int24", "int256", "bytes32"],
        ["tick_lower", "tick_upper", "liquidity_delta", "salt"],
    ),
    "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438": (
        "uniswap_v4",
        "initialize",
        ["bytes32", "address", "address"],
        ["pool", "token0", "token1"],
        ["uint24", "int24", "address", "uint160", "int24"],
        ["fee_pips", "tick_spacing", "hooks", "sqrt_price_x96", "tick"],
    ),
    "0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9": (
        "uniswap_v4",
        "protocol_fee_updated",
        ["bytes32"],
        ["pool"],
        ["uint24"],
        ["_"],
    ),
    "0xab0d57f0df537bb25e80245ef7748fa62353808c54d6e528a9dd20887aed9ac2": (
        "slipstream",
        "pool_created",
        ["address", "address", "int24"],
        ["token0", "token1", "tick_spacing"],
        ["address"],
        ["pool"],
    ),
}

# eth-abi's own decoder of each type, looked up once: all of these types take one word.
_WORD = {
    kind: registry.get_decoder(kind) for _, _, topics, _, words, _ in EVENTS.values() for kind in (*topics, *words)
}
_HEX = re.compile(r"\A0x([0-9a-fA-F]{2})*\Z", re.ASCII)


LIMITS = {
    "tick": (-887272, 887272),
    "tick_lower": (-887272, 887272),
    "tick_upper": (-887272, 887272),
    "sqrt_price_x96": (4295128739, 1461446703485210103287273052203988822378723970341),
    "tick_spacing": (1, 32767),
    "fee_pips": (0, 1_000_000),
    "swap_fee_pips": (0, 1_000_000),
}
DYNAMIC = 0x800000
"""What Uniswap V4 says in place of a fee."""
RISING = (("token0", "token1"), ("tick_lower", "tick_upper"))


def is_possible(event: str, values: dict[str, Any]) -> bool:
    """Whether a contract says such values: eth-abi knows types only.  A pool checks no ticks at Collect."""
    coins = [values.get("coin_in"), values.get("coin_out")]
    if coins[0] is not None and (coins[0] == coins[1] or any(isinstance(i, int) and not 0 <= i < 16 for i in coins)):
        return False
    if event == "collect":
        return True
    within = all(low <= values[name] <= high for name, (low, high) in LIMITS.items() if name in values)
    within = within or (values.get("fee_pips") == DYNAMIC and is_possible(event, values | {"fee_pips": 0}))
    return within and all(values[low] < values[high] for low, high in RISING if {low, high} <= values.keys())


def _raw(text: object) -> bytes | None:
    return bytes.fromhex(text[2:]) if isinstance(text, str) and _HEX.match(text) else None


def expected(log: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    """(family, event, values by record field) as eth-abi decodes `log`, or None if it is no well-formed event, or one
    that no contract emits.

    Two things that eth-abi does not look at are demanded here as well: the number of topics, and that no bytes follow
    the last word of the data.  Nulls (or empty texts) after the last topic are padding, as some
    indexers write it.
    """
    texts = list(log["topics"])
    while texts and not texts[-1]:
        texts.pop()
    topics = [_raw(text) for text in texts]
    data = _raw(log["data"])
    if not topics or data is None or any(topic is None or len(topic) != 32 for topic in topics):
        return None
    found = EVENTS.get(f"0x{topics[0].hex()}")
    if found is None:
        return None
    family, name, topic_types, topic_names, word_types, word_names = found
    if len(topics) != len(topic_types) + 1 or len(data) != 32 * len(word_types):
        return None
    try:
        stream = ContextFramesBytesIO(b"".join([*topics[1:], data]))
        decoded = [_WORD[kind](stream) for kind in (*topic_types, *word_types)]
    except DecodingError:
        return None
    values = dict(zip(topic_names + word_names, decoded, strict=True))
    values.pop("_", None)
    if not is_possible(name, values):
        return None
    return family, name, {key: bytes.fromhex(v[2:]) if isinstance(v, str) else v for key, v in values.items()}


def value_of(record: Any, name: str) -> Any:
    """The event argument `name` as the record carries it; signed amounts are put together again, V4's too.  Of two
    named coins one went in and one out, whichever is the first: a row knows, and its tokens are what names them."""
    if name.startswith("-"):
        return -value_of(record, name[1:])
    named, _, way = name.partition("_")
    if way in ("in", "out") and named in ("amount", "coin"):
        amounts = getattr(record, f"amount0_{way}"), getattr(record, f"amount1_{way}")
        coin = record.token1 if amounts[1] else record.token0
        return sum(amounts) if named == "amount" else coin
    if not hasattr(record, name):
        return getattr(record, f"{name}_in") - getattr(record, f"{name}_out")
    return getattr(record, name)


def rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a gzipped file."""
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def as_log(raw: dict[str, Any]) -> Log:
    """The typed log that a node's JSON becomes."""
    return msgspec.convert(raw, Log)


def encoded_log(topic0: str, rng: Random) -> dict[str, Any]:
    """A log of the event `topic0`, its values drawn at random up to the bounds of what can be, encoded by eth-abi."""
    _, event, topic_types, topic_names, word_types, word_names = EVENTS[topic0]
    types, names = (*topic_types, *word_types), (*topic_names, *word_names)
    drawn = possible_values(event, types, names, rng)
    indexed = [encode([kind], [value]) for kind, value in zip(topic_types, drawn, strict=False)]
    words = encode(word_types, drawn[len(topic_types) :])
    return {
        "address": f"0x{rng.randbytes(20).hex()}",
        "topics": [topic0, *(f"0x{topic.hex()}" for topic in indexed)],
        "data": f"0x{words.hex()}",
        "blockNumber": hex(rng.getrandbits(rng.choice((8, 32, 63)))),
        "transactionHash": f"0x{rng.randbytes(32).hex()}",
        "transactionIndex": hex(rng.getrandbits(32)),
        "blockHash": f"0x{rng.randbytes(32).hex()}",
        "logIndex": hex(rng.getrandbits(32)),
    }


def possible_values(event: str, types: Sequence[str], names: Sequence[str], rng: Random) -> list[Any]:
    """Values of these arguments that a contract can say."""
    while True:
        drawn = [_limited(kind, name, event, rng) for kind, name in zip(types, names, strict=True)]
        of_name = dict(zip(names, drawn, strict=True))
        for low, high in RISING:
            if {low, high} <= of_name.keys() and of_name[low] > of_name[high]:
                of_name[low], of_name[high] = of_name[high], of_name[low]
        if is_possible(event, of_name):
            return [value if name == "_" else of_name[name] for name, value in zip(names, drawn, strict=True)]


def _limited(kind: str, name: str, event: str, rng: Random) -> Any:
    if name.startswith("coin") and "int" in kind:
        return rng.randrange(MOST_COINS)
    if name not in LIMITS or event == "collect":
        return _drawn(kind, rng)
    low, high = LIMITS[name]
    high = min(high, (1 << int(kind.lstrip("uint"))) - 1)
    return rng.choice((low, high, low + 1, high - 1, rng.randint(low, high)))


def _drawn(kind: str, rng: Random) -> Any:
    if kind == "address":
        return f"0x{rng.randbytes(20).hex()}"
    if kind == "bytes32":
        return rng.randbytes(32)
    if kind == "bool":
        return rng.random() < 0.5
    bits = int(kind.removeprefix("u").removeprefix("int"))
    low, high = (0, (1 << bits) - 1) if kind.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)
    near = 1 << rng.randrange(bits)
    drawn = rng.choice((low, high, near, near - 1, -near, -near - 1, rng.randint(low, high)))
    return min(max(drawn, low), high)


def bundled_logs() -> list[dict[str, Any]]:
    """Every log of every bundled file, edge cases included."""
    logs = [log for name in LOG_FILES for log in rows(BUNDLED / name)]
    return logs + [row["log"] for row in rows(ROOT / "tests" / "data" / "edge_cases.jsonl.gz")]
