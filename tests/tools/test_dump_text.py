"""What `dump` says of each record: one line, codes in words, numbers exact, nothing that a terminal obeys."""

from __future__ import annotations

import pytest

from tlv.codes import (
    AnomalyKind,
    AnomalyState,
    BreakerState,
    Completeness,
    Domain,
    EmitterProof,
    FarewellReason,
    FeedReason,
    FeedState,
    FeeKind,
    FilterKind,
    Flag,
    GapScope,
    InvalidationScope,
    NotPublished,
    OrderReason,
    OrderState,
    Protocol,
    QuoteVerdict,
    Reason,
    Source,
    StreamStart,
    Venue,
    WithdrawalReason,
)
from tlv.layout import (
    Ack,
    ArbitrageSignal,
    BackfillBegin,
    BackfillEnd,
    Batch,
    Block,
    BlockEnd,
    CircuitBreaker,
    CycleLeg,
    Economics,
    EventOrigin,
    ExecutionReport,
    Farewell,
    FeeState,
    Fill,
    Filter,
    Gap,
    Heartbeat,
    OrderLeg,
    OrderRequest,
    OrderStatus,
    PoolBurn,
    PoolCoin,
    PoolCollect,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Resume,
    RingReplaced,
    RiskDecision,
    Session,
    SignalIdentity,
    SignalWithdrawn,
    StateInvalidation,
    Subscribe,
    SubscribeAck,
    SystemHealth,
    TickLiquidity,
    Timepoint,
    Uncovered,
    Unproven,
    VenueName,
    WayTick,
)
from tlv.message import build, parse
from tlv.record import RECORDS, Record
from tools.command.printable import printable
from tools.dump_text import Describer

A, B, H, I2, U = b"\xaa" * 20, b"\xbb" * 20, b"\x11" * 32, b"\x22" * 32, b"\x33" * 16
HH, II, UU = "0x" + "11" * 32, "0x" + "22" * 32, "33" * 16
POOL = (b"\x99" * 20, A, B, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
NAME = "polygon.quickswap_v2:pool:0x" + "99" * 20
AA, BB = "0x" + "aa" * 20, "0x" + "bb" * 20
BIG = (1 << 256) - 1
SIGNAL = ArbitrageSignal(7, 9, 0xAB, H, 2 * 10**18, 3 * 10**18, A, 18, 2, QuoteVerdict.SPECULATIVE)
LEGS = (
    CycleLeg(2 * 10**18, 5 * 10**6, 1, 1, 0, 0, 0, 3000, b"\x99" * 20, A, B, Venue.QUICKSWAP_V2, 2, 18, 6, 1),
    CycleLeg(5 * 10**6, 3 * 10**18, 1, 1, 0, 0, 0, 3000, b"\x88" * 20, B, A, Venue.DFYN_POLYGON, 2, 6, 18, 2),
)
ORDER = (9, 255, U)
ORDER_TEXT = f"order 00000000000000ff (sequence 9 of ring {UU})"
REPORT = ExecutionReport(
    *ORDER,
    block_number=7,
    latency_ns=1_500_000,
    block_hash=H,
    amount_in=2 * 10**18,
    amount_out=3 * 10**18,
    expected_out=4 * 10**18,
    gross=10**18,
    gas_cost=3,
    net=10**18 - 3,
    expected_net=-1,
    gas_price=5,
    rate_native=1,
    rate_profit=1,
    gas_units=200_000,
    rate_pool=B,
    token=A,
    inclusion_ppm=905_000,
    state=OrderState.FILLED,
    reason=OrderReason.NONE,
    decimals=18,
    legs=2,
)
LINES: dict[type[Record], list[tuple[Record, str]]] = {
    PoolCoin: [(PoolCoin(A, "DAI", 1, 18), f"PoolCoin token={AA} symbol=DAI index=1 decimals=18")],
    PoolLiquidity: [
        (
            PoolLiquidity(*POOL, -5, -60, 60, A, H),
            f"PoolLiquidity {NAME} liquidity_delta=-5 tick_lower=-60 tick_upper=60 sender={AA} salt={HH}",
        )
    ],
    PoolFee: [
        (
            PoolFee(*POOL, 7, 5, 3000, 2900, FeeKind.DYNAMIC),
            f"PoolFee {NAME} block_number=7 last_trade=5 fee_pips=3000 fee_pips_back=2900 fee_kind=dynamic",
        )
    ],
    Timepoint: [(Timepoint(1, 2, 3, 4, 5, 6), "")],
    FeeState: [
        (
            FeeState(*POOL, 9, 7, H, -10, 100, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0),
            f"FeeState {NAME} volume=9 block_number=7 block_hash={HH} tick=-10 fee_pips=100 beta1=1 beta2=2"
            " volume_beta=3 alpha1=4 alpha2=5 gamma1=6 gamma2=7 volume_gamma=8 base_fee=9 count=0",
        )
    ],
    TickLiquidity: [(TickLiquidity(5, -5, 10), "")],
    PoolTicks: [
        (
            PoolTicks(*POOL, 7, H, -10, 10, 1, 0),
            f"PoolTicks {NAME} block_number=7 block_hash={HH} first_tick=-10 last_tick=10 tick_spacing=1 count=0",
        )
    ],
    PoolSwap: [
        (
            PoolSwap(*POOL, 25 * 10**17, 0, 0, 1_250_000, 0, 0, 0, A, B),
            f"PoolSwap {NAME} 2.5 0xaaaaaaaa -> 1.25 0xbbbbbbbb",
        )
    ],
    PoolMint: [
        (
            PoolMint(*POOL, 10**18, 10**6, 9, -1, 1, A, B),
            f"PoolMint {NAME} amount0=1 0xaaaaaaaa amount1=1 0xbbbbbbbb amount=9 tick_lower=-1 "
            f"tick_upper=1 sender={AA} owner={BB}",
        )
    ],
    PoolBurn: [
        (
            PoolBurn(*POOL, 10**18, 10**6, 9, -1, 1, A, B),
            f"PoolBurn {NAME} amount0=1 0xaaaaaaaa amount1=1 0xbbbbbbbb amount=9 tick_lower=-1 "
            f"tick_upper=1 owner={AA} recipient={BB}",
        )
    ],
    PoolCollect: [
        (
            PoolCollect(*POOL, 10**18, 10**6, -1, 1, A, B),
            f"PoolCollect {NAME} amount0=1 0xaaaaaaaa amount1=1 0xbbbbbbbb tick_lower=-1 tick_upper=1 "
            f"owner={AA} recipient={BB}",
        )
    ],
    PoolState: [
        (
            PoolState(*POOL, 10**18, 10**6, 0, 0, 9, 3000, 0, 0, A, "", ""),
            f"PoolState {NAME} reserve0=1 0xaaaaaaaa reserve1=1 0xbbbbbbbb sqrt_price_x96=0 "
            f"liquidity=0 block_number=9 fee_pips=3000 tick=0 tick_spacing=0 factory={AA} symbol0= symbol1= "
            f"fee_pips_back=0 hooks=0x{'00' * 20} curve=0",
        )
    ],
    PoolSync: [
        (
            PoolSync(*POOL, BIG, 1),
            f"PoolSync {NAME} reserve0={str(BIG)[:-18]}.{str(BIG)[-18:]} 0xaaaaaaaa reserve1=0.000001 0xbbbbbbbb",
        )
    ],
    PoolCreated: [(PoolCreated(*POOL, 3000, 60, A), f"PoolCreated {NAME} fee_pips=3000 tick_spacing=60 factory={AA}")],
    Block: [
        (
            Block(7, 1618949246, 21000, 20_000_000, 0, 0, H, I2),
            f"Block 7 of 2021-04-20 20:07:26, 21,000 of 20,000,000 gas, hash {HH}, parent {II}",
        ),
        (
            Block(7, (1 << 64) - 1, 0, 1, 0, 9, H, I2),
            f"Block 7 of {(1 << 64) - 1} s, 0 of 1 gas, base fee 9 wei, hash {HH}, parent {II}",
        ),
    ],
    EventOrigin: [(EventOrigin(7, 0, 0, 0, 5, H, I2), "block 7 log 5")],
    SignalIdentity: [
        (
            SignalIdentity(255, 9, 0, U, "flash_arbitrage", 1),
            "SignalIdentity 00000000000000ff of flash_arbitrage version 1 for sequence 9 of ring "
            f"{UU}, received 00:00:00.000000",
        )
    ],
    Economics: [
        (
            Economics(10**18, 3 * 10**18, -2 * 10**18, 5, 0, 0, 200_000, A, bytes(20), 18),
            "Economics gross 1 0xaaaaaaaa, gas 3 0xaaaaaaaa (200,000 units at 5 wei, which no pool "
            "prices: not in net), net -2 0xaaaaaaaa",
        ),
        (
            Economics(1, 1, 0, 5, 1, 1, 2, A, B, 0),
            f"Economics gross 1 0xaaaaaaaa, gas 1 0xaaaaaaaa (2 units at 5 wei, priced by pool {BB}), net 0 0xaaaaaaaa",
        ),
    ],
    ArbitrageSignal: [
        (
            SIGNAL,
            "ArbitrageSignal 2 0xaaaaaaaa -> 3 0xaaaaaaaa in 2 legs, speculative: its block is open, until block 9, "
            f"opportunity 00000000000000ab, block 7 {HH}",
        )
    ],
    CycleLeg: [
        (LEGS[0], f"CycleLeg 1: 2 0xaaaaaaaa -> 5 0xbbbbbbbb in {NAME}"),
        (LEGS[1], f"CycleLeg 2: 5 0xbbbbbbbb -> 3 0xaaaaaaaa in polygon.dfyn:pool:0x{'88' * 20}"),
    ],
    SignalWithdrawn: [
        (
            SignalWithdrawn(255, 0xAB, 7, H, WithdrawalReason.STATE_UNKNOWN),
            f"SignalWithdrawn signal 00000000000000ff of opportunity 00000000000000ab: state unknown, block 7 {HH}",
        ),
        (
            SignalWithdrawn(255, 0xAB, -1, bytes(32), 99),
            "SignalWithdrawn signal 00000000000000ff of opportunity 00000000000000ab: 99, block -1",
        ),
    ],
    OrderRequest: [
        (
            OrderRequest(255, 9, 0, 7, 8, BIG, 1, U, "own", 3, A, B, 1),
            f"OrderRequest 00000000000000ff of own version 3: {BIG} base units of 0xaaaaaaaa -> at least 1 base units "
            f"of 0xbbbbbbbb in 1 leg, decided on block 7 and sequence 9 of ring {UU}, until block 8",
        )
    ],
    OrderLeg: [(OrderLeg(b"\x99" * 20, A, B, 1), f"OrderLeg 1: {AA} -> {BB} in pool 0x{'99' * 20}")],
    RiskDecision: [
        (RiskDecision(*ORDER, 7, 0, 0, 1, OrderReason.NONE), f"RiskDecision {ORDER_TEXT} approved, block 7"),
        (
            RiskDecision(*ORDER, 7, -5, 4, 0, OrderReason.BREAKER_OPEN),
            f"RiskDecision {ORDER_TEXT} refused: breaker open, found -5, limit 4, block 7",
        ),
    ],
    OrderStatus: [
        (
            OrderStatus(*ORDER, 7, H, OrderState.ACCEPTED, OrderReason.NONE),
            f"OrderStatus {ORDER_TEXT} accepted, block 7 {HH}",
        ),
        (OrderStatus(*ORDER, 7, bytes(32), 99, 98), f"OrderStatus {ORDER_TEXT} 99 (98), block 7"),
    ],
    Fill: [
        (
            Fill(*ORDER, 7, H, 10**18, 10**6, 2 * 10**6, b"\x99" * 20, A, B, 3000, 1, Venue.QUICKSWAP_V2, 2, 18, 6, 1),
            f"Fill {ORDER_TEXT} leg 1: 1 0xaaaaaaaa -> 1 0xbbbbbbbb in {NAME}, expected 2 0xbbbbbbbb, fee 3000 pips, "
            f"behind 1 swap of the pool in block 7 {HH}",
        ),
        (
            Fill(*ORDER, 7, H, 5, 1, 0, b"\x99" * 20, A, B, 0, 2, 1999, 2, 255, 6, 2),
            f"Fill {ORDER_TEXT} leg 2: 5 base units of 0xaaaaaaaa -> 0.000001 0xbbbbbbbb in 1999:pool:0x{'99' * 20}, "
            f"fee 0 pips, behind 2 swaps of the pool in block 7 {HH}",
        ),
    ],
    ExecutionReport: [
        (
            REPORT,
            f"ExecutionReport {ORDER_TEXT} filled in 2 legs, {2 * 10**18} base units in -> 3 0xaaaaaaaa, expected 4 "
            "0xaaaaaaaa, gross 1 0xaaaaaaaa, gas 0.000000000000000003 0xaaaaaaaa (200,000 units at 5 wei, priced by "
            f"pool {BB}), net 0.999999999999999997 0xaaaaaaaa, with 90.5 % inclusion -0.000000000000000001 0xaaaaaaaa, "
            f"latency 1.5 ms, block 7 {HH}",
        ),
        (
            ExecutionReport(
                *ORDER,
                7,
                -1,
                H,
                0,
                0,
                0,
                0,
                3,
                -3,
                -3,
                5,
                0,
                0,
                1,
                bytes(20),
                A,
                1_000_000,
                OrderState.FAILED,
                OrderReason.TOO_LITTLE_OUT,
                0,
                2,
            ),
            f"ExecutionReport {ORDER_TEXT} failed (too little out) in 2 legs, gross 0 0xaaaaaaaa, gas 3 0xaaaaaaaa (1 "
            "units at 5 wei, which no pool prices: not in net), net -3 0xaaaaaaaa, with 100 % inclusion -3 0xaaaaaaaa, "
            f"block 7 {HH}",
        ),
    ],
    CircuitBreaker: [
        (
            CircuitBreaker(7, 9, -5, 3, BreakerState.OPEN, OrderReason.LOSS),
            "CircuitBreaker open until block 9 has ended: loss, loss -5 wei, 3 failures, block 7",
        ),
        (
            CircuitBreaker(9, 0, 0, 1, BreakerState.HALF_OPEN, OrderReason.COOLED_DOWN),
            "CircuitBreaker half open: cooled down, loss 0 wei, 1 failure, block 9",
        ),
    ],
    WayTick: [(WayTick(5, 10, 1, 1), "1 tick on the way")],
    Heartbeat: [
        (
            Heartbeat(7, 5, 9, 1500, 2, 1, FeedState.LIVE, 0, FeedReason.NO_BLOCK_ENDS),
            "Heartbeat feed live, no block ends, head 7 came 1.5 s ago, safe 5, 2 blocks behind, 1 "
            "log held back, endpoint 0, last sequence 9",
        ),
        (
            Heartbeat(-1, -1, 9, 0, 0, 0, FeedState.CONNECTING, 0, 99),
            "Heartbeat feed connecting, 99, no head yet, 0 blocks behind, 0 logs held back, endpoint "
            "0, last sequence 9",
        ),
    ],
    Session: [
        (
            Session(U, 2, 9, 137, 0xABC, H),
            f"Session epoch 2 of ring {UU} begins with sequence 9, chain 137, genesis {HH}, layout 0xabc",
        ),
        (
            Session(U, 2, 9, 0, 0xABC),
            f"Session epoch 2 of ring {UU} begins with sequence 9, chain not known yet, layout 0xabc",
        ),
    ],
    Gap: [
        (
            Gap(7, 9, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK),
            "Gap blocks 7 to 9 missing (3): the node does not have them",
        ),
        (Gap(7, 7, GapScope.RING_SEQUENCES, Reason.LAPPED), "Gap message 7 missing (1): the reader was too slow"),
        (Gap(7, 7, 9, 99), "Gap number 7 missing (1): reason 99"),
    ],
    Reorg: [
        (
            Reorg(6, 8, 9, 2, 1, bytes(32), H, I2),
            f"Reorg 2 blocks above 6 left the chain, 1 event taken back; from 8 {HH} to 9 {II}, fork "
            "at an unknown block",
        )
    ],
    BackfillBegin: [
        (BackfillBegin(7, 9, Reason.STARTED), "BackfillBegin fetching blocks 7 to 9: the collector started")
    ],
    BackfillEnd: [(BackfillEnd(7, 7, 2, 1), "BackfillEnd fetched block 7: 2 events new, 1 round")],
    StateInvalidation: [
        (
            StateInvalidation(7, InvalidationScope.ALL_POOLS, Reason.CHAIN_BROKEN, bytes(20)),
            "StateInvalidation all pools: state since block 7 not to be trusted: the blocks do not join",
        ),
        (
            StateInvalidation(7, InvalidationScope.ONE_POOL, Reason.REORG, A),
            f"StateInvalidation pool {AA}: state since block 7 not to be trusted: a reorg",
        ),
    ],
    SystemHealth: [
        (
            SystemHealth(
                12000,
                6000,
                0,
                7,
                1,
                3,
                137,
                H,
                U,
                bytes(20),
                "no block for 12 s",
                0,
                AnomalyKind.SILENCE,
                AnomalyState.BEGUN,
            ),
            "SystemHealth silence begun, 12000 ms (threshold 6000), no block for 12 s, sequences 1 "
            f"to 3 of ring {UU}, chain 137, block 7 {HH}",
        ),
        (
            SystemHealth(1, 2, 0, -1, 1, 3, 137, bytes(32), U, A, "", Venue.DFYN_POLYGON, 99, 98),
            f"SystemHealth 99 98, 1 (threshold 2), sequences 1 to 3 of ring {UU}, polygon.dfyn:pool:{AA}",
        ),
    ],
    BlockEnd: [
        (
            BlockEnd(7, 3, 1, 0, 0, H, Completeness.BLOOM_NEGATIVE),
            f"BlockEnd 7 complete (bloom negative): 3 logs, 1 event, 0 held back, hash {HH}",
        )
    ],
    Subscribe: [
        (
            Subscribe(5, 0, StreamStart.OLDEST, 0, "desk"),
            "Subscribe layout_digest=5 types=0 start=oldest at_least_once=0 name=desk",
        )
    ],
    SubscribeAck: [
        (
            SubscribeAck(1, 5, U, 0, "market.x"),
            f"SubscribeAck first_sequence=1 layout_digest=5 ring_uuid=0x{UU} ring_index=0 ring_name=market.x",
        )
    ],
    Ack: [(Ack(5, U), f"Ack sequence=5 ring_uuid=0x{UU}")],
    Resume: [(Resume(5, U, "market.x"), f"Resume sequence=5 ring_uuid=0x{UU} ring_name=market.x")],
    Filter: [
        (
            Filter(Venue.DFYN_POLYGON, FilterKind.VENUE, bytes(20)),
            f"Filter venue=polygon.dfyn kind=venue address=0x{'00' * 20}",
        )
    ],
    Batch: [(Batch(1, 9, 0, 3), "Batch first=1 last=9 ring_index=0 count=3")],
    Farewell: [(Farewell(1, 2, FarewellReason.TOO_SLOW), "Farewell expected=1 found=2 reason=too_slow")],
    VenueName: [(VenueName(1999, "own.venue"), "VenueName 1999 is own.venue")],
    Uncovered: [
        (
            Uncovered(A, bytes(20), 1, Protocol.CURVE, NotPublished.UNPROVEN),
            f"Uncovered 1 swap of curve emitter {AA} not published: unproven",
        ),
        (
            Uncovered(A, B, 2, Protocol.UNISWAP_V2, NotPublished.UNSUPPORTED),
            f"Uncovered 2 swaps of uniswap v2 emitter {AA} of factory 0x{B.hex()} not published: unsupported",
        ),
    ],
    Unproven: [
        (
            Unproven(7, 3, 2, Protocol.UNISWAP_V3, A, EmitterProof.NO_POOL),
            f"Unproven uniswap v3 emitter {AA}: no pool, since block 7: 3 held back, 2 published as unproven",
        )
    ],
    RingReplaced: [
        (RingReplaced(9, U, b"\x44" * 16), f"RingReplaced ring {UU} ended with sequence 9; {'44' * 16} follows it"),
        (RingReplaced(-1, U, U), f"RingReplaced ring {UU} ended nobody knows where; {UU} follows it"),
    ],
}
DOMAINS = {**dict.fromkeys(range(1, 20), Domain.MARKET_DATA), **dict.fromkeys(range(20, 40), Domain.SIGNAL)}
DOMAINS |= dict.fromkeys(range(40, 80), Domain.EXECUTION)


def line(*records: Record, describer: Describer | None = None, flags: int = 0) -> str:
    domain = DOMAINS.get(records[0].layout.type, Domain.SYSTEM)
    data = build(domain, Source.POLYGON_COLLECTOR, records, sequence=3, flags=flags)
    return (describer or Describer()).line(3, parse(data))


def test_every_record_of_the_layout_has_a_line_here() -> None:
    assert {cls for cls in RECORDS.values() if cls.__module__ == "tlv.layout"} == set(LINES)


@pytest.mark.parametrize(
    ("record", "expected"), [pytest.param(*case, id=cls.__name__) for cls, cases in LINES.items() for case in cases]
)
def test_dump_line_of_a_record(record: Record, expected: str) -> None:
    assert line(record) == "3  00:00:00.000000" + ("  " + expected if expected else "")


def test_signal_line_has_the_symbols_that_the_stream_told() -> None:
    describer = Describer()
    line(PoolState(*POOL, 0, 0, 0, 0, 9, 3000, 0, 0, A, "WMATIC", "USDC"), describer=describer)
    worth = Economics(1, 0, 1, 1, 1, 1, 1, A, bytes(20), 18)
    said = line(SIGNAL, worth, *LEGS, WayTick(1, 1, 1, 1), describer=describer)
    assert "ArbitrageSignal 2 WMATIC -> 3 WMATIC in 2 legs" in said
    assert "CycleLeg 1: 2 WMATIC -> 5 USDC in polygon.quickswap_v2" in said
    assert "net 0.000000000000000001 WMATIC" in said
    assert said.endswith("1 tick on the way")


@pytest.mark.parametrize(
    "symbol",
    [
        *("\x1b[2J", "a\nb", "\u202eCDSU", "x\u200by", "[red]x[/]", "\x9b31m", "\u2028"),
        *("1\u05d0 2", "a" + "\u0301" * 8, "\u3164", "\ufe0f"),
    ],
)
def test_symbol_that_a_terminal_would_obey_is_replaced(symbol: str) -> None:
    describer = Describer()
    said = line(PoolState(*POOL, 0, 0, 0, 0, 9, 3000, 0, 0, A, symbol, "USDC"), describer=describer)
    said += line(PoolSync(*POOL, 10**18, 1), describer=describer, flags=Flag.REMOVED)
    assert said.isprintable()
    assert printable(symbol) in said
    assert ("\N{REPLACEMENT CHARACTER}" in said) != (symbol == "[red]x[/]")
