"""Emitters that are not proven to be pools, and what is known of each.

Owns one emitter's record and the bounded book of them.  It must never ask or publish.  The book forgets the oldest: it
is asked again when its next log comes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import NamedTuple

from producers.blocks.block import Block
from producers.kinds.emitter_key import address_of, is_plain
from producers.kinds.proving import Standing
from producers.node.rpc_types import Log
from producers.pools.inquiry import Inquiry
from producers.pools.pauses import Pauses

MAX_EMITTERS = 1 << 14
"""Remembered; some 2 kB each.  Polygon has a few hundred unproven ones a day."""
ASK_PAUSES_S = (0.1, 2.0)
"""Between questions about an emitter whose logs are held: a backend that lags has caught up within a second."""
DECLARED_PAUSES_S = (2.0, 60.0)
"""And once it is declared."""


MOST_NAMED = 128
"""Pools that one contract may name and that are remembered one by one; what more it names is the contract's own.  A
pool of eight coins has 112 ordered pairs, underlying coins among them; and a contract names one for 2,000 gas."""


class Held(NamedTuple):
    """A log in quarantine."""

    block: Block
    log_index: int
    log: Log
    fetched: bool


class Suspect:
    """One emitter, from its first log until it is proven."""

    def __init__(self, inquiry: Inquiry, protocol: int, now_ns: int) -> None:
        self.key = inquiry.key
        """The name of its pool, `producers.kinds.emitter_key`."""
        self.protocol = protocol
        self.inquiry = inquiry
        self.held: list[Held] = []
        self.holding = True
        """Its logs are held in memory, since an answer may be near."""
        self.standing = Standing.UNKNOWN
        self.proof: list[Block] = []
        """The blocks that a standing FALSE or UNSUPPORTED rests on; of the logs' structure, those of the logs."""
        self.expires_ns = 0
        """When that has to be shown anew."""
        self.since_ns = now_ns
        """Since when its logs are held; of a pool whose logs were let go, since when its tokens are asked."""
        self.token_failures = 0
        self.awaits_tokens = False
        """It is a pool, and its tokens did not say everything."""
        self.pauses = Pauses(*ASK_PAUSES_S)
        self.ready = False
        """It waits for its turn to be asked."""
        self.asking = False
        self.asked_at: Block | None = None
        """The block that it was asked at last."""
        self.pruned = False
        """The state of its logs' blocks is gone: asked as of the head."""
        self.undecided = False
        """That of the head is gone too: the structure of its logs decides, or it is declared."""
        self.maker = bytes(20)
        """The factory that it names, as far as it is proven to be of none of ours."""
        self.since_block = -1
        """The first block that let go of a log of it, or has one flagged, since it was last caught up with."""
        self.let_go = 0
        """So many logs, of blocks that are canonical."""
        self.counted = 0
        """So many altogether."""
        self.last_ns = now_ns
        """When its last log was let go of."""
        self.planned = 0
        """Places on the agenda."""
        self.marked = 0
        """Events of it that are published all the same, flagged UNPROVEN, in canonical blocks."""
        self.declared = 0
        """How many of both the last Unproven record named."""
        self.announced = False
        """That record says that nobody can say yet."""

    def begin(self, now_ns: int) -> None:
        """Everything that was known of it is void: ask anew, and hold its logs meanwhile."""
        self.inquiry, self.standing, self.proof = self.inquiry.afresh(), Standing.UNKNOWN, []
        self.holding, self.undecided, self.pruned, self.awaits_tokens = True, False, False, False
        self.asked_at = None
        self.hurry(now_ns)

    def hurry(self, since_ns: int) -> None:
        """Its pauses begin anew, and its deadline as if it had been held since then."""
        self.since_ns, self.token_failures = since_ns, 0
        self.resume_asking()

    def wait_for_tokens(self, now_ns: int) -> None:
        """It is a pool: its tokens are asked in quick succession, within the deadline of what is held, or a new one."""
        if self.awaits_tokens:
            return
        self.awaits_tokens = True
        if not self.holding:
            self.since_ns = now_ns
        self.resume_asking()

    def resume_asking(self) -> None:
        """It is asked again soon: an answer is near."""
        self.pauses = Pauses(*(ASK_PAUSES_S if self.holding or self.awaits_tokens else DECLARED_PAUSES_S))

    def stop_holding(self, standing: Standing) -> list[Held]:
        """What is held is to be let go."""
        held, self.held = self.held, []
        self.holding, self.standing, self.undecided, self.awaits_tokens = False, standing, False, False
        self.pauses = Pauses(*DECLARED_PAUSES_S)
        return held

    def let_one_go(self, block: Block, now_ns: int) -> None:
        """Count a log that was let go of."""
        self._note(block, now_ns)
        self.let_go += 1
        self.counted += 1

    def mark(self, block: Block, events: int, now_ns: int) -> None:
        """Count events that were published flagged."""
        self._note(block, now_ns)
        self.marked += events

    def move_marked(self, events: int) -> None:
        """A block with so many flagged events came back, or left the chain (negative)."""
        self.marked += events

    def unmark(self, events: int, *, canonical: bool) -> None:
        """Flagged events were taken back: they count as let go."""
        self.counted += events
        if canonical:
            self.marked -= events
            self.let_go += events

    def _note(self, block: Block, now_ns: int) -> None:
        self.last_ns = now_ns
        if self.let_go + self.marked == 0 or block.number < self.since_block:
            self.since_block = block.number


class Suspects:
    """The book of them."""

    def __init__(self) -> None:
        self.by_key: OrderedDict[str, Suspect] = OrderedDict()
        """To be read only."""
        self._named: Counter[str] = Counter()
        """How many pools each contract names, as far as it names them."""

    def __len__(self) -> int:
        return len(self.by_key)

    def get(self, address: str) -> Suspect | None:
        """What is known of one; None if nothing."""
        return self.by_key.get(address)

    def values(self) -> list[Suspect]:
        """All, the oldest first."""
        return list(self.by_key.values())

    def add(self, emitter: Suspect) -> Suspect | None:
        """Remember another one; returns the one that is forgotten instead."""
        full = len(self.by_key) >= MAX_EMITTERS
        forgotten = next(iter(self.by_key.values())) if full else None
        if forgotten is not None:
            self.remove(forgotten)
        self.by_key[emitter.key] = emitter
        if not is_plain(emitter.key):
            self._named[address_of(emitter.key)] += 1
        return forgotten

    def is_crowded(self, key: str) -> bool:
        """Whether the contract names too many pools for one more of this name."""
        return not is_plain(key) and self._named[address_of(key)] >= MOST_NAMED

    def remove(self, emitter: Suspect) -> None:
        """It is proven, and settled."""
        if self.by_key.pop(emitter.key, None) is None or is_plain(emitter.key):
            return
        address = address_of(emitter.key)
        self._named[address] -= 1
        if not self._named[address]:
            del self._named[address]
