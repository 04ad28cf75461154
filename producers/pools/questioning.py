"""When each emitter is asked, and as of which block.

Owns the agenda: who is due, the busiest first, and as many together as the node takes.  What the answers mean is the
quarantine's.

    first asked      as of the newest block that has a log of it; as of the head where that state is gone
    asked again      as of the same block, while the head is not `SAME_BLOCK` above it, after pauses that double
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.context import Context
from producers.kinds.proving import Standing
from producers.pools.inquiry import Token
from producers.pools.suspects import Suspect, Suspects
from producers.pools.verification import Gain, Verifier

SAME_BLOCK = 64
"""An emitter is asked again as of the block that it was asked at, while the head is not further above it: a node that
lags behind each new block would never answer otherwise, and one keeps the state of 128."""
MOST_BLOCKS = 4
"""Different blocks that emitters are asked at again together; the others are asked at a new one."""
OPEN = (Standing.UNKNOWN, Standing.VERIFIED)
"""These are asked on: VERIFIED ones for their tokens."""


class Questioning:
    """The questions about one chain's emitters."""

    def __init__(self, context: Context, chain: Chain, tokens: dict[bytes, Token], emitters: Suspects) -> None:
        self.agenda: list[tuple[int, int, str]] = []
        """Who is to be looked at again, and when: a heap."""
        self.has_room = False
        """An answer made room for those who wait for their turn."""
        self._clock, self._chain, self._emitters = context.clock, chain, emitters
        self._verifier = Verifier(context, tokens)
        self.tokens = self._verifier.tokens
        self._ready: list[tuple[int, int, str]] = []
        """Who is to be asked as soon as there is room: a heap, the busiest first."""
        self._ties = count()

    def plan(self, emitter: Suspect, delay_ns: int) -> None:
        """Look at it again after so long."""
        emitter.planned += 1
        heapq.heappush(self.agenda, (self._clock.now_ns + delay_ns, next(self._ties), emitter.key))

    def take_due(self) -> list[Suspect]:
        """Who is to be looked at now; those of them who are to be asked are noted."""
        looked_at: list[Suspect] = []
        while self.agenda and self.agenda[0][0] <= self._clock.now_ns:
            emitter = self._emitters.get(heapq.heappop(self.agenda)[2])
            if emitter is None:
                continue
            emitter.planned -= 1
            looked_at.append(emitter)
            due = not emitter.asking and emitter.pauses.due_ns <= self._clock.now_ns
            if due and not emitter.ready and emitter.standing in OPEN:
                emitter.ready = True
                heapq.heappush(self._ready, (-len(emitter.held) - emitter.let_go, next(self._ties), emitter.key))
        return looked_at

    def ask(self, then: Callable[[Suspect, Gain], None]) -> None:
        """Ask those who were noted, as many as there is room for; `then` gets what each round gained."""
        self.has_room = False
        while self._ready and (room := self._verifier.room(len(self._ready))):
            self._ask(self._take_busiest(room), then)

    def _take_busiest(self, most: int) -> list[Suspect]:
        """So many of those who are to be asked."""
        busiest: list[Suspect] = []
        while self._ready and len(busiest) < most:
            emitter = self._emitters.get(heapq.heappop(self._ready)[2])
            if emitter is not None and emitter.ready:
                emitter.ready = False
                busiest += [emitter] if emitter.standing in OPEN else []
        return busiest

    def _ask(self, emitters: list[Suspect], then: Callable[[Suspect, Gain], None]) -> None:
        """One round for each block that some were asked at before, one for those whose blocks have their state, one at
        the head for the others."""
        again: dict[Block, list[Suspect]] = {}
        at_logs: list[Suspect] = []
        at_head: list[Suspect] = []
        for emitter in emitters:
            before = self._asked_before(emitter)
            if before is not None and (before in again or len(again) < MOST_BLOCKS):
                again.setdefault(before, []).append(emitter)
            else:
                (at_logs if emitter.held and not emitter.pruned else at_head).append(emitter)
        newest = max((held.block for some in at_logs for held in some.held), key=lambda b: b.number, default=None)
        if newest is None or not self._chain.is_canonical(newest):
            newest = self._chain.head
        for block, group in (*again.items(), (newest, at_logs), (self._chain.head, at_head)):
            if group and block is not None:
                for emitter in group:
                    emitter.asking, emitter.asked_at = True, block
                self._verifier.ask([some.inquiry for some in group], block, partial(self._take_gains, group, then))

    def _asked_before(self, emitter: Suspect) -> Block | None:
        """The block that it was asked at, if what is said there counts and the node has it still."""
        head, block = self._chain.head, emitter.asked_at
        if head is None or block is None or head.number - block.number > SAME_BLOCK:
            return None
        return block if self.is_proof(emitter, block) else None

    def _take_gains(self, emitters: list[Suspect], then: Callable[[Suspect, Gain], None], gains: list[Gain]) -> None:
        self.has_room = bool(self._ready)
        for emitter, gain in zip(emitters, gains, strict=True):
            emitter.asking = False
            if self._emitters.get(emitter.key) is emitter:
                then(emitter, gain)

    def is_proof(self, emitter: Suspect, block: Block) -> bool:
        """Whether what was said at `block` proves something against the emitter of these logs."""
        logs = [held.block.number for held in emitter.held] or [emitter.since_block]
        return self._chain.is_canonical(block) and block.number >= min(logs)
