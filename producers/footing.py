"""Which block the node itself has at a height: asked before a hole is declared.

Owns that one question.  While we were away, or just now, the chain may have been reorganised, and of a block that it
left a node knows nothing any more: neither its logs nor its parents.  That is no hole in the story.  Only what the node
stands on, and still cannot show, is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.jsonrpc import DISCONNECTED, HEAD_OR_NULL, TIMED_OUT, UNREADABLE, Failure, JsonRpc
from producers.lifecycle import Block

Judged = Callable[[bool], None]


class Footing:
    """Asks whether a node stands on a block."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def ask(self, block: Block, judged: Judged) -> None:
        """Call `judged` with whether `block` is canonical at the node; with True if the node refuses to say.

        A node that is silent is asked again, until the connection is given up: then `judged` is never called.
        """
        then = partial(self._on_block, block, judged)
        self._rpc.ask("eth_getBlockByNumber", [hex(block.number), False], then, urgent=True)

    def _on_block(self, block: Block, judged: Judged, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED:
            return
        if failure is TIMED_OUT:
            self.ask(block, judged)
            return
        judged(failure is not None or _hash_of(result) == block.hash)


def _hash_of(result: msgspec.Raw | None) -> str | None:
    try:
        head = HEAD_OR_NULL.decode(result or b"")
    except UNREADABLE:
        return None
    return head.hash if head is not None else None
