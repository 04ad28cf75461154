"""What the connected endpoint can do, found out once at connect.

Owns the answers to that.  It must never ask: `producers.node.probing` does, and whoever asks something else reads it
here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Capabilities:
    """One endpoint's abilities; what was not found out yet is believed to be there."""

    calls_by_hash: bool = True
    """eth_call takes {"blockHash": ...} (EIP-1898)."""
    logs_by_hash: bool = True
    """eth_getLogs takes `blockHash` (EIP-234)."""
    logs_without_address: bool = True
    """eth_getLogs needs no `address`."""

    def block_parameter(self, block_hash: str, number: int) -> object:
        """How an eth_call names a block.  Where it is a number, the answer may be of another block of that number."""
        return {"blockHash": block_hash} if self.calls_by_hash else hex(number)

    def forget(self) -> None:
        """Another connection, perhaps another endpoint: all of it is found out anew."""
        self.calls_by_hash = self.logs_by_hash = self.logs_without_address = True

    @property
    def shortcomings(self) -> list[str]:
        """What it cannot do, and what is done instead."""
        missing = []
        if not self.calls_by_hash:
            missing.append("eth_call takes no block hash (EIP-1898): a number is given, and its hash compared later")
        if not self.logs_by_hash:
            missing.append("eth_getLogs takes no block hash (EIP-234): a number is given, and the hashes compared")
        if not self.logs_without_address:
            missing.append(
                "eth_getLogs needs addresses: only logs of known pools can be fetched, others are only pushed"
            )
        return missing
