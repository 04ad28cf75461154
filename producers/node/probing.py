"""Finding out what an endpoint can do: few questions, each bounded, beside everything else that is asked at connect.

Owns the questions and what their answers show.  They delay nothing, and whoever needs to know before they are answered
believes in the ability (`producers.node.capabilities`) and learns of its lack by a refusal.

    web3_clientVersion                      its name; ganache-cli 6 dies of an EIP-1898 call, so it is not made one
    eth_call by hash of a new block         refused as a form: not able.  Refused in any way several times, while the
                                            node has that block and answers the same by number: not able either
                                            (Ganache 7 says that the header was not found)
    eth_getLogs by hash, without address    refused as a form or by policy: not able
"""

from __future__ import annotations

from functools import partial

import msgspec

from producers.node.calls_at import KNOWS_HASHES
from producers.node.capabilities import Capabilities
from producers.node.jsonrpc import DISCONNECTED, TEXT, TIMED_OUT, UNREADABLE, Failure, JsonRpc, Then, read_head
from producers.node.refusals import Meaning
from producers.node.rpc_types import Head
from producers.node.timers import Timers
from producers.node.view_calls import DECIMALS
from tlv.units import NS

ANSWER_S = 5.0
PAUSE_NS = NS
TRIES = 3
TRIES_OF_UNKNOWN = 6
"""Where it says that it has no such block: backends lag by up to 5 s."""
DIES_OF_HASHES = "EthereumJS TestRPC"
"""How ganache-cli 6 begins its name."""
NO_TOPIC = "0x" + 64 * "0"
"""No event has it, so the answer is short."""
UNABLE = (Meaning.UNSUPPORTED, Meaning.POLICY)


class Probing:
    """Questions of one connection after the other."""

    def __init__(self, rpc: JsonRpc, timers: Timers, capabilities: Capabilities, contract: str) -> None:
        self._rpc, self._timers, self._capabilities = rpc, timers, capabilities
        self._contract = contract
        """Any that the chain has: the wrapped native token."""
        self._connection = 0
        self._head: Head | None = None
        self._named = self._begun = False

    def connected(self) -> None:
        """A connection is open."""
        self._connection += 1
        self._head, self._named, self._begun = None, False, False
        self._capabilities.forget()
        then = partial(self._on_version, self._connection)
        self._rpc.ask("web3_clientVersion", [], then, timeout_s=ANSWER_S, quiet=True)

    def saw(self, head: Head) -> None:
        """The newest header that the node told of; the questions are about it."""
        self._head = head
        self._begin()

    def _begin(self) -> None:
        if self._begun or self._head is None or not self._named:
            return
        self._begun = True
        self._ask_by_hash(self._connection, 1, self._head)
        filter_ = {"blockHash": self._head.hash, "topics": [NO_TOPIC]}
        self._rpc.ask("eth_getLogs", [filter_], self._on_logs, timeout_s=ANSWER_S, quiet=True)

    def _on_version(self, connection: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if connection != self._connection or failure is DISCONNECTED:
            return
        try:
            name: str = TEXT.decode(result or b"")
        except UNREADABLE:
            name = ""
        if name.startswith(DIES_OF_HASHES):
            self._lacks_hashes()
        self._named = True
        self._begin()

    def _on_logs(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is None or failure.meaning not in UNABLE:
            return
        if failure.meaning is Meaning.POLICY:
            self._capabilities.logs_without_address = False
        else:
            self._capabilities.logs_by_hash = False
        self._tell()

    def _ask_by_hash(self, connection: int, attempt: int, head: Head) -> None:
        if connection != self._connection or not self._capabilities.calls_by_hash:
            return
        then = partial(self._on_call, connection, attempt, head)
        self._ask_call({"blockHash": head.hash}, then)

    def _on_call(
        self, connection: int, attempt: int, head: Head, result: msgspec.Raw | None, failure: Failure | None
    ) -> None:
        if connection != self._connection or failure is None or failure in (DISCONNECTED, TIMED_OUT):
            return
        if failure.meaning in UNABLE:
            self._lacks_hashes()
        elif failure.meaning is Meaning.REVERT:
            return  # it has looked at the contract
        elif attempt < (TRIES_OF_UNKNOWN if KNOWS_HASHES.search(failure.message) else TRIES):
            self._timers.after(PAUSE_NS, partial(self._ask_by_hash, connection, attempt + 1, head))
        else:
            self._rpc.ask("eth_getBlockByNumber", [head.number, False], partial(self._on_head, connection, head))

    def _on_head(self, connection: int, asked: Head, result: msgspec.Raw | None, failure: Failure | None) -> None:
        """What it refused by hash counts if it has that block in its chain; else a newer one is asked about."""
        if connection != self._connection or failure in (DISCONNECTED, TIMED_OUT):
            return
        head = read_head(result)
        if head is None or self._head is None:
            return
        if head.hash == asked.hash:
            self._ask_call(asked.number, partial(self._on_number, connection))
        else:
            self._timers.after(PAUSE_NS, partial(self._ask_by_hash, connection, 1, self._head))

    def _on_number(self, connection: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if connection == self._connection and failure is None:
            self._lacks_hashes()

    def _ask_call(self, block: object, then: Then) -> None:
        call = {"to": self._contract, "data": DECIMALS}
        self._rpc.ask("eth_call", [call, block], then, timeout_s=ANSWER_S, quiet=True)

    def _lacks_hashes(self) -> None:
        self._capabilities.calls_by_hash = False
        self._tell()

    def _tell(self) -> None:
        for words in self._capabilities.shortcomings:
            self._rpc.remark(words, words)
