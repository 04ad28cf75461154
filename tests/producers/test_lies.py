"""A node that answers wrongly at first: about each contract, block and method for at most 3 s, then rightly for ever.

Nothing need be missing in the end, whatever the lies are.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.producers.collected import canonical_events
from tests.producers.virtual import SECOND, Conversation, new_feed

LONGEST_LIE_S = 3.0
REFUSALS = (
    {"code": -32000, "message": "header not found"},
    {"code": -32000, "message": "unknown block"},
    {"code": -32603, "message": "internal error"},
    {"code": -32000, "message": "no backend is currently healthy"},
    {"code": -32016, "message": "too many requests"},
    {"code": 429, "message": "Too many request, try again later"},
    {"code": 19, "message": "Temporary internal error. Please retry"},
)


class Liar:
    """A recording node's core behind a proxy that lies."""

    def __init__(self, conversation: Conversation, seed: int, methods: tuple[str, ...]) -> None:
        self._core, self._conversation, self._methods = conversation.core, conversation, methods
        self._random = random.Random(seed)
        self._until_ns: dict[str, int] = {}
        self.lies = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def receive(self, request: bytes, client: int | None) -> bytes | None:
        """Answer, perhaps wrongly."""
        answer = self._core.receive(request, client)
        asked = json.loads(request)
        if answer is None or not isinstance(asked, dict) or asked["method"] not in self._methods:
            return answer
        subject = json.dumps([asked["method"], asked["params"]])
        if subject not in self._until_ns:
            lasting = int(self._random.random() * LONGEST_LIE_S * SECOND)
            self._until_ns[subject] = self._conversation.now_ns + lasting
        if self._conversation.now_ns >= self._until_ns[subject]:
            return answer
        self.lies += 1
        return json.dumps(
            {"jsonrpc": "2.0", "id": asked["id"], **self._lie(asked["method"], json.loads(answer))}
        ).encode()

    def _lie(self, method: str, truth: dict[str, Any]) -> dict[str, Any]:
        result = truth.get("result")
        lies: list[dict[str, Any]] = [{"error": refusal} for refusal in REFUSALS]
        if method == "eth_getLogs":
            lies += [{"result": []}, {"result": None}]
            if isinstance(result, list) and len(result) > 1:
                kept = [log for log in result if self._random.random() < 0.5]
                lies += [{"result": kept}, {"result": result[: len(result) // 2]}]
        elif method == "eth_call":
            lies += [{"result": "0x"}, {"result": None}]
        else:
            lies += [{"result": None}]
        return self._random.choice(lies)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize(
    "methods",
    [
        ("eth_getLogs",),
        ("eth_call",),
        ("eth_getBlockByHash", "eth_getBlockByNumber"),
        ("eth_chainId", "eth_blockNumber"),
        ("eth_getLogs", "eth_call", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_chainId", "eth_getCode"),
    ],
    ids=["logs", "calls", "headers", "chain", "all"],
)
def test_feed_of_a_node_that_lies_for_three_seconds_misses_nothing(methods: tuple[str, ...], seed: int) -> None:
    conversation = Conversation(new_feed())
    liar = Liar(conversation, seed, methods)
    conversation.core = liar  # type: ignore[assignment]
    conversation.connect()
    conversation.play()
    conversation.wait(90)
    assert liar.lies, "a node that never lies shows nothing"
    assert conversation.story.standing == canonical_events()
    assert not +conversation.story.twice
