"""The number of a node's newest block, asked for when nothing has come for a while.

Owns the question and what was said last.  What it shows of the node is judged by `producers.node.health`.
"""

from __future__ import annotations

import msgspec

from producers.node.hex import HexError, read_quantity
from producers.node.jsonrpc import TEXT, UNREADABLE, Failure, JsonRpc

ANSWER_S = 5.0


class NewestNumber:
    """What one endpoint after the other says."""

    def __init__(self, rpc: JsonRpc) -> None:
        self.said = -1
        """The last answer on this connection; -1 before the first."""
        self.times_said = 0
        self._rpc = rpc

    def connected(self) -> None:
        """A connection is open."""
        self.said = -1

    def ask(self) -> None:
        """Ask the node."""
        self._rpc.ask("eth_blockNumber", [], self._on_answer, timeout_s=ANSWER_S, urgent=True)

    def _on_answer(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        try:
            said = read_quantity(TEXT.decode(result or b"")) if failure is None else None
        except (*UNREADABLE, HexError):
            return
        if said is not None:
            self.said = said
            self.times_said += 1
