"""Ring against node, event by event.

Owns the comparison.  It neither reads nor asks: what the ring said and what the node says are given to it.  A block
that differs is only doubtful at first (a reorg between two looks, an answer with logs missing); what stays counts.

An event that the ring lacks is missing, also where a Gap admits it, unless the collector declared that it holds events
of this emitter back and the block's end counts them:
    held back    the node's factory knows the pool: the event is owed (`tools.validate.owed`)
    undecided    the node cannot say either whether it is one
An event that is flagged UNPROVEN, of an emitter that was declared, need not be a pool's: it must be a log of the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tools.validate.abi import differences
from tools.validate.ledger import Identity, RingLedger, Told, place
from tools.validate.witness import Expected, Testimony

MOST_EXAMPLES = 5


@dataclass
class Judgement:
    """How ring and node differ over a range of blocks."""

    expected: int = 0
    missing: int = 0
    """The node has it, the ring does not, whether or not a Gap admits it."""
    extra: int = 0
    """The ring has it, the node does not."""
    different: int = 0
    """Both have it, and a value differs."""
    miscounted: int = 0
    """Blocks of which the ring holds another number of events than their BlockEnd says."""
    held_back: dict[Identity, Expected] = field(default_factory=dict)
    """The node has it, and the ring says that it will come."""
    undecided: dict[Identity, Expected] = field(default_factory=dict)
    """Neither knows whether its emitter is a pool."""
    flagged: int = 0
    """Events of contracts that are not known to be pools, told as such."""
    examples: list[str] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)
    """The blocks that differ."""

    def note(self, number: int, text: str) -> None:
        """Something about block `number`."""
        self.doubtful.add(number)
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(text)


def judge(ledger: RingLedger, testimony: Testimony) -> Judgement:
    """Compare, over the blocks that were read again."""
    judgement = Judgement()
    told = {key: event for key, event in ledger.events.items() if event.origin.block_number in testimony.blocks}
    expected = {key: event for events in testimony.blocks.values() for key, event in events.items()}
    judgement.expected = len(expected)
    find_absent(ledger, {key: expected[key] for key in expected.keys() - told.keys()}, testimony, judgement)
    for identity in told.keys() - expected.keys():
        event, log = told[identity], testimony.others.get(identity)
        if log is None or not event.flagged or event.emitter not in ledger.unproven:
            judgement.extra += 1
            judgement.note(event.origin.block_number, f"extra: {place(event)}")
        else:
            judgement.flagged += 1
            expected[identity] = log
    for identity in expected.keys() & told.keys():
        hold_against(told[identity], expected[identity], judgement)
    count_blocks(ledger, testimony, told, judgement)
    return judgement


def find_absent(
    ledger: RingLedger, absent: Mapping[Identity, Expected], testimony: Testimony, judgement: Judgement
) -> None:
    """What the ring lacks is held back, undecided or missing."""
    left = Counter({block_hash: end.held_back for block_hash, end in ledger.ends.items()})

    def takes(identity: Identity, event: Expected) -> bool:
        held = left[identity[0]] > 0 and ledger.holds_back(event.emitter, event.block_number)
        left[identity[0]] -= held
        return held

    for identity, event in absent.items():
        if takes(identity, event):
            judgement.held_back[identity] = event
        else:
            judgement.missing += 1
            judgement.note(event.block_number, f"missing: {placed(event, identity)}")
    for identity, event in testimony.others.items():
        known = identity in ledger.events or event.emitter in testimony.refuted
        if not known and event.block_number in testimony.blocks and takes(identity, event):
            judgement.undecided[identity] = event


def hold_against(told: Told, expected: Expected, judgement: Judgement) -> None:
    """One event of the ring against the node's."""
    wrong = compare(told, expected)
    if wrong:
        judgement.different += 1
        judgement.note(expected.block_number, f"different: {place(told)}: {'; '.join(wrong)}")


def compare(told: Told, expected: Expected) -> list[str]:
    """Where one event of the ring says something else than the node."""
    wrong = differences(told.record, expected.decoded)
    where = {
        "emitter": (expected.emitter.hex(), told.emitter.hex()),
        "block": (expected.block_number, told.origin.block_number),
        "transaction index": (expected.transaction_index, told.origin.transaction_index),
    }
    return wrong + [f"{name}: expected {node}, found {ring}" for name, (node, ring) in where.items() if node != ring]


def count_blocks(ledger: RingLedger, testimony: Testimony, told: dict[Identity, Told], judgement: Judgement) -> None:
    """Hold the ring against its own BlockEnds."""
    held = dict.fromkeys(ledger.ends, 0)
    for block_hash, _, _ in told:
        if block_hash in held:
            held[block_hash] += 1
    for number in testimony.blocks:
        end = ledger.ends.get(ledger.blocks.get(number, b""))
        if end is not None and end.event_count != held[end.hash]:
            judgement.miscounted += 1
            judgement.note(number, f"block {number}: BlockEnd says {end.event_count} events, found {held[end.hash]}")


def placed(event: Expected, identity: Identity) -> str:
    """Where an event stands, for people."""
    return (
        f"{event.decoded.event.name} of 0x{event.emitter.hex()} in block {event.block_number}, log {identity[2]}, "
        f"of block hash 0x{identity[0].hex()}"
    )
