"""Bloom filters: the compiled Keccak against the library's, and the recorded headers against their own logs."""

from __future__ import annotations

import random

import msgspec
import pytest

from producers.blocks.block import Block
from producers.blocks.bloom import ALL_BITS, TopicBloom, bloom_bits, bloom_of, read_bloom
from producers.blocks.completeness import MOST_UNREAD, Evidence
from producers.chains.configuration import load_chain
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import LOG
from producers.node.rpc_types import Head, Log
from tests.producers.virtual import recording


def test_bloom_of_entries_is_the_or_of_their_bits() -> None:
    chance = random.Random(1)
    for count in (0, 1, 7, 300):
        values = [chance.randbytes(chance.choice([0, 1, 20, 31, 32])) for _ in range(count)]
        expected = 0
        for value in values:
            expected |= bloom_bits(value)
        assert bloom_of("0x" + value.hex() for value in values) == expected


@pytest.mark.parametrize("entry", ["0xzz", "0x1", "0x" + "11" * 33, "latest"])
def test_bloom_of_what_is_no_entry_is_empty(entry: str) -> None:
    assert bloom_of([entry]) == 0


@pytest.mark.parametrize("text", [None, "0x", "0x" + "0" * 511, "0x" + "g" * 512, "11" + "0" * 512, f"0x{ALL_BITS:x}"])
def test_bloom_that_says_nothing_is_none(text: str | None) -> None:
    assert read_bloom(text) is None
    assert TopicBloom(EVENT_OF_TOPIC).positives(read_bloom(text)) is None


def test_recorded_logs_set_all_bits_of_their_headers_and_no_others_but_in_sprint_ends() -> None:
    """One orphaned block was recorded without its logs; state-sync logs stand outside the blooms of each 64th."""
    served, uncovered, beyond = recording(), [], []
    for block in served.blocks.values():
        bloom = read_bloom(msgspec.json.decode(block.head_json)["logsBloom"])
        logs = served.logs_of(block.hash)
        assert bloom is not None
        ours = bloom_of({log.address for log in logs} | {topic for log in logs for topic in log.topics})
        if bloom & ~ours:
            uncovered.append(len(logs))
        if ours & ~bloom:
            beyond.append(block.number % 64)
    assert len(served.blocks) == 178
    assert uncovered == [0]
    assert beyond == [0, 0, 0]


def opened(bloom: int, logs: list[Log], prepared: Evidence | None = None) -> Block:
    """An open block under this bloom, to which these logs came; what can be computed ahead is, after each of them."""
    block = Block(Head("0x10", "0x" + "11" * 32, "0x" + "22" * 32, logs_bloom=f"0x{bloom:0512x}"), live=True)
    Evidence(load_chain("polygon"), {}).read_header(block)
    block.open()
    for log in logs:
        block.take(log, pushed=True)
        if prepared is not None:
            prepared.prepare([block])
    return block


def test_bits_that_are_computed_ahead_give_the_verdict_of_all_at_once() -> None:
    served, sees_all = recording(), Evidence(load_chain("polygon"), {})
    block = max(served.blocks.values(), key=lambda one: len(served.logs_of(one.hash)))
    logs = [LOG.decode(log.body) for log in served.logs_of(block.hash)]
    bloom = read_bloom(msgspec.json.decode(block.head_json)["logsBloom"])
    assert bloom is not None
    assert len(logs) > MOST_UNREAD
    for missing in (None, 0, len(logs) // 2, len(logs) - 1):
        came = [log for at, log in enumerate(logs) if at != missing]
        at_once, ahead = opened(bloom, came), opened(bloom, came, sees_all)
        assert len(ahead.entries) <= MOST_UNREAD < len(at_once.entries)
        assert ahead.came_from == at_once.came_from
        assert sees_all.is_doubtful(ahead) == sees_all.is_doubtful(at_once)


def test_nothing_is_computed_ahead_where_nothing_will_need_it() -> None:
    logs = [Log(f"0x{at:040x}", transaction_hash=f"0x{at:064x}", log_index=hex(at)) for at in range(2 * MOST_UNREAD)]
    by_address = Evidence(load_chain("polygon"), {"address": ["0x" + "11" * 20]})
    assert len(opened(1, logs, by_address).entries) == len(logs), "they are compared by name"
    assert opened(0, logs, Evidence(load_chain("polygon"), {})).bloom == 0
