"""Which block the node itself has at a height: asked before a hole is declared.

Owns that one question.  While we were away, or just now, the chain may have been reorganised, and of a block that it
left a node knows nothing any more: neither its logs nor its parents.  That is no hole.  Only what the node has in its
chain, and still cannot show, is one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial

import msgspec

from producers.node.jsonrpc import DISCONNECTED, HEAD_OR_NULL, TIMED_OUT, UNREADABLE, Failure, JsonRpc


class AtHeight(Enum):
    """What the node has at the height of a block of ours."""

    OURS = "ours"
    ANOTHER = "another"
    ABSENT = "absent"


Then = Callable[[AtHeight], None]


class NodeHeight:
    """Asks a node which block it has at a height."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def ask(self, number: int, block_hash: str, then: Then) -> None:
        """Call `then` with what the node has at that height; one that refuses to say is believed to have OURS.

        A node that is silent is asked again, until the connection is given up: then `then` is never called.
        """
        on_block = partial(self._on_block, number, block_hash, then)
        self._rpc.ask("eth_getBlockByNumber", [hex(number), False], on_block, urgent=True)

    def _on_block(
        self, number: int, block_hash: str, then: Then, result: msgspec.Raw | None, failure: Failure | None
    ) -> None:
        if failure is DISCONNECTED:
            return
        if failure is TIMED_OUT:
            self.ask(number, block_hash, then)
            return
        found = block_hash if failure is not None else _hash_of(result)
        then(AtHeight.ABSENT if found is None else AtHeight.OURS if found == block_hash else AtHeight.ANOTHER)


def _hash_of(result: msgspec.Raw | None) -> str | None:
    try:
        head = HEAD_OR_NULL.decode(result or b"")
    except UNREADABLE:
        return None
    return head.hash if head is not None else None
