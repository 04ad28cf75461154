"""Ring against node, event by event.

Owns the comparison.  It neither reads nor asks: what the ring said and what the node says are given to it.  A block
that differs is only doubtful at first (a reorg between two looks, an answer with logs missing); what stays counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.validate.abi import differences
from tools.validate.ledger import Identity, Ledger, Told, place
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
    examples: list[str] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)
    """The blocks that all this is about."""

    def note(self, number: int, text: str) -> None:
        """Something about block `number`."""
        self.doubtful.add(number)
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(text)


def judge(ledger: Ledger, testimony: Testimony) -> Judgement:
    """Compare, over the blocks that were read again."""
    judgement = Judgement()
    told = {key: event for key, event in ledger.events.items() if event.origin.block_number in testimony.blocks}
    expected = {key: event for events in testimony.blocks.values() for key, event in events.items()}
    judgement.expected = len(expected)
    for identity in expected.keys() - told.keys():
        event = expected[identity]
        judgement.missing += 1
        judgement.note(event.block_number, f"missing: {placed(event, identity)}")
    for identity in told.keys() - expected.keys():
        judgement.extra += 1
        judgement.note(told[identity].origin.block_number, f"extra: {place(told[identity])}")
    for identity in expected.keys() & told.keys():
        wrong = compare(told[identity], expected[identity])
        if wrong:
            judgement.different += 1
            judgement.note(expected[identity].block_number, f"different: {place(told[identity])}: {'; '.join(wrong)}")
    count_blocks(ledger, testimony, told, judgement)
    return judgement


def compare(told: Told, expected: Expected) -> list[str]:
    """Where one event of the ring says something else than the node."""
    wrong = differences(told.record, expected.decoded)
    where = {
        "emitter": (expected.emitter.hex(), told.emitter.hex()),
        "block": (expected.block_number, told.origin.block_number),
        "transaction index": (expected.transaction_index, told.origin.transaction_index),
    }
    return wrong + [f"{name}: expected {node}, found {ring}" for name, (node, ring) in where.items() if node != ring]


def count_blocks(ledger: Ledger, testimony: Testimony, told: dict[Identity, Told], judgement: Judgement) -> None:
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
