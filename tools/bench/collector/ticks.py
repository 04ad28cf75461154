"""Tick maps: read from a real node, and traded across.

The baseline of reading is the direct way, a call for each word of the bitmap and each tick, all of them in one batch of
JSON-RPC: the best case, since a public node counts the calls.  That of trading is the same cycle within one range.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from consumers.arbitrage.concentrated import TickMap, current_range
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import MapLeg, RangeLeg, ReserveLeg, best_cycle
from consumers.arbitrage.tick_math import sqrt_price_at
from producers.output.tick_program import Tick, Words, all_words, call_data, read_ticks
from tlv.filter import address
from tools.bench.result import BenchResult
from tools.bench.timing import per_second
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.rig.evm.world import call_data as call_of

SPACING = 10
POSITIONS = 50
TICKS_CROSSED = 5


def run(seconds: float) -> list[BenchResult]:
    """Measure reading and trading."""
    with Node() as node:
        return [_reading(_world_with_positions(node), seconds), _trading(seconds)]


def _world_with_positions(node: Node) -> World:
    world = World.build(node.rpc)
    slot0 = world.call(world.v3_pool, "slot0()", returns="(uint160,int24)")
    here = slot0[1] // SPACING * SPACING
    for width in range(1, POSITIONS + 1):
        ticks = (here - 7 * width * SPACING, here + 11 * width * SPACING)
        world.receipt(world.v3_mint(ticks, 10**15, 10**15))
    return world


def _reading(world: World, seconds: float) -> BenchResult:
    words = all_words(SPACING)
    data = call_data(address(world.v3_pool), words, SPACING, "tickBitmap(int16)")

    def at_once() -> list[Tick] | None:
        return read_ticks(world.rpc("eth_call", {"data": data}, "latest"), words, SPACING)

    def one_by_one() -> list[Tick]:
        return _directly(world, words)

    found = one_by_one()
    if at_once() != found:
        raise AssertionError("the two ways of reading differ")
    fast, slow = (1e3 / per_second(work, 1, seconds) for work in (at_once, one_by_one))
    calls = words.last - words.first + 1 + len(found)
    note = f"{len(found)} ticks, 1 call against {calls}"
    return BenchResult("read a tick map in the node", fast, "ms", "one by one, batched", slow, slow / fast, note=note)


def _directly(world: World, words: Words) -> list[Tick]:
    def answers(signature: str, values: list[int]) -> list[list[int]]:
        calls = [[{"to": world.v3_pool, "data": call_of(signature, value)}, "latest"] for value in values]
        texts: list[Any] = world.rpc.batch("eth_call", calls)
        return [[int(text[at : at + 64], 16) for at in range(2, len(text), 64)] for text in texts]

    places = list(range(words.first, words.last + 1))
    bitmaps = answers("tickBitmap(int16)", places)
    ticks = [
        (place * 256 + bit) * SPACING
        for place, (bitmap,) in zip(places, bitmaps, strict=True)
        for bit in range(256)
        if bitmap >> bit & 1
    ]
    found = zip(ticks, answers("ticks(int24)", ticks), strict=True)
    return [Tick(tick, gross, net - (net >> 255 << 256)) for tick, (gross, net, *_) in found]


def _trading(seconds: float) -> BenchResult:
    """A cycle through a V3 pool and back through a V2 pool that is some ranges dearer."""
    edges = [SPACING * step for step in range(-TICKS_CROSSED - 1, 3)]
    net = {edges[0]: 10**22, edges[-1]: -(10**22)} | dict.fromkeys(edges[1:-1], 10**18)
    ticks = TickMap(edges, net, SPACING)
    price = sqrt_price_at(5)
    across = MapLeg(price, 5, ticks.active(5), 500, ticks, True)
    within = RangeLeg(current_range(price, 5, ticks.active(5), 500, SPACING), True)
    dearer = ReserveLeg(Hop(10**22, 101 * 10**20, 500))
    cycle = best_cycle([across, dearer])
    crossed = len(across.way(cycle.amount_in)) - 1 if cycle else 0
    wide = 1e6 / per_second(partial(best_cycle, [across, dearer]), 1, seconds)
    narrow = 1e6 / per_second(partial(best_cycle, [within, dearer]), 1, seconds)
    name = "solve a cycle across ticks"
    return BenchResult(name, wide, "us", "within one range", narrow, narrow / wide, note=f"{crossed} ticks crossed")
