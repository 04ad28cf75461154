"""What a node says of its newest block, and how often."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers.node.jsonrpc import JsonRpc
from producers.node.newest import NewestNumber
from producers.node.timers import Clock


def ask(newest: NewestNumber, rpc: JsonRpc, **reply: Any) -> tuple[int, int]:
    """What was said last and how often, after this reply."""
    newest.ask()
    (frame,) = rpc.outgoing()
    request = msgspec.json.decode(frame)
    assert (request["method"], request["params"]) == ("eth_blockNumber", [])
    rpc.read(msgspec.json.encode({"id": request["id"], **reply}))
    return newest.said, newest.times_said


def test_newest_number_counts_what_is_said() -> None:
    rpc = JsonRpc(Clock())
    newest = NewestNumber(rpc)
    assert (newest.said, newest.times_said) == (-1, 0)
    assert ask(newest, rpc, result="0x10") == (16, 1)
    assert ask(newest, rpc, result="0x0") == (0, 2)


@pytest.mark.parametrize(
    "reply",
    [
        {"result": None},
        {"result": 16},
        {"result": "16"},
        {"result": "0xg"},
        {"error": {"code": -32000, "message": "no"}},
    ],
)
def test_newest_number_that_is_none_leaves_the_last_one(reply: dict[str, Any]) -> None:
    rpc = JsonRpc(Clock())
    newest = NewestNumber(rpc)
    assert ask(newest, rpc, result="0x10") == (16, 1)
    assert ask(newest, rpc, **reply) == (16, 1)
