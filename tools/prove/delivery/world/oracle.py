"""The judgement of what one named at-least-once client gets, against what was published.

every frame of every incarnation comes once, in order, or lies in a loss that was told
incarnations come in order, a RingReplaced between two; one is passed over only if nobody could know of it
no loss is told of what journal or ring has; one without a count only where nobody knows the end
nothing is acknowledged that was not handled; a new process goes on right behind what was acknowledged
"""

from __future__ import annotations

from typing import NamedTuple

from consumers.incarnations import UNKNOWN, Replaced, RingCursor
from consumers.relay.stream import Item
from ringbuf import Loss
from tlv.codes import Reason
from tlv.layout import RingReplaced
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.rings import RingName, is_other, message_of

MOST_KEPT = 20


class Broken(NamedTuple):
    """A rule that was broken."""

    rule: str
    words: str
    at: float


class DeliveryOracle:
    """Judges; `broken` are its findings, `told` the history of what the client got."""

    def __init__(self, name: RingName, journal: WorldJournal, *, filtered: bool) -> None:
        self.broken: list[Broken] = []
        self.told: list[tuple[float, str]] = []
        self.now = 0.0
        self.items = self.losses = self.lost_frames = self.successions = 0
        self._name, self._journal, self._filtered = name, journal, filtered
        self._at: RingCursor | None = None
        """What the client must get next."""
        self._handled: dict[bytes, int] = {}
        self._given: tuple[bytes, int] | None = None
        """The ring of the item that came last, and what is handled once that is."""
        self._unknown_end = False
        self._new_process = True

    def note(self, words: str) -> None:
        """Add to the history."""
        self.told.append((self.now, words))

    def break_rule(self, rule: str, words: str) -> None:
        """A rule was broken."""
        self.note(f"BROKEN {rule}: {words}")
        if len(self.broken) < MOST_KEPT:
            self.broken.append(Broken(rule, words, self.now))

    # ---- what the client gets

    def restarted(self) -> None:
        """The client was killed: the next process goes on behind what was acknowledged."""
        self._new_process = True

    def take(self, item: Item | Loss) -> None:
        """The client's user gets an item."""
        uuid = item.ring if isinstance(item, Loss) else item.ring.uuid
        if self._at is None or uuid != self._at.uuid:
            where = self._number(self._at.uuid) if self._at else "none"
            self.break_rule("order", f"{shown(item)} came while ring {where} was read")
            return
        if isinstance(item, Loss):
            self._take_loss(item)
        elif item.sequence == 0:
            self._take_replaced(item)
        else:
            self._take_message(item)
        behind = self._name.of(uuid).behind if self._at.uuid != uuid else self._at.sequence
        self._given = uuid, behind - 1

    def _take_message(self, item: Item) -> None:
        assert self._at is not None
        self.items += 1
        if item.data != message_of(self._number(item.ring.uuid), item.sequence):
            self.break_rule("content", f"{shown(item)} is not what was published")
        self._pass_to(item.sequence, shown(item))
        self._at = RingCursor(item.ring.uuid, item.sequence + 1)

    def _take_loss(self, loss: Loss) -> None:
        self.note(f"the client is told: {shown(loss)}")
        if loss.reason == Reason.END_UNKNOWN:
            self._unknown_end = True
            return
        if loss.count < 1:
            return
        self.losses += 1
        self.lost_frames += loss.count
        self._pass_to(loss.first, shown(loss))
        if loss.last >= self._name.of(loss.ring).behind:
            self.break_rule("invented", f"{shown(loss)}, of which not all was published")
        self._at = RingCursor(loss.ring, loss.last + 1)

    def _take_replaced(self, item: Item) -> None:
        assert self._at is not None
        self.successions += 1
        record = item.message.first(RingReplaced)
        assert record is not None
        behind = self._name.of(record.old_uuid).behind
        self.note(
            f"the client is told: {shown(item)}, last {record.last_sequence}, then {self._number(record.new_uuid)}"
        )
        if record.old_uuid != self._at.uuid or self._number(record.new_uuid) <= self._number(record.old_uuid):
            self.break_rule("order", f"ring {self._number(record.new_uuid)} follows {self._number(record.old_uuid)}")
        if record.last_sequence != UNKNOWN:
            self._pass_to(behind, shown(item))
            if record.last_sequence != behind - 1:
                self.break_rule("end", f"{shown(item)} says {record.last_sequence}, the last was {behind - 1}")
        elif not self._unknown_end:
            self.break_rule("silent", f"{shown(item)} without an end, and no loss was told")
        self._unknown_end = False
        self._at = RingCursor(record.new_uuid, 1)

    def _pass_to(self, sequence: int, what: str) -> None:
        """What the client gets stands at `sequence`: everything in front of it came, or was filtered."""
        assert self._at is not None
        expected = self._at.sequence
        if sequence < expected:
            self.break_rule("twice", f"{what}, expected {expected}")
        missing = [one for one in range(expected, sequence) if not (self._filtered and is_other(one))]
        if missing:
            self.break_rule("lost", f"{what}: {len(missing)} from {missing[0]} on never came, and no loss was told")

    def handled(self) -> None:
        """The user asks for more, or acknowledges: what came is handled."""
        if self._given is not None:
            self._handled[self._given[0]] = self._given[1]

    # ---- what the relay decides

    def lost(self, uuid: bytes, first: int, last: int, held: bool) -> None:
        """The relay tells a loss."""
        kept = self._journal.has(uuid, first, last)
        if kept is not None:
            words = f"ring {self._number(uuid)}, {first} to {last}: the journal has {kept}"
            self.break_rule("needless loss", words)
        if held:
            self.break_rule("needless loss", f"ring {self._number(uuid)}, {first} to {last}: the ring has some")

    def impatient(self, uuid: bytes) -> None:
        """The relay tells a loss of what the recorder is about to write, and did not wait for it."""
        self.break_rule("impatient", f"a loss of ring {self._number(uuid)}: the recorder still reads it")

    def replaced(self, step: Replaced, held: list[bytes]) -> None:
        """The relay leads the client to the next ring."""
        recorded, in_memory = self._journal.uuids(), set(held)
        known = {self._number(uuid) for uuid in recorded | in_memory}
        old, new = self._number(step.old), self._number(step.new)
        passed = [one for one in range(old + 1, new) if one in known]
        if passed and step.loss is None:
            self.break_rule("passed over", f"rings {passed} between {old} and {new}")
        ended = any(segment.ended for segment in self._journal.of(step.old))
        placeable = recorded <= in_memory or step.old in recorded
        if step.loss is not None and ended and placeable:
            self.break_rule("needless loss", f"the journal has the end of ring {old}")

    # ---- acknowledgements

    def welcomed(self, cursors: list[RingCursor]) -> None:
        """The relay opened the client's name; a new process stands where it was acknowledged."""
        if self._new_process:
            self._new_process, self._unknown_end = False, False
            self._at = cursors[-1] if cursors else None
            at = f"{self._number(self._at.uuid)}:{self._at.sequence}" if self._at else "the beginning"
            self.note(f"a new process goes on at {at}")

    def acknowledged(self, uuid: bytes, sequence: int, *, first: bool) -> None:
        """The relay takes an acknowledgement; the `first` one is where a new name begins."""
        if first:
            self._at = self._at or RingCursor(uuid, sequence + 1)
            self._handled.setdefault(uuid, sequence)
            return
        handled = self._handled.get(uuid, 0)
        unwanted = all(is_other(one) for one in range(handled + 1, sequence + 1)) and self._filtered
        if sequence > handled and not unwanted:
            words = f"ring {self._number(uuid)} up to {sequence}, handled up to {handled}"
            self.break_rule("acknowledged unhandled", words)

    # ---- the end

    def judge_end(self) -> None:
        """Everything had its time: the client has all."""
        newest = self._name.rings[-1]
        if self.lacks():
            where = f"{self._number(self._at.uuid)}:{self._at.sequence}" if self._at else "nowhere"
            self.break_rule("waits", f"the client stands at {where}, published is {newest.number}:{newest.behind}")

    def lacks(self) -> bool:
        """Whether the client lacks anything of the newest ring."""
        newest = self._name.rings[-1]
        if self._at is None or self._at.uuid != newest.uuid:
            return True
        left = range(self._at.sequence, newest.behind)
        return any(not (self._filtered and is_other(one)) for one in left)

    def _number(self, uuid: bytes) -> int:
        return self._name.of(uuid).number


def shown(item: Item | Loss) -> str:
    """An item in words."""
    if isinstance(item, Loss):
        return f"loss {int.from_bytes(item.ring, 'big')}:{item.first}-{item.last} ({Reason(item.reason).name})"
    number = int.from_bytes(item.ring.uuid, "big")
    return f"{number}:{item.sequence}" if item.sequence else f"RingReplaced of {number}"
