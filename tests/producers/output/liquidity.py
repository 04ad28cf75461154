"""Positions that come and go in the local node's V3 pool, and what its contract says of them: asked one word and one
tick at a time, by the view functions alone."""

from __future__ import annotations

import asyncio
import random

from eth_abi.abi import encode

from producers.output.tick_program import Tick, all_words
from tools.rig.evm.world import World, call_data

SPACING = 10
"""Of the pool's fee tier, 500 pips."""
QUIET_S = 0.3


def all_answers(world: World, contract: str, calls: list[str], block: int | str) -> list[list[int]]:
    """The words that view functions of a contract returned at the end of a block, for each call's data."""
    where = hex(block) if isinstance(block, int) else block
    answers = world.rpc.batch("eth_call", [[{"to": contract, "data": data}, where] for data in calls])
    return [[int(answer[at : at + 64], 16) for at in range(2, len(answer), 64)] for answer in answers]


def words(world: World, contract: str, data: str, block: int | str) -> list[int]:
    """The same of one call."""
    return all_answers(world, contract, [data], block)[0]


def signed(word: int) -> int:
    """Two's complement."""
    return word - (word >> 255 << 256)


def contract_ticks(world: World, block: int | str) -> list[Tick]:
    """Every initialised tick of the pool at the end of a block, rising."""
    first, last = all_words(SPACING)
    positions = range(first, last + 1)
    bitmaps = all_answers(world, world.v3_pool, [call_data("tickBitmap(int16)", at) for at in positions], block)
    ticks = [
        (position * 256 + bit) * SPACING
        for position, (bitmap,) in zip(positions, bitmaps, strict=True)
        for bit in range(256)
        if bitmap >> bit & 1
    ]
    answers = all_answers(world, world.v3_pool, [call_data("ticks(int24)", tick) for tick in ticks], block)
    return [Tick(tick, gross, signed(net)) for tick, (gross, net, *_) in zip(ticks, answers, strict=True)]


def contract_price(world: World, block: int | str) -> tuple[int, int, int]:
    """sqrtPriceX96, tick and liquidity of the pool at the end of a block."""
    price, tick = words(world, world.v3_pool, call_data("slot0()"), block)[:2]
    (liquidity,) = words(world, world.v3_pool, call_data("liquidity()"), block)
    return price, signed(tick), liquidity


async def reorganise_in_quiet(world: World, depth: int) -> None:
    """Replace the last blocks while nobody asks the node: for a moment anvil 1.7.1 answers as if nothing was stored."""
    await asyncio.sleep(QUIET_S)
    await asyncio.to_thread(world.reorg, depth)


class Liquidity:
    """Moves the pool, seeded.  Nothing is mined here."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)

    def mint(self, below: int, above: int, weth: int) -> None:
        """A position from so many spacings below the price to so many above, of at most `weth` and its worth."""
        tick = contract_price(self.world, "latest")[1] // SPACING * SPACING
        amounts = {self.world.weth: weth, self.world.usdc: weth * 3000 // 10**12}
        ticks = (tick - below * SPACING, tick + above * SPACING)
        self.world.v3_mint(ticks, *(amounts[token] for token in self.world.tokens))

    def swap(self, weth: int) -> None:
        """Sell WETH worth so much, or (negative) as much USDC as it is worth."""
        amount = weth if weth > 0 else -weth * 3000 // 10**12
        self.world.v3_swap(self.world.weth if weth > 0 else self.world.usdc, amount)

    def burn(self, position: int, share: float) -> None:
        """Take a share of a position's liquidity; 1 for all of it."""
        data = "0x99fbab88" + encode(["uint256"], [position]).hex()  # positions(uint256)
        liquidity = words(self.world, self.world.v3_positions, data, "latest")[7]
        self.world.v3_burn(position, int(liquidity * share) if share < 1 else liquidity)

    def move(self) -> None:
        """Anything: a position near the price or far from it, a burn of a part or of all, a swap across ticks."""
        what, pick = self.random.random(), self.random
        if what < 0.4:
            width = pick.choice((2, 20, 300, 5000))
            below = pick.randint(-width, width)
            self.mint(below, pick.randint(1 - below, width + 1 - min(below, 0)), 10 ** pick.randint(14, 18))
        elif what < 0.65:
            positions = self.world.balance(self.world.v3_positions)  # number 1 is the world's own, of the full range
            self.burn(pick.randint(1, positions), pick.choice((0.3, 0.7, 1)))
        else:
            self.swap(pick.choice((-1, 1)) * 10 ** pick.randint(15, 18) * pick.randint(1, 9))
