"""What is remembered of unproven emitters: for how long a proof against one stands, and how much memory they take."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from producers.blocks.arrivals import Arrivals, HeldBackFetched
from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.kinds.emitter_key import key_of
from producers.kinds.events import EVENTS
from producers.kinds.proving import Standing
from producers.node.rpc_types import Head, Log
from producers.node.timers import Clock
from producers.node.view_calls import DECIMALS, SYMBOL, TOKEN0, TOKEN1
from producers.pools.healing import PAUSES_S
from producers.pools.inquiry import Inquiry
from producers.pools.quarantine import EXPIRES_S, GARBLED, HOLD_S, MAX_HELD, QUIET_S, Quarantine
from producers.pools.suspects import MAX_EMITTERS, MOST_NAMED, Suspect
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.pools.test_cold_start import SWAP, word
from tlv.codes import Protocol
from tlv.units import NS

REVERT = {"error": {"code": 3, "message": "execution reverted"}}
FACTORY = next(f for f in load_chain("polygon").factories if f.protocol_code is Protocol.UNISWAP_V3)
TOPICS = [SWAP, "0x" + word(1), "0x" + word(2)]
SWAP_DATA = "0x" + word(10**6) + word(-(10**15)) + word(1 << 96) + word(10**18) + word(0)
TOKENS = (bytes([1] * 20), bytes([2] * 20))
NAMED_SWAP = next(event for event in EVENTS if event.signature.startswith("Swap(bytes32,address,int128"))
POOL = "0x" + FACTORY.pool_address(*TOKENS, 500).hex()


class Desk:
    """A quarantine, its chain, and a node that answers as told."""

    def __init__(self) -> None:
        self.context = Context.of(load_chain("polygon"), Clock())
        self.chain, self.arrivals, self.table = Chain(256), Arrivals(), PoolTable()
        self.quarantine = Quarantine(self.context, self.table, {}, self.chain, self.arrivals)
        self.quarantine.reconnected()
        self.honest = False
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.heads: dict[str, Head] = {}
        self.asked = 0

    def block(self, number: int, parent: Block | None = None, branch: str = "") -> Block:
        """The next block of a branch, as head."""
        below = "0x" + "22" * 32 if parent is None else parent.hash
        name = "0x" + hashlib.sha256(f"{number}{branch}".encode()).hexdigest()
        head = Head(number=hex(number), hash=name, parent_hash=below, timestamp="0x1")
        self.heads[head.number] = head
        block = self.chain.add(head, self.context.clock.now_ns)
        found = self.chain.branch(block, 1000)
        assert isinstance(found, list)
        self.quarantine.withdraw(self.chain.adopt(found).dropped)
        self.chain.forget()
        return block

    def speak(self, address: str, block: Block, index: int = 0) -> Log:
        """A swap comes."""
        said: dict[str, Any] = {"address": address, "topics": TOPICS, "data": SWAP_DATA, "blockHash": block.hash}
        said |= {"transactionHash": "0x" + f"{index:064x}", "logIndex": hex(index), "blockNumber": hex(block.number)}
        self.logs.setdefault(block.hash, []).append(said)
        log = msgspec.convert(said, Log)
        block.take(log, pushed=True)
        for at, waiting, fetched in block.take_waiting(1, in_order=False):
            self.context.stats.event_logs += 1
            self.quarantine.take(waiting.address, waiting, block, at, fetched)
        return log

    def judge(self, seconds: float = 0.0) -> None:
        """Let the quarantine ask, and answer."""
        self.context.clock.now_ns += int(seconds * NS)
        self.quarantine.judge()
        while frames := self.context.rpc.outgoing():
            self.answer(frames)
            self.quarantine.judge()

    def answer(self, frames: list[bytes]) -> None:
        """The node answers these requests."""
        for frame in frames:
            request = msgspec.json.decode(frame)
            self.asked += 1
            reply = self._reply(request["method"], request["params"])
            self.context.rpc.read(msgspec.json.encode({"id": request["id"], **reply}))

    def _reply(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_getLogs":
            return {"result": self.logs.get(params[0].get("blockHash"), [])}
        if method == "eth_getBlockByNumber":
            return {"result": self.heads[params[0]]}
        if not self.honest:
            return REVERT
        said = {TOKEN0: word(int.from_bytes(TOKENS[0], "big")), TOKEN1: word(int.from_bytes(TOKENS[1], "big"))}
        said |= {DECIMALS: word(18), SYMBOL: word(32) + word(0)}
        return {"result": "0x" + said.get(params[0]["data"], word(500))}


def test_proof_against_a_pool_falls_when_its_block_leaves_the_chain_and_its_logs_are_fetched() -> None:
    desk = Desk()
    below = desk.block(100)
    desk.speak(POOL, below)
    desk.judge()
    orphan = desk.block(101, below, "a")
    assert desk.quarantine.account.counts[Standing.FALSE] == 1
    # the proof rests on block 100; another, of an emitter that speaks in the orphan only, rests on that
    desk.chain.canonical.clear()
    desk.quarantine.withdraw([orphan, below])
    desk.honest = True
    again = desk.block(100, None, "b")
    desk.speak(POOL, again)
    desk.judge()
    assert POOL in desk.table.row_of
    assert [log.block_hash for _, log, _ in again.waiting] == [again.hash]
    assert desk.quarantine.account.counts[Standing.FALSE] == 0


def test_proof_against_a_pool_is_not_taken_from_an_orphaned_block() -> None:
    desk = Desk()
    first = desk.block(100)
    orphan = desk.block(101, first, "a")
    desk.speak(POOL, orphan)
    desk.quarantine.judge()
    late = desk.context.rpc.outgoing()
    assert late and all(orphan.hash.encode() in frame for frame in late)
    other = desk.block(101, first, "b")
    for frame in late:
        request = msgspec.json.decode(frame)
        desk.context.rpc.read(msgspec.json.encode({"id": request["id"], **REVERT}))
    desk.honest = True
    log = desk.speak(POOL, other)
    desk.judge(1)
    assert desk.quarantine.account.counts[Standing.FALSE] == 0
    assert [waiting for _, waiting, _ in other.waiting] == [log]


def test_proof_against_a_pool_expires_and_what_was_let_go_meanwhile_is_fetched_in_order() -> None:
    desk = Desk()
    block = desk.block(100)
    first = [desk.speak(POOL, block, index) for index in range(3)]
    desk.judge()
    block = desk.block(101, block)
    second = desk.speak(POOL, block)
    assert desk.quarantine.account.counts[Standing.FALSE] == 4 and desk.quarantine.held == 0
    asked = desk.asked
    desk.judge(60)
    assert desk.asked == asked
    desk.honest = True
    desk.judge(EXPIRES_S)
    newest = desk.block(102, block)
    third = desk.speak(POOL, newest)
    desk.judge()
    healed = [arrival.block.number for arrival in desk.arrivals if isinstance(arrival, HeldBackFetched)]
    assert healed == [100, 101, 102]
    waiting = [[log.log_index for _, log, _ in b.waiting] for b in (desk.chain.canonical[n] for n in (100, 101, 102))]
    assert waiting == [[log.log_index for log in first], [second.log_index], [third.log_index]]
    assert desk.quarantine.account.counts.total() == 0 and not desk.quarantine.account.healer.gate
    assert_every_event_log_is_accounted_for(desk.context.stats)


def test_emitter_that_was_silent_for_long_is_asked_again_when_it_speaks() -> None:
    desk = Desk()
    honestly = desk._reply
    desk._reply = lambda method, params: {"error": {"code": -32000, "message": "busy"}}  # type: ignore[method-assign]
    block = desk.block(100)
    desk.speak(POOL, block)
    for _ in range(20):
        desk.judge(QUIET_S / 10)
    asked = desk.asked
    desk.judge(QUIET_S)
    assert desk.asked == asked
    desk._reply, desk.honest = honestly, True  # type: ignore[method-assign]
    desk.speak(POOL, desk.block(101, block))
    desk.judge()
    assert POOL in desk.table.row_of


def test_gate_of_a_pool_that_is_caught_up_with_stands_before_the_first_block_that_is_not_back() -> None:
    desk = Desk()
    blocks = [desk.block(100)]
    desk.speak(POOL, blocks[0])
    desk.judge()
    for number in (101, 102):
        blocks.append(desk.block(number, blocks[-1]))
        desk.speak(POOL, blocks[-1])
    lost, desk.logs = desk.logs, {}
    desk.honest = True
    desk.judge(EXPIRES_S)
    desk.speak(POOL, desk.block(103, blocks[-1]))
    desk.judge()
    gate, gates = desk.quarantine.account.healer.gate, []
    for block in blocks:
        gates.append(gate[POOL])
        desk.logs[block.hash] = lost[block.hash]
        for _ in ("by hash", "by number"):
            desk.judge(PAUSES_S[1] + 1)
    assert gates == [99, 100, 101]
    assert not gate and POOL in desk.table.row_of


def test_hundred_thousand_emitters_that_never_answer_take_bounded_memory_and_are_declared() -> None:
    desk = Desk()
    desk._reply = lambda method, params: {"error": {"code": -32000, "message": "busy"}}  # type: ignore[method-assign]
    block, declared, sizes = desk.block(100), 0, []
    for index in range(100_000):
        if index % 250 == 0:
            block = desk.block(block.number + 1, block)
            desk.logs.clear()
            desk.context.clock.now_ns += NS // 5
            desk.quarantine.judge()
            desk.answer(desk.context.rpc.outgoing())
            declared += len(desk.quarantine.account.take_declared())
        desk.speak("0x" + f"{index + 1:040x}", block, index % 250)
        assert desk.quarantine.held <= MAX_HELD
        if index in (60_000, 99_999):
            waiting, asking = desk.quarantine, desk.quarantine.questioning
            sizes.append(len(asking.agenda) + len(asking._ready) + len(waiting._emitters) + len(desk.chain.blocks))
    desk.context.clock.now_ns += int((HOLD_S + 1) * NS)
    desk.quarantine.judge()
    declared += len(desk.quarantine.account.take_declared())
    assert declared == 100_000
    assert len(desk.quarantine._emitters) <= MAX_EMITTERS
    assert sizes[1] < sizes[0] * 1.05 and sizes[1] < 6 * MAX_EMITTERS, sizes
    assert desk.quarantine.account.counts[Standing.UNKNOWN] == 100_000


def pauses_s(suspect: Suspect) -> list[float]:
    """Between attempts that have no answer."""
    pauses = []
    for _ in range(8):
        suspect.pauses.failed(0)
        pauses.append(suspect.pauses.due_ns / NS)
    return pauses


def test_suspect_is_asked_within_two_seconds_while_its_logs_are_held_and_within_a_minute_once_declared() -> None:
    suspect = Suspect(Inquiry(load_chain("polygon"), POOL, (Protocol.UNISWAP_V3,)), Protocol.UNISWAP_V3, 0)
    soon, seldom = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0], [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert pauses_s(suspect) == soon
    suspect.stop_holding(Standing.UNKNOWN)
    assert pauses_s(suspect) == seldom
    suspect.resume_asking()
    assert pauses_s(suspect) == seldom
    suspect.wait_for_tokens(0)
    assert pauses_s(suspect) == soon


def named(pool: str, block: Block, index: int, **members: Any) -> Log:
    """A swap of a contract that names its pools."""
    said: dict[str, Any] = {"address": "0x" + "4b" * 20, "data": "0x" + word(0) * len(NAMED_SWAP.words)}
    said |= {"topics": (NAMED_SWAP.topic0, pool, "0x" + word(1)), "block_hash": block.hash}
    return Log(**(said | {"transaction_hash": "0x" + word(index), "log_index": hex(index)} | members))


def test_contract_that_names_pool_after_pool_is_remembered_as_one_beyond_a_bound() -> None:
    desk = Desk()
    block = desk.block(100)
    names = ["0x" + word(number) for number in range(1, 3 * MOST_NAMED)]
    for index, name in enumerate(names):
        log = named(name, block, index)
        block.note_swap(log, NAMED_SWAP.protocols[0])
        assert desk.quarantine.take(key_of(log), log, block, index, False) is None
    assert len(desk.quarantine._emitters) == MOST_NAMED + 1
    desk.judge()
    assert block.quarantined == 0 and len(block.unpublished) == MOST_NAMED + 1
    uncovered = desk.quarantine.account.uncovered(block)
    assert sum(record.swaps for record in uncovered) == len(names) == len(block.swaps)
    for emitter in desk.quarantine._emitters.values():
        desk.quarantine._emitters.remove(emitter)
    assert not desk.quarantine._emitters.is_crowded(key_of(named(names[0], block, 0)))


def test_log_that_is_longer_than_its_event_is_not_kept_as_a_part_of_a_proof() -> None:
    desk = Desk()
    block = desk.block(100)
    long = named("0x" + word(5), block, 0, data="0x" + word(0) * 5000)
    inquiry = Inquiry(desk.context.chain, key_of(long), NAMED_SWAP.protocols)
    inquiry.hear(long)
    assert inquiry._heard == {}
    inquiry.hear(named("0x" + word(5), block, 0))
    assert list(inquiry._heard) == [NAMED_SWAP.topic0]


def test_pushed_log_whose_name_was_garbled_on_its_way_is_no_suspects() -> None:
    desk = Desk()
    block = desk.block(100)
    garbled = named("0x" + word(5)[:-1], block, 0)
    for log in (garbled, named("0x" + word(5), block, 0, address="0x" + "4b" * 19 + "4z")):
        assert desk.quarantine.take(key_of(log), log, block, 0, False) == GARBLED
        assert len(desk.quarantine._emitters) == 0 and block.quarantined == 0
    short = named("0x" + word(5), block, 0, topics=(NAMED_SWAP.topic0,))
    desk.table.named.add(short.address)
    assert desk.quarantine.take(key_of(short), short, block, 0, False) == GARBLED, "all others of it name a pool"
    desk.table.named.clear()
    assert desk.quarantine.take(key_of(short), short, block, 0, False) is None
    assert len(desk.quarantine._emitters) == 1
