"""Positions that come and go in the local node's V3 pool, and what its contract says of them: asked one word and one
tick at a time, by the view functions alone."""

from __future__ import annotations

import random

from eth_abi.abi import encode

from producers.tick_program import Tick, all_words
from tools.prove.evm.world import World, call_data

SPACING = 10
"""Of the pool's fee tier, 500 pips."""


def words(world: World, pool: str, data: str, block: int | str) -> list[int]:
    """The words a view function of a pool returned at the end of a block."""
    answer = world.rpc("eth_call", {"to": pool, "data": data}, hex(block) if isinstance(block, int) else block)
    return [int(answer[at : at + 64], 16) for at in range(2, len(answer), 64)]


def signed(word: int) -> int:
    """Two's complement."""
    return word - (word >> 255 << 256)


def contract_ticks(world: World, block: int | str) -> list[Tick]:
    """Every initialised tick of the pool at the end of a block, rising."""
    found, (first, last) = [], all_words(SPACING)
    for position in range(first, last + 1):
        (bitmap,) = words(world, world.v3_pool, call_data("tickBitmap(int16)", position), block)
        for bit in range(256):
            if bitmap >> bit & 1:
                tick = (position * 256 + bit) * SPACING
                gross, net = words(world, world.v3_pool, call_data("ticks(int24)", tick), block)[:2]
                found.append(Tick(tick, gross, signed(net)))
    return found


def contract_price(world: World, block: int | str) -> tuple[int, int, int]:
    """sqrtPriceX96, tick and liquidity of the pool at the end of a block."""
    price, tick = words(world, world.v3_pool, call_data("slot0()"), block)[:2]
    (liquidity,) = words(world, world.v3_pool, call_data("liquidity()"), block)
    return price, signed(tick), liquidity


class Liquidity:
    """Moves the pool, seeded.  Nothing is mined here."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.positions = 1
        """Numbers 1 to this are taken; 1 is the full range that the world begins with."""

    def mint(self, below: int, above: int, weth: int) -> None:
        """A position from so many spacings below the price to so many above, of at most `weth` and its worth."""
        tick = contract_price(self.world, "latest")[1] // SPACING * SPACING
        amounts = {self.world.weth: weth, self.world.usdc: weth * 3000 // 10**12}
        ticks = (tick - below * SPACING, tick + above * SPACING)
        self.world.v3_mint(ticks, *(amounts[token] for token in self.world.tokens))
        self.positions += 1

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
            self.burn(pick.randint(1, self.positions), pick.choice((0.3, 0.7, 1)))
        else:
            self.swap(pick.choice((-1, 1)) * 10 ** pick.randint(15, 18) * pick.randint(1, 9))
