"""Emitters about which the node says nothing for a while: their logs wait, and what is lost in the end is declared.

The local node of the campaigns answers `BlockOutOfRangeError` (-32602) to one eth_call in some hundred while it
reorganises; a backend that lags answers `0x` (go-ethereum#17516, erigon#18912).
"""

from __future__ import annotations

import re

import pytest

from producers.pools.quarantine import HOLD_S
from tests.producers.collected import Story, canonical_events
from tests.producers.virtual import SECOND, Conversation, new_feed
from tlv.layout import Block, Gap

WORD = re.compile(rb'"result": ?"0x[0-9a-f]{64}"')
"""Only an eth_call is answered with a word."""
NOTHING = b'"result":"0x"'
ZERO = b'"result":"0x' + b"0" * 64 + b'"'
OUT_OF_RANGE = b'"error":{"code":-32602,"message":"BlockOutOfRangeError: block height is 152 but requested was 154"}'
INTERNAL = b'"error":{"code":-32603,"message":"internal error"}'
RECORDED_GAPS = 2


def answered_with(instead: bytes, for_s: float) -> tuple[Conversation, list[int]]:
    """The whole recording; each eth_call is answered with `instead` for `for_s` from the first; when, in ns."""
    asked: list[int] = []

    def answered(frame: bytes) -> list[bytes]:
        if WORD.search(frame):
            asked.append(conversation.now_ns)
            if conversation.now_ns - asked[0] < for_s * SECOND:
                return [WORD.sub(instead, frame)]
        return [frame]

    conversation = Conversation(new_feed(), answered=answered)
    conversation.connect()
    conversation.play()
    return conversation, asked


def declared(conversation: Conversation) -> set[int]:
    return {number for gap in conversation.records(Gap) for number in range(gap.first, gap.last + 1)}


def numbers_of(story: Story) -> dict[bytes, int]:
    """The number of every block that was announced, by hash."""
    blocks = [record for message in story.messages if (record := message.first(Block)) is not None]
    return {block.hash: block.number for block in blocks}


@pytest.mark.parametrize("instead", [NOTHING, ZERO, OUT_OF_RANGE, INTERNAL])
def test_feed_whose_node_says_nothing_of_emitters_for_a_second_publishes_every_event(instead: bytes) -> None:
    conversation, _ = answered_with(instead, 1.0)
    assert conversation.story.standing == canonical_events()
    assert len(conversation.records(Gap)) == RECORDED_GAPS


def test_feed_whose_node_refuses_to_tell_of_emitters_declares_the_blocks_of_their_events() -> None:
    conversation, _ = answered_with(OUT_OF_RANGE, 1e9)
    conversation.wait(HOLD_S + 1)
    missing = canonical_events().keys() - conversation.story.standing.keys()
    numbers = numbers_of(conversation.story)
    assert missing
    assert {numbers[block_hash] for block_hash, _, _ in missing} <= declared(conversation)


def test_feed_whose_emitters_say_nothing_declares_no_gap() -> None:
    """Anybody can deploy a contract that answers nothing: it must not have a hole declared whenever it likes."""
    conversation, _ = answered_with(NOTHING, 1e9)
    assert not conversation.story.standing
    assert len(conversation.records(Gap)) == RECORDED_GAPS
    assert conversation.feed.count().quarantined_logs > 0


@pytest.mark.parametrize("instead", [NOTHING, INTERNAL])
def test_feed_whose_node_says_nothing_does_not_ask_without_pauses(instead: bytes) -> None:
    conversation, asked = answered_with(instead, 1e9)
    pools, seconds = 49, conversation.now_ns / SECOND
    assert len(asked) < pools * 2 * (seconds / 1.5 + 6)
