"""Pools of factories without an init code hash, proven by what the factory says of them: whatever it says instead."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, load_chain
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.proving import Refuted, Standing
from producers.node.call_program import Question
from producers.node.calls_at import Answer
from producers.node.jsonrpc import Failure
from producers.node.rpc_types import Head
from producers.node.view_calls import FACTORY, FEE, STABLE, TICK_SPACING, TOKEN0, TOKEN1, calling, selector
from producers.pools.inquiry import Inquiry, Tokens
from tlv.codes import Protocol

POOL, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
LOW, HIGH = bytes.fromhex("11" * 20), bytes.fromhex("22" * 20)
V2_MAKER, V3_MAKER, STRANGER = "0x" + "e2" * 20, "0x" + "e3" * 20, "0x" + "ee" * 20
REVERTED, PRUNED, LATE = (
    Failure(3, "execution reverted"),
    Failure(-32000, "missing trie node ab (path )"),
    Failure(None, ""),
)
ROUNDS = 8
Said = dict[Question, Answer]


def chain_of_lookups() -> ChainConfig:
    """Polygon, and a factory of pairs and one of V3 pools that are asked for their pools."""
    chain = load_chain("polygon")
    pairs = next(factory for factory in chain.factories if factory.protocol == "UNISWAP_V2")
    tiers = next(factory for factory in chain.factories if factory.protocol == "UNISWAP_V3")
    asked = [
        msgspec.structs.replace(pairs, address=V2_MAKER, init_code_hash=None, fee_pips=3000),
        msgspec.structs.replace(tiers, address=V3_MAKER, init_code_hash=None),
    ]
    return msgspec.structs.replace(chain, factories=[*chain.factories, *asked])


CHAIN = chain_of_lookups()


def address(value: str | bytes) -> str:
    return "0x" + (value if isinstance(value, bytes) else bytes.fromhex(value[2:])).rjust(32, b"\0").hex()


def word(value: int) -> str:
    return f"0x{value:064x}"


def pair_lookup(token0: bytes = LOW, token1: bytes = HIGH) -> Question:
    return Question(V2_MAKER, calling("getPair(address,address)", token0, token1))


def tier_lookup(fee: int) -> Question:
    return Question(V3_MAKER, calling("getPool(address,address,uint24)", LOW, HIGH, fee))


def a_pair(**changed: Answer) -> Said:
    """What a pair of the factory that is asked says, and that factory; changed by name."""
    said: dict[str, Answer] = {
        "token0": address(LOW),
        "token1": address(HIGH),
        "factory": address(V2_MAKER),
        "lookup": address(POOL),
    } | changed
    calls = {"token0": TOKEN0, "token1": TOKEN1, "factory": FACTORY}
    return {Question(POOL, call): said[name] for name, call in calls.items()} | {pair_lookup(): said["lookup"]}


def everywhere(says: Answer) -> Said:
    """What every other factory of pairs that is asked for its pools says of this one."""
    asked_ones = [
        factory.address
        for factory in CHAIN.factories
        if factory.protocol == "UNISWAP_V2" and factory.init_code_hash is None and factory.address != V2_MAKER
    ]
    assert asked_ones
    return {Question(maker, pair_lookup().data): says for maker in asked_ones}


def a_tier(fee: int, **changed: Answer) -> Said:
    said = a_pair(factory=address(V3_MAKER)) | {
        Question(POOL, FEE): word(fee),
        Question(POOL, TICK_SPACING): word(60),
        tier_lookup(fee): address(POOL),
    }
    return said | {tier_lookup(fee): changed.get("lookup", address(POOL))}


def block(number: int = 16) -> Block:
    return Block(Head(number=hex(number), hash=f"0x{number:064x}", parent_hash=f"0x{number - 1:064x}", timestamp="0x1"))


def asked(
    inquiry: Inquiry, answers: Said | Callable[[Question], Answer | None], at: Block | None = None
) -> list[Question]:
    """Answer what is open until nothing is, or nothing that is comes; what was asked."""
    asked_of: list[Question] = []
    for _ in range(ROUNDS):
        progress = False
        for question in inquiry.open_questions():
            asked_of.append(question)
            answer = answers(question) if callable(answers) else answers.get(question, LATE)
            progress = inquiry.take(question, LATE if answer is None else answer, at or block()) or progress
        if not progress:
            return asked_of
    raise AssertionError(f"still asking after {ROUNDS} rounds: {asked_of}")


def standing(answers: Said, protocols: tuple[Protocol, ...] = (Protocol.UNISWAP_V2,)) -> Standing:
    inquiry = Inquiry(CHAIN, POOL, protocols)
    asked(inquiry, answers)
    if inquiry.pool is not None:
        return Standing.VERIFIED
    against = inquiry.against()
    return Standing.UNKNOWN if against is None else against.standing


def test_pool_that_its_factory_names_is_proven() -> None:
    inquiry = Inquiry(CHAIN, POOL, (Protocol.UNISWAP_V2,))
    questions = asked(inquiry, a_pair())
    assert inquiry.pool is not None
    assert (inquiry.pool.token0, inquiry.pool.token1, inquiry.pool.fee_pips) == (LOW, HIGH, 3000)
    assert f"0x{inquiry.pool.factory.hex()}" == V2_MAKER
    assert pair_lookup() in questions and len(questions) == len(set(questions)) == 4


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (address(OTHER), Standing.FALSE),
        (REVERTED, Standing.FALSE),
        ("0x" + "01" + address(POOL)[4:], Standing.FALSE),
        (address(POOL) + "00" * 32, Standing.FALSE),
        ("0x" + "ff" * 32, Standing.FALSE),
        ("0x" + "00" * 10_000, Standing.FALSE),
        ("0x" + "ab" * 10_000, Standing.FALSE),
        (word(0), Standing.UNKNOWN),
        ("0x", Standing.UNKNOWN),
        ("0x12", Standing.UNKNOWN),
        ("0xzz", Standing.UNKNOWN),
        (address(POOL)[2:], Standing.UNKNOWN),
        (PRUNED, Standing.UNKNOWN),
        (LATE, Standing.UNKNOWN),
    ],
)
def test_factory_that_answers_nonsense_proves_no_pool(says: Answer, found: Standing) -> None:
    assert standing(a_pair(lookup=says)) is found


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"factory": address(STRANGER)}, Standing.UNSUPPORTED),
        ({"factory": address(V3_MAKER)}, Standing.FALSE),
        ({"factory": word(0)}, Standing.UNKNOWN),
        ({"token0": address(HIGH), "token1": address(LOW)}, Standing.FALSE),
        ({"token1": address(LOW)}, Standing.FALSE),
        ({"token0": "0x" + "ab" * 10_000}, Standing.FALSE),
        ({"token0": REVERTED}, Standing.FALSE),
        ({"token0": "0x" + "ff" * 32}, Standing.FALSE),
        ({"token0": word(0)}, Standing.UNKNOWN),
        ({"token0": PRUNED}, Standing.UNKNOWN),
    ],
)
def test_pool_that_says_what_its_factory_does_not_is_not_proven(changed: dict[str, Answer], found: Standing) -> None:
    everything = a_pair(**changed) | {pair_lookup(HIGH, LOW): address(POOL), pair_lookup(LOW, LOW): address(POOL)}
    assert standing(everything) is found


def test_pair_whose_address_follows_is_proven_whatever_other_kinds_would_ask_it() -> None:
    """Swap is also an event of Solidly's pairs, which say whether they are stable; a node may know nothing of that."""
    pairs = next(factory for factory in CHAIN.factories if factory.protocol == "UNISWAP_V2" and factory.init_code_hash)
    pool = address(pairs.pool_address(LOW, HIGH))[-40:]
    inquiry = Inquiry(CHAIN, f"0x{pool}", (Protocol.UNISWAP_V2, Protocol.SOLIDLY))
    questions = asked(
        inquiry, {Question(f"0x{pool}", TOKEN0): address(LOW), Question(f"0x{pool}", TOKEN1): address(HIGH)}
    )
    assert Question(f"0x{pool}", STABLE) in questions
    assert inquiry.pool is not None and inquiry.pool.protocol == Protocol.UNISWAP_V2


def test_pool_that_names_a_real_pair_is_not_that_pair() -> None:
    """Tokens and factory are true of another pool, which is what the factory says."""
    assert standing(a_pair(lookup=address(OTHER))) is Standing.FALSE


@pytest.mark.parametrize("says", [REVERTED, "0x" + "ff" * 32, "0x" + "ab" * 10_000])
def test_pool_without_a_factory_of_its_own_is_looked_up_at_every_one(says: Answer) -> None:
    assert standing(a_pair(factory=says)) is Standing.VERIFIED
    stranger = a_pair(factory=says, lookup=address(OTHER))
    assert standing(stranger | everywhere(address(OTHER))) is Standing.FALSE
    assert standing(stranger) is Standing.UNKNOWN, "the others were not heard yet"
    assert standing(stranger | everywhere(word(0))) is Standing.UNKNOWN


@pytest.mark.parametrize(
    ("fee", "found"),
    [
        (500, Standing.VERIFIED),
        (999_999, Standing.VERIFIED),
        (1_000_000, Standing.FALSE),
        ((1 << 256) - 1, Standing.FALSE),
    ],
)
def test_pool_of_a_factory_that_is_asked_takes_less_than_all(fee: int, found: Standing) -> None:
    assert standing(a_tier(fee), (Protocol.UNISWAP_V3,)) is found


def test_pool_whose_fee_its_factory_does_not_know_is_none() -> None:
    assert standing(a_tier(500, lookup=address(OTHER)), (Protocol.UNISWAP_V3,)) is Standing.FALSE


def test_pool_that_changes_its_answer_is_what_it_was_proven_to_be() -> None:
    inquiry = Inquiry(CHAIN, POOL, (Protocol.UNISWAP_V2,))
    asked(inquiry, a_pair())
    proven = inquiry.pool
    assert asked(inquiry, a_pair(token0=address(OTHER), lookup=address(OTHER))) == []
    assert inquiry.pool is proven and inquiry.against() is None


def test_pool_that_changes_its_answer_while_it_is_asked_is_asked_each_thing_once() -> None:
    """Nothing of the first answers is mixed with the second ones: they stand, and the factory decides."""
    inquiry = Inquiry(CHAIN, POOL, (Protocol.UNISWAP_V2,))
    times: dict[Question, int] = {}

    def flipping(question: Question) -> Answer:
        times[question] = times.get(question, 0) + 1
        said = a_pair() if times[question] == 1 else a_pair(token0=address(HIGH), token1=address(LOW))
        return said[question]

    asked(inquiry, flipping)
    assert set(times.values()) == {1}
    assert inquiry.pool is not None and inquiry.pool.token0 == LOW


def test_proof_against_a_pool_on_another_branch_is_asked_for_again() -> None:
    """On the branch that left the chain the factory knew another pool; on this one it knows this."""
    inquiry, left, stays = Inquiry(CHAIN, POOL, (Protocol.UNISWAP_V2,)), block(16), block(17)
    asked(inquiry, a_pair(lookup=address(OTHER)), left)
    against = inquiry.against()
    assert isinstance(against, Refuted) and pair_lookup() in against.rests_on
    assert inquiry.forget(against, lambda at: at is stays)
    asked(inquiry, a_pair(), stays)
    assert inquiry.pool is not None and inquiry.against() is None


def test_token_whose_answers_change_keeps_what_it_said_first() -> None:
    tokens = Tokens({})
    (decimals, symbol) = tokens.questions(LOW)
    assert tokens.take(LOW, decimals.data, word(6))
    assert tokens.take(LOW, symbol.data, "0x" + b"ONE".ljust(32, b"\0").hex())
    assert not tokens.take(LOW, decimals.data, word(18)) and tokens.questions(LOW) == []
    assert (tokens.known(LOW).decimals, tokens.known(LOW).symbol) == (6, "ONE")


def test_one_kinds_proof_against_an_emitter_waits_for_that_of_every_kind_with_its_events() -> None:
    swap = EVENT_OF_TOPIC["0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"]
    inquiry, fee_of_kyber = Inquiry(CHAIN, POOL, swap.protocols), selector("swapFeeUnits()")

    def a_stranger(question: Question) -> Answer | None:
        if question.data == fee_of_kyber:
            return None
        stranger = {TOKEN0: address(LOW), TOKEN1: address(HIGH), FACTORY: address(STRANGER), FEE: word(3000)}
        return stranger.get(question.data, REVERTED)

    asked(inquiry, a_stranger)
    assert [question.data for question in inquiry.open_questions()] == [fee_of_kyber]
    assert inquiry.against() is None, "it may be Kyber's"
    assert inquiry.take(Question(POOL, fee_of_kyber), REVERTED, block())
    asked(inquiry, a_stranger)
    against = inquiry.against()
    assert against is not None and against.standing is Standing.UNSUPPORTED
