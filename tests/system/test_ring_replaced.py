"""Row 49: a ring closed, removed and made anew under every kind of consumer, in real processes, and what each got."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click
import pytest

from consumers.client import Item, Loss, RelayClient
from consumers.incarnations import UNKNOWN
from consumers.journal.extents import RecordedRings
from consumers.recorder import Recorder
from consumers.relay.cursors import decode
from ringbuf import Writer
from ringbuf.ring import unlink_ring
from tests.consumers.relay_rig import publish_numbered
from tests.consumers.test_relay import wait_for
from tlv.codes import Reason
from tlv.layout import LAYOUT_DIGEST, RingReplaced
from tools import record, relay
from tools.rig.victims import ForkedVictim
from tools.warm import warm_journal, warm_relay, warm_ring

BIG, SMALL = 1 << 24, 1 << 16
ENOUGH_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """For the children to inherit."""
    warm_ring()
    warm_journal()
    warm_relay()


class Witness:
    """A named client, and what it got: of each ring its sequences, the losses, and what it was told of replacements."""

    def __init__(self, path: Path, **options: object) -> None:
        self.path = path
        self.options = {"start": "acknowledged", "at_least_once": True, **options}
        self.got: dict[bytes, list[int]] = {}
        self.losses: list[Loss] = []
        self.replaced: list[RingReplaced] = []
        self.client = self.connect()

    def connect(self) -> RelayClient:
        deadline = time.monotonic() + ENOUGH_S
        while True:
            try:
                return RelayClient(self.path, name="risk", **self.options)  # type: ignore[arg-type]
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ENOUGH_S
        while not condition():
            assert time.monotonic() < deadline, (self.counts(), self.losses, self.replaced)
            for item in self.client.receive() or ():
                self.take(item)
                self.client.ack(item)

    def take(self, item: Item | Loss) -> None:
        if isinstance(item, Loss):
            self.losses.append(item)
        elif (told := item.message.first(RingReplaced)) is not None:
            self.replaced.append(told)
        else:
            self.got.setdefault(item.ring.uuid, []).append(item.sequence)

    def has(self, uuid: bytes, last: int) -> bool:
        return self.got.get(uuid, [0])[-1] == last

    def counts(self) -> list[int]:
        return [len(sequences) for sequences in self.got.values()]

    def check(self, *published: tuple[bytes, int], lost: int = 0) -> str:
        """Every ring in order, each message once or in a counted loss; returns the numbers."""
        assert list(self.got) == [uuid for uuid, count in published if count]
        missing = duplicates = 0
        for uuid, count in published:
            told = {n for loss in self.losses if loss.ring == uuid for n in range(loss.first, loss.last + 1)}
            found = self.got.get(uuid, [])
            assert found == sorted(found)
            duplicates += len(found) - len(set(found))
            missing += len(set(range(1, count + 1)) - set(found) - told)
            assert not told & set(found)
        assert (missing, sum(loss.count for loss in self.losses)) == (0, lost)
        return f"missing {missing}, duplicates {duplicates}, lost and counted {lost}"


def process(home: Path, name: str, command: click.Command, *words: object) -> ForkedVictim:
    """One of the project's commands, in a process of its own."""
    work = partial(command.main, [str(word) for word in words], standalone_mode=False)
    victim = ForkedVictim(name, name, work, home / f"{name}.log")
    victim.start()
    return victim


@contextmanager
def running(victim: ForkedVictim) -> Iterator[ForkedVictim]:
    try:
        yield victim
    finally:
        if victim.running:
            victim.kill()


def recording(home: Path, ring: str) -> ForkedVictim:
    return process(home, "record", record.command, "--ring", ring, "--out", home / "j")


def relaying(home: Path, ring: str, *words: object) -> ForkedVictim:
    options = ("--ring", ring, "--socket", home / "s", "--cursors", home / "c")
    return process(home, "relay", relay.command, *options, *words)


def acknowledged(home: Path, uuid: bytes, sequence: int) -> bool:
    """Whether the relay has saved that the witness handled so much of a ring."""
    path = home / "c" / "market_data" / "risk.json"
    found = decode(path.read_bytes()) if path.exists() else None
    return any(key.endswith(uuid.hex()) and value == sequence for key, value in (found or {}).items())


def ring(name: str, capacity: int = BIG) -> Writer:
    return Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST, full_timeout_s=ENOUGH_S)


def recorded(home: Path, uuid: bytes, behind: int) -> bool:
    """Whether the journal has everything of a ring before `behind`."""
    look = RecordedRings(home / "j")
    try:
        return any(extent.uuid == uuid and extent.behind >= behind for extent in look.extents())
    finally:
        look.close()


def test_ring_replaced_under_a_busy_client_loses_nothing(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    """A client is busy for half a second while its ring is closed, removed and made anew."""
    with ExitStack() as stack:
        stack.enter_context(running(relaying(home, ring_name, "--journal", home / "j")))
        stack.enter_context(running(recording(home, ring_name)))
        first = ring(ring_name)
        publish_numbered(first, 100)
        witness = Witness(home / "s")
        witness.until(lambda: witness.has(first.uuid, 100))
        publish_numbered(first, 20_000)
        first.close(unlink=True)
        time.sleep(0.2)
        second = ring(ring_name, BIG // 2)
        publish_numbered(second, 100)
        time.sleep(0.3)
        witness.until(lambda: witness.has(second.uuid, 100))
        numbers = witness.check((first.uuid, 20_100), (second.uuid, 100))
        assert witness.replaced == [RingReplaced(20_100, first.uuid, second.uuid)]
        second.close(unlink=True)
    tell(f"row 49, client busy for 0.5 s: 20100 of 20100 and 100 of 100; {numbers}")


def test_ring_replaced_twice_while_client_and_relay_were_away_comes_in_order(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    """The relay is killed, its client gone; two replacements later both come back."""
    with ExitStack() as stack:
        stack.enter_context(running(recording(home, ring_name)))
        server = stack.enter_context(running(relaying(home, ring_name, "--journal", home / "j")))
        first = ring(ring_name)
        publish_numbered(first, 50)
        witness = Witness(home / "s")
        witness.until(lambda: witness.has(first.uuid, 50))
        witness.client.close()
        # An acknowledgement that is under way when the relay is killed may be lost, and then all comes twice.
        wait_for(partial(acknowledged, home, first.uuid, 50), ENOUGH_S)
        server.kill()
        rings = [first]
        for count in (500, 300):
            publish_numbered(rings[-1], 10)
            # A ring that is gone before anybody looked at its name was seen by nobody.
            wait_for(partial(recorded, home, rings[-1].uuid, 2), ENOUGH_S)
            publish_numbered(rings[-1], count - 10)
            rings[-1].close(unlink=True)
            wait_for(partial(recorded, home, rings[-1].uuid, rings[-1].next_sequence), ENOUGH_S)
            rings.append(ring(ring_name))
        publish_numbered(rings[-1], 40)
        stack.enter_context(running(relaying(home, ring_name, "--journal", home / "j")))
        witness.client = witness.connect()
        witness.until(lambda: witness.has(rings[2].uuid, 40))
        numbers = witness.check((first.uuid, 550), (rings[1].uuid, 300), (rings[2].uuid, 40))
        assert [(told.last_sequence, told.new_uuid) for told in witness.replaced] == [
            (550, rings[1].uuid),
            (300, rings[2].uuid),
        ]
        rings[-1].close(unlink=True)
    tell(f"row 49, two replacements, client and relay away: {numbers}")


def test_ring_replaced_without_a_journal_is_read_from_the_map_or_counted(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    """The end of a ring whose map the relay held is known: what its client missed is counted, and nothing else is."""
    with ExitStack() as stack:
        stack.enter_context(running(relaying(home, ring_name)))
        first = ring(ring_name, SMALL)
        publish_numbered(first, 10)
        witness = Witness(home / "s")
        witness.until(lambda: witness.has(first.uuid, 10))
        witness.client.close()
        publish_numbered(first, 1000)
        first.close(unlink=True)
        second = ring(ring_name)
        publish_numbered(second, 20)
        witness.client = witness.connect()
        witness.until(lambda: witness.has(second.uuid, 20))
        lost = sum(loss.count for loss in witness.losses)
        numbers = witness.check((first.uuid, 1010), (second.uuid, 20), lost=lost)
        assert 0 < lost <= 1000
        assert witness.replaced == [RingReplaced(1010, first.uuid, second.uuid)]
        second.close(unlink=True)
    tell(f"row 49, no journal: {numbers}")


def test_ring_replaced_while_nobody_recorded_declares_what_nobody_knows(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    """Recorder and relay are away, and the ring is removed under its living writer: the end of the old ring is lost."""
    reports: list[str] = []
    first = ring(ring_name)
    publish_numbered(first, 60)
    with Recorder(ring_name, home / "j", report=reports.append) as recorder:
        recorder.run(lambda: recorder.recorded.frames == 60, until_closed=False)
    publish_numbered(first, 40)
    unlink_ring(ring_name)
    second = ring(ring_name)
    publish_numbered(second, 7)
    with ExitStack() as stack:
        stack.enter_context(running(recording(home, ring_name)))
        stack.enter_context(running(relaying(home, ring_name, "--journal", home / "j")))
        witness = Witness(home / "s", start={first.uuid: 31})
        witness.until(lambda: witness.has(second.uuid, 7))
        assert witness.got[first.uuid] == list(range(31, 61))
        assert witness.losses == [Loss(first.uuid, 61, 60, Reason.END_UNKNOWN)]
        assert witness.replaced == [RingReplaced(UNKNOWN, first.uuid, second.uuid)]
        wait_for(lambda: "was replaced while nothing was recorded" in (home / "record.log").read_text(), ENOUGH_S)
        witness.client.close()
        # A cursor of a ring that nobody knows.
        stranger = Witness(home / "s", start={b"nobody's ring...": 5})
        stranger.until(lambda: stranger.has(second.uuid, 7))
        assert stranger.losses[0] == Loss(b"nobody's ring...", 5, 4, Reason.END_UNKNOWN)
        assert stranger.replaced[0].last_sequence == UNKNOWN
    second.close(unlink=True)
    first.close()
    tell(
        "row 49, nobody recorded: 30 of the old ring, its end declared unknown, then 7 of 7; an unknown cursor declared"
    )


def test_ring_whose_writer_still_publishes_is_left_for_the_one_that_has_its_name(ring_name: str, home: Path) -> None:
    """The name is taken away under a writer that never looks: its readers leave it after a while."""
    with running(relaying(home, ring_name)):
        first = ring(ring_name)
        publish_numbered(first, 5)
        witness = Witness(home / "s")
        witness.until(lambda: witness.has(first.uuid, 5))
        unlink_ring(ring_name)
        publish_numbered(first, 5)
        witness.until(lambda: witness.has(first.uuid, 10))
        second = ring(ring_name)
        publish_numbered(second, 3)
        witness.until(lambda: witness.has(second.uuid, 3))
        witness.check((first.uuid, 10), (second.uuid, 3))
        second.close(unlink=True)
        first.close()
