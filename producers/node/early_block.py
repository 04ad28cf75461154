"""Which chain a node serves: its id is not enough, since development chains and forks share ids.

Owns one question a connection: the hash of the chain's first block, or of the early block that the chain file names.
It must never decide what happens then: `producers.feed` does.

    known (chain file, ring, state file) --the node shows the same--> right
                                         --another----------------> `wrong`: nothing that it says is about our chain
                                         --none-------------------> lived with, said once: pruned nodes, recordings
    not known                            --any----------------------> known from now on
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from producers.node.hex import HexError, read_bytes
from producers.node.jsonrpc import DISCONNECTED, UNREADABLE, Failure, JsonRpc

UNKNOWN = bytes(32)
PATIENCE_S = 5.0
"""How long a connection's first messages wait for the answer."""


class _EarlyBlock(msgspec.Struct):
    hash: str


_BLOCK = msgspec.json.Decoder(_EarlyBlock | None)


class EarlyBlockCheck:
    """What is known of one chain's early block."""

    def __init__(self, rpc: JsonRpc, chain: str, number: int, genesis: bytes) -> None:
        self.genesis = genesis
        """Zeros: not known yet."""
        self.wrong: str | None = None
        """Why the node of this connection serves another chain."""
        self.silence: str | None = None
        """Why the node of this connection shows no such block."""
        self.settled = False
        """The node of this connection showed it, or will not."""
        self._rpc = rpc
        self._chain = chain
        """How it is called in messages."""
        self._number = number

    def reset(self) -> None:
        """A connection is open; nothing of its node is known."""
        self.settled, self.wrong, self.silence = False, None, None

    def settle(self) -> None:
        """The first answer of this connection was taken."""
        self.settled = True

    def ask(self, settled: Callable[[], None]) -> None:
        """Ask the node; `settled` is called once, unless the connection ends."""
        self.wrong = self.silence = None

        def take(result: msgspec.Raw | None, failure: Failure | None) -> None:
            if failure is DISCONNECTED:
                return
            self._judge(result, failure)
            settled()

        self._rpc.ask("eth_getBlockByNumber", [hex(self._number), False], take, timeout_s=PATIENCE_S)

    def _judge(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is not None:
            self.silence = failure.message[:200]
            return
        try:
            block = _BLOCK.decode(result or b"")
            found = read_bytes(block.hash, 32) if block is not None else UNKNOWN
        except (*UNREADABLE, HexError):
            self.silence = "the answer is no block"
            return
        if found == UNKNOWN:
            self.silence = "it has no such block"
        elif self.genesis == UNKNOWN:
            self.genesis = found
        elif found != self.genesis:
            self.wrong = (
                f"expected block {self._number} of chain {self._chain} to be "
                f"0x{self.genesis.hex()}, found 0x{found.hex()}: another chain, or it was replaced; "
                "collect it into a new ring"
            )

    @property
    def what_is_missing(self) -> str:
        """For the log, where the node shows no such block."""
        return f"the node does not show block {self._number} ({self.silence}), so its chain is known by its id only"
