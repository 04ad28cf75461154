"""The program that makes many view calls inside a node: what a real node answers, and what is no answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_abi import encode

from producers.kinds.events import EVENTS
from producers.kinds.proving import Standing
from producers.node.assembler import OPCODES
from producers.node.call_program import (
    CODE,
    LARGEST_ANSWER,
    NOTHING,
    PROGRAM,
    REVERTED,
    SILENT,
    Question,
    call_data,
    read_answers,
    size_of,
)
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from producers.node.view_calls import (
    DECIMALS,
    FEE,
    SYMBOL,
    TOKEN0,
    TOKEN1,
    calling,
    read_address,
    read_symbol,
    read_word,
)
from tests.producers.kinds.proofs import chain_of, factory_of, proven, refuted
from tools.rig.evm.node import Node
from tools.rig.evm.world import V3_FEE, World

NOBODY = "0x" + "ab" * 20
LARGEST_INIT_CODE = 49_152


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Node() as node:
        yield World.build(node.rpc)


def test_program_has_no_word_that_the_assembler_takes_for_another() -> None:
    labels = [token[:-1] for token in PROGRAM.split() if token.endswith(":")]
    assert len(set(labels)) == len(labels) and not OPCODES.keys() & set(labels)


def test_program_at_a_real_node_tells_words_reverts_silence_and_no_code_apart(world: World) -> None:
    # PUSH0-free code that stops at once: a contract that has code and returns nothing
    silent = str(world.receipt(world.send(None, "0x60016000f3"))["contractAddress"]).lower()
    questions = [
        *(Question(pool, call) for pool in world.pools for call in (TOKEN0, TOKEN1, FEE)),
        *(Question(token, call, words) for token in world.tokens for call, words in ((DECIMALS, 1), (SYMBOL, 4))),
        *(Question(to, TOKEN0) for to in (NOBODY, silent)),
        Question(world.tokens[0], SYMBOL, 1),
    ]
    answer = world.rpc("eth_call", {"data": call_data(questions)}, "latest")
    answers = read_answers(answer, questions)
    assert answers is not None and len(answers) == len(questions)
    said = [None if not isinstance(answer, str) else answer for answer in answers]
    tokens = [bytes.fromhex(token[2:]) for token in world.tokens]
    for at in range(3):
        assert [read_address(said[3 * at]), read_address(said[3 * at + 1])] == tokens
    assert answers[2] == answers[5] == REVERTED and read_word(said[8]) == V3_FEE
    assert [read_word(said[9]), read_word(said[11])] == [
        world.call(token, "decimals()", returns="uint8") for token in world.tokens
    ]
    assert all(read_symbol(said[at]) in ("WETH", "USDC") for at in (10, 12))
    assert answers[13:15] == [NOTHING, SILENT]
    assert read_word(said[15]) is None  # cut: not taken for a word


def test_program_at_a_real_node_asks_with_arguments_and_goes_on_behind_them(world: World) -> None:
    factory, (token0, token1) = world.exchanges[0].factory, (bytes.fromhex(token[2:]) for token in world.tokens)
    questions = [
        Question(factory, calling("getPair(address,address)", token0, token1)),
        Question(factory, calling("getPair(address,address)", token1, token0)),
        Question(world.v3_factory, calling("getPool(address,address,uint24)", token0, token1, V3_FEE)),
        Question(world.v3_factory, calling("getPool(address,address,uint24)", token0, token1, 77)),
        Question(world.v3_pool, TOKEN0),
        Question(factory, calling("getPair(address,address)", token0)),
    ]
    answers = read_answers(world.rpc("eth_call", {"data": call_data(questions)}, "latest"), questions)
    assert answers is not None and answers[-1] == REVERTED
    pair, pool = (bytes.fromhex(address[2:]) for address in (world.exchanges[0].pair, world.v3_pool))
    found = [read_address(answer) for answer in answers[:-1] if isinstance(answer, str)]
    assert found == [pair, pair, pool, None, token0]


def test_pools_of_real_factories_without_init_code_hashes_are_proven_by_lookup(world: World) -> None:
    """And a pool of the same code of a factory that is not configured is not."""
    chain = chain_of(factory_of("UNISWAP_V2", world.exchanges[0].factory), factory_of("UNISWAP_V3", world.v3_factory))

    def answered(question: Question) -> Answer:
        answers = read_answers(world.rpc("eth_call", {"data": call_data([question])}, "latest"), [question])
        assert answers is not None
        return answers[0]

    logs = {
        pool: Log(pool, (next(event.topic0 for event in EVENTS if event.signature.startswith(name)),), "0x")
        for pool, name in zip(world.pools, ("Sync(uint112", "Sync(uint112", "Swap(address,address,int256"), strict=True)
    }
    ours, theirs, v3 = logs.values()
    for log, fee in ((ours, 0), (v3, V3_FEE)):
        pool = proven(chain, log, answered)
        assert [f"0x{token.hex()}" for token in (pool.token0, pool.token1)] == list(world.tokens)
        assert pool.pool.hex() == log.address[2:] and pool.fee_pips == fee
    against = refuted(chain, theirs, answered)
    assert against.standing is Standing.UNSUPPORTED and f"0x{against.factory.hex()}" == world.exchanges[1].factory


def test_program_with_as_many_questions_as_fit_in_an_answer_is_answered_by_a_real_node(world: World) -> None:
    question = Question(world.v3_pool, TOKEN0)
    questions = [question] * (LARGEST_ANSWER // size_of(question))
    data = call_data(questions)
    assert len(data) // 2 - 1 <= LARGEST_INIT_CODE
    answers = read_answers(world.rpc("eth_call", {"data": data}, "latest"), questions)
    assert answers is not None and len(answers) == len(questions) and len(set(map(str, answers))) == 1


def test_program_that_runs_short_of_gas_answers_the_first_questions_only(world: World) -> None:
    questions = [Question(world.v3_pool, TOKEN0)] * 300
    answer = world.rpc("eth_call", {"data": call_data(questions), "gas": hex(5_800_000)}, "latest")
    answers = read_answers(answer, questions)
    assert answers is not None and 0 < len(answers) < 300


HEAD = (32 << 8) | 3
WORD = f"{HEAD:064x}{7:064x}"


@pytest.mark.parametrize(
    "answer",
    ["0x", "0x" + "00" * 32, "0x" + WORD[:-2], "0x" + WORD * 3, "0x" + "ff" * 64, "0xzz", "", "0x" + CODE.hex()],
)
def test_answer_of_a_wrong_shape_is_no_answer(answer: str) -> None:
    assert read_answers(answer, [Question(NOBODY, TOKEN0)] * 2) is None


def test_answer_to_one_question_of_two_is_one_answer() -> None:
    assert read_answers("0x" + WORD, [Question(NOBODY, TOKEN0)] * 2) == ["0x" + encode(["uint256"], [7]).hex()]
