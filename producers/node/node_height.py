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

from producers.node.jsonrpc import DISCONNECTED, TIMED_OUT, Failure, JsonRpc, read_head
from producers.node.refusals import Meaning


class AtHeight(Enum):
    """What the node has at the height of a block of ours."""

    OURS = "ours"
    ANOTHER = "another"
    ABSENT = "absent"
    UNSAID = "unsaid"
    """It refused to say, several times."""


STANDS = (AtHeight.OURS, AtHeight.UNSAID)
"""What a node has that says nothing against ours."""
Then = Callable[[AtHeight], None]
REFUSALS = 3
"""Times that a refusal is asked again."""


class NodeHeight:
    """Asks a node which block it has at a height."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def ask(self, number: int, block_hash: str, then: Then) -> None:
        """Call `then` with what the node has at that height.

        One without that history any more has none.
        A node that is silent is asked again, until the connection is given up: then `then` is never called.
        """
        self._ask(number, block_hash, then, REFUSALS)

    def _ask(self, number: int, block_hash: str, then: Then, refusals: int) -> None:
        on_block = partial(self._on_block, number, block_hash, then, refusals)
        self._rpc.ask("eth_getBlockByNumber", [hex(number), False], on_block, urgent=True)

    def _on_block(
        self,
        number: int,
        block_hash: str,
        then: Then,
        refusals: int,
        result: msgspec.Raw | None,
        failure: Failure | None,
    ) -> None:
        if failure is DISCONNECTED:
            return
        pruned = failure is not None and failure.meaning is Meaning.PRUNED
        if failure is TIMED_OUT or (failure is not None and refusals > 0 and not pruned):
            self._ask(number, block_hash, then, refusals - (failure is not TIMED_OUT))
            return
        head = read_head(result)
        if failure is not None and not pruned:
            then(AtHeight.UNSAID)
        elif head is None:
            then(AtHeight.ABSENT)
        else:
            then(AtHeight.OURS if head.hash == block_hash else AtHeight.ANOTHER)
