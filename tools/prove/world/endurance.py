"""One life of very many blocks: nothing that the feed holds may grow.

Owns the course of that life and what is measured on it.  It is a row of spells, each with faults of its own at its
beginning and an honest end, at which nothing may be lacking; what is older than a spell or two is then forgotten by the
world itself, which has no more memory than the feed is allowed.

    spell: FAULTY blocks with faults ----> honest blocks until nothing is lacking ----> tables counted, past forgotten
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from producers.blocks.chain import MAX_LOOSE
from tlv.units import NS
from tools.prove.world.chain import KEPT
from tools.prove.world.faults import ANSWERS, NETWORK, PUSHES, FaultPlan, FaultWindow, draw_windows
from tools.prove.world.hanging import bounded_cpu
from tools.prove.world.oracle import Fault
from tools.prove.world.run import FeedWorld, WorldRun, warm
from tools.prove.world.tables import tables
from tools.rig.processes import resident_bytes

FAULTY = 60
"""Blocks of a spell while which faults may strike."""
AT_ONCE = 4
"""Kinds of faults in one spell, and one of `CHAIN_MOVES`."""
CHAIN_MOVES = ("reorgs", "returns")
LOOKS = 400
"""How often the tables are counted at most: a count takes as long as some hundred blocks."""
KINDS = frozenset((*ANSWERS, *PUSHES, *NETWORK, *CHAIN_MOVES, "deep_reorgs", "state_sync"))
"""What changes from spell to spell.  No kills: a new process begins with empty tables."""
GROWTH = 1.1
"""What the last tenth of a life may hold, to the most in all before its middle."""
CACHES_BYTES = 64 << 20
"""What the world's own caches (blooms, runs of programs) may add to the memory of the process."""


class Spells(FaultPlan):
    """Faults without an end: other kinds in each spell, in windows of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, KINDS, NS)
        self._seed = seed
        self._windows = {}

    def begin(self, number: int, now_ns: int, length_ns: int) -> None:
        """The spell of this number begins now; its faults end after `length_ns`."""
        rng = Random(f"{self._seed}:spell {number}")
        self._windows = {
            kind: [
                FaultWindow(now_ns + begin_ns, now_ns + end_ns, share)
                for begin_ns, end_ns, share in draw_windows(rng, length_ns)
            ]
            for kind in {*rng.sample(sorted(KINDS), AT_ONCE), rng.choice(CHAIN_MOVES)}
        }

    def __contains__(self, kind: str) -> bool:
        return kind in self._windows


@dataclass
class Holdings:
    """What there was at the end of a spell."""

    blocks: int
    """So many were mined up to here."""
    tables: Counter[str]
    resident_bytes: int
    """Of this process: the feed and the world around it."""

    @property
    def entries(self) -> int:
        """Of all tables."""
        return self.tables.total()


@dataclass
class LongLife:
    """What came of a seed."""

    seed: int
    blocks: int = 0
    messages: int = 0
    gaps: int = 0
    reorgs: int = 0
    looks: list[Holdings] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no rule was broken and nothing grew."""
        return not self.faults

    @property
    def summary(self) -> str:
        """One line."""
        first, last = self.looks[0], self.looks[-1]
        return (
            f"seed {self.seed}: {self.blocks} blocks, {self.messages} messages, {self.reorgs} reorgs, "
            f"{self.gaps} gaps; {first.entries} entries after {first.blocks} blocks, {last.entries} at the end, "
            f"{max(look.entries for look in self.looks)} at most; "
            f"{first.resident_bytes >> 20} MiB resident, {last.resident_bytes >> 20} at the end"
            + "".join(f"; {fault.kind}: {fault.words}" for fault in self.faults[:1])
        )


def endure(seed: int, blocks: int, on_look: Callable[[LongLife], None] = lambda _: None) -> LongLife:
    """Let one collector live for so many blocks; `on_look` is called behind each count of its tables."""
    life, faults = LongLife(seed), Spells(seed)
    warm()
    world = FeedWorld(WorldRun(seed, KINDS, 0), False, faults)
    number = 0
    while life.blocks < blocks and not life.faults:
        with bounded_cpu():
            faults.begin(number, world.agenda.now_ns, FAULTY * world.block_time_ns)
            life.blocks += _live(world, life)
        number += 1
        due = len(life.looks) * blocks // LOOKS
        if life.blocks >= due or life.faults:
            life.looks.append(Holdings(life.blocks, tables(world.collector.feed), resident_bytes()))
            on_look(life)
        _forget(world)
    life.messages, life.gaps = world.oracle.messages, world.oracle.gaps_told
    life.faults += grown(life.looks)
    return life


def grown(looks: list[Holdings]) -> list[Fault]:
    """The tables and the memory that hold more at the end of a life than they did before its middle."""
    middle, late = looks[-1].blocks // 2, looks[-1].blocks * 9 // 10
    before = [look for look in looks if look.blocks <= middle]
    after = [look for look in looks if look.blocks >= late]
    found = []
    for name in sorted({name for look in after for name in look.tables}):
        most, now = (max((look.tables[name] for look in part), default=0) for part in (before, after))
        if now > max(GROWTH * most, MAX_LOOSE):  # the largest bound of a table: up to there it may be filling
            found.append(Fault("memory", f"{name} holds {now}, and no more than {most} in the first half"))
    most_bytes, now_bytes = (max((look.resident_bytes for look in part), default=0) for part in (before, after))
    if now_bytes > GROWTH * most_bytes + CACHES_BYTES:
        found.append(Fault("memory", f"{now_bytes >> 20} MiB resident, and {most_bytes >> 20} in the first half"))
    return found


def _live(world: FeedWorld, life: LongLife) -> int:
    """One spell; returns how many blocks it had."""
    for node in world.endpoints.values():
        node.plan_breaks()
    for step in range(FAULTY):
        world.agenda.run_until(world.agenda.now_ns + world.block_time_ns)
        before = world.tree.head
        world.scenario.step(step)
        life.reorgs += world.tree.head.parent is not before
    honest = world.settle()
    life.faults += world.oracle.faults or world.unmet()
    if not life.faults and not world.settles():
        life.faults.append(Fault("unsettled", "the feed still waits for something"))
    return FAULTY + honest


def _forget(world: FeedWorld) -> None:
    world.scenario.forget()
    world.tree.forget()
    world.collector.forget_ring()
    world.oracle.forget(world.tree.head.number - KEPT // 2)
