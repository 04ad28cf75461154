"""What a consumer of a ring's name reads next, where rings of that name follow each other.

A ring that is removed and made anew has another uuid: another incarnation of its name, whose sequences begin at 1 and
are never compared with those of the one before.  A consumer's place is its `RingCursor`: uuid and sequence.
`next_step` decides over values alone: what rings of the name are held in memory, what the journal has, and where the
consumer stands.  Relay, bridge, `Live`, recorder and strategies are shells that ask it wherever plain reading ends.

    frame wanted is in a held ring ............ Read.RING         else in the journal .......... Read.JOURNAL
    neither has it, and the recorder may come . Await.RECORDER    neither, and it will not ..... Loss, counted
    behind the last frame of an incarnation ... Replaced: the next one from its first frame    none yet: Await.RING

Where nobody saw an incarnation's end, `Replaced` carries a loss without a count: `last` is `first` - 1, and the reason
END_UNKNOWN.  So it does where the order is not known for certain: memory and journal each know that of the rings that
they saw, but not how a ring that only one of them has stands to one that only the other has.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from ringbuf import Loss
from tlv.codes import Reason

RECORDER_PATIENCE_S = 2.0
"""How long a consumer waits for the recorder, which may have read from the ring what it has not written."""
UNKNOWN = -1
"""`Replaced.last_sequence` and `RingReplaced.last_sequence` of a ring whose end nobody saw."""


class RingCursor(NamedTuple):
    """The frame that a consumer wants next."""

    uuid: bytes
    sequence: int


class Extent(NamedTuple):
    """What one place, a held ring or a journal, has of one incarnation: the sequences `first` to `behind` - 1."""

    uuid: bytes
    first: int
    behind: int
    ended: bool
    """Nothing will ever follow, in any place: the ring's writer is gone and so is its name, as this place saw."""
    older: frozenset[bytes] = frozenset()
    """Of a held ring: the incarnations that the journal had while this one had the name."""
    end_seen: bool = True
    """Whether `behind` is the end; otherwise the ring is damaged there, and nobody knows what was published behind."""
    nameless: bool = False
    """Of a held ring: it lost its name, so that others may be newer; its writer may not have noticed yet."""


class Read(Enum):
    """The frame wanted is there, or, in a ring, is the next to be published."""

    RING = auto()
    JOURNAL = auto()


class Await(Enum):
    """Nothing can be read now."""

    RECORDER = auto()
    RING = auto()


class Replaced(NamedTuple):
    """The incarnation `old` ended with `last_sequence`; the consumer goes on with the first of `new`.

    `last_sequence` is UNKNOWN if nobody saw the end, or the order of the two is not known for certain."""

    old: bytes
    last_sequence: int
    new: bytes
    loss: Loss | None
    """What was published behind the cursor and before `new`, if nobody knows how much that is."""

    @property
    def cursor(self) -> RingCursor:
        """Where to go on."""
        return RingCursor(self.new, 1)


Step = Read | Await | Loss | Replaced


def next_step(
    cursor: RingCursor,
    rings: Sequence[Extent],  # held, oldest first; one that is no longer held keeps its end, with `first` = `behind`
    recorded: Sequence[Extent],  # of the journal, oldest first; empty without a journal
    *,
    recorder_due: bool = False,  # whether to wait for what the recorder may not have written yet
    passed: Sequence[bytes] = (),  # incarnations that this consumer had before, oldest first
) -> Step:
    """What the consumer at `cursor` does next.  Behind a Loss it stands at `loss.last` + 1."""
    held, kept = extent_of(cursor.uuid, rings), extent_of(cursor.uuid, recorded)
    if held and held.first <= cursor.sequence and (cursor.sequence < held.behind or not held.ended):
        return Read.RING
    if kept and kept.first <= cursor.sequence < kept.behind:
        return Read.JOURNAL
    known = [extent for extent in (held, kept) if extent]
    behind = max([cursor.sequence, *(extent.behind for extent in known)])
    recorder_here = recorder_due and not _is_left(cursor.uuid, rings, recorded)
    may_come = recorder_here and not (kept and cursor.sequence < kept.first)
    if cursor.sequence < behind:
        if may_come:
            return Await.RECORDER
        there = [one.first for one in known if one.first < one.behind]
        there += [kept.behind] if kept and recorder_here else []  # where the recorder goes on
        resumed_at = min((at for at in there if at > cursor.sequence), default=behind)
        return Loss(cursor.uuid, cursor.sequence, resumed_at - 1, Reason.NOT_RETAINED)
    new = following(cursor.uuid, rings, recorded, passed)
    if new is None:
        return Await.RING
    is_current = bool(rings and recorded) and rings[-1].uuid == recorded[-1].uuid
    if may_come and (extent_of(new, recorded) is None or not (known or is_current)):
        return Await.RECORDER  # the journal may have another incarnation in between, or the end of this one
    if any(extent.ended and extent.end_seen for extent in known) and is_next(new, cursor.uuid, rings, recorded, passed):
        return Replaced(cursor.uuid, behind - 1, new, None)
    uncounted = Loss(cursor.uuid, cursor.sequence, cursor.sequence - 1, Reason.END_UNKNOWN)
    return Replaced(cursor.uuid, UNKNOWN, new, uncounted)


def _is_left(uuid: bytes, rings: Sequence[Extent], recorded: Sequence[Extent]) -> bool:
    """Whether the recorder has gone on to a newer ring than `uuid`, or to its end: it never comes back."""
    kept = extent_of(uuid, recorded)
    if kept:
        return kept.ended or kept is not recorded[-1]
    held = [extent.uuid for extent in rings]
    return bool(recorded) and uuid in held and recorded[-1].uuid in held[held.index(uuid) :]


def extent_of(uuid: bytes, extents: Sequence[Extent]) -> Extent | None:
    """The one of incarnation `uuid`."""
    return next((extent for extent in extents if extent.uuid == uuid), None)


def behind_damage(recorded: Sequence[Extent], cursor: RingCursor, later: int | None) -> list[Extent]:
    """What the journal has where nothing can be read at `cursor`; `later` is where its next segment begins, if any."""
    return [
        one._replace(first=one.behind if later is None else later) if one.uuid == cursor.uuid else one
        for one in recorded
    ]


def following(
    uuid: bytes, rings: Sequence[Extent], recorded: Sequence[Extent], passed: Sequence[bytes] = ()
) -> bytes | None:
    """The incarnation behind `uuid`; None if there is none yet.

    Behind one that nobody knows comes the first that the consumer has not had: retention may have dropped the unknown
    one, and then everything that is left is newer.  Nor comes one that it has had: where journal and memory have no
    ring in common, nobody knows which of theirs is older.
    """
    order = in_order(recorded, rings)
    known = next((one for one in (uuid, *reversed(passed)) if one in order), None)
    later = order[order.index(known) + 1 :] if known is not None else order
    return next((one for one in later if one not in passed), None)


def is_next(
    new: bytes, uuid: bytes, rings: Sequence[Extent], recorded: Sequence[Extent], passed: Sequence[bytes] = ()
) -> bool:
    """Whether `new` comes behind `uuid` for certain, and nothing in between is left out.

    `in_order` has to guess where only memory knows one ring and only the journal the other.
    """
    held, kept = [extent.uuid for extent in rings], [extent.uuid for extent in recorded]
    if uuid in held and uuid not in kept:
        at = held.index(uuid)
        known_older = _place_behind(rings[: at + 1], kept)
        known_newer = next((place for place, one in enumerate(kept) if one in held[at + 1 :]), len(kept))
        return all(one in passed for one in kept[known_older:known_newer])
    if new not in held:
        return not _between(uuid, new, rings, kept) - {uuid, *kept, *passed}
    if uuid in held or new in kept or _has_name(rings[held.index(new)]):
        return True
    return kept.index(uuid) < _place_behind(rings[: held.index(new) + 1], kept)


def _between(uuid: bytes, new: bytes, rings: Sequence[Extent], kept: Sequence[bytes]) -> set[bytes]:
    """The held incarnations that are not known to be older than `uuid`, nor newer than `new`, which the journal has."""
    until_uuid = {uuid, *kept[: kept.index(uuid)]} if uuid in kept else {uuid}
    from_new = set(kept[kept.index(new) :])
    begin = max((at + 1 for at, extent in enumerate(rings) if extent.uuid in until_uuid), default=0)
    newer = (
        at for at, extent in enumerate(rings) if extent.uuid in from_new or new in extent.older or _is_live(extent)
    )
    return {extent.uuid for extent in rings[begin : min(newer, default=len(rings))]}


def _has_name(extent: Extent) -> bool:
    """Whether a held ring has the name: no ring is newer."""
    return not (extent.ended or extent.nameless)


def _is_live(extent: Extent) -> bool:
    """Whether it has the name, and nobody looked what the journal had before."""
    return _has_name(extent) and not extent.older


def _place_behind(rings: Sequence[Extent], kept: Sequence[bytes]) -> int:
    """How many of the recorded incarnations are known to be no newer than the last of these held ones."""
    older = {one for extent in rings for one in (extent.uuid, *extent.older)}
    return max((place + 1 for place, one in enumerate(kept) if one in older), default=0)


def in_order(recorded: Sequence[Extent], rings: Sequence[Extent]) -> list[bytes]:
    """All incarnations by age.  Each place saw some of them, in order; a ring that the recorder missed stands before
    the next one that it has."""
    order = [extent.uuid for extent in recorded]
    for at, extent in enumerate(rings):
        if extent.uuid not in order:
            later = next((ring.uuid for ring in rings[at + 1 :] if ring.uuid in order), None)
            order.insert(len(order) if later is None else order.index(later), extent.uuid)
    return order
