"""What happens to the chain of a world: blocks, reorgs, returns, quiet times.

Owns the course of the chain under one seed.  It must never know who listens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tlv.units import NS
from tools.prove.world.chain import BlockTree, Mined
from tools.prove.world.clock import Agenda
from tools.prove.world.contracts import WorldPool
from tools.prove.world.faults import FaultPlan

Move = Callable[[list[Mined], list[Mined]], None]
"""Called with the blocks that left the chain, newest first, and those that joined it, oldest first."""
DEEPEST = 100
STATE_SYNC_EVERY = 16


class Scenario:
    """The miner of one world."""

    def __init__(
        self,
        agenda: Agenda,
        tree: BlockTree,
        faults: FaultPlan,
        seed: int,
        unborn: list[WorldPool],
        on_move: Move,
        *,
        blocks: int,
        block_time_ns: int,
        most_logs: int,
    ) -> None:
        self.tree = tree
        self._agenda, self._faults, self._on_move = agenda, faults, on_move
        self._rng = Random(f"{seed}:scenario")
        self._unborn = list(unborn)
        self._block_time_ns, self._most_logs = block_time_ns, most_logs
        self._abandoned: list[Mined] = []
        self.end_ns = 0
        due_ns = 0
        for step in range(blocks):
            due_ns += block_time_ns
            if "idle" in faults and self._rng.random() < 0.06:
                due_ns += self._rng.randrange(15, 90) * NS
            agenda.at(due_ns, partial(self.step, step))
        self.end_ns = due_ns

    def grow(self) -> None:
        """A block on the head."""
        self._move(self._mine(self.tree.head))

    def forget(self) -> None:
        """Return to no branch that is older than the deepest reorg."""
        oldest = self.tree.head.number - DEEPEST
        self._abandoned = [tip for tip in self._abandoned if tip.number >= oldest]

    def step(self, step: int) -> None:
        """One block time: a block, a reorg, or a return to an earlier branch."""
        faults, rng = self._faults, Random(f"{self._rng.random()}:{step}")
        head = self.tree.head
        if "deep_reorgs" in faults and faults.rng("deep_reorgs").random() < 0.04:
            self._reorganise(head, faults.rng("deep_reorgs").randrange(6, DEEPEST + 1))
        elif "reorgs" in faults and faults.rng("reorgs").random() < 0.15:
            self._reorganise(head, faults.rng("reorgs").choice((1, 1, 1, 2, 2, 3, 5)))
        elif "returns" in faults and self._abandoned and faults.rng("returns").random() < 0.25:
            tip = faults.rng("returns").choice(self._abandoned[-3:])
            self._abandoned.append(head)
            while tip.number < head.number or rng.random() < 0.3:
                tip = self._mine(tip)
            self._move(tip)
        else:
            self.grow()

    def _reorganise(self, head: Mined, depth: int) -> None:
        depth = min(depth, len(head.path) - 2)
        if depth < 1:
            return self.grow()
        tip = head.path[-1 - depth]
        higher = self._rng.random() < (0.3 if "returns" in self._faults else 0.7)
        while tip.number < head.number + higher:
            tip = self._mine(tip)
        self._abandoned.append(head)
        return self._move(tip)

    def _mine(self, parent: Mined) -> Mined:
        rng = self._rng
        number = parent.number + 1
        born = self._unborn.pop() if self._unborn and rng.random() < 0.1 else None
        logs = 0 if rng.random() < 0.2 else rng.randrange(1, self._most_logs + 1)
        synced = "state_sync" in self._faults and number % STATE_SYNC_EVERY == 0
        seconds = max(self._block_time_ns // NS, 1)
        return self.tree.mine(parent, seconds, logs, state_sync=synced, born=born, now_ns=self._agenda.now_ns)

    def _move(self, tip: Mined) -> None:
        """Make `tip` the head."""
        head = self.tree.head
        self.tree.head = tip
        self._on_move(head.beyond(tip), list(reversed(tip.beyond(head))))


def history(tree: BlockTree, rng: Random, blocks: int) -> None:
    """What was there before the collector began."""
    for _ in range(blocks):
        tree.head = tree.mine(tree.head, 2, rng.randrange(3), now_ns=-(1 << 62))
