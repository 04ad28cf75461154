"""Row 2: the memory that a writer killed between two stores leaves, read by readers and taken over by a successor.

Owns the enumeration of memory images.  It must never know what a store is for.

The kernels' stores are logged.  A kill leaves those that had been made; a compiler may have moved a store across its
neighbours, but not across a release fence, and none past a later release store.  So every set of stores that these
rules allow is an image: a reader at every frame checks it, then a successor takes over, publishes shorter frames, and
the readers check it again.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ringbuf.layout import BATCHES, HEARTBEAT, PADS, PID, PUBLISH_NS, TAIL
from ringbuf.status import EPOCH_CHANGED, GAP, OK
from tools.prove.ring.scenarios import Judge, Model, payload_of, prepared
from tools.prove.ring.schedules import LOADS, STORES, Violation
from tools.prove.ring.stepping import Mutation, Steps
from tools.prove.ring.weak_memory import Location
from tools.rig.outcome import Outcome, timed

DIAGNOSTIC = {BATCHES, HEARTBEAT, PADS, PID, PUBLISH_NS}  # words that no kernel decides by
EVERY_SET_UP_TO = 10  # unordered stores; of more, sets are drawn
DRAWN_SETS = 300
DRAWN_ORDERS = 15


@dataclass(frozen=True)
class LoggedStore:
    """One store of the log."""

    location: Location
    value: int
    release: bool
    fence: int  # release fences that came before it


@dataclass
class StoreLog:
    """The stores of a program, in its order."""

    stores: list[LoggedStore] = field(default_factory=list)
    fences: int = 0

    def record(self, memory: dict[Location, int], steps: Steps) -> Any:
        """Run a program on `memory`, keeping its stores; returns its result."""
        answer: Any = None
        while True:
            try:
                access = steps.send(answer)
            except StopIteration as end:
                return end.value
            operation = access[0]
            if operation in LOADS:
                answer = memory.get(access[1:], 0)
                continue
            answer = 0
            if operation in STORES:
                location, value = access[1:3], access[3]
                memory[location] = value
                if location[1] not in DIAGNOSTIC:
                    self.stores.append(LoggedStore(location, value, STORES[operation], self.fences))
            elif operation in {"fence_release", "fence_seq_cst"}:
                self.fences += 1


def run_on(memory: dict[Location, int], steps: Steps) -> Any:
    """Run a program on quiet memory; returns its result."""
    return StoreLog().record(memory, steps)


def comes_before(first: int, second: int, stores: list[LoggedStore]) -> bool:
    """Whether no compiler may let the second store be made without the first."""
    a, b = stores[first], stores[second]
    return first < second and (b.release or a.location == b.location or a.fence < b.fence)


def images(stores: list[LoggedStore], generator: random.Random) -> Iterator[frozenset[int]]:
    """Sets of stores that can have been made when the writer dies: each closed under `comes_before`.

    First, for each store as the last one made, every subset of those that nothing made had to wait for; then the
    beginnings of random allowed orders, in which later commits have begun before earlier stores are made.
    """
    before = [{i for i in range(j) if comes_before(i, j, stores)} for j in range(len(stores))]
    yield frozenset()
    for last in range(len(stores)):
        waited_for = set[int]().union(*before[: last + 1])
        free = [i for i in range(last) if i not in waited_for]
        if len(free) <= EVERY_SET_UP_TO:
            chosen: Iterable[int] = range(1 << len(free))
        else:
            chosen = (generator.getrandbits(len(free)) for _ in range(DRAWN_SETS))
        for bits in chosen:
            missing = {at for i, at in enumerate(free) if bits >> i & 1}
            yield frozenset(range(last + 1)) - missing
    for _ in range(DRAWN_ORDERS):
        made: set[int] = set()
        while len(made) < len(stores):
            made.add(generator.choice([i for i in range(len(stores)) if i not in made and before[i] <= made]))
            yield frozenset(made)


@dataclass
class LastActions:
    """A writer's last actions, on a ring that holds some frames."""

    name: str
    frames: int  # published before the log starts
    batch: int  # frames of the commit that is interrupted
    commits: int
    writer: int = 1  # decides the lengths
    reserve: int = 64  # step of `intent`: a fence per frame, or none


SCENES = (
    LastActions("without a fence in between", 1, 1, 3, reserve=512),
    LastActions("into fresh memory", 1, 1, 2),
    LastActions("over old frames", 6, 1, 2),
    LastActions("with a pad", 5, 1, 2, writer=3),
    LastActions("a batch", 4, 2, 1),
    LastActions("a batch over old frames", 7, 2, 2),
)


def judge_readers(
    model: Model, memory: dict[Location, int], starts: dict[int, int], judged: dict[Hashable, int]
) -> int:
    """Let a reader begin at every frame and read on; returns how many frames were delivered.

    On memory that nobody writes, what a reader does follows from the memory alone, and two images in three hold the
    same words as one before them: `judged` keeps their results.
    """
    seen = frozenset(memory.items()), frozenset(model.committed.items()), frozenset(starts.items())
    if seen in judged:
        return judged[seen]
    delivered = 0
    for sequence, position in starts.items():
        judge = Judge(model, model.reader_state(), expected=sequence)
        judge.state[0].update(position=position, sequence=sequence)
        while run_on(memory, judge.poll(4)) in {OK, GAP, EPOCH_CHANGED}:
            pass
        delivered += judge.delivered
    judged[seen] = delivered
    return delivered


def try_scene(scene: LastActions, mutation: Mutation | None, generator: random.Random) -> tuple[int, int]:
    """Judge every image of a scene; returns images and frames delivered."""
    model, writer = prepared(mutation, scene.frames, scene.reserve)
    before = model.memory.values()
    before.setdefault(("words", TAIL), 0)
    committed_at = {before["words", TAIL]: dict(model.committed)}  # by tail
    starts = {writer[0]["sequence"]: writer[0]["tail"]}
    log, memory = StoreLog(), dict(before)
    for _ in range(scene.commits):
        planned = dict(committed_at[memory["words", TAIL]])
        for _ in range(scene.batch):
            sequence = writer[0]["sequence"]
            planned[sequence] = payload_of(sequence, scene.writer)
            log.record(memory, model.append("w", writer, scene.writer))
        log.record(memory, model.kernels["commit"]("words", writer, 7))
        committed_at[memory["words", TAIL]] = planned
        starts[writer[0]["sequence"]] = writer[0]["tail"]
    position = 0
    for sequence in range(1, scene.frames + 1):
        starts[sequence] = position  # a pad may be there; readers skip it
        position += model.kernels["record_bytes"](len(payload_of(sequence, 1)))
    count = delivered = 0
    judged: dict[Hashable, int] = {}
    for made in set(images(log.stores, generator)):
        image = dict(before)
        for at in sorted(made):
            image[log.stores[at].location] = log.stores[at].value
        count += 1
        model.committed = dict(committed_at[image["words", TAIL]])
        known = {sequence: at for sequence, at in starts.items() if at <= image["words", TAIL]}
        delivered += judge_readers(model, image, known, judged)
        successor = model.writer_state()
        result = run_on(image, model.kernels["take_over"]("words", successor, 9, 2))
        model.expect(result == OK, "no commit record belongs to the tail")
        following = max(model.committed) + 1
        model.expect(successor[0]["sequence"] == following, f"resumed at {successor[0]['sequence']}, not {following}")
        model.planned.clear()
        for _ in range(2):
            model.committed[successor[0]["sequence"]] = payload_of(successor[0]["sequence"], 3)
            run_on(image, model.publish("w2", successor, 3, 1))
            delivered += judge_readers(model, image, known, judged)
    return count, delivered


@timed
def prove_crash_images(seed: int = 1, mutation: Mutation | None = None) -> Outcome:
    """Row 2: a kill at any single store, in every order that the fences allow."""
    generator = random.Random(seed)
    count = delivered = 0
    try:
        for scene in SCENES:
            seen = try_scene(scene, mutation, generator)
            count, delivered = count + seen[0], delivered + seen[1]
    except Violation as violation:
        return Outcome(2, "crash images", False, f"after {count} images, {scene.name}: {violation}", seed)
    return Outcome(2, "crash images", True, f"{count} images, {delivered} frames delivered, 0 accepted wrong", seed)
