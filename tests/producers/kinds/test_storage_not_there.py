"""Contracts whose storage a node lacks: zeros, lists of none and reverts that no contract with its state would say.

A node that lags may have a contract's code and not what it stored.  What is said so may prove nothing against a pool,
and may stand for nothing once it has been proven; the truth that comes later decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.proving import Standing
from producers.node.call_program import REVERTED, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from tests.producers.kinds.proofs import Said, address, call_of, chain_of, factory_of, inquire, proven, refuted
from tlv.codes import Curve, Protocol

POOL, FACTORY, OTHER, DEPLOYER = (address(number) for number in (0xA1, 0xF1, 0xA2, 0xD1))
LOW, HIGH = address(1), address(2)
ZERO, NO_LIST = "0x" + "00" * 32, "0x" + "20".rjust(64, "0") + "00" * 32
Table = dict[tuple[str, Any], Any]


def log_of(protocol: Protocol, *words: int, topics: tuple[int, ...] = (), emitter: str = POOL) -> Log:
    """A swap of the kind's own form, with these words in front; the rest are ones."""
    event = next(
        event
        for event in EVENT_OF_TOPIC.values()
        if protocol in event.protocols and event.name == "swap" and "Underlying" not in event.solidity_name
    )
    data = [*words, *[1] * (len(event.words) - len(words))]
    indexed = [*topics, *[7] * (len(event.indexed) - len(topics))]
    return Log(
        emitter, (event.topic0, *(f"0x{one:064x}" for one in indexed)), "0x" + "".join(f"{w:064x}" for w in data)
    )


def a_pair(**more: tuple[str, Any]) -> Table:
    """A pool of two tokens, and what else it says by function: ABI type and value."""
    said = {"token0": ("address", LOW), "token1": ("address", HIGH), "factory": ("address", FACTORY), **more}
    return {(POOL, f"{name}()"): ((kind,), (value,)) for name, (kind, value) in said.items()}


def knows(function: str, *arguments: Any, answer: str = POOL) -> Table:
    """What the factory answers when it is asked for a pool."""
    return {(FACTORY, (function, LOW, HIGH, *arguments)): (("address",), (answer,))}


STABLE = a_pair(stable=("bool", True)) | knows("getPool(address,address,bool)", True)
SLIPSTREAM = a_pair(tickSpacing=("int24", 200)) | knows("getPool(address,address,int24)", 200)
TIER = a_pair(fee=("uint24", 1234), tickSpacing=("int24", 20)) | knows("getPool(address,address,uint24)", 1234)
CUSTOM = a_pair(tickSpacing=("int24", 60)) | {
    (FACTORY, ("customPoolByPair(address,address,address)", DEPLOYER, LOW, HIGH)): (("address",), (POOL,))
}
LISTED: Table = {
    (POOL, "_BASE_TOKEN_()"): (("address",), (HIGH,)),
    (POOL, "_QUOTE_TOKEN_()"): (("address",), (LOW,)),
    (FACTORY, ("getDODOPool(address,address)", HIGH, LOW)): (("address[]",), ([OTHER, POOL],)),
}
REGISTERED: Table = {
    (POOL, ("coins(uint256)", 0)): (("address",), (HIGH,)),
    (POOL, ("coins(uint256)", 1)): (("address",), (LOW,)),
    (FACTORY, ("get_coins(address)", POOL)): (("address[]",), ([HIGH, LOW],)),
}
ID = bytes.fromhex(POOL[2:]) + bytes(12)
"""Of Balancer's first pool: it ends like an address that is written into 32 bytes."""
VAULT: Table = {
    (FACTORY, ("getPool(bytes32)", ID)): (("address", "uint8"), (POOL, 0)),
    (FACTORY, ("getPoolTokens(bytes32)", ID)): (
        ("address[]", "uint256[]", "uint256"),
        ([LOW, HIGH], [1, 1], 5),
    ),
}


def without_storage(
    said: Said, table: Table, lacking: str | None = None, *, for_ever: bool = False
) -> Callable[[Question], Answer]:
    """As a contract answers whose state a node lacks at first, or for ever, about one function or about all."""
    first: set[Question] = set()
    empty = {
        (to, call_of(call)): NO_LIST if answer[0] == ("address[]",) else ZERO for (to, call), answer in table.items()
    }

    def answer(question: Question) -> Answer:
        about = (question.to, question.data)
        if question in first or question.data == call_of("fee()"):  # which V3's pools have in their code
            return said(question)
        if lacking is not None and question.data != call_of(lacking):
            return said(question)
        if not for_ever:
            first.add(question)
        if question.data[:10] in (call_of("getPool(bytes32)"), call_of("getPoolTokens(bytes32)")):
            return REVERTED  # the Vault checks whether it has the pool
        return empty.get(about, ZERO if question.to == FACTORY else said(question))

    return answer


KINDS = [
    (Protocol.VELODROME, STABLE, log_of(Protocol.VELODROME)),
    (Protocol.SLIPSTREAM, SLIPSTREAM, log_of(Protocol.SLIPSTREAM)),
    (Protocol.UNISWAP_V3, TIER, log_of(Protocol.UNISWAP_V3)),
    (Protocol.ALGEBRA_INTEGRAL, CUSTOM, log_of(Protocol.ALGEBRA_INTEGRAL)),
    (Protocol.DODO, LISTED, log_of(Protocol.DODO, int(LOW, 16), int(HIGH, 16))),
    (Protocol.CURVE, REGISTERED, log_of(Protocol.CURVE, 0, 9, 1)),
    (Protocol.BALANCER_V2, VAULT, log_of(Protocol.BALANCER_V2, topics=(int(ID.hex(), 16), 1, 2), emitter=FACTORY)),
]


def chain_with(protocol: Protocol) -> ChainConfig:
    more = {"custom_deployers": (DEPLOYER,)} if protocol is Protocol.ALGEBRA_INTEGRAL else {}
    return chain_of(factory_of(protocol.name, FACTORY, **more))


@pytest.mark.parametrize(("protocol", "table", "log"), KINDS, ids=lambda value: getattr(value, "name", ""))
def test_pool_of_a_node_that_lacks_its_storage_at_first_is_proven_by_what_comes_later(
    protocol: Protocol, table: Table, log: Log
) -> None:
    chain, said = chain_with(protocol), Said(table)
    row = proven(chain, log, said)
    assert row.protocol == protocol and {row.token0.hex(), row.token1.hex()} == {LOW[2:], HIGH[2:]}
    for lacking in (None, *{call for _, call in table if isinstance(call, str)}):
        assert proven(chain, log, without_storage(said, table, lacking)) == row, lacking


@pytest.mark.parametrize(("protocol", "table", "log"), KINDS, ids=lambda value: getattr(value, "name", ""))
def test_pool_of_a_node_that_never_has_its_storage_is_neither_proven_nor_refuted(
    protocol: Protocol, table: Table, log: Log
) -> None:
    said = Said(table)
    inquiry = inquire(chain_with(protocol), log, without_storage(said, table, for_ever=True))
    assert inquiry.pool is None and inquiry.against() is None and inquiry.open_questions()


def test_stable_pair_that_said_it_is_none_is_what_its_factory_says_it_is() -> None:
    """Also by its address alone; and one that its factory denies either way is false."""
    said = Said(STABLE | a_pair(stable=("bool", False)))
    row = proven(chain_with(Protocol.VELODROME), log_of(Protocol.VELODROME), said)
    assert row.curve == Curve.VELODROME
    hashed = factory_of("VELODROME", FACTORY, init_code_hash="0x" + "cc" * 32)
    made = hashed.pool_address(bytes.fromhex(LOW[2:]), bytes.fromhex(HIGH[2:]), 1)
    there = {(f"0x{made.hex()}", call): answer for (_, call), answer in a_pair(stable=("bool", False)).items()}
    by_address = proven(chain_of(hashed), log_of(Protocol.VELODROME, emitter=f"0x{made.hex()}"), Said(there))
    assert by_address.curve == Curve.VELODROME
    denied: Table = {}
    for stable in (True, False):
        denied |= knows("getPool(address,address,bool)", stable, answer=OTHER)
    against = refuted(
        chain_with(Protocol.VELODROME), log_of(Protocol.VELODROME), Said(a_pair(stable=("bool", False)) | denied)
    )
    assert against.standing is Standing.FALSE and len(against.rests_on) == 6


def test_custom_pool_is_proven_whether_or_not_its_tokens_have_a_pool_of_the_factory_s_own() -> None:
    chain, log = chain_with(Protocol.ALGEBRA_INTEGRAL), log_of(Protocol.ALGEBRA_INTEGRAL)
    own = knows("poolByPair(address,address)", answer=OTHER)
    none = {key: (("address",), (address(0),)) for key in own}
    rows = {proven(chain, log, Said(CUSTOM | more)) for more in (own, none)}
    assert [row.tick_spacing for row in rows] == [60]
    denied = {key: (("address",), (OTHER,)) for key in CUSTOM if key[0] == FACTORY}
    assert refuted(chain, log, Said(CUSTOM | own | denied)).standing is Standing.FALSE


def test_pool_that_names_another_factory_is_not_held_up_by_custom_deployers() -> None:
    """Their factory is not asked, whose zero would say nothing."""
    said = Said(CUSTOM | {(POOL, "factory()"): (("address",), (OTHER,))})
    against = refuted(chain_with(Protocol.ALGEBRA_INTEGRAL), log_of(Protocol.ALGEBRA_INTEGRAL), said)
    assert against.standing is Standing.UNSUPPORTED and all(question.to == POOL for question in said.asked)


def test_pool_whose_id_ends_in_zeros_is_known_by_it() -> None:
    """Balancer's first pool: no other kind's pool is taken for it, nor it for one that is its own contract."""
    row = proven(chain_with(Protocol.BALANCER_V2), KINDS[-1][2], Said(VAULT))
    assert VerifiedEmitter.unpack(row.pack()).pool == ID[:20] and row.pool == ID
