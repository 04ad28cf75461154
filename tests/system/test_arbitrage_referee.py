"""A referee beside the strategy: after seeded trades on a local node, every cycle of two and three pools that earns by
an exhaustive search over the states that the node itself tells is an opportunity that the strategy knows, at its best.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import combinations, permutations
from pathlib import Path

import pytest

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import Leg, MapLeg, ReserveLeg, quote
from tests.producers.output.liquidity import Liquidity, contract_price, contract_ticks, words
from tests.system.test_arbitrage_ticks import Follower, follow
from tlv.filter import address
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.node import Node
from tools.rig.evm.world import DEADLINE, MAX_UINT256, SWAP_GAS, V3_FEE, World, call_data

ROUNDS = 4
DUST = {18: 10**12, 6: 100}
"""Base units by decimals that a cycle must earn to be looked for: a millionth of a coin, a tenth of a thousandth of a
dollar."""
V2_FEE = 3000


class Triangle:
    """A third token with a pair to each of the others, on the first exchange."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.router, factory = world.exchanges[0].router, world.exchanges[0].factory
        self.dai = world.token("Dai", "DAI", 18)
        world.execute(self.dai, "approve(address,uint256)", self.router, MAX_UINT256)
        self.pairs: dict[str, str] = {}
        for other, amount, dai in ((world.weth, 80 * 10**18, 240_000), (world.usdc, 200_000 * 10**6, 200_000)):
            world.execute(factory, "createPair(address,address)", other, self.dai)
            world.execute(
                self.router,
                "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
                *(other, self.dai, amount, dai * 10**18, 0, 0, world.account, DEADLINE),
            )
            self.pairs[other] = world.call(factory, "getPair(address,address)", other, self.dai, returns="address")

    def swap(self, other: str, share: float) -> None:
        """Sell so much of what the pair holds of its other token, or of the third one if it is negative."""
        sold, bought = (other, self.dai) if share > 0 else (self.dai, other)
        amount = int(self.world.balance(sold, self.pairs[other]) * abs(share))
        data = call_data(
            "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
            *(amount, 0, [sold, bought], self.world.account, DEADLINE),
        )
        self.world.send(self.router, data, gas=SWAP_GAS)

    def legs(self) -> dict[tuple[str, str, str], Leg]:
        """Every pool of the node in each direction, by (pool, token in, token out), from what the node says."""
        world, legs = self.world, {}
        v2 = {exchange.pair: (world.weth, world.usdc) for exchange in world.exchanges}
        v2 |= {pair.lower(): (other, self.dai) for other, pair in self.pairs.items()}
        for pair, tokens in v2.items():
            token0, token1 = sorted(tokens)
            reserve0, reserve1, _ = words(world, pair, call_data("getReserves()"), "latest")
            legs[pair, token0, token1] = ReserveLeg(Hop(reserve0, reserve1, V2_FEE))
            legs[pair, token1, token0] = ReserveLeg(Hop(reserve1, reserve0, V2_FEE))
        price, tick, liquidity = contract_price(world, "latest")
        net = {one.tick: one.liquidity_net for one in contract_ticks(world, "latest")}
        token0, token1 = world.tokens
        state = (price, tick, liquidity, V3_FEE, TickMap(sorted(net), net, 10))
        legs[world.v3_pool, token0, token1] = MapLeg(*state, True)
        legs[world.v3_pool, token1, token0] = MapLeg(*state, False)
        return legs


def cycles(legs: dict[tuple[str, str, str], Leg]) -> Iterator[tuple[tuple[str, str, str], ...]]:
    """Every round trip through two and three different pools, once for each token it can begin with."""
    for size in (2, 3):
        for chosen in combinations(legs, size):
            if len({pool for pool, _, _ in chosen}) < size:
                continue
            for path in permutations(chosen):
                ends = zip(path, (*path[1:], path[0]), strict=True)
                if all(one[2] == following[1] for one, following in ends):
                    yield path


def best_profit(legs: list[Leg]) -> int:
    """The most that any input earns: a search between thirds, since the profit has one peak but for its floors."""

    def profit(amount: int) -> int:
        found = quote(legs, amount)
        return found.gross if found else -(1 << 200)

    low, high = 1, 10**22
    while high - low > 8:
        third = (high - low) // 3
        if profit(low + third) < profit(high - third):
            low += third
        else:
            high -= third
    return max(map(profit, range(low, high + 1)))


@pytest.mark.parametrize("seed", [3])
def test_strategy_misses_no_cycle_that_a_referee_finds_on_the_node(ring_name: str, tmp_path: Path, seed: int) -> None:
    rng, found = random.Random(seed), {2: 0, 3: 0}

    def trade(world: World, triangle: Triangle, liquidity: Liquidity) -> None:
        what = rng.randrange(4)
        if what == 0:
            world.v2_swap(rng.randrange(2), world.weth, rng.randint(1, 6) * 10**17)
        elif what == 1:
            liquidity.swap(rng.choice((-1, 1)) * rng.randint(1, 9) * 10**17)
        else:
            triangle.swap(rng.choice((world.weth, world.usdc)), rng.uniform(-0.03, 0.03))

    async def play(follower: Follower, _: WsRelay) -> None:
        world = follower.world
        liquidity = Liquidity(world, seed)
        for other in triangle.pairs:
            triangle.swap(other, 0.0001)
        await follower.catch_up()
        for _round in range(ROUNDS):
            for _ in range(rng.randint(1, 3)):
                trade(world, triangle, liquidity)
            await asyncio.to_thread(world.mine)
            follower.read()
            await follower.catch_up()
            await (
                follower.catch_up()
            )  # what a snapshot or a map of the last block changed is looked at when one more ends
            legs = await asyncio.to_thread(triangle.legs)
            await asyncio.to_thread(judge, follower, legs)

    def judge(follower: Follower, legs: dict[tuple[str, str, str], Leg]) -> None:
        strategy, decimals = follower.strategy, {follower.world.usdc: 6}
        every = range(len(strategy.book.pools))
        known = {
            tuple((leg.pool, leg.token_in) for leg in one.statement.legs): one.statement.economics.gross
            for one in strategy.live.through(every)
        }
        for path in cycles(legs):
            best = best_profit([legs[one] for one in path])
            if best <= DUST[decimals.get(path[0][1], 18)]:
                continue
            named = [(address(pool), address(token_in)) for pool, token_in, _ in path]
            turned = [tuple(named[at:] + named[:at]) for at in range(len(named))]
            assert any(one in known for one in turned), (path, best)
            if turned[0] in known:
                found[len(path)] += 1
                assert best - known[turned[0]] <= best // 10**6, "a unit of USDC, which fees are rounded to"

    with Node() as node:
        world = World.build(node.rpc)
        triangle = Triangle(world)
        world.hold_mining(True)
        chain = tmp_path / "chain.toml"
        chain.write_text(chain_toml(world))
        asyncio.run(follow(world, node, chain, ring_name, play))
    print(f"cycles that earn: {found[2]} of two pools, {found[3]} of three, none missed")
    assert found[2] > 3 and found[3] > 3
