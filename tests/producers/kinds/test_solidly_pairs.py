"""Pairs of Solidly's type: how one is proven, what it is asked, which curve and fee its records state."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, load_chain
from producers.chains.create2 import create2_address
from producers.context import Context
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.kinds import solidly, velodrome
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.kind import PoolKind, StateAnswer
from producers.kinds.proving import Standing
from producers.kinds.registry import kind_of
from producers.node.call_program import Question
from producers.node.calls_at import Answer
from producers.node.jsonrpc import Failure
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.snapshots import Snapshots, read_state, state_questions
from producers.pools.inquiry import Inquiry
from tlv.codes import Curve, Protocol, Source
from tlv.errors import UsageError
from tlv.layout import PoolCreated

FACTORY, OTHER = "0x" + "fa" * 20, "0x" + "fb" * 20
POOL, TOKEN0, TOKEN1 = "0x" + "99" * 20, bytes([1] * 20), bytes([2] * 20)
LINES = """
name = "made_up"
chain_id = 7
source = "POLYGON_COLLECTOR"
ring = "market.made_up"
wrapped_native = "0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"
finality_blocks = 64

[[venues]]
code = 1700
name = "made_up.pairs"

[[factories]]
venue = "made_up.pairs"
"""
BLOCK = Block(Head("0x5", "0x" + "05" * 32, "0x" + "04" * 32, "0x1"))
REVERT = Failure(3, "execution reverted", "eth_call")


def chain_with(folder: Path, *lines: str) -> ChainConfig:
    path = folder / "chain.toml"
    path.write_text("\n".join([LINES, f'address = "{FACTORY}"', *lines]))
    return load_chain(str(path))


def call_of(signature: str, *values: object) -> str:
    types = [one for one in signature[signature.index("(") + 1 : -1].split(",") if one]
    return "0x" + (keccak(signature.encode())[:4] + encode(types, values)).hex()


def word(value: int | bytes) -> str:
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return f"0x{number:064x}"


def says(of_pool: dict[str, Answer], of_factory: dict[str, Answer]) -> dict[tuple[str, str], Answer]:
    known = {(POOL, call_of(name)): answer for name, answer in of_pool.items()}
    return known | {(FACTORY, call): answer for call, answer in of_factory.items()}


def pair(stable: int) -> dict[str, Answer]:
    return {
        "token0()": word(TOKEN0),
        "token1()": word(TOKEN1),
        "stable()": word(stable),
        "factory()": word(bytes.fromhex(FACTORY[2:])),
    }


def examined(
    chain: ChainConfig, answers: dict[tuple[str, str], Answer], pool: str = POOL
) -> tuple[Inquiry, list[Question]]:
    """An emitter that spoke like these kinds, asked until it has no open question; and all that was asked."""
    swap = EVENT_OF_TOPIC["0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"]
    inquiry, asked = Inquiry(chain, pool, (*swap.protocols, Protocol.VELODROME)), []
    while questions := [one for one in inquiry.open_questions() if one not in asked]:
        for question in questions:
            inquiry.take(question, answers.get((question.to, question.data), REVERT), BLOCK)
            asked.append(question)
    return inquiry, asked


CASES = [
    (solidly.KIND, 0, Curve.VOLATILE, "getPair(address,address,bool)", "getFee(bool)", (False,)),
    (solidly.KIND, 1, Curve.SOLIDLY, "getPair(address,address,bool)", "getFee(bool)", (True,)),
    (velodrome.KIND, 0, Curve.VOLATILE, "getPool(address,address,bool)", "getFee(address,bool)", (POOL, False)),
    (velodrome.KIND, 1, Curve.VELODROME, "getPool(address,address,bool)", "getFee(address,bool)", (POOL, True)),
]


@pytest.mark.parametrize(("kind", "stable", "curve", "lookup", "fee_call", "fee_of"), CASES)
def test_pair_is_proven_by_its_factorys_lookup_with_curve_and_fee(
    tmp_path: Path, kind: PoolKind, stable: int, curve: Curve, lookup: str, fee_call: str, fee_of: tuple[object, ...]
) -> None:
    chain = chain_with(tmp_path, f'protocol = "{kind.name}"', f'fee_call = "{fee_call}"')
    tokens = ("0x" + TOKEN0.hex(), "0x" + TOKEN1.hex())
    found = call_of(lookup, *tokens, bool(stable)), call_of(fee_call, *fee_of)
    inquiry, asked = examined(chain, says(pair(stable), {found[0]: word(bytes.fromhex(POOL[2:])), found[1]: word(5)}))
    assert inquiry.pool is not None and (FACTORY, found[0]) in {(one.to, one.data) for one in asked}
    assert (inquiry.pool.protocol, inquiry.pool.curve, inquiry.pool.fee_pips) == (kind.code, curve, 500)
    assert (inquiry.pool.token0, inquiry.pool.token1, inquiry.pool.venue) == (TOKEN0, TOKEN1, 1700)


def test_pair_that_its_factory_does_not_know_is_refuted(tmp_path: Path) -> None:
    chain = chain_with(tmp_path, 'protocol = "SOLIDLY"', "fee_pips = 500")
    lookup = call_of("getPair(address,address,bool)", "0x" + TOKEN0.hex(), "0x" + TOKEN1.hex(), True)
    inquiry, _ = examined(chain, says(pair(1), {lookup: word(bytes.fromhex(OTHER[2:]))}))
    against = inquiry.against()
    assert inquiry.pool is None and against is not None and against.standing is Standing.FALSE


@pytest.mark.parametrize("stable", [word(2), REVERT])
def test_pair_that_does_not_say_whether_it_is_stable_is_none(tmp_path: Path, stable: Answer) -> None:
    chain = chain_with(tmp_path, 'protocol = "SOLIDLY"', "fee_pips = 500")
    of_pool = pair(0) | {"stable()": stable}
    lookup = call_of("getPair(address,address,bool)", "0x" + TOKEN0.hex(), "0x" + TOKEN1.hex(), False)
    inquiry, _ = examined(chain, says(of_pool, {lookup: word(bytes.fromhex(POOL[2:]))}))
    assert inquiry.pool is None and inquiry.against() is not None


@pytest.mark.parametrize(("answer", "fee"), [(word(1 << 255), 0), (word(10_000), 0), (REVERT, 0), (word(30), 3000)])
def test_factory_that_says_no_possible_fee_leaves_it_unknown(tmp_path: Path, answer: Answer, fee: int) -> None:
    chain = chain_with(tmp_path, 'protocol = "SOLIDLY"', 'fee_call = "getFee(bool)"')
    lookup = call_of("getPair(address,address,bool)", "0x" + TOKEN0.hex(), "0x" + TOKEN1.hex(), False)
    known = says(pair(0), {lookup: word(bytes.fromhex(POOL[2:])), call_of("getFee(bool)", False): answer})
    inquiry, _ = examined(chain, known)
    assert inquiry.pool is not None and inquiry.pool.fee_pips == fee


@pytest.mark.parametrize("stable", [0, 1])
def test_pair_is_proven_by_its_address_where_the_code_is_known(tmp_path: Path, stable: int) -> None:
    code = "0x" + "cc" * 32
    chain = chain_with(tmp_path, 'protocol = "SOLIDLY"', "fee_pips = 500", f'init_code_hash = "{code}"')
    salt = keccak(TOKEN0 + TOKEN1 + bytes([stable]))
    pool = "0x" + create2_address(bytes.fromhex(FACTORY[2:]), salt, bytes.fromhex(code[2:])).hex()
    answers = {(pool, call_of(name)): answer for name, answer in pair(stable).items()}
    inquiry, asked = examined(chain, answers, pool)
    assert inquiry.pool is not None and all(one.to == pool for one in asked)
    assert inquiry.pool.curve == (Curve.SOLIDLY if stable else Curve.VOLATILE)
    assert [one.data for one in state_questions(inquiry.pool)] == [call_of("getReserves()")]
    assert read_state(inquiry.pool, [word((1 << 256) - 1) + word(7)[2:] + word(9)[2:]]) == StateAnswer(
        reserve0=(1 << 256) - 1, reserve1=7
    )


def test_v2_pair_is_not_held_up_by_a_pairs_factory(tmp_path: Path) -> None:
    """It has no `stable()`: that it reverts is an answer."""
    chain = chain_with(tmp_path, 'protocol = "SOLIDLY"', "fee_pips = 500")
    of_pool = pair(0) | {"stable()": REVERT, "factory()": REVERT}
    inquiry, _ = examined(chain, says(of_pool, {}))
    assert inquiry.pool is None and inquiry.against() is not None


@pytest.mark.parametrize("call", ["getFee(uint256)", "getFee", "getFee(address,bool,bool"])
def test_chain_file_with_a_fee_call_of_other_arguments_is_refused(tmp_path: Path, call: str) -> None:
    with pytest.raises(UsageError, match="fee_call"):
        chain_with(tmp_path, 'protocol = "SOLIDLY"', f'fee_call = "{call}"')


def test_kinds_of_pairs_share_events_and_are_told_apart_by_their_factory() -> None:
    assert all(kind_of(kind.code) is kind for kind in (solidly.KIND, velodrome.KIND))
    sharing = {event.signature: event.protocols for event in EVENT_OF_TOPIC.values() if event.record is not PoolCreated}
    assert sharing["Swap(address,uint256,uint256,uint256,uint256,address)"] == (Protocol.UNISWAP_V2, Protocol.SOLIDLY)
    assert sharing["Sync(uint256,uint256)"] == (Protocol.SOLIDLY, Protocol.VELODROME)
    assert sharing["Mint(address,uint256,uint256)"] == (Protocol.UNISWAP_V2, Protocol.SOLIDLY, Protocol.VELODROME)


def answered(context: Context, answers: dict[str, str]) -> set[str]:
    """Answer every call that is on its way, by its call data, until none is; what was asked."""
    asked = set()
    while requests := [msgspec.json.decode(one) for one in context.rpc.outgoing()]:
        for request in requests:
            call = request["params"][0]
            known = answers.get(call.get("data", call.get("input")))
            said = {"error": {"code": -32602, "message": "missing value for required argument 0"}}
            context.rpc.read(msgspec.json.encode({"id": request["id"], **({"result": known} if known else said)}))
            asked.add(call.get("data", ""))
    return asked


def test_fee_that_its_factory_changed_is_told_with_the_next_state(tmp_path: Path) -> None:
    chain = chain_with(tmp_path, 'protocol = "VELODROME"', 'fee_call = "getFee(address,bool)"')
    head = (bytes.fromhex(POOL[2:]), TOKEN0, TOKEN1, 1700, 18, 6, Protocol.VELODROME)
    factory = bytes.fromhex(FACTORY[2:])
    context, table = (
        Context.of(chain, Clock()),
        PoolTable([VerifiedEmitter(*head, factory, 500, curve=Curve.VELODROME)]),
    )
    outbox = Outbox(Source.POLYGON_COLLECTOR, context.clock, table, 1)
    introductions = Introductions(outbox, table, {}, chain.factories_with_fee_call)
    snapshots = Snapshots(context, introductions, lambda block: True)
    reserves = word(11) + word(22)[2:] + word(33)[2:]
    told = []
    for fee in (5, 7):
        introductions.forget()
        assert introductions.introduce([0]) == [0], "its factory may have changed the fee"
        snapshots.want(0, 0)
        snapshots.pump(BLOCK)
        fee_data = call_of("getFee(address,bool)", POOL, True)
        assert fee_data in answered(context, {call_of("getReserves()"): reserves, fee_data: word(fee)})
        told.append(introductions.pool(0).fee_pips)
    assert told == [500, 700]
