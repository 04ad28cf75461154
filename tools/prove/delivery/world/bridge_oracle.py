"""The judgement of what the far ring holds, against what was published.

every frame is in its far ring once and in order, or in a Gap that stands there in its place, or its loss has a reason:
    the sender counted it, when neither ring nor journal had it; the stream dropped it by its limits, or was purged or
    deleted; it lies behind a ring's end that nobody saw, or before the first frame that a first sender found
far rings come in the order of the rings; a RingReplaced says the truth about the end of the one before
a tail that the server lost is no reason: it is sent again as long as ring or journal has it
at the end the newest ring is there, and the counts of both sides are those of what really is in the far rings
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from consumers.bridge.batch import read_header
from consumers.bridge.inward import ORIGIN, Inward
from consumers.bridge.outward import Outward
from consumers.held import HeldRing, HeldRings
from consumers.incarnations import UNKNOWN, Replaced, RingCursor
from ringbuf import Loss
from tlv.codes import Source
from tlv.errors import FrameError
from tlv.layout import Gap, RingReplaced
from tlv.message import parse
from tools.prove.delivery.world.far_ring import FarEnd, FarRing
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.jetstream import StoredMessage
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.rings import RingName, message_of

Place = tuple[int, int]
"""Number of a ring, and a sequence."""


class BridgeOracle:
    """Judges both sides of one bridge."""

    def __init__(self, name: RingName, journal: WorldJournal | None, far: FarEnd, findings: Findings) -> None:
        self._name, self._journal, self._far, self._findings = name, journal, far, findings
        self._sender_lost: set[Place] = set()
        self._dropped: dict[Place, str] = {}
        self._begun: Place | None = None
        """Where a sender began that found an empty stream; what comes before is nobody's, unless it was sent before."""
        self._again: Place = (0, 0)
        """Where a sender went back to that found a stream without anything of its own; older frames may be lost."""
        self._left_out: set[int] = set()
        """Rings that a sender went past though it knew them, and told no loss."""
        self._steps: list[tuple[int, int, int, int]] = []
        """From ring to ring: the old one, the cursor, the last sequence that was told, and the new one."""
        self.two_senders = False
        """Two were at work, at a time or in turn.  In a stream that lost all, each begins with the rings that it knows:
        the order of rings is judged no more."""
        self.acknowledged_for_good = False
        """Whether the server keeps what was acknowledged, and a consumer made anew tells it from its beginning."""
        self._unknown_ends: set[tuple[int, int | None]] = set()
        """Ring and sequence of each RingReplaced that says of no end."""
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.frames = self.gaps = 0

    # ---- what the sender does

    def began(self, cursor: RingCursor, held: HeldRings) -> None:
        """A sender that holds these rings begins where the stream has nothing."""
        place = self._number(cursor.uuid), cursor.sequence
        with_frames = [self._number(ring.uuid) for ring in held.rings if ring.reader and ring.extent().behind > 1]
        if with_frames and with_frames[0] < place[0]:
            self._findings.break_rule("needless loss", f"out begins with ring {place[0]}, and holds {with_frames[0]}")
        self._findings.note(f"out begins at {place[0]}:{place[1]}")
        self._begun = max(place, self._begun or place)

    def again(self, cursor: RingCursor) -> None:
        """The stream has nothing of what was sent: a sender goes back to its ring's oldest frame."""
        place = self._number(cursor.uuid), cursor.sequence
        self._findings.note(f"out begins again at {place[0]}:{place[1]}")
        self._again = max(place, self._again)

    def sender_lost(self, loss: Loss, ring: HeldRing | None) -> None:
        """The sender counts a loss."""
        number = self._number(loss.ring)
        self._findings.note(f"out counts {number}:{loss.first}-{loss.last} as lost")
        self._sender_lost.update((number, sequence) for sequence in range(loss.first, loss.last + 1))
        kept = self._journal.has(loss.ring, loss.first, loss.last) if self._journal is not None else None
        if kept is not None:
            self._findings.break_rule(
                "needless loss", f"out counts {number}:{loss.first}-{loss.last}, the journal has {kept}"
            )
        extent = ring.extent() if ring is not None else None
        if extent is not None and extent.first <= loss.last and extent.behind > loss.first:
            self._findings.break_rule(
                "needless loss", f"out counts {number}:{loss.first}-{loss.last}, the ring has some"
            )

    def too_large(self, uuid: bytes, sequence: int) -> None:
        """The sender counts a frame as too large."""
        self._sender_lost.add((self._number(uuid), sequence))

    def replaced(self, cursor: RingCursor, step: Replaced, held: set[bytes]) -> None:
        """The sender, which holds these rings, goes on to the next one."""
        old, new = self._number(step.old), self._number(step.new)
        self._findings.note(f"out goes on from {old}:{cursor.sequence} to ring {new}, last {step.last_sequence}")
        self._steps.append((old, cursor.sequence, step.last_sequence, new))
        journaled = self._journal.uuids() if self._journal is not None else set()
        known_here = {self._number(uuid) for uuid in held | journaled}
        if step.loss is None:
            self._left_out |= known_here & set(range(old + 1, new))
        if step.last_sequence not in (UNKNOWN, self._name.of(step.old).behind - 1):
            self._findings.break_rule("end", f"out says {step.last_sequence}, ring {old} ends with more")

    # ---- what becomes of it

    def dropped(self, message: StoredMessage, why: str) -> None:
        """The stream has a message no more."""
        try:
            header = read_header(message.data)
        except FrameError:
            return
        number = self._number(header.ring_uuid)
        span = range(header.first_sequence, header.first_sequence + header.count)
        if why != "tail":
            self._dropped.update(((number, sequence), why) for sequence in span)

    def refused(self, who: str, *, alone: bool) -> None:
        """A side was refused since another does what it does."""
        if alone:
            self._findings.break_rule("refused", f"{who}, and nobody else is there")

    def counted(self, carrier: Any) -> None:
        """A process has ended with these counts."""
        if isinstance(carrier, Outward):
            self.sent.update({"lost": carrier.sent.lost, "frames": carrier.sent.frames})
        elif isinstance(carrier, Inward):
            received = carrier.received
            self.received.update({"lost": received.lost, "frames": received.frames, "refused": received.refused})

    # ---- the end

    def lacks(self) -> bool:
        """Whether the far end lacks anything of the newest ring."""
        skipped = {ring.number for ring in self._name.rings if self._is_skipped(ring.number)}
        least = self._begun[0] if self._begun is not None else 0
        sent = [ring for ring in self._name.rings if ring.number >= least and ring.number not in skipped]
        newest = next((ring for ring in reversed(sent) if ring.behind > 1), None)
        if newest is None:
            return False
        last = max((last_of(far) for far in self._far.rings if origin_of(far) == newest.number), default=0)
        left = range(last + 1, newest.behind)
        return any(not self._has_reason((newest.number, one), at_end=True) for one in left)

    def judge_end(self) -> None:
        """Everything had its time: what the far rings hold."""
        covered: set[Place] = set()
        before = 0
        had: dict[int, int] = {}
        forgot = False
        """Since a kill between two rings, of those before the next: a broker that forgets too sends them again."""
        for far in (far for far in self._far.rings if far.frames):
            number = origin_of(far)
            if far.forgetful:
                if self.acknowledged_for_good and number <= max(had, default=0):
                    self._break("order", f"ring {number} comes again, behind ring {before}")
                had, before, forgot = {}, 0, forgot or not self.acknowledged_for_good
            if number < before and not (forgot or self.two_senders) and not self._may_go_back(before, number):
                self._break("order", f"ring {number} comes behind ring {before}")
            expected = had.get(number, 0) + 1 if had else None
            covered |= self._judge_ring(far, number, expected)
            had[number] = last_of(far)
            before = number
        if self.lacks():
            newest = self._name.rings[-1]
            last = f"{origin_of(self._far.rings[-1])}:{last_of(self._far.rings[-1])}" if self._far.rings else "nothing"
            self._break("waits", f"the far end has {last}, published is {newest.number}:{newest.behind - 1}")
        self._judge_missing(covered)
        if self.received["lost"] != self.gaps:
            self._break("count", f"in counts {self.received['lost']} lost, its gaps are {self.gaps}")
        if self.received["refused"]:
            self._break("count", f"in refused {self.received['refused']} batches")

    def _judge_ring(self, far: FarRing, number: int, expected: int | None) -> set[Place]:
        covered: set[Place] = set()
        for frame in far.frames:
            message = parse(frame)
            ours = message.header.source == Source.BRIDGE
            gap, replaced = (message.first(Gap), message.first(RingReplaced)) if ours else (None, None)
            begin = gap.first if gap is not None else message.header.sequence
            if (number, expected) in self._unknown_ends and expected is not None and begin == expected + 1:
                expected = begin
            if expected is not None and begin != expected:
                self._break("hole", f"ring {number}: {begin} follows {expected - 1}")
            last = begin
            if gap is not None:
                last = gap.last
                self.gaps += last - begin + 1
                self._judge_gap(number, begin, last)
            elif replaced is not None:
                self._judge_replaced(number, begin, replaced)
                last = begin - 1
                if replaced.last_sequence == UNKNOWN:
                    # Its batch has the sequence of a frame, which comes later if another sender has that one.
                    self._unknown_ends.add((number, begin))
                    covered.add((number, begin))
            else:
                self.frames += 1
                if frame != message_of(number, begin):
                    self._break("content", f"{number}:{begin} is not what was published")
            covered.update((number, sequence) for sequence in range(begin, last + 1))
            expected = last + 1
        return covered

    def _judge_gap(self, number: int, first: int, last: int) -> None:
        needless = [one for one in range(first, last + 1) if not self._has_reason((number, one))]
        if needless:
            self._break("needless gap", f"{number}:{first}-{last}: nothing lost {needless[0]}")

    def _judge_replaced(self, number: int, sequence: int, replaced: RingReplaced) -> None:
        behind = self._name.of(replaced.old_uuid).behind
        known = replaced.last_sequence != UNKNOWN
        if any(one[0] == number and one[2] == replaced.last_sequence for one in self._steps):
            behind = int(replaced.last_sequence) + 1 if known else behind  # so it was when the sender went on
        if self._number(replaced.old_uuid) != number or (known and replaced.last_sequence != behind - 1):
            self._break("end", f"ring {number} is told to end with {replaced.last_sequence}, it does with {behind - 1}")
        if known and sequence != behind:
            self._break("hole", f"ring {number} ends with {behind - 1}, and is followed behind {sequence - 1}")

    def _may_go_back(self, old: int, new: int) -> bool:
        """Whether a sender said of `old` that nobody knows what follows it, and went back to `new` or further."""
        return any(one[0] == old and one[2] == UNKNOWN and one[3] <= new for one in self._steps)

    def _judge_missing(self, covered: set[Place]) -> None:
        for ring in self._name.rings:
            missing = [one for one in range(1, ring.behind) if (ring.number, one) not in covered]
            silent = [one for one in missing if not self._has_reason((ring.number, one), at_end=True)]
            if silent:
                self._break("silent", f"{ring.number}:{silent[0]}-{silent[-1]} never came, {len(silent)} frames")

    def _has_reason(self, place: Place, *, at_end: bool = False) -> bool:
        if place in self._sender_lost or place in self._dropped:
            return True
        if (self._begun is not None and place < self._begun) or place < self._again:
            return True
        return at_end and self._is_behind_an_end(place)

    def _is_behind_an_end(self, place: Place) -> bool:
        for old, cursor, last, new in self._steps:
            if place[0] == old and place[1] > last != UNKNOWN:
                return True  # written when nobody held the ring any more
            if last == UNKNOWN and (old, cursor) <= place < (max(new, old + 1), 1):
                return True
        return self._is_skipped(place[0])

    def _is_skipped(self, number: int) -> bool:
        """Whether a sender went past that ring without knowing of it."""
        return number not in self._left_out and any(old < number < new for old, _, _, new in self._steps)

    def _break(self, rule: str, words: str) -> None:
        self._findings.break_rule(f"bridge: {rule}", words)

    def _number(self, uuid: bytes) -> int:
        return self._name.of(uuid).number


def origin_of(far: FarRing) -> int:
    """The number of the ring that a far ring carries."""
    return int.from_bytes(bytes.fromhex(far.schema.removeprefix(ORIGIN)[:32]), "big")


def last_of(far: FarRing) -> int:
    """The last sequence that a far ring has or has told as lost; 0 for none."""
    for frame in reversed(far.frames):
        message = parse(frame)
        ours = message.header.source == Source.BRIDGE
        gap = message.first(Gap) if ours else None
        if gap is not None:
            return int(gap.last)
        return int(message.header.sequence) - (ours and message.first(RingReplaced) is not None)
    return 0
