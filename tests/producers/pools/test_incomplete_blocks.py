"""Blocks of which not every log came convict nobody: a Swap without its Sync is a proof only where nothing is lost."""

from __future__ import annotations

from typing import Any

from producers.blocks.block import LOST
from tests.producers.blocks.lying import LyingNode, Refused
from tests.producers.virtual import new_feed
from tlv.layout import Unproven

PRUNED = Refused({"code": -32000, "message": "missing trie node 00 (path )"})
TOO_MUCH = Refused({"code": -32005, "message": "query returned more than 10000 results"})


def test_swap_whose_sync_is_lost_with_its_block_convicts_no_pool() -> None:
    """The state is pruned meanwhile: all that is known of the pool is the half that was pushed."""
    refusals = {"eth_call": PRUNED, "eth_getLogs": TOO_MUCH}

    def refuse(method: str, params: list[Any], result: Any) -> Any:
        return refusals.get(method, result)

    node = LyingNode(new_feed(), refuse)
    block = node.mine(2)
    sync, swap = node.logs[block["hash"]]
    assert (sync["address"], sync["transactionHash"]) == (swap["address"], swap["transactionHash"])
    node.push(block, [swap])
    node.wait(10)
    assert node.feed._assembly.chain.blocks[block["hash"]].progress is LOST
    assert [record.emitter.hex() for record in node.records(Unproven)] == [swap["address"][2:]]

    refusals.clear()
    node.wait(90, 0.5)
    assert node.standing() == node.canonical()
