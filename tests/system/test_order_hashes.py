"""One market, seen live, replayed, in its journal and in a backtest: the same messages, by their hash.

The bundled journal of a market is published again and again into one ring until a million frames are in it, while a
plain and a native strategy read it, and are killed with SIGKILL twenty times each, somewhere.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from consumers.host import containing, open_runner
from consumers.journal import Fsync, JournalReader
from consumers.journal.part import polls_of
from consumers.loading import AnyStrategy, load_strategy, make_strategy
from consumers.order_hash import OrderHash
from consumers.recorder import Recorder
from producers.output.replay import Replay
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer, unlink
from ringbuf.playback import never
from tlv.buffers import Bytes, Longs
from tlv.jit import kernel
from tlv.kernels import seal
from tlv.layout import HEADER, HEADER_SIZE, LAYOUT_DIGEST, Session, VenueName
from tlv.message import build, parse
from tlv.record import Record
from tools.command.supervisor import child_environment, command_line
from tools.market.bundle import bundled_market_journal
from tools.rig.processes import wait_for
from tools.rig.victims import ForkedVictim

FRAMES = 1_000_000
KILLS = 20
WAYS = 5
"""live, published, journal, replay, backtest"""
CAPACITY = 1 << 29
"""The whole stream, so that a strategy that starts again finds its beginning."""
REPLAY_CAPACITY = 1 << 24
PATIENCE_S = 120.0
"""Judges nothing: other tests may have the processor."""
TELLER = str(Path(__file__).with_name("reorg_teller.py")) + ":ReorgTeller"
MOVER = "consumers.examples.native_mover:NativeMover"
FLASH = "flash_arbitrage"
SETS = {
    TELLER: (),
    MOVER: ("threshold_pips=30000",),
    FLASH: ("wrapped_native=0x5fbdb2315678afecb367f032d93f642f64180aa3", "gas.tip_wei=0"),
}
MILLION = (TELLER, MOVER)
"""The strategies that a million frames are for."""
ONCE = (Session, VenueName)
"""What a ring says once."""


@kernel
def number_on(buffer: Bytes, offsets: Longs, lengths: Longs, first: int) -> None:
    """Give messages the sequences from `first` on."""
    for i in range(len(offsets)):
        start = offsets[i]
        buffer[start : start + HEADER_SIZE].view(HEADER)[0]["sequence"] = first + i
        seal(buffer, start, start + lengths[i])


class Lap(NamedTuple):
    """Messages in one buffer."""

    buffer: Bytes
    offsets: Longs
    lengths: Longs

    @classmethod
    def of(cls, messages: list[bytes]) -> Lap:
        lengths = np.array([len(message) for message in messages], np.int64)
        strides = lengths + 7 & -8
        padded = b"".join(message.ljust(int(stride), b"\0") for message, stride in zip(messages, strides, strict=True))
        return cls(np.frombuffer(bytearray(padded), np.uint8), np.cumsum(strides) - strides, lengths)

    def publish(self, writer: Writer, most: int) -> None:
        """Publish the first `most` messages, or all, with the sequences that are next."""
        offsets, lengths = self.offsets[:most], self.lengths[:most]
        number_on(self.buffer, offsets, lengths, writer.next_sequence)
        writer.publish_many(self.buffer, offsets, lengths)


def bundled_frames() -> Iterator[bytes]:
    with JournalReader(bundled_market_journal()) as reader:
        while len(poll := reader.poll()):
            yield from (bytes(frame.payload) for frame in poll)


def opening(payload: bytes, uuid: bytes) -> bytes:
    """A message that a ring says once, as the ring of this uuid says it."""
    message = parse(payload)
    records: list[Record] = [
        Session(**{name: getattr(one, name) for name in one.__struct_fields__} | {"ring_uuid": uuid})
        if isinstance(one, Session)
        else one
        for one in message.records
    ]
    return build(message.header.domain, message.header.source, records)


def strategy_of(reference: str) -> AnyStrategy:
    return make_strategy(load_strategy(reference), {}, SETS[reference])


def publish_from(
    reader_of: Callable[[], Reader | JournalReader], strategy: AnyStrategy, signals: str, hash_file: Path, live: bool
) -> None:
    """What `alphapulse strategy` does, in a process that starts at once; leaves the order hash and the counts."""
    with ExitStack() as stack:
        runner = open_runner(stack, strategy, stack.enter_context(reader_of()), signals)
        stack.enter_context(containing([runner], 0))
        runner.run(never, until_closed=True, follow=live)
        counts = runner.counts
        said = {"hash": runner.order_hash.hexdigest(), "again": counts.again, "frames": counts.frames}
        hash_file.write_text(json.dumps(said | {"lost": counts.lost, "signals": counts.signals}))


def oldest(ring: str, *, reliable: bool = False) -> Reader:
    return Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST, reliable=reliable)


def run_to_the_end(name: str, work: Callable[[], object], folder: Path) -> None:
    victim = ForkedVictim("strategy", name, work, folder / f"{name}.log")
    victim.start()
    assert victim.wait() == ""


def position(ring: str) -> int:
    """Of the last message in a ring of signals; 0 where there is none."""
    try:
        with Reader.attach(ring, start="latest", layout_digest=LAYOUT_DIGEST) as reader:
            return reader.sequence
    except (RingNotFound, RingNotReady):
        return 0


def hash_of_ring(ring: str) -> str:
    """Over what stands in a ring of signals, all of it."""
    found = OrderHash()
    with oldest(ring) as reader:
        assert reader.sequence == 1, "the ring of signals is too small for all of them"
        while (poll := reader.poll()).status is Status.OK or len(poll):
            assert poll.loss is None
            for frame in poll:
                found.add(bytes(frame.payload))
    return found.hexdigest()


def record_all(ring: str, folder: Path) -> None:
    with Recorder(ring, folder, report=print, fsync=Fsync.NEVER) as recorder:
        recorder.run(never, until_closed=True)


class Live:
    """A ring that grows to `frames` frames, a recorder of it, and strategies that are killed meanwhile."""

    def __init__(self, ring: str, folder: Path, references: tuple[str, ...]) -> None:
        self.ring, self.folder, self.journal = ring, folder, folder / "journal"
        self.signals = {reference: f"{ring}.{number}" for number, reference in enumerate(references)}
        self.victims: dict[str, ForkedVictim] = {}

    def said(self, reference: str) -> Path:
        return self.folder / f"{self.signals[reference]}.json"

    def start_all(self) -> None:
        for reference, signals in self.signals.items():
            work = partial(
                publish_from, partial(oldest, self.ring), strategy_of(reference), signals, self.said(reference), True
            )
            self.victims[reference] = ForkedVictim("strategy", signals, work, self.folder / f"{signals}.log")
            self.victims[reference].start()

    def run(self, frames: int, kills: int, seed: int) -> None:
        """Publish everything; behind each of as many parts as there are kills all strategies are killed, when each has
        said something new, at any instruction."""
        rng = random.Random(seed)
        with Writer.create(self.ring, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as writer:
            recorder = ForkedVictim(
                "recorder", "recorder", partial(record_all, self.ring, self.journal), self.folder / "r"
            )
            recorder.start()
            wait_for(lambda: writer.reliable_readers == 1, PATIENCE_S)
            messages = list(bundled_frames())
            once = [one for one in messages if isinstance(parse(one).records[0], ONCE)]
            Lap.of([opening(one, writer.uuid) for one in once]).publish(writer, len(once))
            lap = Lap.of([one for one in messages if not isinstance(parse(one).records[0], ONCE)])
            for part in range(kills + 1):
                before = {reference: position(signals) for reference, signals in self.signals.items()}
                self.start_all()
                while (missing := frames * (part + 1) // (kills + 1) - writer.next_sequence + 1) > 0:
                    lap.publish(writer, missing)
                if part == kills:
                    break
                for reference, victim in self.victims.items():
                    wait_for(lambda: position(self.signals[reference]) > before[reference], PATIENCE_S)  # noqa: B023
                    time.sleep(rng.random() / 200)
                    assert victim.ended() == ""
                    victim.kill()
            writer.close()
            assert all(victim.wait() == "" for victim in (*self.victims.values(), recorder))


def test_a_million_frames_and_twenty_kills_give_one_order_hash_live_replayed_recorded_and_in_a_backtest(
    tmp_path: Path, ring_name: str, tell: Callable[[str], None]
) -> None:
    live = Live(ring_name, tmp_path, MILLION)
    live.run(FRAMES, KILLS, seed=13)
    hashes: dict[str, dict[str, str]] = {reference: {} for reference in MILLION}
    for reference, signals in live.signals.items():
        said = json.loads(live.said(reference).read_text())
        assert (said["frames"], said["lost"]) == (FRAMES, 0)
        assert said["again"] > 0
        hashes[reference]["live"] = said["hash"]
        hashes[reference]["published"] = hash_of_ring(signals)
    unlink(ring_name)  # half a gigabyte

    for number, reference in enumerate(MILLION):
        said_file = tmp_path / f"journal{number}.json"
        work = partial(JournalReader, live.journal)
        run_to_the_end(
            f"journal{number}",
            partial(publish_from, work, strategy_of(reference), f"{ring_name}.j{number}", said_file, False),
            tmp_path,
        )
        hashes[reference]["journal"] = json.loads(said_file.read_text())["hash"]

    for reference, found in replayed(live.journal, f"{ring_name}.replay", tmp_path, MILLION).items():
        hashes[reference]["replay"] = found
    for reference, found in backtested(live.journal, MILLION).items():
        hashes[reference]["backtest"] = found
    for reference, by_way in hashes.items():
        assert len(by_way) == WAYS
        assert len(set(by_way.values())) == 1, (reference, by_way)
    tell(
        f"order hashes: {FRAMES:,} frames, {KILLS} kills of each of {len(MILLION)} strategies, {WAYS} ways to each hash"
    )


def replayed(journal: Path, ring: str, folder: Path, references: tuple[str, ...]) -> dict[str, str]:
    """The order hash of each strategy that reads a replay of the journal at full speed."""
    said = {reference: folder / f"replay{number}.json" for number, reference in enumerate(references)}
    with Writer.create(
        ring, capacity=REPLAY_CAPACITY, layout_digest=LAYOUT_DIGEST, full_timeout_s=PATIENCE_S
    ) as writer:
        victims = []
        for number, reference in enumerate(references):
            work = partial(
                publish_from,
                partial(oldest, ring, reliable=True),
                *(strategy_of(reference), f"{ring}.{number}", said[reference], True),
            )
            victims.append(ForkedVictim("strategy", f"replay{number}", work, folder / f"replay{number}.log"))
            victims[-1].start()
        wait_for(lambda: writer.reliable_readers == len(references), PATIENCE_S)
        with JournalReader(journal) as reader:
            done = Replay(writer).play(polls_of(reader, None, None))
        assert (done.lost, done.unmarked) == (0, 0)
        writer.close()
        assert all(victim.wait() == "" for victim in victims)
    return {reference: json.loads(path.read_text())["hash"] for reference, path in said.items()}


def backtested(journal: Path, references: tuple[str, ...]) -> dict[str, str]:
    """The order hash of each strategy that `alphapulse backtest` prints."""
    options = []
    for reference in references:
        name = strategy_of(reference).name
        options += ["--strategy", reference]
        for one in SETS[reference]:
            options += ["--set", one if len(references) == 1 else f"{name}.{one}"]
    done = subprocess.run(
        command_line(["backtest", str(journal), *options, "--json", "--no-progress"]),
        env=child_environment({}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[0])["strategies"]
    return {reference: one["order_hash"] for reference, one in zip(references, found, strict=True)}


def test_flash_arbitrage_of_the_bundled_market_has_one_order_hash_replayed_and_in_a_backtest(
    tmp_path: Path, ring_name: str
) -> None:
    journal = bundled_market_journal()
    again = replayed(journal, f"{ring_name}.replay", tmp_path, (FLASH,))
    assert again == backtested(journal, (FLASH,))
    assert json.loads((tmp_path / "replay0.json").read_text())["signals"] > 1_000
