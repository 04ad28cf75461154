"""Which block the node itself has at a height: asked before a hole is declared.

Owns that one question.  While we were away, or just now, the chain may have been reorganised, and of a block that it
left a node knows nothing any more: neither its logs nor its parents.  That is no hole in the story.  Only what the node
stands on, and still cannot show, is one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial

import msgspec

from producers.node.jsonrpc import DISCONNECTED, HEAD_OR_NULL, TIMED_OUT, UNREADABLE, Failure, JsonRpc


class Ground(Enum):
    """What the node has where a block of ours stands."""

    SAME = "same"
    OTHER = "other"
    NONE = "none"


Judged = Callable[[Ground], None]


class Footing:
    """Asks whether a node stands on a block."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def ask(self, number: int, block_hash: str, judged: Judged) -> None:
        """Call `judged` with what the node has at that height; a node that refuses to say is believed to stand there.

        A node that is silent is asked again, until the connection is given up: then `judged` is never called.
        """
        then = partial(self._on_block, number, block_hash, judged)
        self._rpc.ask("eth_getBlockByNumber", [hex(number), False], then, urgent=True)

    def _on_block(
        self, number: int, block_hash: str, judged: Judged, result: msgspec.Raw | None, failure: Failure | None
    ) -> None:
        if failure is DISCONNECTED:
            return
        if failure is TIMED_OUT:
            self.ask(number, block_hash, judged)
            return
        found = block_hash if failure is not None else _hash_of(result)
        judged(Ground.NONE if found is None else Ground.SAME if found == block_hash else Ground.OTHER)


def _hash_of(result: msgspec.Raw | None) -> str | None:
    try:
        head = HEAD_OR_NULL.decode(result or b"")
    except UNREADABLE:
        return None
    return head.hash if head is not None else None
