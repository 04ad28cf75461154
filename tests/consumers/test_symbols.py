"""Filters by symbol: what a symbol means, in which order it is learnt, and what lookalikes are told as."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pytest

from consumers.live import Live
from consumers.polled_frames import PolledFrames
from consumers.strategy import Driver, Strategy
from consumers.symbols import Census, SymbolFilter, sides_of
from ringbuf import Loss
from tests.consumers import three_coins
from tests.consumers.polls import poll_of
from tests.consumers.relay_rig import make_ring, serving
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.filter import MessageFilter
from tlv.layout import Block, EventOrigin, PoolRecord, PoolState, PoolSync
from tlv.message import build
from tlv.record import Record

WMATIC, USDC, WETH, FAKE = (bytes([number]) * 20 for number in (1, 2, 3, 9))
NAMES = {WMATIC: "WMATIC", USDC: "USDC", WETH: "WETH", FAKE: "usdc"}
RING = bytes(16)


def market(*records: Record, flags: int = 0) -> bytes:
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, flags=flags)


def head(pool: int, token0: bytes, token1: bytes) -> tuple[bytes, bytes, bytes, Venue, int, int, Protocol]:
    return (bytes([pool]) * 20, token0, token1, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)


def state(pool: int, token0: bytes, token1: bytes, flags: int = Flag.SNAPSHOT) -> bytes:
    symbols = (NAMES[token0], NAMES[token1])
    return market(PoolState(*head(pool, token0, token1), 0, 0, 0, 0, 0, 3000, 0, 0, bytes(20), *symbols), flags=flags)


def sync(pool: int, token0: bytes, token1: bytes) -> bytes:
    return market(PoolSync(*head(pool, token0, token1), 5, 5), EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32)))


BLOCK = market(Block(9, 0, 0, 0, 0, 0, bytes(32), bytes(32)))
FRAMES = [
    *(sync(50, WMATIC, USDC), state(50, WMATIC, USDC), sync(50, WMATIC, USDC), BLOCK, sync(60, USDC, WETH)),
    *(state(60, USDC, WETH), sync(60, USDC, WETH), state(70, FAKE, WMATIC), sync(70, FAKE, WMATIC)),
    *(state(80, WMATIC, USDC), sync(80, WMATIC, USDC), state(90, WMATIC, USDC, Flag.UNPROVEN), sync(90, WMATIC, USDC)),
]


class Heard(Strategy):
    """Notes the pools of events, and of states."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.heard.append(f"event {record.pool[0]}")

    def on_snapshot(self, record: PoolState) -> None:
        self.heard.append(f"state {record.pool[0]}")

    def on_block(self, block: Block) -> None:
        self.heard.append("block")


def heard(symbols: Sequence[str], size: int, base: MessageFilter | None = None) -> list[str]:
    strategy = Heard()
    polled = PolledFrames(Driver(strategy, RING), SymbolFilter(symbols, base or MessageFilter()))
    for first in range(0, len(FRAMES), size):
        list(polled.deliver(poll_of(FRAMES[first : first + size])))
    return strategy.heard


PAIR = ["state 50", "event 50", "block", "state 80", "event 80"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 13])
@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["WMATIC/USDC"], PAIR),
        (["usdc / wmatic"], PAIR),
        ([f"0x{USDC.hex()}/WMATIC"], PAIR),
        (["WETH"], ["block", "state 60", "event 60"]),
        (["WETH/USDC", "WMATIC/USDC"], [*PAIR[:3], "state 60", "event 60", *PAIR[3:]]),
        (["WBTC/USDC"], ["block"]),
    ],
)
def test_symbols_let_the_pools_of_their_tokens_pass_whatever_the_polls(
    symbols: list[str], expected: list[str], size: int
) -> None:
    assert heard(symbols, size) == expected


def test_symbols_add_to_pools_and_restrict_types() -> None:
    assert heard(["WETH"], 4, MessageFilter.of(pools=[bytes([70]) * 20])) == [
        *("block", "state 60", "event 60", "state 70", "event 70")
    ]
    assert heard(["WETH"], 4, MessageFilter.of(types=[PoolSync])) == ["event 60"]


def test_symbols_a_token_of_the_same_name_is_told_with_its_address_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert "event 70" not in heard(["USDC/WMATIC"], 13)
    assert [record.getMessage() for record in caplog.records] == [
        f"another token calls itself usdc, 0x{FAKE.hex()}, and is left out; the filter means 0x{USDC.hex()}"
    ]


def census() -> Census:
    found = Census()
    found.count(poll_of(FRAMES))
    return found


@pytest.mark.parametrize(
    ("symbol", "complete", "says"),
    [
        (
            "WMATIC/USDC",
            True,
            rf"symbol usdc: 2 tokens of x bear it: 0x{USDC.hex()} \(in 3 pools\), 0x{FAKE.hex()} \(in 1",
        ),
        ("WETHH", True, "symbol wethh: no token of x bears it; did you mean weth"),
        (f"0x{USDC.hex()}/WMATIC", True, ""),
    ],
)
def test_census_refuses_symbols_of_several_tokens_and_of_none(symbol: str, complete: bool, says: str) -> None:
    if not says:
        census().check([symbol], "x", complete=complete)
        return
    with pytest.raises(UsageError, match=says):
        census().check([symbol], "x", complete=complete)


def test_census_tells_symbols_that_no_token_bears_yet(caplog: pytest.LogCaptureFixture) -> None:
    census().check(["WETHH"], "x", complete=False)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("symbol wethh: no token of x bears it; did you mean weth?")
    assert said.endswith("; pools of it may come")


@pytest.mark.parametrize("symbol", ["DAI/USDC", "WBTC/DAI", "USDC/WBTC", "WBTC"])
def test_symbols_of_any_pair_of_a_pool_of_three_coins_mean_the_pool(symbol: str) -> None:
    found, symbols = Census(), SymbolFilter([symbol])
    found.count(poll_of(three_coins.published().payloads))
    found.check([symbol], "x", complete=True)
    for told in found.states.values():
        symbols.learn(told)
    assert symbols.pools == {three_coins.POOL.ljust(32, b"\0")}
    assert {name: dict(pools) for name, pools in found.tokens.items()} == {
        symbol.casefold(): {token: 1} for token, symbol, _ in three_coins.COINS
    }


@pytest.mark.parametrize("text", ["", "/", "A/", "A/B/C", "A/a", "  "])
def test_symbol_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a token such as WMATIC, or a pair"):
        sides_of(text)


FAIR = [frame for frame in FRAMES if FAKE not in frame]


def seen_live(live: Live, last: int) -> list[str]:
    """The pools of what comes, up to the event of pool `last`."""
    found = []
    for item in live:
        if isinstance(item, Loss) or not isinstance(item.record, PoolRecord):
            continue
        kind = "state" if isinstance(item.record, PoolState) else "event"
        found.append(f"{kind} {item.record.pool[0]}")
        if found[-1] == f"event {last}":
            break
    return found


def test_symbols_in_live_on_a_ring_and_on_its_relay(new_ring_name: Callable[[], str]) -> None:
    market = new_ring_name()
    with make_ring(market) as writer, serving(market) as rig:
        for frame in FAIR[:-2]:
            writer.publish(frame)
        pair = ["state 50", "event 50", "state 80", "event 80"]
        with Live(market, start="oldest", symbols=["WMATIC/USDC"]) as live:
            assert seen_live(live, 80) == ["event 50", *pair]
        with Live(rig.path, start="oldest", symbols=["WMATIC/USDC"], types=[PoolSync]) as live:
            assert seen_live(live, 80) == ["event 50", "event 80"]
        with Live(market, symbols=["usdc/weth"]) as live:
            for pool, tokens in ((50, (WMATIC, USDC)), (60, (USDC, WETH))):
                writer.publish(sync(pool, *tokens))
            assert seen_live(live, 60) == ["event 60"]
        writer.publish(state(70, FAKE, WMATIC))
        with pytest.raises(UsageError, match="symbol usdc: 2 tokens of ring"):
            Live(market, symbols=["WMATIC/USDC"])
        with pytest.raises(UsageError, match="expected a list"):
            Live(market, symbols="WMATIC/USDC")
