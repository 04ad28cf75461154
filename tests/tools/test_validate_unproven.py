"""What a validation makes of emitters that are declared unproven: held back, healed, flagged, taken back.

The ring is that of a feed whose node answers no question about emitters for a while, on the recording; the node is what
the recording says.
"""

from __future__ import annotations

from functools import cache

import msgspec

from producers.node.rpc_types import Log
from producers.pools.quarantine import HOLD_S
from ringbuf import Frame
from tests.producers.collected import exchanged_pairs, proven_pools, recorded_rows
from tests.producers.pools.test_published_unproven import SilentState
from tests.producers.virtual import Conversation, new_feed, recording
from tlv.codes import EmitterProof
from tlv.layout import Unproven
from tools.validate import witness
from tools.validate.abi import decode_event
from tools.validate.judgement import Judgement, judge
from tools.validate.ledger import RingLedger
from tools.validate.owed import Owed

FOR_EVER_S = 1e9
EXCHANGED = {pair.pool for pair in exchanged_pairs().values()}
POOLS = {bytes.fromhex(pool[2:]) for pool in proven_pools()} | EXCHANGED


@cache
def played(*, publishes: bool) -> tuple[list[Frame], int]:
    """What the ring says while the node is silent and long after it spoke, and where the first part ends."""
    conversation = Conversation(new_feed(publish_unproven=publishes))
    conversation.core = core = SilentState(recording(), conversation, FOR_EVER_S, None)
    conversation.connect()
    conversation.play()
    conversation.wait(HOLD_S + 1, 0.5)
    declared = len(conversation.payloads)
    core.silent_s = 0
    conversation.wait(150, 1.0)
    frames = [Frame(at, 0, 0, memoryview(payload)) for at, payload in enumerate(conversation.payloads, 1)]
    return frames, declared


def read(frames: list[Frame]) -> RingLedger:
    ledger = RingLedger()
    ledger.take(frames)
    assert not ledger.window.complaints
    return ledger


def asked_again(ledger: RingLedger, *, refutes: bool = True) -> witness.Testimony:
    """What the node says, which knows all pools; it `refutes` the other emitters, or cannot say."""
    testimony = witness.Testimony({number: {} for number in range(ledger.first, ledger.closed + 1)})
    for line in recorded_rows("recording_2021-04-20_canonical_logs"):
        log = msgspec.json.decode(line, type=Log)
        decoded = decode_event(log)
        placed = witness.read_event(log, decoded) if decoded is not None else None
        if placed is None or placed[1].block_number not in testimony.blocks:
            continue
        identity, event = placed
        if event.emitter in POOLS:
            testimony.blocks[event.block_number][identity] = event
        else:
            testimony.others[identity] = event
            if refutes:
                testimony.refuted.add(event.emitter)
    return testimony


def wrong(judgement: Judgement) -> tuple[int, int, int, int]:
    return judgement.missing, judgement.extra, judgement.different, judgement.miscounted


def test_judgement_of_events_that_are_held_back_says_so_and_missing_of_none() -> None:
    frames, declared = played(publishes=False)
    ledger = read(frames[:declared])
    judgement = judge(ledger, asked_again(ledger))
    assert wrong(judgement) == (0, 0, 0, 0)
    assert len(judgement.held_back) == judgement.expected > 200 and not judgement.undecided
    assert not ledger.events


def test_judgement_of_events_that_nobody_can_judge_calls_them_undecided() -> None:
    frames, declared = played(publishes=False)
    ledger = read(frames[:declared])
    testimony = asked_again(ledger, refutes=False)
    undecided = judge(ledger, testimony).undecided
    others = {identity for identity, event in testimony.others.items() if event.emitter in ledger.unproven}
    assert undecided.keys() == others != set(), "what contracts of no configured exchange emitted"
    assert {event.emitter for event in undecided.values()} <= ledger.unproven.keys() - POOLS


def test_judgement_of_held_back_events_that_were_not_declared_says_missing() -> None:
    """Without its record, and beyond what the block's end counts."""
    frames, declared = played(publishes=False)
    told = frames[:declared]
    ledger = read(told)
    record = next(iter(ledger.unproven.values()))
    assert isinstance(record, Unproven) and record.emitter in POOLS
    del ledger.unproven[record.emitter]
    testimony = asked_again(ledger)
    of_it = sum(event.emitter == record.emitter for events in testimony.blocks.values() for event in events.values())
    assert judge(ledger, testimony).missing == of_it > 0
    ledger = read(told)
    number = next(number for number, events in testimony.blocks.items() if len(events) > 1)
    ends = [end for end in ledger.ends.values() if end.number == number]
    for end in ends:
        ledger.ends[end.hash] = msgspec.structs.replace(end, held_back=1)
    assert judge(ledger, testimony).missing == len(testimony.blocks[number]) - 1


def test_owed_events_are_healed_in_a_later_report_and_nothing_is_told_twice() -> None:
    frames, declared = played(publishes=False)
    ledger, owed = read(frames[:declared]), Owed()
    judgement = judge(ledger, asked_again(ledger))
    last = ledger.closed
    owed.add(judgement)
    ledger.forget(last)
    assert len(owed) == judgement.expected
    ledger.take(frames[declared:])
    assert ledger.closed == last, "a block that ends once more is none that was not closed"
    later = Judgement()
    owed.settle(ledger, later)
    assert (len(owed), owed.healed, wrong(later)) == (0, judgement.expected, (0, 0, 0, 0))
    ledger.forget(last)
    assert not ledger.events and not ledger.ends and not ledger.window.complaints


def test_owed_events_are_missing_when_the_collector_calls_their_pools_none() -> None:
    frames, declared = played(publishes=False)
    ledger, owed = read(frames[:declared]), Owed()
    judgement = judge(ledger, asked_again(ledger, refutes=False))
    owed.add(judgement)
    ledger.forget(ledger.closed)
    for record in list(ledger.unproven.values()):
        ledger._note_unproven(msgspec.structs.replace(record, standing=EmitterProof.NO_POOL))
    later = Judgement()
    owed.settle(ledger, later)
    assert (len(owed), owed.healed, later.missing) == (0, 0, judgement.expected)
    assert "held back, and missing now: " in later.examples[0]


def test_judgement_in_the_middle_of_healing_is_right_once_the_blocks_ended_anew() -> None:
    frames, _ = played(publishes=False)
    ledger = read(frames)
    judgement = judge(ledger, asked_again(ledger))
    assert wrong(judgement) == (0, 0, 0, 0) and not judgement.held_back
    assert len(ledger.events) == judgement.expected


def test_judgement_of_flagged_events_wants_logs_of_the_node_and_no_pools() -> None:
    frames, declared = played(publishes=True)
    ledger = read(frames[:declared])
    testimony = asked_again(ledger)
    judgement = judge(ledger, testimony)
    assert wrong(judgement) == (0, 0, 0, 0)
    assert {event.emitter for event in judgement.held_back.values()} == EXCHANGED, "whose coins nobody knows yet"
    assert judgement.flagged == len(ledger.events) - judgement.expected + len(judgement.held_back) > 0
    identity, told = next((key, told) for key, told in ledger.events.items() if told.emitter not in POOLS)
    ledger.events[identity] = told._replace(flagged=False)
    assert judge(ledger, testimony).extra == 1, "it is told as a pool's"
    ledger.events[identity] = told
    del testimony.others[identity]
    assert judge(ledger, testimony).extra == 1, "no log of the node"
    ledger = read(frames)
    judgement = judge(ledger, asked_again(ledger))
    assert wrong(judgement) == (0, 0, 0, 0), "what was confirmed stands, what was refuted is taken back"


def test_judgement_of_flagged_events_that_a_verdict_did_not_take_back_says_extra() -> None:
    frames, declared = played(publishes=True)
    ledger = read(frames[:declared])
    testimony = asked_again(ledger)
    flagged = judge(ledger, testimony).flagged
    for record in list(ledger.unproven.values()):
        ledger._note_unproven(msgspec.structs.replace(record, standing=EmitterProof.NO_POOL, marked=0))
    assert judge(ledger, testimony).extra == flagged


def test_ledger_takes_an_emitter_that_is_refuted_for_unproven_while_flagged_events_of_it_stay() -> None:
    frames, declared = played(publishes=True)
    ledger = read(frames[:declared])
    record = next(iter(ledger.unproven.values()))
    for standing, marked, kept in (
        (EmitterProof.NO_POOL, 2, True),
        (EmitterProof.UNSUPPORTED, 0, False),
        (EmitterProof.POOL, 2, False),
    ):
        ledger.unproven[record.emitter] = record
        ledger._note_unproven(msgspec.structs.replace(record, standing=standing, marked=marked))
        assert (record.emitter in ledger.unproven) is kept
        assert not ledger.holds_back(record.emitter, record.since_block)
