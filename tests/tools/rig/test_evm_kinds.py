"""The habits that tools/rig/evm/kinds.py says of each kind of node, asked of the node itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tools.rig.evm.history import History
from tools.rig.evm.kinds import ANVIL, GANACHE, HARDHAT, KINDS
from tools.rig.evm.node import Node, NodeRefusal
from tools.rig.evm.world import World

UNKNOWN = "0x" + "11" * 32


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The contracts on a node of each kind, one after the other."""
    with Node(kind=request.param) as node:
        built = World.build(node.rpc)
        built.hold_mining(True)
        yield built


def latest(world: World) -> dict[str, Any]:
    """The newest block."""
    block: dict[str, Any] = world.rpc("eth_getBlockByNumber", "latest", False)
    return block


def asked(world: World, method: str, *parameters: Any) -> Any:
    """The result, or the node's refusal as text."""
    try:
        return world.rpc(method, *parameters)
    except NodeRefusal as refusal:
        return str(refusal)


def test_world_stands_at_the_same_addresses_as_uniswap_on_every_kind(world: World) -> None:
    assert world.v3_factory == "0x1f98431c8ad98523631ae4a59f267346ea31f984"
    assert world.balance(world.weth, world.pools[0]) == 100 * 10**18


def test_world_reorg_takes_the_block_of_a_swap_out_of_the_chain(world: World) -> None:
    world.v2_swap(0, world.weth, 10**15)
    world.mine()
    world.mine()
    dropped = latest(world)
    world.reorg(2)
    head = latest(world)
    assert (head["number"], head["hash"] != dropped["hash"]) == (dropped["number"], True)
    assert all(log["blockHash"] != dropped["parentHash"] for log in world.logs())


def test_node_answers_for_the_hash_of_a_dropped_block_as_its_kind_does(world: World) -> None:
    world.mine()
    dropped = latest(world)
    world.reorg(1)
    found = world.rpc("eth_getBlockByHash", dropped["hash"], False)
    assert found == (latest(world) if world.rpc.kind is GANACHE else None)


def test_node_answers_for_an_unknown_hash_as_its_kind_does(world: World) -> None:
    said = asked(world, "eth_getLogs", {"blockHash": UNKNOWN})
    words = {ANVIL: "unknown block", HARDHAT: "blockHash cannot be found"}
    kind = world.rpc.kind
    assert (said == []) if kind is GANACHE else words[kind] in said


def test_node_takes_a_call_at_a_hash_as_its_kind_does(world: World) -> None:
    head = latest(world)["hash"]
    said = asked(world, "eth_call", {"to": world.weth, "data": "0x313ce567"}, {"blockHash": head})
    if world.rpc.kind is GANACHE:
        assert 'Cannot wrap a "object" as a json-rpc type' in said
    else:
        assert int(said, 16) == 18


def test_node_numbers_subscriptions_and_tells_removed_as_its_kind_does(world: World) -> None:
    ids, notices = asyncio.run(heard(world))
    counted = ids == ["0x1", "0x2"]
    assert counted is (world.rpc.kind is not ANVIL)
    assert any("topics" in notice for notice in notices)
    assert not any(notice.get("removed") for notice in notices)


async def heard(world: World) -> tuple[list[str], list[dict[str, Any]]]:
    """The ids of two subscriptions, and what they bring while a swap comes and goes."""
    async with connect(f"ws://127.0.0.1:{world.rpc.port}", compression=None) as client:
        ids, notices = [], []
        for number, subscribed in enumerate((["newHeads"], ["logs", {}])):
            request = {"jsonrpc": "2.0", "id": number, "method": "eth_subscribe", "params": subscribed}
            await client.send(json.dumps(request))
            ids.append(json.loads(await client.recv())["result"])
        world.v2_swap(0, world.weth, 10**15)
        world.mine()
        world.mine()
        async with asyncio.timeout(30):
            while not any("topics" in notice for notice in notices):  # a busy node would never tell of it later
                notices.append(json.loads(await client.recv())["params"]["result"])
        world.reorg(2)
        head = latest(world)["hash"]
        async with asyncio.timeout(30):
            while not notices or notices[-1].get("hash") != head:
                notices.append(json.loads(await client.recv())["params"]["result"])
        return ids, notices


def test_anvil_that_was_killed_comes_back_with_its_saved_history(tmp_path: Path) -> None:
    history = History(tmp_path / "chain.json")
    with Node(*history.options) as node:
        built = World.build(node.rpc)
        built.receipt(built.v2_swap(0, built.weth, 10**15))
        before, saved = built.logs(), built.height()
        history.save()
        built.mine()
        node.kill()
        history.restore()
        node.restart()
        assert (built.height(), built.logs()) == (saved, before)
