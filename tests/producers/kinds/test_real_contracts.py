"""Kinds whose bytecode is published: what it logs is decoded as eth-abi does, what it answers proves its pools."""

from __future__ import annotations

from typing import Any

import pytest

from producers.decode.cold import decode_log
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.proving import Standing
from producers.kinds.registry import kind_named
from producers.node.rpc_types import Log
from producers.node.view_calls import read_words, selector
from tests.producers.decode.abi_oracle import expected, value_of
from tests.producers.kinds.proofs import address, chain_of, factory_of, inquire, proven, refuted
from tests.producers.kinds.real_contracts import Deployed, algebra_integral, balancer_v2, pancakeswap_v3
from tlv.codes import Protocol
from tlv.layout import PoolCreated, PoolSwap
from tools.rig.evm.world import bytecode_hash

INTEGRAL_HASH = "0x62441ebe4e4315cf3d49d5957f94d66b253dbabe7006f34ad7f70947e60bf15c"
PANCAKE_HASH = "0x6ce8eb472fa82df5469c6ab6d485f17c3ad13c8cd7af59b3d4a8026c5ce0f7e2"
"""The init code hashes of deployed pools, as public configurations have them."""


@pytest.fixture(scope="module")
def integral() -> Deployed:
    return algebra_integral()


@pytest.fixture(scope="module")
def balancer() -> Deployed:
    return balancer_v2()


@pytest.fixture(scope="module")
def pancake() -> Deployed:
    return pancakeswap_v3()


def events_of(deployed: Deployed) -> list[Log]:
    return [log for log in deployed.logs if log.topics and log.topics[0] in EVENT_OF_TOPIC]


def raw(log: Log) -> dict[str, Any]:
    return {"topics": list(log.topics), "data": log.data}


def test_published_pools_have_the_hash_of_deployed_ones() -> None:
    assert bytecode_hash("IntegralPool") == INTEGRAL_HASH
    assert bytecode_hash("PancakePool") == PANCAKE_HASH


@pytest.mark.parametrize("by_hash", [True, False])
@pytest.mark.parametrize("custom", [True, False])
def test_integral_pools_are_proven_by_address_and_by_lookup(integral: Deployed, by_hash: bool, custom: bool) -> None:
    """The custom one only where the chain file names its deployer."""
    more: dict[str, Any] = {"init_code_hash": INTEGRAL_HASH, "deployer": integral.deployer} if by_hash else {}
    chain = chain_of(factory_of("ALGEBRA_INTEGRAL", integral.factory, **more))
    pool, custom_pool, deployer = integral.pools
    swaps = [log for log in events_of(integral) if EVENT_OF_TOPIC[log.topics[0] or ""].record is PoolSwap]
    log = next(log for log in swaps if log.address == (custom_pool if custom else pool))
    if custom:
        if by_hash:
            assert refuted(chain, log, integral.contracts.answer).standing is Standing.FALSE
        chain = chain_of(factory_of("ALGEBRA_INTEGRAL", integral.factory, custom_deployers=(deployer,), **more))
    row = proven(chain, log, integral.contracts.answer)
    assert (row.pool.hex(), row.protocol, row.fee_pips, row.tick_spacing) == (log.address[2:], 6, 0, 60)
    assert [row.token0.hex(), row.token1.hex()] == [token[2:] for token in integral.tokens]


def test_integral_logs_are_read_as_eth_abi_reads_them(integral: Deployed) -> None:
    records = agreeing(events_of(integral))
    assert [type(record) for record in records].count(PoolSwap) == 3
    created = [record for record in records if isinstance(record, PoolCreated)]
    assert [record.pool.hex() for record in created] == [integral.pools[place][2:] for place in (0, 1, 1)]


def agreeing(logs: list[Log]) -> list[Any]:
    """The records of logs, each equal to eth-abi's reading."""
    records = [decode_log(log) for log in logs]
    for log, record in zip(logs, records, strict=True):
        said = expected(raw(log))
        assert said is not None
        values = said[2]
        assert {name: value_of(record, name) for name in values} == values
    return records


def test_integral_state_is_what_its_pool_answers(integral: Deployed) -> None:
    kind = kind_named("ALGEBRA_INTEGRAL")
    assert kind is not None and kind.state is not None
    pool = integral.pools[0]
    answers = [integral.contracts.send(pool, selector(function)) for function in kind.state.functions]
    state = kind.state.read([read_words(f"0x{answer.hex()}") for answer in answers])
    last = [decode_log(log) for log in events_of(integral) if log.address == pool][-1]
    assert isinstance(last, PoolSwap) and state is not None
    assert (state.sqrt_price_x96, state.liquidity, state.tick) == (last.sqrt_price_x96, last.liquidity, last.tick)


def test_pancake_pool_is_proven_by_address(pancake: Deployed) -> None:
    factory = factory_of("PANCAKESWAP_V3", address(5), deployer=pancake.deployer, init_code_hash=PANCAKE_HASH)
    row = proven(chain_of(factory), pancake.logs[0], pancake.contracts.answer)
    assert (row.fee_pips, row.tick_spacing, row.protocol) == (2500, 50, Protocol.PANCAKESWAP_V3)


def test_balancer_swaps_are_proven_and_read_by_the_vault_s_own_word(balancer: Deployed) -> None:
    """Also one into the share of a composable stable pool, which is one of its coins."""
    chain = chain_of(factory_of("BALANCER_V2", balancer.factory))
    swaps = events_of(balancer)
    assert len(swaps) == 3
    coins = {len(inquiry_coins(chain, log, balancer)) for log in swaps}
    assert coins == {3, 4}
    for log in swaps:
        row = proven(chain, log, balancer.contracts.answer)
        record = decode_log(log, row)
        assert isinstance(record, PoolSwap)
        pool_id, coin_in, coin_out = ((topic or "")[2:] for topic in log.topics[1:])
        assert record.pool.hex() == pool_id and pool_id in balancer.pools
        tokens = (record.token0.hex(), record.token1.hex())
        assert tokens == tuple(sorted((coin_in[24:], coin_out[24:])))
        amounts = [int((log.data or "")[2 + 64 * at : 66 + 64 * at], 16) for at in (0, 1)]
        moved = (record.amount0_in, record.amount1_out, record.amount1_in, record.amount0_out)
        assert moved == ((*amounts, 0, 0) if tokens[0] == coin_in[24:] else (0, 0, *amounts))


def inquiry_coins(chain: Any, log: Log, balancer: Deployed) -> tuple[bytes, ...]:
    return inquire(chain, log, balancer.contracts.answer).coins
