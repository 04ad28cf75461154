"""What pools hold, asked from the node: events alone show it only when the next one comes.

Owns the questions and who is due to be asked about.  It must never decide when readers need to know: pools become due
when they are introduced, when readers were told to forget, and when somebody wants it.

    due --(the newest complete block)--> what its kind asks (V2: getReserves), at that block's hash --> PoolState

The question names a block by its hash (EIP-1898), so the answer is the state after that block's last event, and
nothing else; a node that cannot answer such questions leaves readers to the next event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from producers.blocks.block import Block
from producers.context import Context
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.kind import StateAnswer
from producers.kinds.registry import kind_of
from producers.node.jsonrpc import DISCONNECTED, TIMED_OUT, Failure, read_text
from producers.node.view_calls import read_words, selector
from producers.output.introductions import Introductions

MAX_AT_ONCE = 8
"""Pools being asked about; a public node has other things to do, and so have we."""


class Snapshots:
    """PoolState with reserves or price, for the pools that are due."""

    def __init__(self, context: Context, introductions: Introductions, is_canonical: Callable[[Block], bool]) -> None:
        self._rpc, self._introductions, self._is_canonical = context.rpc, introductions, is_canonical
        self.due: deque[int] = deque()
        """Rows of pools; with 100,000 of them `want_all` and `pump` still cost nothing that an event would notice."""
        self._since_block = 0
        """The lowest block number whose state is of use."""
        self._asking = 0

    def want(self, row: int) -> None:
        """Tell the state of one pool."""
        self.due.append(row)

    def want_all(self, since_block: int = 0) -> None:
        """Tell the state of every pool that readers have heard of, as of `since_block` or later."""
        self.due = deque(self._introductions.known)
        self._since_block = since_block

    def pump(self, block: Block) -> None:
        """Ask about what is due, as of `block`, which is complete."""
        while self.due and self._asking < MAX_AT_ONCE and block.number >= self._since_block:
            self._ask(self.due.popleft(), block)

    def _ask(self, row: int, block: Block) -> None:
        pool = self._introductions.pool(row)
        calls = state_calls(pool)
        if not calls:
            return
        answers: dict[str, str | Failure] = {}

        def take(call: str, result: msgspec.Raw | None, failure: Failure | None) -> None:
            answers[call] = failure or read_text(result)
            if len(answers) == len(calls):
                self._asking -= 1
                self._tell(row, pool, block, [answers[call] for call in calls])

        self._asking += 1
        for call in calls:
            where = {"blockHash": block.hash}
            self._rpc.ask("eth_call", [{"to": f"0x{pool.pool.hex()}", "data": call}, where], partial(take, call))

    def _tell(self, row: int, pool: VerifiedEmitter, block: Block, answers: list[str | Failure]) -> None:
        if any(answer in (DISCONNECTED, TIMED_OUT) for answer in answers) or not self._is_canonical(block):
            self.due.append(row)
            return
        state = read_state(pool, [answer for answer in answers if isinstance(answer, str)])
        if state is not None:
            self._introductions.put(row, state._replace(block_number=block.number))


def state_calls(pool: VerifiedEmitter) -> list[str]:
    """Call data of what a pool of this kind is asked; nothing if the kind says no way, or is none of this process."""
    kind = kind_of(pool.protocol)
    return list(map(selector, kind.state.functions)) if kind is not None and kind.state is not None else []


def read_state(pool: VerifiedEmitter, answers: list[str]) -> StateAnswer | None:
    """The state that the answers to `state_calls` tell; None if one is missing or cannot be."""
    kind = kind_of(pool.protocol)
    if kind is None or kind.state is None or len(answers) != len(kind.state.functions):
        return None
    return kind.state.read([read_words(answer) for answer in answers])
