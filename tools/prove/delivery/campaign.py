"""Row 31: every process between a ring and its readers is killed at random, and nothing is lost.

Owns the campaign: which processes run, which is killed when, and the verdict.

    publisher -> near ring -+-> recorder -> journal -+          (plain readers of the near ring are counted, not killed)
                            +-> relay 0, relay 1 <---+--> three named clients, each at whichever relay it finds
                            +-> bridge out <---------+--> broker -> bridge in -> far ring -> a plain reader

Every process is forked from this one, which has imported and compiled everything: a killed process runs again within
milliseconds, so kills hit work and not start-up.  Relays, recorder and bridges run the commands that a user runs.

Some are started again only when the ring no longer has what they need next: then the journal has to serve them.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np

from consumers.bridge.batch import find_damaged, gather
from consumers.journal import JournalReader
from ringbuf import Loss
from tools import bridge, record, relay
from tools.prove.delivery.roles import RING_BYTES, Publication, follow_relay, publish, read_ring
from tools.prove.delivery.verdict import judge
from tools.prove.delivery.witness import ConsumerWitness
from tools.rig.nats_server import NatsServer
from tools.rig.numbered import SIZE
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, wait_for
from tools.rig.victims import BrokerVictim, ForkedVictim, Victim
from tools.warm import warm_journal, warm_relay, warm_ring

RELAYS = 2
RESTS = (0, 32, 8)
"""After how many messages each of the named clients pauses; 0 for never."""
MEAN_PAUSE_S = 0.35
AT_ONCE_SHARE = 0.25
"""Of the kills, that follow another without a pause: a client and its relay, a bridge and its broker."""
LONGEST_ABSENCE_S = 0.3
RING_MESSAGES = RING_BYTES // SIZE
"""More than the near ring holds: a frame is larger than its message."""
CAN_BE_LAPPED = {"client", "bridge out", "broker"}
"""The first kill of each of these, and one in LONG_ONE_IN later ones, lasts until the ring has lapped it."""
LONG_ONE_IN = 12
FAR_RING_BYTES = 1 << 26
START_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 90.0
SETTLE_STEP_S = 0.05
SEGMENT_MIB = "4"
"""The smallest, so that segments are closed and packed often."""


@timed
def prove_delivery(kills: int = 60, seed: int = 1) -> Outcome:
    """Kill relays, recorder, bridges, broker and clients `kills` times while PER_S messages a second are published."""
    warm()
    with (
        fresh_name("near") as near,
        fresh_name("far") as far,
        tempfile.TemporaryDirectory(prefix="delivery") as folder,
        NatsServer(Path(folder) / "nats") as server,
    ):
        return Campaign(near, far, Path(folder), server, seed).run(kills)


def warm() -> None:
    """Load every kernel into this process, for the children to inherit."""
    warm_ring()
    warm_journal()
    warm_relay()
    nothing, offsets = np.zeros(8, np.uint8), np.zeros(1, np.int64)
    gather(nothing, offsets, offsets, nothing)
    find_damaged(nothing, offsets, offsets)


class Campaign:
    """One run.  What is killed when follows from `seed`; the scheduling of the processes does not."""

    def __init__(self, near: str, far: str, folder: Path, server: NatsServer, seed: int) -> None:
        self.near, self.far, self.folder = near, far, folder
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = Publication()
        self.clients = {f"client-{number}": ConsumerWitness() for number in range(len(RESTS))}
        self.far_reader, self.eager, self.lazy = ConsumerWitness(), ConsumerWitness(), ConsumerWitness()
        self.kills: Counter[str] = Counter()
        self.absences = 0
        self.failures: list[str] = []
        self.journal = folder / "journal"
        self.sockets = [folder / f"relay{number}.sock" for number in range(RELAYS)]
        self.publisher = self._forked("publisher", "publisher", partial(publish, near, self.clock))
        read = partial(read_ring, clock=self.clock)
        self.readers = [
            self._forked("reader", "eager reader", partial(read, near, self.eager, lazy=False)),
            self._forked("reader", "lazy reader", partial(read, near, self.lazy, lazy=True)),
            self._forked("reader", "far reader", partial(read, far, self.far_reader, lazy=False)),
        ]
        self.recorder = self._command(
            "recorder", record.command, "--ring", near, "--out", self.journal, "--segment-mib", SEGMENT_MIB
        )
        self.others = [*self._relays(), *self._bridges(server.url), *self._named_clients()]
        self.broker = BrokerVictim(server)
        self.victims: list[Victim] = [self.recorder, self.broker, *self.others]

    def run(self, kills: int) -> Outcome:
        """Start all processes, kill, wait until every reader has everything, judge."""
        with self._everybody():
            while self.kills.total() < kills:
                at_once = self.random.random() < AT_ONCE_SHARE
                self._pass_time(0.0 if at_once else self.random.expovariate(1 / MEAN_PAUSE_S))
                self._kill_one()
            self._settle()
            self._end_in_order()
        return self._judge()

    # ---- the processes

    def _forked(self, kind: str, name: str, work: Callable[[], object]) -> ForkedVictim:
        return ForkedVictim(kind, name, work, self.folder / f"{name}.log")

    def _command(self, name: str, command: click.Command, *arguments: str | Path) -> ForkedVictim:
        words = [str(argument) for argument in arguments]
        return self._forked(name.rstrip(" 01"), name, partial(command.main, words, standalone_mode=False))

    def _relays(self) -> Iterator[ForkedVictim]:
        for number, path in enumerate(self.sockets):
            options = ("--journal", self.journal, "--cursors", self.folder / "cursors")
            yield self._command(f"relay {number}", relay.command, "--ring", self.near, "--socket", path, *options)

    def _bridges(self, url: str) -> Iterator[ForkedVictim]:
        both = ("--server", url, "--subject", "alphapulse.delivery")
        yield self._command("bridge out", bridge.command, "out", "--ring", self.near, *both, "--journal", self.journal)
        yield self._command(
            "bridge in", bridge.command, "in", "--ring", self.far, *both, "--capacity", str(FAR_RING_BYTES)
        )

    def _named_clients(self) -> Iterator[ForkedVictim]:
        for (name, witness), rest_every in zip(self.clients.items(), RESTS, strict=True):
            yield self._forked("client", name, partial(self._follow, name, witness, rest_every))

    def _follow(self, name: str, witness: ConsumerWitness, rest_every: int) -> None:
        # Decided in the child at its start, so that it may take another relay than before its kill.
        follow_relay(self.sockets[time.monotonic_ns() % RELAYS], name, witness, rest_every)

    @contextmanager
    def _everybody(self) -> Iterator[None]:
        everybody = [self.publisher, *self.readers, self.recorder, *self.others]
        try:
            self.publisher.start()
            wait_for(lambda: self.clock.published, START_TIMEOUT_S)
            self.recorder.start()
            wait_for(lambda: any(self.journal.glob("*.journal")), START_TIMEOUT_S)
            for one in (*self.readers, *self.others):
                one.start()
            # What a client or bridge that was never there misses, nobody promised it.
            promised = [*self.clients.values(), self.far_reader]
            wait_for(lambda: all(witness.seen.any() for witness in promised), START_TIMEOUT_S)
            yield
        finally:
            for one in everybody:
                if one.running:
                    one.kill()

    # ---- kills

    def _pass_time(self, seconds: float) -> None:
        """Start again the processes that are due, and note those that ended without a kill."""
        until = time.monotonic() + seconds
        while True:
            for one in self.victims:
                if one.running:
                    self._note(one.ended())
                elif time.monotonic() >= one.back_at and self.clock.published >= one.back_from:
                    one.start()
            if time.monotonic() >= until:
                return
            time.sleep(0.01)

    def _kill_one(self) -> None:
        kind = self.random.choice(sorted({one.kind for one in self.victims}))
        present = [one for one in self.victims if one.kind == kind and one.running]
        if not present:
            return
        victim = self.random.choice(present)
        victim.kill()
        long = kind in CAN_BE_LAPPED and (not self.kills[kind] or self.random.randrange(LONG_ONE_IN) == 0)
        victim.back_at = time.monotonic() + self.random.uniform(0, LONGEST_ABSENCE_S)
        victim.back_from = self.clock.published + RING_MESSAGES if long else 0
        self.absences += long
        self.kills[kind] += 1

    def _settle(self) -> None:
        """Start every process again, end the publishing, and wait until no reader lacks a message."""
        while not all(one.running for one in self.victims) or not self.lazy.reported_lost():
            self._pass_time(SETTLE_STEP_S)
        self.clock.stop()
        wait_for(lambda: self.clock.stopped, START_TIMEOUT_S)
        waiting = [*self.clients.values(), self.far_reader]
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while any(one.missing(self.clock.published) for one in waiting) and time.monotonic() < deadline:
            self._pass_time(SETTLE_STEP_S)

    def _end_in_order(self) -> None:
        for reader in self.readers[:2]:
            self._note(reader.wait())
        for one in (self.recorder, *self.others):
            if one.kind == "client":
                one.kill()
            elif one.running:
                self._note(one.terminate())

    def _note(self, failure: str) -> None:
        if failure:
            self.failures.append(failure)

    # ---- the verdict

    def _judge(self) -> Outcome:
        copies = {"journal": self._read_journal(), "far ring": self.far_reader}
        readers = {"eager reader": self.eager, "lazy reader": self.lazy}
        verdict = judge(self.clock.published, self.clients, copies, readers)
        wrong = [*verdict.complaints, *self.failures]
        victims = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        summary = (
            f"{self.kills.total()} kills ({victims}), {self.absences} absences longer than the ring, "
            f"{verdict.summary(len(self.clients))}"
        )
        return Outcome(31, "killed anywhere", not wrong, "; ".join([summary, *wrong]), self.seed)

    def _read_journal(self) -> ConsumerWitness:
        witness = ConsumerWitness()
        with JournalReader(self.journal) as reader:
            for item in reader:
                if isinstance(item, Loss):
                    witness.lose(item.first, item.last)
                else:
                    witness.see(item.sequence, item.payload)
        return witness
