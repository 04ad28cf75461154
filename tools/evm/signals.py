"""An arbitrage signal executed by the real contracts: from its own bytes, or in the states that a market journal has.

Owns the translation of a CycleLeg and its WayTicks into a seeded pool, and the pools at the frame behind a signal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.signal import legs_in
from consumers.journal import JournalReader
from consumers.progress import watched
from consumers.strategy import Driver
from ringbuf import Loss
from tlv.codes import Protocol
from tlv.layout import CycleLeg, SignalIdentity, WayTick
from tlv.message import Message
from tools.anomalies import bytes_of
from tools.command.progress import progress
from tools.evm.errors import NoRealContract, SwapReverted
from tools.evm.seeded_pools import SeededPools


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
    ways = [record for record in message.records if isinstance(record, WayTick)]
    seeds = {leg.leg: _stated(leg, [tick for tick in ways if tick.leg == leg.leg]) for leg in legs_in(message)}
    return _execute(legs_in(message), seeds, pools)


def _execute(legs: Sequence[CycleLeg], seeds: dict[int, PoolSeed], pools: SeededPools) -> Execution:
    wrong, unjudged = [], []
    for leg in legs:
        seed = seeds[leg.leg]
        try:
            found = pools.swap(
                leg.protocol,
                seed.value,
                seed.fee_pips,
                leg.amount_in,
                falls=leg.token_in < leg.token_out,
                net=seed.net,
                spacing=seed.spacing,
            )
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


class PoolSeed(NamedTuple):
    """A pool's state, as a contract is seeded with it."""

    value: Reserves | Price
    fee_pips: int
    net: dict[int, int]
    spacing: int


def _stated(leg: CycleLeg, way: Sequence[WayTick]) -> PoolSeed:
    """The state that a leg states."""
    if leg.protocol == Protocol.UNISWAP_V2:
        entering, leaving = leg.reserve_in, leg.reserve_out
        falls = leg.token_in < leg.token_out
        reserves = Reserves(entering, leaving) if falls else Reserves(leaving, entering)
        return PoolSeed(reserves, leg.fee_pips, {}, 0)
    price = Price(leg.sqrt_price_x96, leg.liquidity, leg.tick)
    net = {tick.tick: tick.liquidity_net for tick in way}
    return PoolSeed(price, leg.fee_pips, net, way[0].tick_spacing if way else 0)


SignalKey = tuple[bytes, int, int]
"""Ring and sequence of the frame behind a signal, and the signal's id."""


def key_of(message: Message) -> SignalKey | None:
    """What names a signal; None of a message without identity."""
    identity = message.first(SignalIdentity)
    return None if identity is None else (identity.trigger_ring, identity.trigger_sequence, identity.signal_id)


def execute_on_market(messages: Iterable[Message], market: Path, pools: SeededPools) -> dict[SignalKey, Execution]:
    """Execute signals in the states that a market journal has at the frames behind them, with whole tick maps.

    A signal whose stated state, fee or ticks are not those is wrong, whatever it pays.  One whose frame is not in the
    journal is missing in the answer.
    """
    asked: defaultdict[tuple[bytes, int], list[Message]] = defaultdict(list)
    for message in messages:
        key = key_of(message)
        if key is not None:
            asked[key[:2]].append(message)
    found: dict[SignalKey, Execution] = {}
    states = MarketStates()
    with JournalReader(market) as reader:
        driver = Driver(states, reader.uuid)

        def steps() -> Iterable[tuple[None, int]]:
            for frame in reader:
                driver.ring = reader.uuid
                if isinstance(frame, Loss):
                    driver.lose(frame.first, frame.last)
                    continue
                driver.deliver(frame.sequence, frame.publish_time_ns, frame.payload)
                for message in asked.pop(states.trigger[:2], ()):
                    key = key_of(message)
                    assert key is not None
                    found[key] = states.execute(message, pools)
                yield None, len(frame.payload)

        for _ in watched(steps(), progress("executing", bytes_of(market))):
            pass
    return found


class MarketStates(BookStrategy):
    """The pools' states at each frame of a market."""

    name = "verify_signal"

    def execute(self, message: Message, pools: SeededPools) -> Execution:
        """Execute a signal in the present states."""
        wrong, unjudged, seeds = [], [], {}
        ways = [record for record in message.records if isinstance(record, WayTick)]
        for leg in legs_in(message):
            pool = self.book.get(leg.pool)
            fee_pips = pool.fee(falls=leg.token_in == pool.token0) if pool is not None else None
            if pool is None or pool.current is None or fee_pips is None:
                unjudged.append(f"leg {leg.leg}: the market's frames do not tell the state of pool 0x{leg.pool.hex()}")
                continue
            ticks = pool.ticks.map if isinstance(pool.current.value, Price) else None
            net = dict(ticks.net) if ticks is not None else {}
            stated = _stated(leg, [tick for tick in ways if tick.leg == leg.leg])
            if ticks is None and stated.net:
                unjudged.append(f"leg {leg.leg}: the market's frames do not tell the ticks of pool 0x{leg.pool.hex()}")
                continue
            seeds[leg.leg] = PoolSeed(pool.current.value, fee_pips, net, pool.tick_spacing)
            if (stated.value, stated.fee_pips) != (pool.current.value, fee_pips):
                wrong.append(
                    f"leg {leg.leg}: expected {pool.current.value} and {fee_pips} pips as in the market's frames, "
                    f"found {stated.value} and {stated.fee_pips} pips"
                )
            wrong += [
                f"leg {leg.leg}: tick {tick}: expected {net.get(tick, 0)} as in the market's frames, found {amount}"
                for tick, amount in stated.net.items()
                if net.get(tick, 0) != amount
            ]
        legs = [leg for leg in legs_in(message) if leg.leg in seeds]
        executed = _execute(legs, seeds, pools)
        return Execution([*wrong, *executed.wrong], [*unjudged, *executed.unjudged])
