"""A ring against a list: whatever is published, lapped, killed or corrupted, readers get the list or an exact gap."""

from __future__ import annotations

import contextlib
import os
import secrets

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from ringbuf import BatchTooLarge, FrameTooLong, Full, NotOwner, Poll, Reader, RingInfo, Status, Writer, kernels
from ringbuf.layout import DATA, EPOCH_POSITION, SEQUENCE_WORD, TAG_WORD
from ringbuf.names import FOLDER, ring_object

CAPACITY = 1 << 16


class Follower:
    """A reader, the sequence that it must get next, and whether it joined in time to lose nothing any more."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.expected = reader.sequence
        self.protected = False

    def hear_of_gap(self, poll: Poll) -> None:
        if poll.loss is not None:
            assert poll.loss.first == self.expected
            assert self.reader.evicted or not self.protected, "overwritten although the writer knew of it (I7)"
            self.expected = poll.loss.last + 1


class RingMachine(RuleBasedStateMachine):
    """One ring, its writers one after the other, and its readers; `frames` is what was published."""

    followers = Bundle("followers")

    @initialize(reserve=st.sampled_from([64, 1024, 8192]))
    def create(self, reserve: int) -> None:
        self.name = f"machine.{os.getpid()}.{secrets.token_hex(4)}"
        self.frames: list[tuple[int, bytes]] = []  # kind and payload of sequence i + 1
        self.writer = Writer.create(self.name, capacity=CAPACITY, reserve=reserve, full_timeout_s=0.0)
        self.epoch = 1

    def teardown(self) -> None:
        if hasattr(self, "name"):
            self.writer.close()
            for path in FOLDER.glob(ring_object(self.name).removeprefix("/") + "*"):
                path.unlink()

    @rule(payload=st.binary(max_size=8160), kind=st.integers(0, 65535), key=st.booleans())
    def publish(self, payload: bytes, kind: int, key: bool) -> None:
        assert self.writer.publish(payload, kind, key=key) == len(self.frames) + 1
        self.frames.append((kind, payload))

    @rule(count=st.integers(1, 3000), length=st.integers(0, 100))
    def publish_a_lot(self, count: int, length: int) -> None:
        for i in range(count):
            payload = i.to_bytes(4, "little") * (length // 4)
            self.writer.publish(payload)
            self.frames.append((0, payload))

    @rule(follower=followers, payload=st.binary(max_size=500))
    def publish_until_a_consumer_is_in_the_way(self, follower: Follower, payload: bytes) -> None:
        """As far as the gate allows and not a frame further: whoever joined in time has still lost nothing."""
        self.become_reliable(follower)
        self.writer._full = Full.DROP_NEW
        for _ in range(2 * CAPACITY // 64):
            if self.writer.publish(payload) == 0:
                break
            self.frames.append((0, payload))
        self.writer._full = Full.EVICT
        self.read(follower, 5000)

    @rule(payloads=st.lists(st.binary(max_size=500), max_size=30), fails=st.booleans())
    def batch(self, payloads: list[bytes], fails: bool) -> None:
        try:
            with self.writer.batch() as batch:
                for i, payload in enumerate(payloads):
                    assert batch.append(payload) == len(self.frames) + 1 + i
                if fails:
                    raise KeyError
        except KeyError:
            return
        self.frames.extend((0, payload) for payload in payloads)

    @rule()
    def refuse_too_much(self) -> None:
        with contextlib.suppress(FrameTooLong):
            self.writer.publish(bytes(8161))
        with contextlib.suppress(BatchTooLarge), self.writer.batch() as batch:
            while True:
                batch.append(bytes(4000))
        assert self.writer.next_sequence == len(self.frames) + 1

    @rule(clean=st.booleans())
    def take_over(self, clean: bool) -> None:
        if clean:
            self.writer.close()
        else:
            self.writer._lock.close()  # what the kernel does when a writer dies
        self.writer = Writer.open(self.name, full_timeout_s=0.0)
        self.epoch += 1
        assert self.writer.epoch == self.epoch

    @rule(payloads=st.lists(st.binary(max_size=500), min_size=1, max_size=10))
    def die_in_mid_batch_and_take_over(self, payloads: list[bytes]) -> None:
        """What was appended and not committed is nobody's; the next writer gives its sequences again."""
        batch = contextlib.ExitStack().enter_context(self.writer.batch())  # which is never left
        for payload in payloads:
            batch.append(payload)
        self.take_over(clean=False)

    @rule(
        target=followers,
        start=st.sampled_from(["latest", "oldest", "key"]),
        lap=st.sampled_from(["latest", "oldest", "key"]),
    )
    def attach(self, start: str, lap: str) -> Follower:
        return Follower(Reader.attach(self.name, start=start, on_lap=lap))  # type: ignore[arg-type]

    @rule(target=followers, back=st.integers(0, 5000))
    def attach_at_a_sequence(self, back: int) -> object:
        wanted = max(len(self.frames) + 1 - back, 1)
        reader = Reader.attach(self.name, start=wanted)
        follower = Follower(reader)
        follower.expected = wanted
        return follower

    @rule(follower=followers, count=st.integers(1, 500))
    def read(self, follower: Follower, count: int) -> None:
        poll = follower.reader.poll(count)
        assert poll.status is not Status.CORRUPT
        follower.hear_of_gap(poll)
        for frame in poll:
            assert frame.sequence == follower.expected
            assert (frame.kind, bytes(frame.payload)) == self.frames[frame.sequence - 1]
            follower.expected += 1
        assert follower.expected <= len(self.frames) + 1

    @rule(follower=followers)
    def read_to_the_end(self, follower: Follower) -> None:
        while follower.reader.poll(1).status in {Status.OK, Status.GAP, Status.EPOCH_CHANGED}:
            pass
        follower.expected = follower.reader.sequence
        assert follower.expected == len(self.frames) + 1

    @rule(follower=followers)
    def become_reliable(self, follower: Follower) -> None:
        follower.reader.join()
        reader, writer = follower.reader, self.writer.state[0]
        told_of_all_gaps = follower.expected == reader.sequence
        in_time = reader.position + CAPACITY >= max(int(writer["gate"]), int(writer["intent"]))
        follower.protected = told_of_all_gaps and in_time

    @rule(follower=followers, word=st.sampled_from([TAG_WORD, SEQUENCE_WORD]), bit=st.integers(0, 62))
    def corrupt_the_next_descriptor(self, follower: Follower, word: int, bit: int) -> None:
        """A reader that meets it says so and stays, as often as it is asked."""
        reader = follower.reader
        intact = int(self.writer.state[0]["intent"]) - reader.position <= CAPACITY
        if reader.lag_bytes == 0 or not intact:
            return
        while reader.epoch != self.epoch and reader.position >= kernels.get_word(reader.words, EPOCH_POSITION):
            poll = reader.poll(0)
            follower.hear_of_gap(poll)
            assert poll.status is Status.EPOCH_CHANGED
        at = DATA + reader.position % CAPACITY // 8 + word
        kernels.put_word(self.writer.words, at, kernels.get_word(self.writer.words, at) ^ 1 << bit)
        position = reader.position
        for _ in range(2):
            poll = reader.poll()
            follower.hear_of_gap(poll)
            assert (poll.status, reader.position) == (Status.CORRUPT, position)
        kernels.put_word(self.writer.words, at, kernels.get_word(self.writer.words, at) ^ 1 << bit)

    @rule(target=followers, follower=consumes(followers))
    def retire(self, follower: Follower) -> object:
        follower.reader.close()
        return multiple()

    @rule(bit=st.integers(0, 511))
    def corrupt_beyond_the_tail(self, bit: int) -> None:
        """Bytes there were never visible; what they hold is nobody's business."""
        me = self.writer.state[0]
        if int(me["intent"]) >= int(me["tail"]) + 64:
            at = 512 + (int(me["tail"]) % CAPACITY) // 8 + bit // 64
            kernels.put_word(self.writer.words, at, kernels.get_word(self.writer.words, at) ^ 1 << bit % 63)

    @invariant()
    def a_second_writer_is_refused(self) -> None:
        """P3."""
        if hasattr(self, "writer"):
            try:
                Writer.open(self.name)
            except NotOwner:
                return
            raise AssertionError("two writers")

    @invariant()
    def the_ring_tells_what_was_published(self) -> None:
        if hasattr(self, "writer"):
            info = RingInfo.read(self.name)
            assert info.next_sequence == len(self.frames) + 1 and info.intent >= info.tail
            assert info.writer_alive and info.epoch == self.epoch


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
