"""Tokens that charge for a transfer, in the real V2 contracts: factory, pairs and router from npm, executed by pyrevm.

The tokens are assembled here: npm has none whose code says what it takes.
"""

from __future__ import annotations

from typing import Any

import pyrevm
import pytest
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.pool_book import PoolBook
from consumers.strategy import drive
from tests.consumers.recorded_market import RING, canonical_frames
from tests.consumers.test_arbitrage_strategy import NATIVE, TOKEN, A, B, Market, signal_of, two_pools
from tlv.codes import Protocol, QuoteVerdict
from tlv.layout import EventOrigin, PoolRecord, PoolSwap, PoolSync
from tools.rig.evm.world import DEADLINE, bytecode, call_data

E18 = 10**18
TRADER = "0x" + "11" * 20
FEE_OF_SENDER, FEE_OF_RECEIVER, PLAIN = "sender", "receiver", "none"
SWAP, SYNC = (
    keccak(signature).hex()
    for signature in (b"Swap(address,uint256,uint256,uint256,uint256,address)", b"Sync(uint112,uint112)")
)
MOVES = {
    # v/100 more leaves the sender:  balance[from] -= v + v/100;  balance[to] += v
    FEE_OF_SENDER: "6064 83 04 83 01 81 54 03 90 55  81 81 54 01 90 55",
    # v/100 less reaches the receiver:  balance[from] -= v;  balance[to] += v - v/100
    FEE_OF_RECEIVER: "82 81 54 03 90 55  6064 82 04 82 03 81 54 01 90 55",
    PLAIN: "82 81 54 03 90 55  81 81 54 01 90 55",
}
"""What a transfer does with v, to and from (on top) on the stack; a balance stands at its holder's address."""


def token_code(kind: str) -> bytes:
    """balanceOf, transfer and transferFrom of a token; everybody may spend."""
    cases = (("70a08231", "6004 35 54 6000 52 6020 6000 f3"), ("a9059cbb", "6024 35 6004 35 33"),
             ("23b872dd", "6044 35 6024 35 6004 35"))  # fmt: skip
    bodies = [bytes.fromhex(cases[0][1])]
    done = bytes.fromhex(MOVES[kind] + "6001 6000 52 6020 6000 f3")
    bodies += [bytes.fromhex(body) + done for _, body in cases[1:]]
    head = bytes.fromhex("6000 35 60e0 1c")
    at = len(head) + 11 * len(cases) + 1
    table, code = b"", b""
    for (selector, _), body in zip(cases, bodies, strict=True):
        table += bytes.fromhex("80 63" + selector + "14 61") + (at + len(code)).to_bytes(2, "big") + b"\x57"
        code += b"\x5b" + body
    return head + table + b"\x00" + code


class Exchange:
    """The V2 contracts with tokens that charge, and what their logs say."""

    def __init__(self) -> None:
        self.evm = pyrevm.EVM()
        self.evm.insert_account_info(TRADER, pyrevm.AccountInfo(balance=1 << 100))
        self.factory = self.deploy("V2Factory", ("address",), TRADER)
        self.router = self.deploy("V2Router", ("address", "address"), self.factory, TRADER)
        self.block = 0

    def deploy(self, name: str, types: tuple[str, ...], *values: Any) -> str:
        return str(self.evm.deploy(TRADER, bytecode(name) + encode(types, values))).lower()

    def call(self, to: str, signature: str, *values: Any) -> bytes:
        return bytes(self.evm.message_call(TRADER, to, bytes.fromhex(call_data(signature, *values)[2:])))

    def token(self, number: int, kind: str) -> str:
        address = "0x" + bytes([number] * 20).hex()
        self.evm.insert_account_info(address, pyrevm.AccountInfo(code=token_code(kind)))
        self.evm.insert_account_storage(address, int(TRADER, 16), 10**9 * E18)
        return address

    def pair(self, first: str, second: str) -> str:
        (pair,) = decode(["address"], self.call(self.factory, "createPair(address,address)", first, second))
        for token in (first, second):
            self.call(token, "transfer(address,uint256)", pair, 1_000 * E18)
        self.call(pair, "mint(address)", TRADER)
        return str(pair)

    def swap(self, path: list[str], amount: int) -> list[tuple[PoolRecord, EventOrigin]]:
        """Sell through the router, and what the pairs log of it."""
        self.block += 1
        signature = "swapExactTokensForTokensSupportingFeeOnTransferTokens(uint256,uint256,address[],address,uint256)"
        self.call(self.router, signature, amount, 0, path, TRADER, DEADLINE)
        return self.said()

    def sell(self, pair: str, token: str, amount: int, outs: tuple[int, int]) -> list[tuple[PoolRecord, EventOrigin]]:
        """Send a token to a pair, take so much of the two out of it."""
        self.block += 1
        self.call(token, "transfer(address,uint256)", pair, amount)
        self.call(pair, "swap(uint256,uint256,address,bytes)", *outs, TRADER, b"")
        return self.said()

    def said(self) -> list[tuple[PoolRecord, EventOrigin]]:
        """What the pairs logged in the last call."""
        return [found for at, log in enumerate(self.evm.result.logs) if (found := self.read(at, log)) is not None]

    def read(self, at: int, log: Any) -> tuple[PoolRecord, EventOrigin] | None:
        topic, data = log.topics[0].removeprefix("0x"), bytes(log.data[1])
        words = [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]
        tokens = [self.call(log.address, which)[-20:] for which in ("token0()", "token1()")]
        head = (bytes.fromhex(log.address[2:]), *tokens, 0, 18, 18, Protocol.UNISWAP_V2)
        origin = EventOrigin(self.block, 0, 0, 0, at, self.block.to_bytes(32, "big"), bytes(32))
        if topic == SYNC:
            return PoolSync(*head, *words), origin
        recipient = bytes.fromhex(log.topics[2][-40:])
        return (PoolSwap(*head, *words, 0, 0, 0, bytes(20), recipient), origin) if topic == SWAP else None


def told(events: list[tuple[PoolRecord, EventOrigin]], book: PoolBook) -> None:
    for record, origin in events:
        book.apply(record, origin)


@pytest.mark.parametrize("kind", [FEE_OF_RECEIVER, PLAIN])
def test_taxed_token_that_goes_from_pair_to_pair_is_told_from_others(kind: str) -> None:
    exchange, book = Exchange(), PoolBook()
    first, charging, last = (exchange.token(1, PLAIN), exchange.token(2, kind), exchange.token(3, PLAIN))
    exchange.pair(first, charging)
    exchange.pair(charging, last)
    for amount in (E18, 2 * E18, 3 * E18):
        told(exchange.swap([first, charging, last], amount), book)
        told(exchange.swap([last, charging, first], amount), book)
    assert dict(book.taxed.seen) == ({} if kind == PLAIN else {bytes.fromhex(charging[2:]): 6})
    assert all(book.taxed.touches(pool) == (kind != PLAIN) for pool in book)


@pytest.mark.parametrize("kind", [FEE_OF_SENDER, PLAIN])
def test_taxed_token_that_charges_the_pair_is_told_from_others(kind: str) -> None:
    """The router's amount would break K, for the pair pays the charge: whoever trades it takes less."""
    exchange, book = Exchange(), PoolBook()
    first, charging = exchange.token(1, PLAIN), exchange.token(2, kind)
    pair = exchange.pair(first, charging)
    for _ in range(3):
        told(exchange.sell(pair, first, E18, (0, E18 * 9 // 10)), book)
    assert dict(book.taxed.seen) == ({} if kind == PLAIN else {bytes.fromhex(charging[2:]): 2})


def test_taxed_token_of_the_receiver_that_goes_to_nobody_elses_pool_is_not_told() -> None:
    """A pair's own events agree with each other whatever the receiver gets: this is what cannot be seen."""
    exchange, book = Exchange(), PoolBook()
    first, charging = exchange.token(1, PLAIN), exchange.token(2, FEE_OF_RECEIVER)
    exchange.pair(first, charging)
    for path in ([first, charging], [charging, first]):
        for _ in range(2):
            told(exchange.swap(path, E18), book)
    assert not book.taxed.seen


def test_taxed_token_events_out_of_order_or_of_other_transactions_prove_nothing() -> None:
    exchange = Exchange()
    first, charging, last = (exchange.token(1, PLAIN), exchange.token(2, FEE_OF_RECEIVER), exchange.token(3, PLAIN))
    exchange.pair(first, charging)
    exchange.pair(charging, last)
    events = exchange.swap([first, charging, last], E18)
    late, apart = PoolBook(), PoolBook()
    told(events[::-1], late)
    for number, (record, origin) in enumerate(events):
        moved = EventOrigin(origin.block_number, 0, 0, number, origin.log_index, origin.block_hash, bytes(32))
        apart.apply(record, moved)
    assert not late.taxed.seen and not apart.taxed.seen


def sold_to(market: Market, log: int, pool: bytes, amounts: tuple[int, int, int, int], recipient: bytes) -> None:
    head = market.head(pool, (NATIVE, TOKEN))
    market.tell(PoolSwap(*head, *amounts, 0, 0, 0, bytes(20), recipient), market.origin(log))


def test_taxed_token_makes_signals_speculative() -> None:
    market = two_pools()
    sold_to(market, 1, A, (100, 0, 0, 100), B)
    sold_to(market, 2, B, (0, 99, 99, 0), bytes(20))
    market.number += 1
    (early,) = market.sync(B, 1_000 * E18, 1_100 * E18)
    assert signal_of(early)[0].verdict == QuoteVerdict.SPECULATIVE
    assert market.end_block() == []  # without that token its block's end would make the signal EXACT


def test_taxed_token_is_none_of_those_that_the_recording_trades() -> None:
    """Three sessions with losses between them, which empty the histories that a fall would be taken from."""
    keeper = BookStrategy()
    drive(keeper, RING, canonical_frames())
    assert len(keeper.book.pools) > 40 and not keeper.book.taxed.seen
