"""Events that the collector declared as held back, over the reports of one run: healed, still owed, or missing.

Owns what was owed when its block was judged, since that block is not judged again.  An event is

    healed      the ring tells it later, as the node has it
    owed        the collector still holds it back
    missing     the collector does neither; or it says that the emitter is no pool, and the node's factory knows it
    forgotten   nobody ever knew whether its emitter is a pool, and the collector says now that it is none

Blocks that leave the chain are judged again as a whole, and nothing of them is owed.
"""

from __future__ import annotations

from tools.validate.judgement import Judgement, hold_against, placed
from tools.validate.ledger import Identity, RingLedger
from tools.validate.witness import Expected

MOST_OWED = 1 << 16
"""Beyond that, they are counted and not followed."""


class Owed:
    """What the ring still has to tell of blocks that were judged."""

    def __init__(self) -> None:
        self.healed = 0
        self.unfollowed = 0
        self._events: dict[Identity, tuple[Expected, bool]] = {}
        """Each with whether it is known to be a pool's."""

    def __len__(self) -> int:
        return self.unfollowed + sum(certain for _, certain in self._events.values())

    def add(self, judgement: Judgement) -> None:
        """What a judgement found to be held back."""
        found = {key: (event, True) for key, event in judgement.held_back.items()}
        found |= {key: (event, False) for key, event in judgement.undecided.items()}
        for identity, event in found.items():
            if len(self._events) < MOST_OWED:
                self._events[identity] = event
            else:
                self.unfollowed += event[1]

    def settle(self, ledger: RingLedger, judgement: Judgement) -> None:
        """Look for what was owed among what the ring has told since; what is missing counts in `judgement`."""
        for identity, (event, certain) in list(self._events.items()):
            told = ledger.events.get(identity)
            if told is None and ledger.holds_back(event.emitter, event.block_number):
                continue
            del self._events[identity]
            if event.block_number >= ledger.first:
                continue  # its block left the chain
            if told is not None:
                self.healed += 1
                hold_against(told, event, judgement)
            elif certain:
                judgement.missing += 1
                judgement.note(event.block_number, f"held back, and missing now: {placed(event, identity)}")
