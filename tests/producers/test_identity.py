"""A chain is its id and its early block: real feeds, and nodes whose early block is told to them."""

from __future__ import annotations

import msgspec
import pytest

from producers.blocks.recovery import recover
from producers.chains.configuration import ChainConfig, EarlyBlock, load_chain
from producers.decode.pool_table import PoolTable
from producers.feed import Feed
from producers.kinds.selection import LogSelection
from producers.output.epoch import OutputRing
from tests.producers.branches import Branches
from tests.producers.virtual import SECOND, WALL, Conversation
from tlv.layout import Block as BlockRecord
from tlv.layout import Reorg, Session

FIRST, OTHER = "0x" + "a1" * 32, "0x" + "b2" * 32
LEARNING = msgspec.structs.replace(load_chain("polygon"), identity=None)
KNOWING = msgspec.structs.replace(LEARNING, identity=EarlyBlock(FIRST, 7))


class Chained(Conversation):
    """A node that answers the question for the early block with `shows`: a hash, None, or a refusal."""

    def __init__(self, chain: ChainConfig, shows: str | Exception | None, seed: int = 1, genesis: bytes = b"") -> None:
        recovered = recover([])._replace(genesis=genesis) if genesis else None
        ring = OutputRing(bytes(16), 1, 1)
        feed = Feed(chain, ring, PoolTable(), {}, LogSelection(), recovered, now_ns=0, wall_ns=WALL)
        super().__init__(feed, answered=self._shown, served=Branches(seed, 20).recording())
        self.shows = shows
        self.lies: list[str | None] = []
        """What its first answers show instead; None is no block."""
        self.asked: dict[object, list[object]] = {}
        inner = self.core.receive

        def receive(text: bytes | str, client: int | None = None) -> bytes | None:
            request = msgspec.json.decode(text)
            self.asked[request["id"]] = [request["method"], *request["params"]]
            return inner(text, client)

        self.core.receive = receive  # type: ignore[method-assign]

    def _shown(self, frame: bytes) -> list[bytes]:
        answer = msgspec.json.decode(frame)
        if self.asked[answer["id"]][:2] not in (["eth_getBlockByNumber", "0x0"], ["eth_getBlockByNumber", "0x7"]):
            return [frame]
        if self.lies:
            lie = self.lies.pop(0)
            return [msgspec.json.encode({"id": answer["id"], "result": {"hash": lie} if lie is not None else None})]
        if isinstance(self.shows, Exception):
            return [msgspec.json.encode({"id": answer["id"], "error": {"code": -32000, "message": str(self.shows)}})]
        result = {"hash": self.shows} if self.shows is not None else None
        return [msgspec.json.encode({"id": answer["id"], "result": result})]

    @property
    def sessions(self) -> list[str]:
        return ["0x" + session.genesis.hex() for session in self.records(Session)]


def test_feed_learns_the_first_block_and_tells_it_before_any_block() -> None:
    conversation = Chained(LEARNING, FIRST)
    conversation.connect()
    conversation.play()
    assert conversation.sessions == ["0x" + "0" * 64, FIRST]
    kinds = [type(message.records[0]) for message in conversation.story.messages]
    assert kinds.index(BlockRecord) > len(kinds) - 1 - kinds[::-1].index(Session)


def test_feed_that_knows_its_chain_tells_it_at_once() -> None:
    conversation = Chained(KNOWING, FIRST)
    conversation.connect()
    conversation.play()
    assert conversation.sessions == [FIRST]
    assert conversation.feed.wrong_chain is None
    assert conversation.records(BlockRecord)


@pytest.mark.parametrize("shows", [None, RuntimeError("missing trie node"), "0x12", "0x" + "0" * 64])
def test_feed_lives_with_a_node_that_shows_no_first_block(shows: str | Exception | None) -> None:
    conversation = Chained(LEARNING, shows)
    conversation.connect()
    assert "so its chain is known by its id only" in (conversation.feed.unproven_identity or "")
    conversation.play()
    assert conversation.sessions == ["0x" + "0" * 64]
    assert conversation.records(BlockRecord)


@pytest.mark.parametrize("known", ["file", "ring"])
def test_feed_of_a_node_of_another_chain_of_the_same_id_publishes_nothing(known: str) -> None:
    chain, genesis = (KNOWING, b"") if known == "file" else (LEARNING, bytes.fromhex(FIRST[2:]))
    conversation = Chained(chain, OTHER, genesis=genesis)
    conversation.connect()
    conversation.play()
    assert f"to be {FIRST}, found {OTHER}: another chain, or it was replaced" in (conversation.feed.wrong_chain or "")
    assert conversation.feed.broken == conversation.feed.wrong_chain
    assert conversation.feed.replaced
    assert not conversation.records(BlockRecord)
    assert conversation.sessions == [FIRST]


def test_chain_replaced_behind_a_closed_connection_is_told_as_such() -> None:
    conversation = Chained(LEARNING, FIRST)
    conversation.connect()
    for _ in range(12):
        conversation.step()
    told = len(conversation.records(BlockRecord))
    conversation.disconnect()
    conversation.shows = OTHER
    conversation.connect()
    conversation.play()
    assert "it was replaced" in (conversation.feed.wrong_chain or "")
    assert len(conversation.records(BlockRecord)) == told


def test_chain_replaced_under_a_live_connection_is_told_as_such_and_not_as_a_reorg() -> None:
    """`hardhat_reset`: the next head continues no block that we know.  It told a Reorg to a block that never was."""
    conversation = Chained(LEARNING, FIRST)
    conversation.connect()
    while conversation.step():
        pass
    before = len(conversation.records(Reorg)), len(conversation.records(BlockRecord))
    conversation.shows = OTHER
    head = {
        "number": "0x1",
        "hash": "0x" + "c3" * 32,
        "parentHash": OTHER,
        "timestamp": "0x1",
        "logsBloom": "0x" + "0" * 512,
    }
    notice = {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": conversation.feed._subscriptions.heads, "result": head},
    }
    conversation.push([msgspec.json.encode(notice)])
    conversation.wait(6)
    assert "it was replaced" in (conversation.feed.wrong_chain or "")
    assert (len(conversation.records(Reorg)), len(conversation.records(BlockRecord))) == before


NO_BLOCKS: list[str | None] = [None] * 5
"""Answered for more than four seconds."""


@pytest.mark.parametrize(
    "lies",
    [[OTHER], [OTHER, "0x" + "d4" * 32, OTHER], [OTHER] * 4, [OTHER, OTHER, *NO_BLOCKS], [OTHER, *NO_BLOCKS, OTHER]],
)
def test_answer_of_a_backend_that_is_astray_for_seconds_condemns_no_chain_that_is_known(
    lies: list[str | None],
) -> None:
    conversation = Chained(KNOWING, FIRST)
    conversation.lies = list(lies)
    conversation.connect()
    conversation.play()
    assert conversation.feed.wrong_chain is None and conversation.feed.broken is None
    assert conversation.sessions == [FIRST]
    assert conversation.records(BlockRecord)


def test_early_blocks_before_and_after_a_sleep_condemn_no_chain_together() -> None:
    conversation = Chained(KNOWING, OTHER)
    conversation.connect()
    conversation.wait(3)
    conversation.now_ns += 20 * SECOND
    conversation.wait(3)
    conversation.shows = FIRST
    conversation.play()
    assert conversation.feed.wrong_chain is None and conversation.feed.broken is None
    assert conversation.sessions == [FIRST]


@pytest.mark.parametrize("lies", [[OTHER], [OTHER, FIRST, OTHER], [OTHER, "0x" + "d4" * 32]])
def test_answer_that_is_not_repeated_makes_no_chain_known(lies: list[str | None]) -> None:
    conversation = Chained(LEARNING, FIRST)
    conversation.lies = list(lies)
    conversation.connect()
    conversation.play()
    assert conversation.sessions == ["0x" + "0" * 64, FIRST]
    assert conversation.records(BlockRecord)


def test_node_whose_early_block_is_another_each_time_is_known_by_its_id_only() -> None:
    conversation = Chained(LEARNING, FIRST)
    conversation.lies = ["0x" + f"{number:064x}" for number in range(1, 20)]
    conversation.connect()
    conversation.play()
    assert "contradict each other" in (conversation.feed.unproven_identity or "")
    assert conversation.records(BlockRecord)
