"""Factories, registries and pools that answer nonsense: no kind's proof raises, and what it proves fits a row."""

from __future__ import annotations

from random import Random

import pytest

from producers.chains.configuration import ChainConfig, Factory
from producers.decode.pool_table import PoolTable
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.kinds.kind import PoolKind
from producers.kinds.registry import all_kinds
from producers.node import view_calls as view
from producers.node.call_program import REVERTED, Question
from producers.node.calls_at import Answer
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import as_log, encoded_log
from tests.producers.kinds.proofs import chain_of, factory_of, inquire

CASES = 300
HUGE = "0x" + "ff" * 40_000
WHOLE = (1 << 256) - 1
NUMBERS = (0, 1, 2, 100, 500, 3000, 999_999, 1_000_000, 1 << 15, 1 << 24, 1 << 31, 1 << 160, 1 << 255, WHOLE)
TOKENS = tuple(bytes([number]) * 20 for number in (0x21, 0x22, 0x23))


def configured(kind: PoolKind) -> tuple[Factory, Factory]:
    """Two factories of a kind; one finds its pools by CREATE2 where there is such."""
    hashed = {"init_code_hash": f"0x{'ab' * 32}"} if kind.proof.salt is not None else {}
    more = {"positions": f"0x{'f9' * 20}", "custom_deployers": (f"0x{'f8' * 20}",)}
    reads = {name: value for name, value in more.items() if name in kind.factory_keys}
    return factory_of(kind.name, f"0x{'f1' * 20}", **reads), factory_of(kind.name, f"0x{'f2' * 20}", **hashed, **reads)


def log_word(log: Log, number: int) -> str:
    """A word of its data."""
    return (log.data or "0x")[2 + 64 * number :][:64]


class Babbler:
    """Whatever is asked: what could be an answer, or could not; now and then what an honest pool's would be."""

    def __init__(self, rng: Random, log: Log, chain: ChainConfig) -> None:
        known = [int(log.address, 16), *(int(factory.address, 16) for factory in chain.factories)]
        topics = [int(topic or "0x0", 16) for topic in log.topics]
        self._pool, self._sense = known[0], rng.choice((0.0, 0.5, 0.9))
        token0, token1 = (f"0x{token.hex():0>64}" for token in TOKENS[:2])
        coins = "".join(f"{int(topic or '0x0', 16):064x}" for topic in log.topics[2:])
        self._honest: dict[str, Answer] = {
            **{view.TOKEN0: token0, view.selector("_BASE_TOKEN_()"): f"0x{log_word(log, 0)}"},
            **{view.TOKEN1: token1, view.selector("_QUOTE_TOKEN_()"): f"0x{log_word(log, 1)}"},
            view.FACTORY: f"0x{known[1]:064x}",
            view.FEE: f"0x{3000:064x}",
            view.STABLE: f"0x{1:064x}",
            view.selector("getPool(bytes32)"): f"0x{((log.topics[1:] or ('0x',))[0] or '0x')[2:42]:0>64}{0:064x}",
            view.selector("getPoolTokens(bytes32)"): f"0x{96:064x}{192:064x}{0:064x}{2:064x}{coins}",
            view.selector("get_coins(address)"): "0x" + "".join(f"{int.from_bytes(token):064x}" for token in TOKENS),
        }
        self._honest |= {view.calling("coins(uint256)", at): f"0x{coin.hex():0>64}" for at, coin in enumerate(TOKENS)}
        self._rng, self._words = rng, (*NUMBERS, *known, *map(int.from_bytes, TOKENS), *topics)

    def word(self) -> str:
        """One word."""
        return f"{self._rng.choice(self._words) % (1 << 256):064x}"

    def __call__(self, question: Question) -> Answer:
        rng = self._rng
        if rng.random() < self._sense:
            own = self._honest.get(question.data[:10], f"0x{self._pool:064x}")
            return self._honest.get(question.data, own)
        listed = "".join(self.word() for _ in range(rng.randrange(9)))
        return rng.choice(
            (
                f"0x{self.word()}",
                f"0x{self.word()}",
                f"0x{self.word()}",
                f"0x{listed}",
                f"0x{32:064x}{rng.choice((0, 1, 2, 3, 8, WHOLE)):064x}{listed}",
                f"0x{self.word()}"[: rng.randrange(66)],
                "",
                "0x",
                HUGE,
                "nonsense",
                REVERTED,
            )
        )


@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.name)
def test_nonsense_is_no_proof_that_does_not_fit_a_row(kind: PoolKind) -> None:
    rng, chain, table = Random(kind.name), chain_of(*configured(kind)), PoolTable()
    topics = [
        topic0 for topic0, event in EVENT_OF_TOPIC.items() if event.role is Role.POOL and kind.code in event.protocols
    ]
    ours = {bytes.fromhex(factory.address[2:]) for factory in chain.factories}
    proven = 0
    for _ in range(CASES):
        raw = encoded_log(rng.choice(topics), rng)
        hub = rng.choice(chain.factories).address
        log = as_log(raw | {"address": rng.choice((raw["address"], hub))})
        inquiry = inquire(chain, log, Babbler(rng, log, chain))
        if inquiry.pool is not None:
            proven += 1
            table.add(inquiry.pool, inquiry.key)
            assert inquiry.pool.factory in ours
            assert inquiry.pool.token0 < inquiry.pool.token1
            assert 0 <= inquiry.pool.fee_pips <= 1_000_000
            assert 0 <= inquiry.pool.tick_spacing < 1 << 15
    assert bool(proven) is (kind.name != "UNISWAP_V4"), "its key hashes to its id, or proves nothing"
