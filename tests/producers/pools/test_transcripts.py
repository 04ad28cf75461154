"""Pools that no row of the cache proves: what their contracts answered is kept, and is told to their kinds again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from producers.chains.configuration import ChainConfig, Factory
from producers.decode.pool_table import PoolTable, VerifiedEmitter
from producers.kinds.emitter_key import key_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.uniswap_v4 import PoolKey
from producers.node.call_program import REVERTED, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from producers.node.view_calls import LONGEST_ANSWER, TOKEN1
from producers.pools.cache import PoolCache
from producers.pools.inquiry import Finding, Inquiry, Token, Tokens
from tests.producers.kinds.proofs import address, chain_of, factory_of, inquire
from tests.producers.kinds.test_asked_kinds import AM_TOKENS, exchange, registry, vault
from tests.producers.pools import test_lookup_proof as lookups
from tests.producers.pools.test_v4_proof import HOOK, MANAGER, initialize_log
from tlv.codes import Curve, Protocol

CURVE_POOL = "0x445fe580ef8d70ff569ab36e80c647af338db351"
COINS = [address(number) for number in (3, 5, 7)]
POOL_ID = bytes.fromhex(COINS[0][2:]) + bytes(11) + b"\x01"
VAULT, PAIRS = address(1 << 100), address(1 << 90)
SOLIDLY_PAIR, LOW, HIGH = address(1 << 80), address(11), address(12)
GENESIS = b"g" * 32
Said = Callable[[Question], Answer]
Met = tuple[ChainConfig, Log, Said]


def log_of(protocol: str, event: str, where: str, *topics: str) -> Log:
    """A log of an event of a kind, of zeros but for these topics."""
    topic0 = next(
        topic0
        for topic0, found in EVENT_OF_TOPIC.items()
        if found.name == event and Protocol[protocol] in found.protocols
    )
    words = len(EVENT_OF_TOPIC[topic0].words)
    return Log(where, (topic0, *topics), "0x" + "0" * (64 * words))


def a_pair_that_is_looked_up() -> Met:
    answers = lookups.a_pair() | lookups.everywhere(lookups.address(lookups.OTHER))
    return lookups.CHAIN, log_of("UNISWAP_V2", "sync", lookups.POOL), lambda q: answers.get(q, REVERTED)


def a_curve_pool_of_three_coins() -> Met:
    return chain_of(factory_of("CURVE", address(9))), exchange(2, 0, CURVE_POOL), registry("address[8]")


def a_balancer_pool_of_three_coins() -> Met:
    topics = ("0x" + POOL_ID.hex(), *(f"0x{int(coin, 16):064x}" for coin in (COINS[2], COINS[0])))
    return (
        chain_of(factory_of("BALANCER_V2", VAULT)),
        log_of("BALANCER_V2", "swap", VAULT, *topics),
        vault(VAULT, POOL_ID, COINS),
    )


def a_v4_pool() -> Met:
    key = PoolKey(bytes.fromhex(LOW[2:]), bytes.fromhex(HIGH[2:]), 500, 10, bytes.fromhex(HOOK[2:]))
    return chain_of(factory_of("UNISWAP_V4", MANAGER)), initialize_log(key), lambda _: REVERTED


def a_stable_pair() -> Met:
    low, high = (bytes.fromhex(token[2:]) for token in (LOW, HIGH))
    words = {
        "token0()": LOW,
        "token1()": HIGH,
        "stable()": address(1),
        "factory()": PAIRS,
        "getFee(address,bool)": address(7),
    }
    by_call = {lookups.selector(name): answer for name, answer in words.items()}
    by_call[lookups.calling("getPool(address,address,bool)", low, high, 1)] = SOLIDLY_PAIR

    def said(question: Question) -> Answer:
        answer = by_call.get(question.data, by_call.get(question.data[:10]))
        return REVERTED if answer is None else lookups.address(answer)

    factory = factory_of("VELODROME", PAIRS, fee_call="getFee(address,bool)")
    return chain_of(factory), log_of("VELODROME", "sync", SOLIDLY_PAIR), said


POOLS = (
    a_pair_that_is_looked_up,
    a_curve_pool_of_three_coins,
    a_balancer_pool_of_three_coins,
    a_v4_pool,
    a_stable_pair,
)


def inquiry_of(met: Met) -> Inquiry:
    """The inquiry into a pool that is proven."""
    inquiry = inquire(*met)
    assert inquiry.pool is not None
    return inquiry


def found_by(inquiry: Inquiry) -> Finding:
    """What it found, each coin with a symbol of its own."""
    assert inquiry.pool is not None
    coins = dict.fromkeys((inquiry.pool.token0, inquiry.pool.token1, *inquiry.coins))
    return inquiry.finding(Tokens({coin: Token(number, f"T{number}") for number, coin in enumerate(coins)}))


def kept(path: Path, met: Met) -> Finding:
    """A pool in a new cache."""
    finding = found_by(inquiry_of(met))
    path.unlink(missing_ok=True)
    PoolCache(path, met[0]).append([finding], GENESIS)
    return finding


@pytest.mark.parametrize("pool", POOLS)
def test_pool_that_was_asked_about_comes_back_as_it_was(tmp_path: Path, pool: Callable[[], Met]) -> None:
    met, path = pool(), tmp_path / "pools.jsonl"
    finding, table, tokens = kept(path, met), PoolTable(), dict[bytes, Token]()
    found = PoolCache(path, met[0]).load()
    assert (len(found), found.refused) == (1, {}) and found.add_to(table, tokens, GENESIS) == 1
    key, inquiry = key_of(met[1]), inquiry_of(met)
    row = table.row_of[key]
    assert VerifiedEmitter.unpack(table.rows[row].tobytes()) == finding.pool
    assert table.coins.get(row, ()) == inquiry.coins and (key[:42] in table.named) == (len(key) > 42)
    assert tokens == {finding.pool.token0: finding.token0, finding.pool.token1: finding.token1, **dict(finding.coins)}  # type: ignore[union-attr]
    assert path.stat().st_mode & 0o777 == 0o600


def test_pools_that_come_back_have_what_no_row_says() -> None:
    curve, stable, v4 = (inquiry_of(pool()).pool for pool in (a_curve_pool_of_three_coins, a_stable_pair, a_v4_pool))
    assert curve is not None and curve.flipped
    assert stable is not None and (stable.curve, stable.fee_pips) == (Curve.VELODROME, 700)
    assert v4 is not None and (v4.hooks.hex(), v4.tick_spacing) == (HOOK[2:], 10)


def without(chain: ChainConfig) -> ChainConfig:
    return msgspec.structs.replace(chain, factories=())


def changed(**changes: Any) -> Callable[[ChainConfig], ChainConfig]:
    """The chain file with the last of its factories in another form."""

    def change(chain: ChainConfig) -> ChainConfig:
        last: Factory = chain.factories[-1]
        return msgspec.structs.replace(
            chain, factories=(*chain.factories[:-1], msgspec.structs.replace(last, **changes))
        )

    return change


@pytest.mark.parametrize(
    ("pool", "change"),
    [
        *((pool, without) for pool in POOLS),
        (a_curve_pool_of_three_coins, changed(address=address(10))),
        (a_balancer_pool_of_three_coins, changed(address=address(10))),
        (a_v4_pool, changed(address=address(10))),
        (a_stable_pair, changed(lookup="pairFor(address,address,bool)")),
        (a_stable_pair, changed(fee_call="getFee(bool)")),
    ],
)
def test_pool_that_another_chain_file_would_have_asked_otherwise_is_asked_anew(
    tmp_path: Path, pool: Callable[[], Met], change: Callable[[ChainConfig], ChainConfig]
) -> None:
    met, path = pool(), tmp_path / "pools.jsonl"
    kept(path, met)
    found = PoolCache(path, change(met[0])).load()
    assert (len(found), found.refused) == (0, {})


def test_pool_has_the_fee_that_the_chain_file_says_now(tmp_path: Path) -> None:
    met, path, table = a_stable_pair(), tmp_path / "pools.jsonl", PoolTable()
    kept(path, met)
    PoolCache(path, changed(fee_call=None, fee_pips=300)(met[0])).load().add_to(table, {}, GENESIS)
    assert [VerifiedEmitter.unpack(row.tobytes()).fee_pips for row in table.rows] == [300]


def lines_of(path: Path) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return line


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"key": "0x12"}, "unreadable"),
        ({"key": CURVE_POOL + "0" * 79}, "unreadable"),
        ({"protocols": [-1]}, "unreadable"),
        ({"protocols": []}, ""),
        ({"protocols": [1 << 31]}, ""),
        ({"answers": []}, ""),
        ({"answers": [[CURVE_POOL, "0x12", 1, "no hex"]]}, "unreadable"),
        ({"answers": [[CURVE_POOL, "0x12", 1, "0x" + "0" * LONGEST_ANSWER]]}, "unreadable"),
        ({"heard": [[["0x12"], "0x"]]}, "unreadable"),
        ({"heard": [[[], "0x"]]}, "unreadable"),
        ({"tokens": []}, "tokens"),
        ({"tokens": [[AM_TOKENS[0], 256, ""]]}, "unreadable"),
        ({"tokens": [[AM_TOKENS[0], 18, "\x1b[2J"]]}, "symbol"),
    ],
)
def test_transcript_that_cannot_be_right_is_named_and_one_that_proves_nothing_is_passed(
    tmp_path: Path, changes: dict[str, Any], refused: str
) -> None:
    met, path = a_curve_pool_of_three_coins(), tmp_path / "pools.jsonl"
    kept(path, met)
    path.write_bytes(msgspec.json.encode(lines_of(path) | changes))
    found = PoolCache(path, met[0]).load()
    assert (len(found), dict(found.refused)) == (0, {refused: 1} if refused else {})


@pytest.mark.parametrize("pool", POOLS)
def test_answers_of_another_form_prove_nothing_and_crash_nothing(tmp_path: Path, pool: Callable[[], Met]) -> None:
    met, path = pool(), tmp_path / "pools.jsonl"
    kept(path, met)
    line, proven = lines_of(path), 0
    others = (
        None,
        "",
        "0x",
        "0x1",
        "0x" + "0" * 64,
        "0x" + "f" * 64,
        "0x" + "f" * 640,
        "0x" + "0" * 62 + "20" + "f" * 64,
    )
    answers = line["answers"]
    variants = [
        [*answers[:at], [*one[:3], other], *answers[at + 1 :]] for at, one in enumerate(answers) for other in others
    ]
    for variant in variants:
        path.write_bytes(msgspec.json.encode(line | {"answers": variant}))
        found = PoolCache(path, met[0]).load()
        assert not found.refused
        proven += len(found)
    needless = {a_pair_that_is_looked_up: 1, a_stable_pair: 2}.get(pool, 0)
    of_storage_that_is_not_there = int(pool is a_stable_pair)  # stable() says zero: its factory knows the stable pair
    assert proven == needless * len(others) + of_storage_that_is_not_there, (
        "factory() narrows whom to ask, and a fee is no proof"
    )


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_transcripts_of_a_file_that_others_may_write_prove_nothing(tmp_path: Path, mode: int) -> None:
    met, path = a_balancer_pool_of_three_coins(), tmp_path / "pools.jsonl"
    kept(path, met)
    path.chmod(mode)
    found = PoolCache(path, met[0]).load()
    assert (len(found), found.refused) == (0, {"writable": 1}) and "others may write" in found.first_refused


def test_key_that_hashes_to_another_id_proves_nothing(tmp_path: Path) -> None:
    met, path = a_v4_pool(), tmp_path / "pools.jsonl"
    kept(path, met)
    line = lines_of(path)
    path.write_bytes(msgspec.json.encode(line | {"key": MANAGER + "ab" * 32}))
    found = PoolCache(path, met[0]).load()
    assert (len(found), found.refused) == (0, {})


def test_pool_of_which_a_coin_did_not_say_what_it_is_is_asked_anew(tmp_path: Path) -> None:
    inquiry = inquiry_of(a_balancer_pool_of_three_coins())
    assert inquiry.pool is not None
    two = Tokens({coin: Token(6, "") for coin in (inquiry.pool.token0, inquiry.pool.token1)})
    cache = PoolCache(tmp_path / "pools.jsonl", a_balancer_pool_of_three_coins()[0])
    assert inquiry.finding(two).settled and not cache.keeps(inquiry.finding(two))
    assert cache.keeps(found_by(inquiry))


def test_proof_keeps_no_answer_that_it_did_not_need_and_no_log() -> None:
    for pool in POOLS:
        basis = found_by(inquiry_of(pool())).basis
        assert basis is not None and bool(basis.heard) == (pool is a_v4_pool)
        assert all(question.data != TOKEN1 or question.to != VAULT for question, _ in basis.answers)
