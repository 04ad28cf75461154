"""One seed: a world, a collector in it, and the judgement.

Owns how a world is put together from its seed, how long it lasts, and what of the collector itself is looked at: its
exceptions, the sizes of its tables, its requests.

    faults <---- honest_from ----> settling: a block now and then, until nothing is lacking or `PATIENCE_NS` is over
"""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random

from msgspec import structs

from producers.chains.configuration import ChainConfig, load_chain
from tlv.units import MS, NS
from tools.prove.world.backend import Timeline
from tools.prove.world.chain import BlockTree, Mined
from tools.prove.world.clock import Agenda
from tools.prove.world.collector import CollectorModel, Spinning
from tools.prove.world.contracts import WorldPool
from tools.prove.world.faults import (
    HONEST,
    KILLS,
    MARKETS,
    SECOND_LIES,
    FaultPlan,
    draw_claims,
    draw_kinds,
    draw_markets,
)
from tools.prove.world.hanging import Hanging, bounded_cpu
from tools.prove.world.markets import Markets
from tools.prove.world.node import USELESS, WorldNode
from tools.prove.world.oracle import Fault, Oracle, sorted_by_kind
from tools.prove.world.scenario import Scenario, history
from tools.prove.world.tables import tables
from tools.warm import warm_collector

OF_SECOND = 1 << 40
"""Added to a seed: the second endpoint has windows of its own."""
PATIENCE_NS = 300 * NS
"""After faults have ended, so long may a hole stay open."""
FEWEST_ROUNDS = 3
PUBLISHING_UNPROVEN = 0.25
"""Of the worlds, those whose collector publishes the events of unproven emitters, flagged."""
SOON_FINAL = 0.2
"""Of the worlds, those whose chain is final after `FINALITIES` blocks: there, reorgs and holes reach beyond it."""
FINALITIES = (24, 32, 48)
LARGEST_TABLE = 4_000
"""Entries of one table of the feed, in worlds of some hundred blocks."""
COUNTED_EVERY = 16
"""Of so many seeds one has its tables counted: the walk may take as long as the world itself."""


@dataclass
class WorldRun:
    """What came of a seed."""

    seed: int
    kinds: frozenset[str]
    blocks: int
    faults: list[Fault] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    """What happened, if that was asked for."""
    gaps: int = 0
    messages: int = 0
    traded: frozenset[int] = frozenset()
    """Kinds, by code, of which a swap was told."""
    virtual_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return not self.faults

    @property
    def cause(self) -> str:
        """The kind of its first fault."""
        return self.faults[0].kind if self.faults else ""

    @property
    def summary(self) -> str:
        """One line."""
        kinds = ", ".join(sorted(self.kinds)) or "no faults"
        if self.passed:
            return f"seed {self.seed}: ok ({self.blocks} blocks; {kinds})"
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted_by_kind(self.faults).items())
        return f"seed {self.seed}: {counts}; first: {self.faults[0].words} ({self.blocks} blocks; {kinds})"


class FeedWorld:
    """Everything of one seed."""

    def __init__(self, run: WorldRun, trace: bool, faults: FaultPlan | None = None) -> None:
        seed, rng = run.seed, Random(run.seed)
        self.run, self.trace, self.settling = run, trace, False
        named = _chain("ethereum" if rng.random() < 0.2 else "polygon", _finality_of(seed))
        markets = Markets(named, run.kinds, Random(f"{seed}:markets"))
        self.chain = markets.chain
        self.block_time_ns = (12 if self.chain.name == "ethereum" else 2) * NS
        pools = markets.draw_pools(rng, rng.randrange(2, 7))
        lookalikes = [markets.draw_lookalike(rng, number) for number in range(rng.randrange(3))]
        unborn = pools[len(pools) - rng.randrange(2) :] if rng.random() < 0.5 else []
        known = [pool for pool in pools if pool not in unborn]
        self.agenda = Agenda()
        self.tree = BlockTree(self.chain, rng, known, lookalikes, markets.makers)
        history(self.tree, rng, rng.randrange(2, 12))
        self.other = self._another_chain(rng, known) if "other_chain" in run.kinds else None
        self.faults = faults or FaultPlan(seed, run.kinds, run.blocks * self.block_time_ns)
        most_logs = 2 if run.blocks > 80 else rng.choice((3, 8, 15))
        self.scenario = Scenario(
            self.agenda,
            self.tree,
            self.faults,
            seed,
            unborn,
            self._moved,
            blocks=run.blocks,
            block_time_ns=self.block_time_ns,
            most_logs=most_logs,
        )
        self.faults.honest_from_ns = self.scenario.end_ns
        self.timeline = Timeline(self.tree)
        self.endpoints = self._endpoints(rng)
        second = None
        if "second" in run.kinds:
            lies = SECOND_LIES if "second_lies" in run.kinds else frozenset[str]()
            second = self._endpoint("second", FaultPlan(OF_SECOND + seed, lies, self.faults.honest_from_ns))
            second.renumbered = "second_renumbered" in run.kinds
        self.second = second
        judges_ends = not run.kinds & {"zero_bloom", "reordered_heads", "late_heads", "delay", "lag"}
        by_number = "no_hash_calls" in run.kinds and run.kinds & {"lag", "other_branch", "stale_head"}
        comes_late = {"lag", "other_branch", "late_heads", "reordered_heads", "delay", "late", "stall"}
        ring_size = rng.randrange(30, 400) if "small_ring" in run.kinds else None
        self.oracle = Oracle(
            self.tree,
            self.tell,
            judges_ends=judges_ends,
            judges_reorgs=not run.kinds & comes_late,
            judges_states=not by_number,  # a number, and a hash from another backend: nobody can know better
            ring_size=ring_size,
            fees_may_lack="hollow" in run.kinds,
        )
        shown = {"newHeads": "idle", "logs": "idle zero_bloom no_bloom"}  # by what comes on the other subscription
        self._renewable = {topic for topic, unless in shown.items() if not run.kinds & set(unless.split())}
        self.settle_step_ns = max(self.block_time_ns, 6 * NS)
        self.collector = CollectorModel(
            self.agenda,
            self.chain,
            self.endpoints,
            second,
            Random(f"{seed}:collector"),
            self.oracle.take,
            self.tell,
            ring_size,
            Random(f"{seed}:unproven").random() < PUBLISHING_UNPROVEN,
        )
        for window in self.faults.windows("sleeps"):
            length_ns = self.faults.rng("sleeps").choice((2, 20, 90)) * NS
            self.agenda.at(window.begin_ns, partial(self.collector.sleep, length_ns))
        for kind in KILLS:
            if kind in self.faults:
                rng = self.faults.rng(kind)
                for _ in range(rng.randrange(1, 3)):
                    self.agenda.at(rng.randrange(self.faults.honest_from_ns), partial(self.collector.kill, kind))

    def tell(self, words: str) -> None:
        """Note what happened."""
        if self.trace:
            self.run.history.append(f"{self.agenda.now_ns / NS:8.3f} s  {words}")

    def live(self) -> None:
        """From the beginning to the end."""
        self.agenda.run_until(self.scenario.end_ns)
        step_s = self.settle_step_ns // NS
        self.tell(f"from here on every answer is true, and a block comes every {step_s} s")
        self.settling = True
        self.settle()

    def settle(self) -> int:
        """Let blocks come while every answer is true, until nothing is lacking; returns after how many rounds."""
        rounds, patience_ns = 0, self.agenda.now_ns + PATIENCE_NS
        while self.agenda.now_ns < patience_ns and not self.oracle.faults:
            if "idle" not in self.faults or rounds < 2:
                self.scenario.grow()
            self.agenda.run_until(self.agenda.now_ns + self.settle_step_ns)
            rounds += 1
            if rounds >= FEWEST_ROUNDS and not self.unmet() and self.settles():
                break
        return rounds

    def unmet(self) -> list[Fault]:
        """What is not as it should be some time after the nodes tell the truth."""
        return self.oracle.unmet(self.tree.head) + [
            Fault("deaf", f"the subscription of {topic} is dead, and was not renewed")
            for endpoint in self.endpoints.values()
            for topic in sorted(endpoint.deaf(self._renewable))
        ]

    def settles(self) -> bool:
        """Whether the feed has nothing left to do, but for a question of the kind that is put for ever."""
        for _ in range(20):
            if self.collector.feed.settled:
                return True
            self.agenda.run_until(self.agenda.now_ns + 100 * MS)
        return False

    def judge(self) -> None:
        """What is wrong at the end."""
        run = self.run
        run.faults += self.oracle.faults or self.unmet()
        if run.kinds.difference(MARKETS) <= HONEST and self.oracle.needless:
            run.faults.append(Fault("needless gap", f"{self.oracle.needless} although nothing was wrong"))
        if not run.faults and not self.settles():
            run.faults.append(Fault("unsettled", "the feed still waits for something"))
        counted = tables(self.collector.feed) if run.seed % COUNTED_EVERY == 0 else Counter[str]()
        for name, size in counted.most_common(1):
            if size > LARGEST_TABLE:
                run.faults.append(Fault("memory", f"{name} holds {size}"))

    def _endpoints(self, rng: Random) -> dict[str, WorldNode]:
        kinds = self.run.kinds
        nothing = FaultPlan(self.run.seed, kinds & {"broken_blocks"}, self.faults.honest_from_ns)
        endpoints: dict[str, WorldNode] = {}
        if "useless_first" in kinds:
            endpoints["useless"] = self._endpoint("useless", nothing)
            endpoints["useless"].useless = self.faults.rng("useless_first").choice(USELESS)
            self.tell(f"the first endpoint is useless: {endpoints['useless'].useless}")
        endpoints["main"] = self._endpoint("main", self.faults)
        if self.other is not None:
            seed = f"{self.run.seed}:other"
            endpoints["other"] = WorldNode(
                self.agenda, self.other, self.chain.chain_id + 1, self.faults, seed, self.tell
            )
        if "fallback" in kinds:
            endpoints["fallback"] = self._endpoint("fallback", nothing)
        return endpoints

    def _endpoint(self, name: str, faults: FaultPlan) -> WorldNode:
        return WorldNode(self.agenda, self.timeline, self.chain.chain_id, faults, f"{self.run.seed}:{name}", self.tell)

    def _another_chain(self, rng: Random, pools: list[WorldPool]) -> Timeline:
        tree = BlockTree(self.chain, Random(rng.random()), pools, [])
        history(tree, rng, 5)
        return Timeline(tree)

    def _moved(self, dropped: list[Mined], adopted: list[Mined]) -> None:
        self.timeline.move(self.agenda.now_ns, self.tree.head)
        self.oracle.moved(dropped, adopted)
        if not self.settling:
            left = f", {len(dropped)} left the chain" if dropped else ""
            self.tell(f"head {self.tree.head.number} {self.tree.head.hash[:10]}, {len(self.tree.head.logs)} logs{left}")
        for endpoint in (*self.endpoints.values(), *((self.second,) if self.second is not None else ())):
            if endpoint is not self.endpoints.get("other"):
                endpoint.move(dropped, adopted)
        if self.other is not None:
            tree = self.other.tree
            tree.head = tree.mine(tree.head, 2, 3, now_ns=self.agenda.now_ns)
            self.other.move(self.agenda.now_ns, tree.head)
            self.endpoints["other"].move([], [tree.head])


def run_world(
    seed: int, kinds: frozenset[str] | None = None, blocks: int | None = None, *, trace: bool = False
) -> WorldRun:
    """Run one seed; `kinds` and `blocks` instead of what the seed draws."""
    rng = Random(f"{seed}:plan")
    drawn = draw_kinds(rng) | draw_markets(Random(f"{seed}:markets drawn")) | draw_claims(Random(f"{seed}:claims"))
    length = rng.randrange(16, 49)
    if "deep_reorgs" in drawn and rng.random() < 0.3:
        length = 120
    run = WorldRun(seed, drawn if kinds is None else kinds, length if blocks is None else blocks)
    warm()
    world = FeedWorld(run, trace)
    try:
        with bounded_cpu():
            world.live()
    except (Spinning, Hanging) as error:
        run.faults += [Fault(type(error).__name__.lower(), str(error)), *world.oracle.faults]
    except Exception as error:  # noqa: BLE001  whatever it is, it would have ended the collector: that is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        run.faults += world.oracle.faults
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        run.faults.insert(0, Fault(f"exception {type(error).__name__}", f"{error} at {place}"))
    else:
        world.judge()
    run.gaps, run.messages = len(world.oracle.gaps), world.oracle.messages
    run.traded = frozenset(world.oracle.traded)
    run.virtual_s = world.agenda.now_ns / NS
    return run


@cache
def warm() -> None:
    """Compile the feed's kernels, which may take longer than a world."""
    warm_collector()


def _finality_of(seed: int) -> int:
    """After how many blocks the chain of a world is final; 0 = as many as usual."""
    rng = Random(f"{seed}:finality")
    return rng.choice(FINALITIES) if rng.random() < SOON_FINAL else 0


@cache
def _chain(name: str, finality: int) -> ChainConfig:
    chain = load_chain(name)
    return structs.replace(chain, finality_blocks=finality) if finality else chain
