"""One block of a market after the other: what the traders send, the base fee, and now and then a reorg.

Owns the order of things in a block.  It reads no clock: when a block comes and which time stands in it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tools.market.place import MarketPlace, Transaction
from tools.market.plan import PlannedPool
from tools.market.traders import Traders
from tools.rig.evm.node import Rpc
from tools.rig.evm.world import World

GWEI = 10**9
LOWEST_FEE, HIGHEST_FEE = 2 * GWEI, 40 * GWEI
FIRST_FEE = 12 * GWEI
FEE_STEP = 40
"""Thousandths of the base fee that it moves a block at most."""
FIRST_REORG = 7
"""Block behind which the first reorg comes, so that nobody waits long for one."""
REORG_EVERY = 20
"""Blocks between two reorgs, on average."""
DEEPEST = 3


@dataclass
class MarketTally:
    """What happened on a market so far."""

    blocks: int = 0
    reorgs: int = 0
    dropped_blocks: int = 0
    transactions: Counter[str] = field(default_factory=Counter)
    """By kind of trader."""
    actions: Counter[str] = field(default_factory=Counter)
    """The same: an arbitrage of three pools is three transactions and one action."""


class Market:
    """A market that makes a block when it is asked to.

    Args:
        rpc: of its node.
        pools: what there is to trade on.
        seed: of everything random; the same seed on a new node gives the same transactions, and with the same times of
            blocks the same hashes.
        rates: see `Traders`.
        reorgs: whether there are any.
    """

    def __init__(
        self, rpc: Rpc, pools: Sequence[PlannedPool], seed: int, rates: Mapping[str, int], *, reorgs: bool = True
    ) -> None:
        self.rpc, self._random, self._reorgs = rpc, Random(seed), reorgs
        self.place = MarketPlace.build(rpc, pools)
        self.trading = MarketTally()
        self._world = World(rpc)
        self._traders = Traders(self.place, self._random, rates)
        self._sent: list[list[Transaction]] = []
        """Of the last blocks, for the branch that replaces them."""
        self._base_fee = FIRST_FEE
        self._next_reorg = FIRST_REORG
        self._world.hold_mining(True)
        self.first = self.height + 1
        """Number of the first block that is traded in."""

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return self._world.height()

    def head(self) -> str:
        """Hash of the newest block."""
        return str(self.rpc("eth_getBlockByNumber", "latest", False)["hash"])

    def make_block(self, timestamp: int) -> None:
        """Trade and mine a block of this time, which must not be before the last one's; sometimes drop blocks first."""
        if self._reorgs and self.trading.blocks == self._next_reorg:
            self._replace_blocks(min(self._random.randint(1, DEEPEST), len(self._sent)))
            self._next_reorg += self._random.randint(REORG_EVERY // 2, REORG_EVERY * 3 // 2)
        self._base_fee += self._base_fee * self._random.randint(-FEE_STEP, FEE_STEP) // 1000
        self._base_fee = min(max(self._base_fee, LOWEST_FEE), HIGHEST_FEE)
        self.rpc("anvil_setNextBlockBaseFeePerGas", hex(self._base_fee))
        actions = self._traders.want(self.place.depths(self.place.pools), self._base_fee)
        transactions = [one for action in actions for one in action.transactions]
        self.place.submit(transactions)
        self.rpc("evm_setNextBlockTimestamp", timestamp)
        self._world.mine()
        self._sent = [*self._sent, transactions][-DEEPEST:]
        self.trading.blocks += 1
        for action in actions:
            self.trading.actions[action.kind] += 1
            self.trading.transactions[action.kind] += len(action.transactions)

    def make_empty_block(self, timestamp: int) -> None:
        """Mine a block in which nobody trades."""
        self.rpc("evm_setNextBlockTimestamp", timestamp)
        self._world.mine()
        self._sent = [*self._sent, []][-DEEPEST:]

    def _replace_blocks(self, depth: int) -> None:
        """Another branch of the same height: without the transactions of one of the traders, which come no more."""
        replaced = self._sent[-depth:]
        senders = sorted({one["from"] for block in replaced for one in block})
        left_out = self._random.choice(senders) if senders else ""
        kept = [[one, number] for number, block in enumerate(replaced) for one in block if one["from"] != left_out]
        self.rpc("anvil_reorg", depth, kept)
        self._sent = []
        self.trading.reorgs += 1
        self.trading.dropped_blocks += depth
