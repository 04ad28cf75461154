"""Small rings under the scheduler: a writer, its readers, and a judge that checks what is delivered.

Owns the scenarios.  It must never know how the scheduler searches.

Rings here hold eight cells of 64 bytes, so that a handful of publishes fills, pads and laps them.  The judge checks
three things of each reader: a delivered frame is byte for byte the one committed under its sequence; sequences come in
order; and every skipped sequence is reported as lost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringbuf.layout import (
    CLOSED,
    COMMIT_0,
    COMMIT_SEQUENCE,
    COMMIT_TAIL,
    COMMIT_WORDS,
    KEY,
    KEY_POSITION,
    LENGTH_ROW,
    OFFSET_ROW,
    OLDEST,
    READER,
    SEQUENCE_ROW,
    TAIL,
    WAKE,
    WRITER,
)
from ringbuf.status import CORRUPT, EPOCH_CHANGED, GAP, OK
from tools.prove.ring.schedules import Decisions, Scenario, ScheduledRun, Thread, Violation
from tools.prove.ring.stepping import Mutation, Steps, stepping_kernels
from tools.prove.ring.weak_memory import Location, ThreadView, WeakMemory

CAPACITY = 512
SALT = 0x5EED
MAX_PAYLOAD = 96
SMALL = {"ANCHORS": 4, "SEEK_TRIES": 2, "SLOTS": 2}
LENGTHS = (8, 40, 16, 96, 24, 0, 72)  # one cell, two cells, three: 64-byte pads and frames that end at the edge appear


def payload_of(sequence: int, writer: int) -> bytes:
    """What writer number `writer` publishes as `sequence`: every word names both."""
    length = LENGTHS[(sequence + 3 * writer) % len(LENGTHS)]
    word = (sequence << 16 | writer << 8 | 0xA5).to_bytes(8, "little")
    return (word * (length // 8 + 1))[:length]


@dataclass
class Model:
    """One run's ring: kernels, private states, and what was committed."""

    kernels: dict[str, Any]
    memory: WeakMemory
    committed: dict[int, bytes] = field(default_factory=dict)
    planned: dict[str, dict[int, bytes]] = field(default_factory=dict)

    @classmethod
    def new(cls, mutation: Mutation | None) -> Model:
        """An empty ring, as a creator leaves it."""
        initial: dict[Location, int] = {
            ("words", COMMIT_0 + COMMIT_SEQUENCE): 1,
            ("words", COMMIT_0 + COMMIT_WORDS + COMMIT_TAIL): -1,
            ("words", KEY_POSITION): -1,
        }
        return cls(stepping_kernels(mutation, **SMALL), WeakMemory(initial))

    def writer_state(self, reserve: int = 64) -> list[dict[str, int]]:
        """A writer's private state before it has taken over."""
        state = dict.fromkeys(WRITER.names or (), 0)
        state.update(capacity=CAPACITY, salt=SALT, reserve=reserve, max_payload=MAX_PAYLOAD)
        state.update(max_batch=CAPACITY // 2, region_bytes=CAPACITY // SMALL["ANCHORS"])
        return [state]

    def reader_state(self, on_lap: int = OLDEST) -> list[dict[str, int]]:
        """A reader's private state, at the start of the ring."""
        state = dict.fromkeys(READER.names or (), 0)
        state.update(capacity=CAPACITY, salt=SALT, max_payload=MAX_PAYLOAD, on_lap=on_lap, slot=-1, sequence=1, epoch=1)
        state.update(region_bytes=CAPACITY // SMALL["ANCHORS"])
        return [state]

    def run_alone(self, steps: Steps) -> Any:
        """Run a program to its end alone, with every store visible; returns its result."""
        result: list[Any] = []

        def keep() -> Steps:
            result.append((yield from steps))

        thread = Thread("w0", keep(), ThreadView(self.memory.everything()))
        ScheduledRun(self.memory, [thread], Decisions({}), self.on_store).run()
        return result[0]

    def on_store(self, name: str, location: Location, value: int) -> None:
        """A store of `tail` commits what its writer had planned until then."""
        if location == ("words", TAIL):
            self.committed.update(self.planned.pop(name, {}))

    def append(self, name: str, state: list[dict[str, int]], number: int, flags: int = 0) -> Steps:
        """Append the next frame; returns what `append` returned."""
        sequence = state[0]["sequence"]
        payload = payload_of(sequence, number)
        self.planned.setdefault(name, {})[sequence] = payload
        arguments = ("words", "control", state, payload, 0, len(payload), number, flags, 7)
        result = yield from self.kernels["append"](*arguments)
        if result < 0:
            self.planned[name].pop(sequence)
        return result

    def publish(self, name: str, state: list[dict[str, int]], number: int, count: int, flags: int = 0) -> Steps:
        """Publish `count` frames, one by one; returns how many there was room for."""
        for done in range(count):
            if (yield from self.append(name, state, number, flags)) < 0:
                return done
            yield from self.kernels["commit"]("words", state, 7)
        return count

    def expect(self, condition: bool, complaint: str) -> None:
        """Raise Violation unless `condition`."""
        if not condition:
            raise Violation(complaint)


@dataclass
class Judge:
    """One reader, and the sequence that it should get next."""

    model: Model
    state: list[dict[str, int]]
    expected: int = 1
    lost: int = 0
    delivered: int = 0
    out: list[int] = field(default_factory=lambda: [0] * 64)
    index: dict[tuple[int, int], int] = field(default_factory=dict)

    def poll(self, frames: int = 2) -> Steps:
        """Poll once and check the result; returns the status."""
        arguments = ("words", "control", self.state, self.out, self.index, frames)
        status = yield from self.model.kernels["poll_into"](*arguments)
        self.judge(status)
        return status

    def judge(self, status: int) -> None:
        """Compare the frames of a poll with those that were committed."""
        me, model = self.state[0], self.model
        model.expect(status != CORRUPT, f"CORRUPT at position {me['position']}, sequence {me['sequence']}")
        if me["lost_last"]:
            model.expect(me["lost_first"] == self.expected, f"gap from {me['lost_first']}, expected {self.expected}")
            model.expect(me["lost_last"] in model.committed, f"gap to {me['lost_last']}, which was never committed")
            self.lost += me["lost_last"] - self.expected + 1
            self.expected = me["lost_last"] + 1
        for i in range(me["count"]):
            sequence = self.index[SEQUENCE_ROW, i]
            model.expect(sequence == self.expected, f"sequence {sequence}, expected {self.expected}")
            start, length = self.index[OFFSET_ROW, i] >> 3, self.index[LENGTH_ROW, i]
            words = (word & (1 << 64) - 1 for word in self.out[start : start + (length + 7) // 8])
            payload = b"".join(word.to_bytes(8, "little") for word in words)[:length]
            model.expect(sequence in model.committed, f"sequence {sequence} was never committed")
            model.expect(payload == model.committed[sequence], f"torn frame {sequence}: {payload.hex()}")
            self.expected += 1
            self.delivered += 1

    def polls(self, count: int) -> Steps:
        """Poll `count` times."""
        for _ in range(count):
            yield from self.poll()

    def drain(self) -> None:
        """Read to the end, with everything visible: what was delivered and lost must add up."""
        while self.model.run_alone(self.poll(8)) in {OK, GAP, EPOCH_CHANGED}:
            pass
        newest = max(self.model.committed, default=0)
        self.model.expect(self.expected == newest + 1, f"ended before {self.expected}, committed up to {newest}")


@functools.cache
def prepare(mutation: Mutation | None, frames: int, reserve: int) -> tuple[Model, dict[str, int]]:
    """The ring that `prepared` hands out copies of: every schedule starts from it."""
    model = Model.new(mutation)
    writer = model.writer_state(reserve)
    model.run_alone(model.kernels["take_over"]("words", writer, 7, 1))
    model.run_alone(model.publish("w0", writer, 1, frames, KEY))
    return model, writer[0]


def prepared(mutation: Mutation | None, frames: int, reserve: int = 64) -> tuple[Model, list[dict[str, int]]]:
    """A ring with a writer that has published `frames` frames."""
    model, writer = prepare(mutation, frames, reserve)
    memory = WeakMemory(model.memory.values())
    return Model(model.kernels, memory, dict(model.committed)), [dict(writer)]


def start(model: Model, decisions: Decisions, programs: Sequence[tuple[str, Steps]], **hooks: Any) -> ScheduledRun:
    """A run in which every thread has seen all stores so far."""
    known = model.memory.everything()
    threads = [Thread(name, steps, ThreadView(known)) for name, steps in programs]
    return ScheduledRun(model.memory, threads, decisions, model.on_store, **hooks)


def drain_all(*judges: Judge) -> None:
    """Drain one after the other."""
    for judge in judges:
        judge.drain()


def lapping(mutation: Mutation | None, on_lap: int = OLDEST, reserve: int = 64) -> Scenario:
    """A writer laps two readers, one of which is at the oldest frame."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 4, reserve)
        first, second = Judge(model, model.reader_state(on_lap)), Judge(model, model.reader_state(on_lap))
        model.run_alone(second.poll(2))
        programs = [("w", model.publish("w", writer, 1, 4)), ("r1", first.polls(3)), ("r2", second.polls(3))]
        return start(model, decisions, programs, on_end=lambda _: drain_all(first, second))

    return scenario


def reading_fresh(mutation: Mutation | None) -> Scenario:
    """A reader follows a writer closely in a ring that never laps it."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 1)
        judge = Judge(model, model.reader_state())
        model.run_alone(judge.poll())
        programs = [("w", model.publish("w", writer, 1, 3)), ("r", judge.polls(4))]
        return start(model, decisions, programs, on_end=lambda _: judge.drain())

    return scenario


def batching(mutation: Mutation | None) -> Scenario:
    """A batch is abandoned, the next one committed: all of it becomes visible, or none."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 3)
        judge = Judge(model, model.reader_state())

        def write() -> Steps:
            yield from model.append("w", writer, 2)
            model.kernels["abandon"](writer)
            model.planned.clear()
            yield from model.append("w", writer, 3)
            yield from model.append("w", writer, 3)
            yield from model.kernels["commit"]("words", writer, 7)
            yield from model.publish("w", writer, 1, 1)

        programs = [("w", write()), ("r", judge.polls(4))]
        return start(model, decisions, programs, on_end=lambda _: judge.drain())

    return scenario


def seeking(mutation: Mutation | None, where: str, frames: int = 4, reserve: int = 64) -> Scenario:
    """A reader looks for its place while the writer runs."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, frames, reserve)
        judge = Judge(model, model.reader_state())

        def read() -> Steps:
            arguments = {"seek_oldest": (0,), "seek_sequence": (3,)}.get(where, ())
            moved = yield from model.kernels[where]("words", judge.state, *arguments)
            if moved:
                judge.expected = judge.state[0]["sequence"]
                model.expect(judge.expected <= max(model.committed) + 1, f"joined at {judge.expected}: never committed")
                yield from judge.polls(2)

        def check(_: ScheduledRun) -> None:
            if judge.state[0]["position"]:
                judge.drain()

        programs = [("r", read()), ("w", model.publish("w", writer, 1, 3, KEY))]
        return start(model, decisions, programs, on_end=check)

    return scenario


def restarting(mutation: Mutation | None, frames: int = 3, read: int = 1) -> Scenario:
    """The writer is killed anywhere; the next one publishes shorter frames in the same place.

    After six frames the ring is full: what the dead writer had begun damaged the oldest ones.
    """

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, frames)
        judge = Judge(model, model.reader_state())
        model.run_alone(judge.poll(read))

        def succeed(world: ScheduledRun) -> Thread:
            model.planned.clear()
            state = model.writer_state()

            def write() -> Steps:
                result = yield from model.kernels["take_over"]("words", state, 9, 2)
                model.expect(result == OK, "no commit record belongs to the tail")
                following = max(model.committed) + 1
                model.expect(state[0]["sequence"] == following, f"resumed at {state[0]['sequence']}, not {following}")
                yield from model.publish("w2", state, 3, 2)

            # The kernel hands over the dead writer's lock: its successor sees everything.
            return Thread("w2", write(), ThreadView(model.memory.everything()))

        programs = [("w", model.publish("w", writer, 1, 3)), ("r", judge.polls(5))]
        world = start(model, decisions, programs, on_death=succeed, on_end=lambda _: judge.drain())
        world.threads[0].killable = True
        return world

    return scenario


def waking(mutation: Mutation | None) -> Scenario:
    """Two readers sleep when there is nothing to read; none may stay asleep when there is."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 1)
        judges = [Judge(model, model.reader_state()) for _ in range(2)]
        for judge in judges:
            model.run_alone(judge.poll())

        def write() -> Steps:
            for _ in range(2):
                yield from model.publish("w", writer, 1, 1)
                yield from model.kernels["wake"]("words", "control", writer)

        def read(judge: Judge) -> Steps:
            while judge.delivered < 3:
                if (yield from judge.poll()) != OK:
                    yield from model.kernels["sleep_on"]("words", "control", judge.state, 50_000_000)

        def check(world: ScheduledRun) -> None:
            for thread in world.threads:
                model.expect(thread.asleep_on is None, f"{thread.name} sleeps for ever on word {WAKE}")

        programs = [("w", write()), ("r1", read(judges[0])), ("r2", read(judges[1]))]
        return start(model, decisions, programs, on_end=check)

    return scenario


def joining(mutation: Mutation | None) -> Scenario:
    """A consumer becomes reliable while the writer runs on a cached gate; from then on it loses nothing."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 3)
        judge = Judge(model, model.reader_state())

        def read() -> Steps:
            moved = yield from model.kernels["seek_latest"]("words", judge.state)
            if not moved:
                return
            yield from model.kernels["announce_slot"]("control", 0, judge.state[0]["position"])
            judge.state[0]["slot"] = 0
            moved = yield from model.kernels["seek_latest"]("words", judge.state)
            if not moved:
                return
            judge.expected = judge.state[0]["sequence"]
            yield from judge.polls(3)
            model.expect(judge.lost == 0, f"lost {judge.lost} frames after the join")

        def write() -> Steps:
            for _ in range(8):  # more than the ring holds beyond the place of the join
                if not (yield from model.publish("w", writer, 1, 1)):
                    return

        def check(_: ScheduledRun) -> None:
            if judge.state[0]["slot"] == 0 and judge.expected > 1:
                judge.drain()
                model.expect(judge.lost == 0, f"lost {judge.lost} frames after the join")

        programs = [("r", read()), ("w", write())]
        return start(model, decisions, programs, on_end=check)

    return scenario


def closing(mutation: Mutation | None) -> Scenario:
    """The writer publishes and closes; a reader that gets CLOSED has read everything."""

    def scenario(decisions: Decisions) -> ScheduledRun:
        model, writer = prepared(mutation, 1)
        judge = Judge(model, model.reader_state())
        model.run_alone(judge.poll())

        def write() -> Steps:
            yield from model.publish("w", writer, 1, 1)
            yield from model.kernels["set_state"]("words", writer, CLOSED)

        def read() -> Steps:
            for _ in range(3):
                if (yield from judge.poll()) == model.kernels["CLOSED"]:
                    model.expect(judge.delivered == 2, f"CLOSED after {judge.delivered} of 2 frames")

        return start(model, decisions, [("w", write()), ("r", read())])

    return scenario


SCENARIOS: dict[str, Callable[[Mutation | None], Scenario]] = {
    "reading fresh": reading_fresh,
    "lapping, goes on at the oldest": lapping,
    "lapping, goes on at the latest": lambda mutation: lapping(mutation, on_lap=0),
    "lapping, intent in steps of 128": lambda mutation: lapping(mutation, reserve=128),
    "batching": batching,
    "seeking the latest": lambda mutation: seeking(mutation, "seek_latest"),
    "seeking the latest, no fence from intent": lambda mutation: seeking(mutation, "seek_latest", 6, CAPACITY),
    "seeking the oldest": lambda mutation: seeking(mutation, "seek_oldest"),
    "seeking the key frame": lambda mutation: seeking(mutation, "seek_key"),
    "seeking a sequence": lambda mutation: seeking(mutation, "seek_sequence"),
    "restarting": restarting,
    "restarting in a full ring": lambda mutation: restarting(mutation, frames=6),
    "closing": closing,
    "waking": waking,
    "joining": joining,
}
