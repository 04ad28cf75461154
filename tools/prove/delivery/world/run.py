"""One seed: a world, what happens in it, and the judgement.

moves of all kinds <---- honest ----> settling: nothing new happens, everything runs, until nothing is lacking
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random

from consumers.client import RelayUnreachable
from consumers.incarnations import RECORDER_PATIENCE_S
from tools.prove.delivery.world.bridge import BridgePart
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.cursors import CursorStore
from tools.prove.delivery.world.findings import Broken, Findings
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.journal_writer import JournalDesk
from tools.prove.delivery.world.kinds import Chances, draw_active
from tools.prove.delivery.world.line import Surroundings
from tools.prove.delivery.world.oracle import DeliveryOracle
from tools.prove.delivery.world.producer import ProducerModel
from tools.prove.delivery.world.recorder import RecorderModel
from tools.prove.delivery.world.relay import RelayModel
from tools.prove.delivery.world.relay_oracle import RelayOracle
from tools.prove.delivery.world.rings import RingName
from tools.prove.delivery.world.seat import ClientSeat
from tools.prove.delivery.world.stand_ins import stand_ins
from tools.prove.delivery.world.wire import WireEnd
from tools.prove.delivery.world.wishes import draw_wishes

MOVES = 160
SETTLING_S = 40.0
"""The longest wait of any rule, for the recorder and for a writer that lost its name, several times over."""
RING_S = 2 * RECORDER_PATIENCE_S
"""For each ring: a client in front of one that nobody recorded waits for its frames, then for what may follow it."""


@dataclass
class DeliveryRun:
    """What came of a seed."""

    seed: int
    kinds: frozenset[str]
    moves: int
    broken: list[Broken] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    rings: int = 0
    published: int = 0
    items: int = 0
    lost: int = 0
    successions: int = 0
    virtual_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return not self.broken

    @property
    def summary(self) -> str:
        """One line."""
        kinds = ", ".join(sorted(self.kinds)) or "no kinds"
        what = f"{self.broken[0].rule}: {self.broken[0].words}" if self.broken else "ok"
        return f"seed {self.seed}: {what} ({self.moves} moves; {kinds})"


class _DeliveryWorld:
    """Everything of one seed."""

    def __init__(self, run: DeliveryRun) -> None:
        rng = Random(run.seed)
        self.run, self.rng = run, Random(f"{run.seed}/order")
        self.clock = DeliveryClock()
        self.chances = Chances(run.seed, run.kinds)
        self.findings = Findings(self.clock)
        self.name = RingName(capacity=rng.choice((8, 20, 60)))
        self.journal = WorldJournal()
        self.desk = JournalDesk(self.name, self.journal, self.clock, self.chances, self.findings)
        self.store = CursorStore(self.chances)
        self.producer = ProducerModel(self.name, self.rng, self.clock, self.chances, self.findings)
        relay_oracle = RelayOracle(self.name, self.journal, self.findings)
        self.follows = RelayOracle(self.name, self.journal, self.findings)
        """Judges the steps of a reader without relay and journal."""
        self.around = Surroundings(
            self.name,
            self.journal,
            self.clock,
            self.chances,
            relay_oracle,
            lambda: self.recorder.stands if self.recorder is not None else None,
        )
        self.recorder: RecorderModel | None = None
        self.relay: RelayModel | None = None
        self.back_at = dict.fromkeys(("recorder", "relay"), 0.0)
        self.seats = []
        for wish in draw_wishes(run.kinds):
            follows = relay_oracle if wish.by_relay else self.follows
            oracle = DeliveryOracle(self.name, wish, follows, self.findings)
            self.store.witnesses[wish.name] = oracle
            self.seats.append(ClientSeat(wish, self.rng, self.clock, self.chances, oracle))
        self.at_turn = self.seats[0]
        around = (self.name, self.journal, self.clock, self.chances, self.findings)
        self.bridge = BridgePart(run.seed, *around) if "bridge" in run.kinds else None

    def connect(self, *_: object) -> WireEnd:
        """Stands for `relay.address.connect`: the client that is at turn connects."""
        if self.relay is None:
            raise RelayUnreachable("no relay")
        wire = WireEnd(Random(self.rng.random()))
        self.at_turn.wires.append(wire)
        self.relay.accept(wire)
        return wire

    def move(self) -> None:
        """A moment: something may happen, and each process has a turn, in any order."""
        self.clock.now += self.rng.expovariate(1 / 0.05)
        self.producer.turn()
        if self.chances.strikes("reboot", 0.01):
            self.reboot()
        self.journal.suffer(self.chances, self.findings)
        turns: list[Callable[[], object]] = [self.turn_recorder, self.turn_relay]
        turns += [partial(self.turn_client, seat) for seat in self.seats]
        self.rng.shuffle(turns)
        for turn in turns:
            turn()
        if self.bridge is not None:
            self.bridge.turn()

    def reboot(self) -> None:
        """The machine goes down and comes back: rings and processes are gone, the disk has what it had taken."""
        chances, back_at = self.chances, self.clock.now + self.chances.seconds("reboot", 10)
        self.findings.note("the machine reboots")
        for process in (self.recorder, self.relay):
            if process is not None:
                process.kill()
        self.recorder = self.relay = None
        for seat in self.seats:
            seat.kill(back_at)
        if self.bridge is not None:
            self.bridge.reboot(back_at)
        self.producer.reboot(back_at)
        self.journal.lose_tail(chances.number("reboot", 0, 10))
        self.back_at = dict.fromkeys(self.back_at, back_at)

    def down(self, process: str, seconds: float) -> None:
        self.findings.note(f"the {process} is killed")
        self.back_at[process] = self.clock.now + seconds

    def turn_recorder(self) -> None:
        chances = self.chances
        if self.recorder is None:
            if self.clock.now < self.back_at["recorder"] and not chances.honest:
                return
            self.recorder = RecorderModel(self.name, self.desk, chances, self.findings)
        if chances.strikes("slow_recorder", 0.5):
            return
        if chances.strikes("recorder_stop", 0.03):
            self.recorder.stop()
        if not self.recorder.step(5 if "slow_recorder" in chances.active else 100):
            self.recorder = None
            return
        away = chances.strikes("recorder_away", 0.01)
        if away or chances.strikes("recorder_kill", 0.03):
            self.recorder.kill()
            self.recorder = None
            self.down("recorder", chances.seconds("recorder_away", 15) if away else 0.1)

    def turn_relay(self) -> None:
        chances = self.chances
        if self.relay is None:
            if self.clock.now < self.back_at["relay"] and not chances.honest:
                return
            self.relay = RelayModel(self.around, self.store)
        self.relay.step()
        if chances.strikes("relay_kill", 0.03):
            self.relay.kill()
            self.relay = None
            self.down("relay", chances.seconds("relay_kill", 5))

    def turn_client(self, seat: ClientSeat) -> None:
        self.at_turn = seat
        seat.turn(relay_runs=self.relay is not None)

    def end(self) -> None:
        """End what has threads and loops."""
        if self.recorder is not None:
            self.recorder.kill()
        if self.bridge is not None:
            self.bridge.close()

    def play(self) -> None:
        began = self.clock.now
        for _ in range(self.run.moves):
            self.move()
        self.chances.honest = True
        deadline = self.clock.now + SETTLING_S + RING_S * len(self.name.rings)
        self.findings.note("settling")
        oracles = [seat.oracle for seat in self.seats]
        while self.clock.now < deadline and not (
            self.producer.settled
            and not any(oracle.lacks() for oracle in oracles)
            and not (self.bridge is not None and self.bridge.lacks)
        ):
            self.move()
        for oracle in oracles:
            oracle.judge_end()
        if self.bridge is not None:
            self.bridge.judge_end()
        run = self.run
        run.rings, run.published = len(self.name.rings), sum(ring.behind - 1 for ring in self.name.rings)
        run.items, run.lost = sum(one.items for one in oracles), sum(one.lost_frames for one in oracles)
        run.successions = sum(one.successions for one in oracles)
        run.virtual_s = self.clock.now - began


def run_delivery(
    seed: int, kinds: frozenset[str] | None = None, moves: int = MOVES, *, trace: bool = False
) -> DeliveryRun:
    """Run a seed's world, with all that it draws or with these `kinds` only."""
    run = DeliveryRun(seed, draw_active(seed) if kinds is None else kinds, moves)
    world = _DeliveryWorld(run)
    bridged = world.bridge.stand_ins() if world.bridge is not None else nullcontext()
    client = Random(f"{seed}/client")
    with bridged, stand_ins(world.clock, client, world.connect, world.store.open, world.desk, world.follows):
        try:
            world.play()
        except Exception as error:  # noqa: BLE001 - whatever the code under proof raises is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} at {where.filename.rpartition('/')[2]}:{where.lineno}"
            world.findings.break_rule("exception", words)
            if trace:
                world.findings.note(traceback.format_exc())
        finally:
            world.end()
    run.broken = world.findings.broken
    if trace:
        run.history = [f"{at - 1000:8.3f} {words}" for at, words in world.findings.told]
    return run
