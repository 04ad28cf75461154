"""An arbitrage signal executed by the real contracts, from its own bytes: states, fees and ticks are all in it.

Owns the translation of a CycleLeg and its WayTicks into a seeded pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.signal import legs_in
from tlv.codes import Protocol
from tlv.layout import CycleLeg, WayTick
from tlv.message import Message
from tools.evm.seeded_pools import Executed, NoRealContract, SeededPools, SwapReverted


class Execution(NamedTuple):
    """What the contracts said of a signal."""

    wrong: list[str]
    """Amounts that differ from the stated ones, and legs that reverted; empty if there are none."""
    unjudged: list[str]
    """Legs for which there is no contract, with the reason."""


def execute_signal(message: Message, pools: SeededPools) -> Execution:
    """Swap each leg's stated input in its stated pool, and compare what comes out with what is stated.

    Legs are of different pools, so each is judged for itself; that they follow each other `verify_signal` checks.
    """
    wrong, unjudged = [], []
    ways = [record for record in message.records if isinstance(record, WayTick)]
    for leg in legs_in(message):
        try:
            found = swap_leg(leg, [tick for tick in ways if tick.leg == leg.leg], pools)
        except NoRealContract as reason:
            unjudged.append(f"leg {leg.leg}: {reason}")
        except SwapReverted as reason:
            wrong.append(f"leg {leg.leg}: the contract refused the swap: {reason}")
        else:
            if (found.amount_in, found.amount_out) != (leg.amount_in, leg.amount_out):
                wrong.append(
                    f"leg {leg.leg}: expected {leg.amount_in} in and {leg.amount_out} out as stated, "
                    f"the contract took {found.amount_in} and paid {found.amount_out}"
                )
    return Execution(wrong, unjudged)


def swap_leg(leg: CycleLeg, way: Sequence[WayTick], pools: SeededPools) -> Executed:
    """What the contract takes and pays for a leg's input.

    Raises:
        NoRealContract: none is like this leg's pool.
        SwapReverted: it refuses.
    """
    falls = leg.token_in < leg.token_out
    if leg.protocol == Protocol.UNISWAP_V2:
        entering, leaving = leg.reserve_in, leg.reserve_out
        reserves = Reserves(entering, leaving) if falls else Reserves(leaving, entering)
        return pools.swap(leg.protocol, reserves, leg.fee_pips, leg.amount_in, falls=falls)
    price = Price(leg.sqrt_price_x96, leg.liquidity, leg.tick)
    net = {tick.tick: tick.liquidity_net for tick in way}
    spacing = way[0].tick_spacing if way else 0
    return pools.swap(leg.protocol, price, leg.fee_pips, leg.amount_in, falls=falls, net=net, spacing=spacing)
