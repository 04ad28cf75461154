"""Events that kinds share word for word, or that look alike: only the factory tells whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from producers.decode.cold import Refusal, RefusedLog, decode_log
from producers.decode.pool_table import VerifiedEmitter, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.kinds.proving import Standing
from producers.kinds.registry import kind_named
from producers.node.rpc_types import Log
from tests.producers.kinds.proofs import Said, address, chain_of, factory_of, proven, refuted
from tlv.codes import Protocol
from tlv.layout import PoolCreated, PoolSwap

POOL, LOW, HIGH = address(0xA1), address(1), address(2)
SIGNATURES = {event.signature: topic0 for topic0, event in EVENT_OF_TOPIC.items()}
V2_SWAP = SIGNATURES["Swap(address,uint256,uint256,uint256,uint256,address)"]
V3_SWAP = SIGNATURES["Swap(address,address,int256,int256,uint160,uint128,int24)"]
INTEGRAL_SWAP = SIGNATURES["Swap(address,address,int256,int256,uint160,uint128,int24,uint24,uint24)"]
V4_SWAP = SIGNATURES["Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)"]
PAIR_SYNC = SIGNATURES["Sync(uint256,uint256)"]
POOL_CREATED = SIGNATURES["PoolCreated(address,address,uint24,int24,address)"]
MAKERS = {
    name: address(0xF0 + place)
    for place, name in enumerate(
        (
            "UNISWAP_V2",
            "SOLIDLY",
            "VELODROME",
            "UNISWAP_V3",
            "ALGEBRA",
            "ALGEBRA_INTEGRAL",
            "SLIPSTREAM",
            "KYBER_ELASTIC",
        )
    )
}
SAYS: dict[str, dict[str, tuple[str, Any]]] = {
    "SOLIDLY": {"stable()": ("bool", False)},
    "VELODROME": {"stable()": ("bool", False)},
    "UNISWAP_V3": {"fee()": ("uint24", 3000)},
    "ALGEBRA": {"tickSpacing()": ("int24", 60)},
    "ALGEBRA_INTEGRAL": {"tickSpacing()": ("int24", 60)},
    "SLIPSTREAM": {"tickSpacing()": ("int24", 60)},
    "KYBER_ELASTIC": {"swapFeeUnits()": ("uint24", 30), "tickDistance()": ("int24", 60)},
}


def log_of(topic0: str, *words: int, topics: tuple[int, ...] = (7, 7), emitter: str = POOL) -> Log:
    return Log(
        emitter,
        (topic0, *(f"0x{topic:064x}" for topic in topics)),
        "0x" + "".join(f"{word % (1 << 256):064x}" for word in words),
    )


def pool_of(name: str, maker: str) -> Said:
    """A pool of this kind, which its factory has."""
    kind = kind_named(name)
    assert kind is not None
    own = SAYS.get(name, {})
    words = [own[function][1] for function in kind.proof.functions]
    said = {"token0()": ("address", LOW), "token1()": ("address", HIGH), "factory()": ("address", maker), **own}
    table: dict[tuple[str, Any], Any] = {
        (POOL, function): ((kind_of_word,), (value,)) for function, (kind_of_word, value) in said.items()
    }
    table[maker, (kind.proof.lookup, LOW, HIGH, *words)] = ("address",), (POOL,)
    return Said(table)


@pytest.mark.parametrize(
    ("topic0", "words", "names"),
    [
        (V2_SWAP, (5, 0, 0, 4), ("UNISWAP_V2", "SOLIDLY")),
        (PAIR_SYNC, (5, 4), ("SOLIDLY", "VELODROME")),
        (
            V3_SWAP,
            (5, -4, 1 << 96, 1, 0),
            ("UNISWAP_V3", "ALGEBRA", "ALGEBRA_INTEGRAL", "SLIPSTREAM", "KYBER_ELASTIC"),
        ),
    ],
)
def test_pool_is_of_the_kind_whose_factory_has_it_where_all_kinds_emit_its_event(
    topic0: str, words: tuple[int, ...], names: tuple[str, ...]
) -> None:
    log = log_of(topic0, *words, topics=(7, 7)[: len(EVENT_OF_TOPIC[topic0].indexed)])
    chain = chain_of(*(factory_of(name, maker) for name, maker in MAKERS.items()))
    for name in names:
        row = proven(chain, log, pool_of(name, MAKERS[name]))
        assert (row.protocol, row.factory.hex()) == (Protocol[name], MAKERS[name][2:])
        assert decode_log(log, row).protocol == Protocol[name]


@pytest.mark.parametrize("topic0", [V2_SWAP, PAIR_SYNC])
def test_pair_of_a_factory_that_is_not_configured_is_a_pool_that_is_not_supported(topic0: str) -> None:
    """Solidly's pairs are no lookalikes of Uniswap's."""
    maker = address(0xE0)
    log = log_of(topic0, 5, 0, 0, 4, topics=(7, 7)) if topic0 == V2_SWAP else log_of(topic0, 5, 4, topics=())
    for configured in (("UNISWAP_V2",), ("UNISWAP_V2", "SOLIDLY")):
        chain = chain_of(*(factory_of(name, MAKERS[name]) for name in configured))
        against = refuted(chain, log, pool_of("SOLIDLY", maker))
        assert (against.standing, against.factory.hex()) == (Standing.UNSUPPORTED, maker[2:])


def test_swap_of_v4_counts_from_the_swapper_and_that_of_v3_from_the_pool() -> None:
    """What goes into the pool is negative there, and positive here."""
    v4 = decode_log(log_of(V4_SWAP, -5, 4, 1 << 96, 1, 0, 3000, topics=(9, 7)))
    v3 = decode_log(log_of(V3_SWAP, 5, -4, 1 << 96, 1, 0))
    for record in (v4, v3):
        assert isinstance(record, PoolSwap)
        amounts = record.amount0_in, record.amount1_in, record.amount0_out, record.amount1_out
        assert amounts == (5, 0, 0, 4)


def test_swap_of_integral_with_two_more_words_has_a_topic_of_its_own() -> None:
    """They are no part of V3's, whose topic with them is nobody's event; neither says a fee."""
    words = (5, -4, 1 << 96, 1, 0, 100, 200)
    row = VerifiedEmitter(b"\x01" * 20, b"\x02" * 20, b"\x03" * 20, 1, 18, 18, protocol=Protocol.ALGEBRA_INTEGRAL)
    record = decode_log(log_of(INTEGRAL_SWAP, *words), row)
    assert isinstance(record, PoolSwap) and (record.amount0_in, record.swap_fee_pips) == (5, 0)
    assert decode_log(log_of(V3_SWAP, *words[:5]), row) == record
    with pytest.raises(RefusedLog) as refused:
        decode_log(log_of(V3_SWAP, *words), row)
    assert refused.value.refusal is Refusal.WRONG_DATA_SIZE


def test_pool_that_kyber_s_factory_makes_is_not_told_with_a_tenth_of_its_fee() -> None:
    """Its PoolCreated is V3's, with the fee in units of ten pips."""
    log = log_of(POOL_CREATED, 60, 0xA1, topics=(1, 2, 30), emitter=address(0xF7))
    maker = bytes.fromhex(log.address[2:])
    for protocol in (Protocol.UNISWAP_V3, Protocol.PANCAKESWAP_V3):
        record = decode_log(log, unverified(maker, protocol, Role.FACTORY))
        assert isinstance(record, PoolCreated) and (record.fee_pips, record.tick_spacing) == (30, 60)
    with pytest.raises(RefusedLog) as refused:
        decode_log(log, unverified(maker, Protocol.KYBER_ELASTIC, Role.FACTORY))
    assert refused.value.refusal is Refusal.FOREIGN_EVENT
