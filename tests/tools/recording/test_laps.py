"""A recording that goes on: each lap is the same blocks renumbered, consistent in every answer and notification."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tools.recording.test_core import ask, listening, play, polygon, pushed
from tlv.errors import UsageError
from tools.recording.core import NodeCore
from tools.recording.laps import HOLE, lap_of

BLOCKS = 13522298 - 13522111 + 1
PER_LAP = BLOCKS + HOLE
ORPHAN_194 = "0x6f01a5163724e4bfbbcac469a9a2aafd16bc1a50f15c346b1ab1347561fb7c4d"
PRUNED = {"code": 4444, "message": "pruned history unavailable"}


def lap(core: NodeCore) -> list[dict[str, Any]]:
    """Everything that a lap pushes."""
    return [result for step in play(core) for result in step]


def test_lap_pushes_the_same_blocks_and_logs_under_later_numbers_and_other_hashes() -> None:
    core = listening()
    recorded = lap(core)
    known = {result["hash"] for result in recorded if "parentHash" in result}
    for number in (1, 2):
        core.next_lap()
        again = lap(core)
        assert len(again) == len(recorded)
        names = {block.hash: renamed for block, renamed in pairs(number)}
        for before, after in zip(recorded, again, strict=True):
            kind = "hash" if "parentHash" in before else "blockHash"
            place = "number" if "parentHash" in before else "blockNumber"
            assert after[kind] == names[before[kind]]
            assert int(after[place], 16) == int(before[place], 16) + number * PER_LAP
            assert set(after) == set(before)
            changed = {name for name in before if before[name] != after[name]}
            assert changed <= {kind, place, "parentHash", "timestamp"}
        heads = {result["hash"] for result in again if "parentHash" in result}
        assert not heads & known
        known |= heads


def pairs(number: int) -> list[tuple[Any, str]]:
    """Every recorded block with its hash in a lap."""
    recording = polygon()
    return list(zip(recording.blocks.values(), lap_of(recording, number).blocks, strict=True))


def test_lap_heads_chain_and_time_goes_on() -> None:
    core = listening()
    list(play(core))
    last = ask(core, "eth_getBlockByNumber", "latest", False)
    core.next_lap()
    first = pushed(core)[0]
    assert int(first["number"], 16) == int(last["number"], 16) + HOLE + 1
    assert int(first["timestamp"], 16) > int(last["timestamp"], 16)
    list(play(core))
    block = ask(core, "eth_getBlockByNumber", hex(13522169 + PER_LAP), False)
    while int(block["number"], 16) > 13522111 + PER_LAP:
        parent = ask(core, "eth_getBlockByHash", block["parentHash"], False)
        assert int(parent["number"], 16) == int(block["number"], 16) - 1
        assert int(parent["timestamp"], 16) <= int(block["timestamp"], 16)
        block = parent


def test_lap_answers_what_it_pushed_reorgs_and_refusals_included() -> None:
    core = listening()
    list(play(core))
    core.next_lap()
    told = lap(core)
    names = {block.hash: renamed for block, renamed in pairs(1)}
    whole = ask(core, "eth_getLogs", {"fromBlock": hex(13522111 + PER_LAP), "toBlock": "latest"})
    by_hash = [log for renamed in names.values() for log in logs_by_hash(core, renamed)]
    key = [json.dumps(log, sort_keys=True) for log in told if "topics" in log]
    assert {json.dumps(log, sort_keys=True) for log in whole} <= set(key)
    assert {json.dumps(log, sort_keys=True) for log in by_hash} == set(key)
    assert ask(core, "eth_getBlockByHash", names[ORPHAN_194], False)["number"] == hex(13522194 + PER_LAP)
    refused = [renamed for block, renamed in pairs(1) if polygon().unknown_answers.get(block.hash) == float("inf")]
    assert [ask(core, "eth_getLogs", {"blockHash": one}) for one in refused] == [
        {"code": -32000, "message": "unknown block"}
    ]


def logs_by_hash(core: NodeCore, block_hash: str) -> list[dict[str, Any]]:
    """The logs of a block; a node that refused some once or for ever is asked twice."""
    for _ in range(2):
        answer = ask(core, "eth_getLogs", {"blockHash": block_hash})
        if isinstance(answer, list):
            return answer
    return []


def test_lap_keeps_the_one_before_and_says_that_older_history_is_gone() -> None:
    core = listening()
    list(play(core))
    core.next_lap()
    assert ask(core, "eth_getBlockByNumber", hex(13522298), False)["number"] == hex(13522298)
    assert ask(core, "eth_getBlockByNumber", hex(13522299), False) == PRUNED
    list(play(core))
    core.next_lap()
    assert ask(core, "eth_getBlockByNumber", hex(13522298), False) == PRUNED
    assert ask(core, "eth_getBlockByNumber", hex(13522298 + PER_LAP), False)["number"] == hex(13522298 + PER_LAP)
    assert ask(core, "eth_getBlockByNumber", hex(13522298 + 3 * PER_LAP), False) is None


def test_first_block_begins_there_with_its_history_and_the_next_lap_is_whole() -> None:
    core = NodeCore(polygon(), first_block=13522166)
    assert (core.head_number, core.due_ns) == (13522166, 0)
    assert ask(core, "eth_getBlockByNumber", hex(13522165), False)["number"] == hex(13522165)
    list(play(core))
    core.next_lap()
    core.step()
    assert core.head_number == 13522111 + PER_LAP
    with pytest.raises(UsageError, match=r"first block: expected at most 13522298, the last of .*, found 13522299"):
        NodeCore(polygon(), first_block=13522299)
