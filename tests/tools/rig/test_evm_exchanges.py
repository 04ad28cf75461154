"""Algebra on the local node: it trades, and pays what our arithmetic and seeded contracts say."""

from __future__ import annotations

import random

import pytest

from consumers.arbitrage.concentrated import TickMap, swap
from tlv.codes import Protocol
from tools.evm.seeded_pools import SeededPools
from tools.rig.evm.algebra import SPACING, AlgebraPool
from tools.rig.evm.node import Node
from tools.rig.evm.world import World

SWAPS = 12


def amounts(world: World) -> tuple[int, int]:
    """100 WETH and what they are worth, in the order of the tokens."""
    return (10**20, 3 * 10**11) if world.tokens[0] == world.weth else (3 * 10**11, 10**20)


def sold(world: World, rng: random.Random) -> tuple[str, int]:
    token = rng.choice(world.tokens)
    share = rng.randint(1, 10**6)
    return token, 10**14 * share if token == world.weth else 3 * 10**5 * share


@pytest.mark.parametrize("seed", [1])
def test_seeded_algebra_pool_pays_what_the_traded_one_does(seed: int) -> None:
    rng = random.Random(seed)
    pools = SeededPools()
    with Node() as node:
        world = World.build(node.rpc)
        exchange = AlgebraPool.build(world, *world.tokens, *amounts(world))
        middle = exchange.read()[0].tick // SPACING * SPACING
        net = exchange.read()[2]
        for below, above, part in ((3, 4, 3), (20, 30, 1), (1, 1, 10), (60, 2, 2)):
            lower, upper = middle - below * SPACING, middle + above * SPACING
            before = exchange.read()[0].liquidity
            world.receipt(exchange.mint((lower, upper), *(amount * part // 10 for amount in amounts(world))))
            added = exchange.read()[0].liquidity - before
            assert added > 0
            net[lower], net[upper] = net.get(lower, 0) + added, net.get(upper, 0) - added
        for _ in range(SWAPS):
            token, amount = sold(world, rng)
            other = world.usdc if token == world.weth else world.weth
            state, _, found_net = exchange.read()
            assert found_net == {tick: amount for tick, amount in net.items() if amount}
            balance = world.balance(other)
            world.receipt(exchange.swap(token, amount))
            paid = world.balance(other) - balance
            fee = exchange.read()[1]
            falls = token == world.tokens[0]
            map_ = TickMap(sorted(net), net, SPACING)
            assert swap(state.sqrt_price_x96, state.tick, state.liquidity, fee, map_, amount, falls=falls).out == paid
            found = pools.swap(Protocol.ALGEBRA, state, fee, amount, falls=falls, net=net, spacing=SPACING)
            assert (found.amount_in, found.amount_out) == (amount, paid)
            assert found.after == exchange.read()[0]
