"""One seed: a world, what happens in it, and the judgement.

moves of all kinds <---- honest ----> settling: nothing new happens, everything runs, until nothing is lacking
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from random import Random
from typing import Any

from consumers.client import RelayUnreachable
from tools.prove.delivery.world.client import ClientModel
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.cursors import CursorStore
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.kinds import Chances, draw_active
from tools.prove.delivery.world.line import Surroundings
from tools.prove.delivery.world.oracle import Broken, DeliveryOracle
from tools.prove.delivery.world.recorder import RecorderModel
from tools.prove.delivery.world.relay import RelayModel
from tools.prove.delivery.world.rings import RingName
from tools.prove.delivery.world.stand_ins import stand_ins
from tools.prove.delivery.world.wire import WireEnd

MOVES = 160
SETTLING_S = 40.0
"""The longest wait of any rule, for the recorder and for a writer that lost its name, several times over."""


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
        self.name = RingName(capacity=rng.choice((8, 20, 60)))
        self.journal = WorldJournal()
        self.oracle = DeliveryOracle(self.name, self.journal, filtered="filtered" in run.kinds)
        self.store = CursorStore(self.oracle, self.chances)
        self.around = Surroundings(
            self.name,
            self.journal,
            self.clock,
            self.chances,
            self.oracle,
            lambda: self.recorder.stands if self.recorder is not None else None,
        )
        self.recorder: RecorderModel | None = None
        self.relay: RelayModel | None = None
        self.client: ClientModel | None = None
        self.back_at = dict.fromkeys(("recorder", "relay", "client", "busy", "name"), 0.0)
        self.unaware: list[tuple[float, Any]] = []

    def connect(self, *_: object) -> WireEnd:
        """Stands for `relay.address.connect`."""
        if self.relay is None:
            raise RelayUnreachable("no relay")
        wire = WireEnd(Random(self.rng.random()))
        if self.client is not None:
            self.client.wires.append(wire)
        else:
            self.first_wire = wire
        self.relay.accept(wire)
        return wire

    # ---- what happens

    def move(self) -> None:
        """A moment: something may happen, and each process has a turn, in any order."""
        self.clock.now += self.rng.expovariate(1 / 0.05)
        self.oracle.now = self.clock.now
        self.produce()
        self.keep_journal()
        turns = [self.turn_recorder, self.turn_relay, self.turn_client]
        self.rng.shuffle(turns)
        for turn in turns:
            turn()

    def produce(self) -> None:
        chances, now = self.chances, self.clock.now
        ring = self.name.current
        for until, old in list(self.unaware):
            if now >= until:
                old.owned = False
                self.unaware.remove((until, old))
            elif self.rng.random() < 0.3:
                old.publish(1)
        if ring is None:
            if now >= self.back_at["name"]:
                self.oracle.note(f"ring {self.name.make().number} is made")
            return
        if not self.chances.honest:
            ring.publish(self.rng.choice((0, 1, 1, 2, 4)) if ring.owned else 0)
        if chances.strikes("bursts", 0.1):
            ring.publish(chances.number("bursts", 5, 80))
        if chances.strikes("evicted", 0.05):
            ring.reliable_at = None
        if not ring.owned:
            if now >= self.back_at["name"]:
                ring.owned = True
        elif chances.strikes("take_over", 0.03):
            ring.owned, self.back_at["name"] = False, now + chances.seconds("take_over", 3)
            self.oracle.note(f"the writer of ring {ring.number} dies behind {ring.behind - 1}")
        if chances.strikes("replace", 0.05):
            self.replace(ring)

    def replace(self, ring: Any) -> None:
        chances, now = self.chances, self.clock.now
        ring.named, ring.owned = False, False
        self.back_at["name"] = now
        if chances.strikes("unaware_writer", 0.4):
            ring.owned = True
            self.unaware.append((now + chances.seconds("unaware_writer", 1.0), ring))
        if chances.strikes("nameless_pause", 0.5):
            self.back_at["name"] = now + chances.seconds("nameless_pause", 4)
        self.oracle.note(f"ring {ring.number} loses its name behind {ring.behind - 1}")

    def keep_journal(self) -> None:
        chances, segments = self.chances, self.journal.segments
        if len(segments) > 1 and chances.strikes("retention", 0.05):
            count = chances.number("retention", 1, len(segments) - 1)
            del segments[:count]
            self.oracle.note(f"retention drops {count} segments")
        if segments and chances.strikes("damage", 0.03):
            segments[chances.number("damage", 0, len(segments) - 1)].damaged = True
            self.oracle.note("a segment is damaged")

    def down(self, process: str, seconds: float) -> None:
        self.oracle.note(f"the {process} is killed")
        self.back_at[process] = self.clock.now + seconds

    def turn_recorder(self) -> None:
        chances = self.chances
        if self.recorder is None:
            if self.clock.now < self.back_at["recorder"] and not chances.honest:
                return
            self.recorder = RecorderModel(self.name, self.journal, self.clock)
        if chances.strikes("slow_recorder", 0.5):
            return
        self.recorder.step(5 if "slow_recorder" in chances.active else 100)
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

    def turn_client(self) -> None:
        chances, now = self.chances, self.clock.now
        if self.client is None:
            if self.relay is None or (now < self.back_at["client"] and not chances.honest):
                return
            self.client = ClientModel(self.clock, chances, self.oracle)
            self.client.wires.append(self.first_wire)
        if now < self.back_at["busy"] and not chances.honest:
            return
        self.client.step(self.rng.choice((1, 3, 20)))
        if chances.strikes("busy", 0.05):
            self.back_at["busy"] = now + chances.seconds("busy", 8)
        if chances.strikes("disconnect", 0.03):
            self.client.wires[-1].close()
            self.oracle.note("the connection breaks")
        if chances.strikes("client_kill", 0.03):
            self.client.kill()
            self.client = None
            self.oracle.restarted()
            self.down("client", chances.seconds("client_kill", 5))

    # ---- from beginning to end

    def play(self) -> None:
        began = self.clock.now
        for _ in range(self.run.moves):
            self.move()
        self.chances.honest = True
        self.back_at = dict.fromkeys(self.back_at, 0.0)
        deadline = self.clock.now + SETTLING_S
        self.oracle.note("settling")
        while self.clock.now < deadline and (self.name.current is None or self.unaware or self.oracle.lacks()):
            self.move()
        self.oracle.judge_end()
        run, oracle = self.run, self.oracle
        run.rings, run.published = len(self.name.rings), sum(ring.behind - 1 for ring in self.name.rings)
        run.items, run.lost, run.successions = oracle.items, oracle.lost_frames, oracle.successions
        run.virtual_s = self.clock.now - began


def run_delivery(
    seed: int, kinds: frozenset[str] | None = None, moves: int = MOVES, *, trace: bool = False
) -> DeliveryRun:
    """Run a seed's world, with all that it draws or with these `kinds` only."""
    run = DeliveryRun(seed, draw_active(seed) if kinds is None else kinds, moves)
    world = _DeliveryWorld(run)
    with stand_ins(world.clock, Random(f"{seed}/client"), world.connect, world.store.open):
        try:
            world.play()
        except Exception as error:  # noqa: BLE001 - whatever the code under proof raises is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__}: {error} at {where.filename.rpartition('/')[2]}:{where.lineno}"
            world.oracle.break_rule("exception", words)
            if trace:
                world.oracle.note(traceback.format_exc())
    run.broken = world.oracle.broken
    if trace:
        run.history = [f"{at - 1000:8.3f} {words}" for at, words in world.oracle.told]
    return run
