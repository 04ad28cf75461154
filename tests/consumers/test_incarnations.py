"""The one rule for rings that follow each other under a name: by hand, and in a seeded world without processes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from consumers.incarnations import (
    UNKNOWN,
    Await,
    Extent,
    Read,
    Replaced,
    RingCursor,
    Step,
    extent_of,
    following,
    in_order,
    next_step,
)
from ringbuf import Loss
from tlv.codes import Reason

A, B, C, X = b"a" * 16, b"b" * 16, b"c" * 16, b"x" * 16
LIVE, ENDED = False, True


def lost(uuid: bytes, first: int, last: int) -> Loss:
    return Loss(uuid, first, last, Reason.NOT_RETAINED)


def replaced(old: bytes, last: int, new: bytes, lost_from: int = 0) -> Replaced:
    loss = Loss(old, lost_from, lost_from - 1, Reason.END_UNKNOWN) if lost_from else None
    return Replaced(old, last, new, loss)


CASES: dict[str, tuple[RingCursor, Sequence[Extent], Sequence[Extent], bool, Step]] = {
    "in the ring": (RingCursor(A, 7), [Extent(A, 5, 9, LIVE)], [], False, Read.RING),
    "next of a living ring": (RingCursor(A, 9), [Extent(A, 5, 9, LIVE)], [], False, Read.RING),
    "rest of a ring that lost its name": (
        RingCursor(A, 8),
        [Extent(A, 5, 9, ENDED), Extent(B, 1, 2, LIVE)],
        [],
        False,
        Read.RING,
    ),
    "overwritten, recorded": (RingCursor(A, 2), [Extent(A, 5, 9, LIVE)], [Extent(A, 1, 6, LIVE)], True, Read.JOURNAL),
    "overwritten, not recorded yet": (
        RingCursor(A, 2),
        [Extent(A, 5, 9, LIVE)],
        [Extent(A, 1, 2, LIVE)],
        True,
        Await.RECORDER,
    ),
    "overwritten, recorder gone": (
        RingCursor(A, 2),
        [Extent(A, 5, 9, LIVE)],
        [Extent(A, 1, 2, LIVE)],
        False,
        lost(A, 2, 4),
    ),
    "overwritten, recorder began later": (
        RingCursor(A, 2),
        [Extent(A, 5, 9, LIVE)],
        [Extent(A, 4, 9, LIVE)],
        True,
        lost(A, 2, 3),
    ),
    "old ring only in the journal": (
        RingCursor(A, 3),
        [Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 9, ENDED), Extent(B, 1, 3, LIVE)],
        True,
        Read.JOURNAL,
    ),
    "end of the old ring": (
        RingCursor(A, 9),
        [Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 9, ENDED), Extent(B, 1, 3, LIVE)],
        True,
        replaced(A, 8, B),
    ),
    "end of the old ring, seen in its map": (
        RingCursor(A, 9),
        [Extent(A, 5, 9, ENDED), Extent(B, 1, 5, LIVE)],
        [],
        False,
        replaced(A, 8, B),
    ),
    "end not seen by anybody": (
        RingCursor(A, 9),
        [Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 9, LIVE), Extent(B, 1, 3, LIVE)],
        True,
        replaced(A, UNKNOWN, B, 9),
    ),
    "old ring forgotten but for its end": (
        RingCursor(A, 4),
        [Extent(A, 9, 9, ENDED), Extent(B, 1, 5, LIVE)],
        [],
        False,
        lost(A, 4, 8),
    ),
    "recorder killed before the end, which the map showed": (
        RingCursor(A, 6),
        [Extent(A, 9, 9, ENDED), Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 6, LIVE), Extent(B, 1, 3, LIVE)],
        True,
        lost(A, 6, 8),
    ),
    "two replacements away": (
        RingCursor(A, 9),
        [Extent(C, 1, 2, LIVE)],
        [Extent(A, 1, 9, ENDED), Extent(B, 1, 4, ENDED)],
        True,
        replaced(A, 8, B),
    ),
    "unknown cursor, the recorder is behind": (
        RingCursor(X, 9),
        [Extent(C, 1, 2, LIVE)],
        [Extent(A, 1, 9, LIVE)],
        True,
        Await.RECORDER,
    ),
    "recorder may know a ring in between": (
        RingCursor(A, 9),
        [Extent(A, 5, 9, ENDED), Extent(C, 1, 2, LIVE)],
        [Extent(A, 1, 9, LIVE)],
        True,
        Await.RECORDER,
    ),
    "not recorded, recorder in a newer ring": (
        RingCursor(A, 4),
        [Extent(A, 9, 9, ENDED), Extent(B, 1, 5, LIVE)],
        [Extent(B, 1, 3, LIVE)],
        True,
        lost(A, 4, 8),
    ),
    "not recorded, recorder in an older ring": (
        RingCursor(B, 4),
        [Extent(A, 9, 9, ENDED), Extent(B, 9, 9, ENDED), Extent(C, 1, 5, LIVE)],
        [Extent(A, 1, 5, LIVE)],
        True,
        Await.RECORDER,
    ),
    "segments dropped or damaged, recorder is behind them": (
        RingCursor(A, 1),
        [Extent(A, 30, 50, ENDED), Extent(B, 1, 5, LIVE)],
        [Extent(A, 10, 10, LIVE)],
        True,
        lost(A, 1, 9),
    ),
    "segments dropped or damaged, recorder gone": (
        RingCursor(A, 1),
        [Extent(A, 30, 50, ENDED), Extent(B, 1, 5, LIVE)],
        [Extent(A, 10, 10, LIVE)],
        False,
        lost(A, 1, 29),
    ),
    "recorder passed over two rings": (
        RingCursor(A, 9),
        [Extent(A, 9, 9, ENDED), Extent(B, 9, 9, ENDED), Extent(C, 1, 5, LIVE)],
        [Extent(C, 1, 3, LIVE)],
        True,
        replaced(A, 8, B),
    ),
    "recorder left the old ring, the new one is empty": (
        RingCursor(A, 9),
        [Extent(C, 1, 1, LIVE)],
        [Extent(A, 1, 9, ENDED)],
        True,
        replaced(A, 8, C),
    ),
    "old ring damaged at its end": (
        RingCursor(A, 9),
        [Extent(A, 5, 7, ENDED, end_seen=False), Extent(B, 1, 5, LIVE)],
        [],
        False,
        replaced(A, UNKNOWN, B, 9),
    ),
    "old ring damaged at its end, which the recorder saw": (
        RingCursor(A, 9),
        [Extent(A, 5, 7, ENDED, end_seen=False), Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 9, ENDED), Extent(B, 1, 5, LIVE)],
        True,
        replaced(A, 8, B),
    ),
    "no new ring yet": (RingCursor(A, 9), [Extent(A, 5, 9, ENDED)], [Extent(A, 1, 9, ENDED)], True, Await.RING),
    "nothing at all": (RingCursor(A, 9), [], [], False, Await.RING),
    "unknown cursor": (RingCursor(X, 9), [Extent(B, 1, 5, LIVE)], [], False, replaced(X, UNKNOWN, B, 9)),
    "unknown cursor, older rings recorded": (
        RingCursor(X, 9),
        [Extent(B, 1, 5, LIVE)],
        [Extent(A, 1, 9, ENDED), Extent(B, 1, 5, LIVE)],
        True,
        replaced(X, UNKNOWN, A, 9),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_next_step(case: str) -> None:
    cursor, rings, recorded, due, expected = CASES[case]
    assert next_step(cursor, rings, recorded, recorder_due=due) == expected


def test_next_step_of_an_unknown_cursor_does_not_repeat_what_the_consumer_had() -> None:
    recorded = [Extent(A, 1, 9, ENDED), Extent(B, 1, 5, LIVE)]
    assert next_step(RingCursor(X, 9), [], recorded, passed=[A]) == replaced(X, UNKNOWN, B, 9)
    assert next_step(RingCursor(X, 9), [], recorded, passed=[A, B]) is Await.RING


def test_following_a_ring_that_only_the_journal_saw_is_none_that_the_consumer_had() -> None:
    rings = [Extent(A, 9, 9, ENDED), Extent(C, 1, 5, LIVE)]  # B was too short for a look, and A left the journal
    assert following(B, rings, [Extent(B, 1, 9, LIVE)], passed=[A]) == C


def test_next_step_over_a_recorded_ring_that_nobody_can_place_declares_an_uncounted_loss() -> None:
    rings = [Extent(A, 9, 9, ENDED), Extent(C, 1, 5, LIVE)]
    for recorded in ([Extent(B, 1, 9, LIVE)], [Extent(B, 1, 9, ENDED), Extent(C, 1, 5, LIVE)]):
        assert next_step(RingCursor(A, 9), rings, recorded) == replaced(A, UNKNOWN, C, 9)
        assert next_step(RingCursor(A, 9), rings, recorded, passed=[B]) == replaced(A, 8, C)


def test_next_step_between_rings_of_which_nobody_knows_the_order_declares_an_uncounted_loss() -> None:
    rings = [Extent(A, 9, 9, ENDED), Extent(B, 1, 5, ENDED, frozenset([A])), Extent(X, 1, 2, LIVE)]
    recorded = [Extent(A, 1, 9, ENDED), Extent(C, 1, 4, ENDED)]
    assert next_step(RingCursor(A, 9), rings, recorded) == replaced(A, UNKNOWN, C, 9)
    assert next_step(RingCursor(C, 4), rings, recorded, passed=[A]) == replaced(C, UNKNOWN, B, 4)
    assert next_step(RingCursor(B, 5), rings, recorded, passed=[A, C]) == replaced(B, 4, X)


def test_next_step_to_a_ring_that_lost_its_name_to_an_unaware_writer_declares_an_uncounted_loss() -> None:
    recorded = [Extent(A, 1, 9, ENDED), Extent(C, 1, 4, ENDED)]
    for nameless, expected in ((True, replaced(C, UNKNOWN, B, 4)), (False, replaced(C, 3, B))):
        rings = [Extent(A, 9, 9, ENDED), Extent(B, 1, 5, LIVE, frozenset([A]), nameless=nameless)]
        assert next_step(RingCursor(C, 4), rings, recorded, passed=[A]) == expected


def test_next_step_over_a_ring_that_was_recorded_before_memory_began_declares_nothing() -> None:
    rings = [Extent(A, 9, 9, ENDED, frozenset([X])), Extent(C, 1, 5, LIVE, frozenset([X, B]))]
    assert next_step(RingCursor(A, 9), rings, [Extent(X, 1, 9, ENDED)]) == replaced(A, 8, C)
    recorded = [Extent(X, 1, 9, ENDED), Extent(B, 1, 9, ENDED)]
    assert next_step(RingCursor(A, 9), rings, recorded) == replaced(A, UNKNOWN, C, 9)


def test_in_order_merges_what_two_places_saw() -> None:
    def extents(*uuids: bytes) -> list[Extent]:
        return [Extent(uuid, 1, 2, ENDED) for uuid in uuids]

    assert in_order(extents(B), extents(A, B, C)) == [A, B, C]
    assert in_order(extents(A, B), extents(A, C)) == [A, B, C]
    assert in_order(extents(A, B, C), extents(A, X, C)) == [A, B, X, C]
    assert in_order([], extents(A, B)) == [A, B]


@dataclass
class World:
    """Rings of one name, one after the other; a recorder and a consumer that come and go; all of it numbers."""

    random: random.Random
    capacity: int
    published: dict[bytes, int] = field(default_factory=dict)
    recorder: dict[bytes, list[int]] = field(default_factory=dict)
    """uuid -> [first recorded, behind the last, whether the recorder saw the end]."""
    recording: bool = True
    recorder_at: bytes = b""
    held: list[bytes] = field(default_factory=list)

    @property
    def current(self) -> bytes:
        return list(self.published)[-1]

    def replace(self) -> None:
        self.published[len(self.published).to_bytes(16, "big")] = 0

    def oldest(self, uuid: bytes) -> int:
        return max(1, self.published[uuid] + 1 - self.capacity)

    def record(self) -> None:
        """One turn of the recorder: to the end of its ring, then to the ring that has the name."""
        here = self.recorder_at or self.current
        kept = self.recorder.get(here)
        if kept is None and self.published[here]:
            self.recorder[here] = [self.oldest(here), self.published[here] + 1, 0]
        elif kept is not None and self.oldest(here) <= kept[1]:
            kept[1] = self.published[here] + 1
        elif kept is not None:
            kept[1] = self.published[here] + 1  # the GAP in between is a loss of the journal's own, in front
            kept[0] = self.oldest(here)
        if here != self.current and here in self.recorder:
            self.recorder[here][2] = 1
        self.recorder_at = self.current

    def rings(self) -> list[Extent]:
        if not self.held or self.held[-1] != self.current:
            self.held.append(self.current)
        found = []
        for uuid in self.held:
            ended = uuid != self.current
            found.append(Extent(uuid, self.oldest(uuid), self.published[uuid] + 1, ended))
        return found

    def recorded(self) -> list[Extent]:
        return [
            Extent(uuid, first, behind, bool(ended)) for uuid, (first, behind, ended) in sorted(self.recorder.items())
        ]


@pytest.mark.parametrize("part", range(4))
def test_world_of_replaced_rings_delivers_or_declares_every_frame_in_order(part: int) -> None:
    delivered = counted = uncounted = replacements = 0
    for seed in range(part, 2000, 4):
        rng = random.Random(seed)
        world = World(rng, capacity=rng.choice([3, 8, 50]))
        world.replace()
        cursor, told, passed = RingCursor(world.current, 1), dict[bytes, list[int]](), list[bytes]()
        blind: set[bytes] = set()
        for _ in range(rng.randrange(40, 120)):
            match rng.choice(["publish", "publish", "replace", "record", "recorder", "forget", "read", "read", "read"]):
                case "publish":
                    world.published[world.current] += rng.randrange(1, 6)
                case "replace" if rng.random() < 0.4:
                    world.replace()
                case "record" if world.recording:
                    world.record()
                case "recorder" if rng.random() < 0.2:
                    world.recording = not world.recording
                    world.recorder_at = b""
                case "forget":
                    world.held = []
                case "read":
                    cursor, step = read(world, cursor, passed, told, rng.random() < 0.5)
                    if isinstance(step, Replaced):
                        blind |= {step.old} if step.loss else set()
                        replacements += 1
        for _ in range(1000):
            cursor, step = read(world, cursor, passed, told, False)
            if isinstance(step, Replaced):
                blind |= {step.old} if step.loss else set()
                replacements += 1
            elif cursor == RingCursor(world.current, world.published[world.current] + 1):
                break
        assert cursor == RingCursor(world.current, world.published[world.current] + 1), seed
        for uuid, sequences in told.items():
            assert [abs(each) for each in sequences] == list(range(1, len(sequences) + 1)), seed
            assert uuid in blind or len(sequences) == world.published[uuid], seed
            delivered += sum(each > 0 for each in sequences)
            counted += sum(each < 0 for each in sequences)
        uncounted += len(blind)
    print(f"{delivered} delivered, {counted} lost and counted, {uncounted} ends unknown, {replacements} replacements")
    assert min(delivered, counted, uncounted, replacements) > 50


def read(
    world: World, cursor: RingCursor, passed: list[bytes], told: dict[bytes, list[int]], due: bool
) -> tuple[RingCursor, Step]:
    """One step of the consumer: (where it stands then, what the step was).  Losses are told as negative sequences."""
    rings, recorded = world.rings(), world.recorded()
    step = next_step(cursor, rings, recorded, recorder_due=due, passed=passed)
    seen = told.setdefault(cursor.uuid, [])
    if isinstance(step, Loss):
        seen += [-sequence for sequence in range(step.first, step.last + 1)]
        return RingCursor(cursor.uuid, step.last + 1), step
    if isinstance(step, Replaced):
        passed.append(cursor.uuid)
        return step.cursor, step
    if isinstance(step, Read):
        extent = extent_of(cursor.uuid, rings if step is Read.RING else recorded)
        assert extent is not None
        behind = min(extent.behind, cursor.sequence + world.random.randrange(1, 9))
        seen += range(cursor.sequence, behind)
        return RingCursor(cursor.uuid, max(behind, cursor.sequence)), step
    return cursor, step
