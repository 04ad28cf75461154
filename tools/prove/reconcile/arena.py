"""The local node with real contracts of every kind, seeded traders, and accounts that send orders as transactions.

Owns what a block is made of: its traders' moves can be sent again, so that a block can be made a second time with an
order's transactions at a chosen place.  Blocks have set times, so they are the same blocks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.pool_state import Price
from tools.rig.evm.algebra import SPACING as ALGEBRA_SPACING
from tools.rig.evm.algebra import AlgebraPool
from tools.rig.evm.node import Node
from tools.rig.evm.v4 import V4Pool, signed
from tools.rig.evm.world import MAX_UINT256, World, call_data

BLOCK_S = 2
BASE_FEE = 10**9
"""Set in each block: after a return anvil goes on from the fee of the block that it left."""
ACCOUNTS = 16
"""That trade for orders; a block holds at most so many orders."""
GAS_MONEY = 10**24
V3_SPACING = 10
V3_SWAP_GAS = 3_000_000
"""A price that runs far stops at each word of the bitmap."""
LEAST_SWAPS = 3
"""Of each pool in each block."""


class TraderMove(NamedTuple):
    """Something that a trader does to a pool."""

    pool: str
    is_swap: bool
    send: Callable[[], object]


class RangeState(NamedTuple):
    """A pool with concentrated liquidity, as its contract tells it."""

    price: Price
    fee_pips: int
    ticks: TickMap


class Arena:
    """The contracts of one node."""

    def __init__(self, node: Node, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World.build(node.rpc)
        world = self.world
        deep = (10**20, 3 * 10**11) if world.tokens[0] == world.weth else (3 * 10**11, 10**20)
        self.algebra = AlgebraPool.build(world, *world.tokens, *deep)
        self.v4 = V4Pool.build(world, *world.tokens, *deep)
        self._ranges(deep)
        self.accounts = [f"0x{0xA11CE << 20 | number:040x}" for number in range(ACCOUNTS)]
        self._fit_out()
        self.time_s = int(world.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self.positions = 0

    def _ranges(self, deep: tuple[int, int]) -> None:
        """Positions around the price, so that swaps cross ticks."""
        world = self.world
        part = tuple(amount // 50 for amount in deep)
        for below, above in ((30, 40), (3, 90), (200, 5), (12, 12)):
            middle = self.read_v3_tick() // V3_SPACING
            world.receipt(world.v3_mint(((middle - below) * V3_SPACING, (middle + above) * V3_SPACING), *part))
            middle = self.v4.read().tick // self.v4.key[3]
            spacing = self.v4.key[3]
            world.receipt(self.v4.provide(((middle - below) * spacing, (middle + above) * spacing), 10**14))
            middle = self.read_algebra().price.tick // ALGEBRA_SPACING
            ticks = ((middle - below) * ALGEBRA_SPACING, (middle + above) * ALGEBRA_SPACING)
            world.receipt(self.algebra.mint(ticks, *part))

    def _fit_out(self) -> None:
        """Money for gas, and leave for the routers to take tokens."""
        world = self.world
        world.rpc("anvil_autoImpersonateAccount", True)
        world.hold_mining(True)
        spenders = [exchange.router for exchange in world.exchanges]
        spenders += [world.v3_router, self.algebra.router, self.v4.swapper]
        for account in self.accounts:
            world.rpc("anvil_setBalance", account, hex(GAS_MONEY))
            for token in world.tokens:
                for spender in spenders:
                    data = call_data("approve(address,uint256)", spender, MAX_UINT256)
                    world.send(token, data, sender=account, gas=100_000)
        world.mine()

    # ---- state

    def read_v3_tick(self) -> int:
        """The V3 pool's tick."""
        raw = self.world.rpc("eth_call", {"to": self.world.v3_pool, "data": call_data("slot0()")}, "latest")
        return signed(int(raw[66:130], 16), 256)

    def read_v4(self) -> RangeState:
        """The V4 pool at the end of the newest block."""
        state = self.v4.read()
        price = Price(state.sqrt_price_x96, state.liquidity, state.tick)
        return RangeState(price, state.fee_pips, TickMap(sorted(state.net), state.net, self.v4.key[3]))

    def read_algebra(self) -> RangeState:
        """The Algebra pool at the end of the newest block."""
        price, fee_pips, net = self.algebra.read()
        return RangeState(price, fee_pips, TickMap(sorted(net), net, ALGEBRA_SPACING))

    # ---- traders

    def moves(self) -> list[TraderMove]:
        """What the traders do in one block: at least three swaps in each pool, and liquidity now and then."""
        world, pick, moves = self.world, self.random, []
        for _ in range(LEAST_SWAPS):
            moves += [self.swap(pool, pick.choice(world.tokens), self._amount()) for pool in range(5)]
        moves += [
            self.swap(pick.randrange(5), pick.choice(world.tokens), self._amount()) for _ in range(pick.randint(0, 3))
        ]
        if pick.random() < 0.4:
            middle, width = self.read_v3_tick() // V3_SPACING, pick.choice((2, 20, 300))
            ticks = ((middle - pick.randint(1, width)) * V3_SPACING, (middle + pick.randint(1, width)) * V3_SPACING)
            amounts = {world.weth: 10**17, world.usdc: 3 * 10**8}
            pair = [amounts[token] for token in world.tokens]
            moves.append(TraderMove(world.v3_pool, False, lambda: world.v3_mint(ticks, *pair)))
        pick.shuffle(moves)
        return moves

    def _amount(self) -> int:
        """In WETH."""
        size: int = self.random.randint(1, 25) * 10 ** self.random.randint(13, 17)
        return size

    def in_token(self, weth: int, token: str) -> int:
        """So much WETH, or the USDC that it is worth at the price of the beginning."""
        return weth if token == self.world.weth else max(weth * 3000 // 10**12, 1)

    def swap(self, number: int, token: str, weth: int) -> TraderMove:
        """A trader's swap in pool 0 to 4: two V2 pairs, V3, Algebra, V4."""
        amount = self.in_token(weth, token)
        return TraderMove(self.pools[number], True, lambda: self.send_swap(number, token, amount))

    @property
    def pools(self) -> list[str]:
        """Addresses of the pools; of V4's its manager's."""
        return [*self.world.pools, self.algebra.pool, self.v4.manager]

    def send_swap(self, number: int, token: str, amount: int, sender: str | None = None) -> str:
        """Send a swap in pool 0 to 4."""
        match number:
            case 0 | 1:
                return self.world.v2_swap(number, token, amount, sender)
            case 2:
                return self.world.v3_swap(token, amount, sender, V3_SWAP_GAS)
            case 3:
                return self.algebra.swap(token, amount, sender)
        return self.v4.swap(token, amount, sender)

    # ---- blocks

    def make_block(self, moves: Sequence[TraderMove], *more: Callable[[], object]) -> str:
        """Send the moves, then what is `more`, mine them as the next block, and return its hash."""
        self.world.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE))
        for send in (*(move.send for move in moves), *more):
            send()
        self.time_s += BLOCK_S
        self.world.rpc("evm_setNextBlockTimestamp", self.time_s)
        self.world.rpc("evm_mine")
        block_hash: str = self.world.rpc("eth_getBlockByNumber", "latest", False)["hash"]
        return block_hash

    def fund(self, account: str, token: str, amount: int) -> None:
        """Give an account so much of one token and nothing of the other; mined with the next block."""
        for each in self.world.tokens:
            data = call_data("setBalance(address,uint256)", account, amount if each == token else 0)
            self.world.send(each, data, gas=100_000)
