"""The judgement of what one client gets, against what was published.

every frame of every incarnation comes once, in order, or lies in a loss that was told
incarnations come in order, a RingReplaced between two, or a loss without a count is told where that is not so
no incarnation comes twice; one is left out in silence only if nobody could know of it
nothing is acknowledged that was not handled; a new process of a named client goes on right behind what was acknowledged
"""

from __future__ import annotations

from consumers.incarnations import UNKNOWN, RingCursor
from consumers.relay.stream import Item
from ringbuf import Loss
from tlv.codes import Reason
from tlv.layout import RingReplaced
from tools.prove.delivery.world.findings import Findings
from tools.prove.delivery.world.relay_oracle import RelayOracle
from tools.prove.delivery.world.rings import RingName, is_other, message_of
from tools.prove.delivery.world.wishes import Wish


class DeliveryOracle:
    """Judges one client; counts what it got."""

    def __init__(self, name: RingName, wish: Wish, relay: RelayOracle, findings: Findings) -> None:
        self.items = self.losses = self.lost_frames = self.successions = 0
        self._name, self._wish, self._relay, self._findings = name, wish, relay, findings
        self._at: RingCursor | None = None
        """What the client must get next; None before the first item of a client without a cursor."""
        self._handled: dict[bytes, int] = {}
        self._given: tuple[bytes, int] | None = None
        """The ring of the item that came last, and what is handled once that is."""
        self._had: set[int] = set()
        self._left_out: set[int] = set()
        """Rings that were passed over, and may still come."""
        self._unknown_end = False
        self._new_process = True
        self.who = f"client {wish.name}" if wish.name else f"nameless client from {wish.start}"
        if not wish.by_relay:
            self.who = f"reader of the ring from {wish.start}"

    def note(self, words: str) -> None:
        """Add to the history."""
        self._findings.note(f"{self.who} {words}")

    def break_rule(self, rule: str, words: str) -> None:
        """A rule was broken."""
        self._findings.break_rule(rule, f"{words} ({self.who})")

    # ---- what the client gets

    def restarted(self) -> None:
        """The client was killed: the next process goes on behind what was acknowledged, or begins anew."""
        self._new_process = True
        if not self._wish.name:
            self._at, self._had, self._left_out, self._unknown_end = None, set(), set(), False

    def take(self, item: Item | Loss) -> None:
        """The client's user gets an item."""
        uuid = item.ring if isinstance(item, Loss) else item.ring.uuid
        if self._at is None and not self._wish.name:
            self._at = RingCursor(uuid, begin_of(item))
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
        self.note(f"is told: {shown(loss)}")
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
        self.note(f"is told: {shown(item)}, last {record.last_sequence}, then {self._number(record.new_uuid)}")
        old, new = self._number(record.old_uuid), self._number(record.new_uuid)
        self._had.add(old)
        if record.old_uuid != self._at.uuid or new in self._had or (new < old and not self._unknown_end):
            self.break_rule("order", f"ring {new} follows {old}")
        told = record.last_sequence == UNKNOWN
        left_out = set[int]() if told else self._relay.left_out(old, new, recorded=self._wish.at_least_once)
        self._left_out = (self._left_out | (left_out - self._had)) - {new}
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
        missing = [one for one in range(expected, sequence) if not (self._wish.filtered and is_other(one))]
        if missing:
            self.break_rule("lost", f"{what}: {len(missing)} from {missing[0]} on never came, and no loss was told")

    def handled(self) -> None:
        """The user asks for more, or acknowledges: what came is handled."""
        if self._given is not None:
            self._handled[self._given[0]] = self._given[1]

    # ---- acknowledgements

    def welcomed(self, cursors: list[RingCursor]) -> None:
        """The relay opened the client's name; a new process stands where it was acknowledged."""
        if self._new_process:
            self._new_process, self._unknown_end = False, False
            self._at = cursors[-1] if cursors else None
            self._had = {self._number(cursor.uuid) for cursor in cursors[:-1]}
            at = f"{self._number(self._at.uuid)}:{self._at.sequence}" if self._at else "the beginning"
            self.note(f"goes on in a new process at {at}")

    def acknowledged(self, uuid: bytes, sequence: int, *, first: bool) -> None:
        """The relay takes an acknowledgement; the `first` one is where a new name begins, and does so anew if it was
        not saved and the client got nothing yet."""
        if first:
            if self._at is None or self._given is None:
                self._at = RingCursor(uuid, sequence + 1)
            self._handled.setdefault(uuid, sequence)
            return
        handled = self._handled.get(uuid, 0)
        unwanted = all(is_other(one) for one in range(handled + 1, sequence + 1)) and self._wish.filtered
        if sequence > handled and not unwanted:
            words = f"ring {self._number(uuid)} up to {sequence}, handled up to {handled}"
            self.break_rule("acknowledged unhandled", words)

    # ---- the end

    def judge_end(self) -> None:
        """Everything had its time: the client has all."""
        newest = self._name.rings[-1]
        if self._left_out:
            self.break_rule("passed over", f"rings {sorted(self._left_out)}")
        if self.lacks():
            where = f"{self._number(self._at.uuid)}:{self._at.sequence}" if self._at else "nowhere"
            self.break_rule("waits", f"the client stands at {where}, published is {newest.number}:{newest.behind}")

    def lacks(self) -> bool:
        """Whether the client lacks anything of the newest ring."""
        newest = self._name.rings[-1]
        if self._at is None and self._wish.start == "latest":
            return False
        if self._at is not None and self._at.uuid != newest.uuid:
            return True
        left = range(self._at.sequence if self._at is not None else 1, newest.behind)
        return any(not (self._wish.filtered and is_other(one)) for one in left)

    def _number(self, uuid: bytes) -> int:
        return self._name.of(uuid).number


def begin_of(item: Item | Loss) -> int:
    """The sequence with which a client begins whose first item this is."""
    if isinstance(item, Loss):
        return item.first
    return item.sequence or item.covers + 1


def shown(item: Item | Loss) -> str:
    """An item in words."""
    if isinstance(item, Loss):
        reason = Reason(item.reason).name if item.reason else "overwritten"
        return f"loss {int.from_bytes(item.ring, 'big')}:{item.first}-{item.last} ({reason})"
    number = int.from_bytes(item.ring.uuid, "big")
    return f"{number}:{item.sequence}" if item.sequence else f"RingReplaced of {number}"
