"""Signals of the recorded market, executed by the real contracts from their own bytes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from msgspec.structs import replace

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.signal import legs_in
from consumers.strategy import drive
from tests.consumers.journal_frames import append, open_writer
from tests.consumers.recorded_market import RING, canonical_frames
from tlv.codes import Domain, Flag, Protocol, QuoteVerdict, Source, Venue
from tlv.layout import ArbitrageSignal, CycleLeg, PoolState, SignalIdentity, WayTick
from tlv.message import Message, build, parse
from tools.evm.seeded_pools import SeededPools
from tools.evm.signals import execute_on_market, execute_signal, key_of
from tools.verify_signal import command

MOST = (1 << 112) - 1
FIRST, SECOND, POOL, OTHER = b"\1" * 20, b"\2" * 20, b"\3" * 20, b"\4" * 20


@cache
def signals() -> list[Message]:
    """What the strategy finds in the recording, with unprofitable ones."""
    drafts = drive(FlashArbitrage(ArbitrageConfig(gross=True)), RING, canonical_frames())
    messages = [parse(build(draft.domain, draft.source, draft.records)) for draft in drafts]
    return [message for message in messages if message.first(ArbitrageSignal) is not None]


def market(directory: Path, last: int | None = None) -> Path:
    """A journal of the recording, or of its first frames."""
    frames = list(canonical_frames())[:last]
    first = frames[0][0]
    with open_writer(directory, ring_uuid=RING) as journal:
        append(journal, [payload for _, _, payload in frames], first)
    return directory


def rewritten(message: Message, leg: int, **fields: int) -> Message:
    """The same signal with other fields in one leg."""
    records = [
        replace(record, **fields) if isinstance(record, CycleLeg) and record.leg == leg else record
        for record in message.records
    ]
    return parse(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, records))


def test_contracts_pay_what_signals_of_the_recording_state() -> None:
    pools = SeededPools()
    found = [execute_signal(message, pools) for message in signals()]
    assert found
    assert all(execution == ([], []) for execution in found)


def test_signals_are_executed_in_the_states_of_the_market_too(tmp_path: Path) -> None:
    """All that stand in the journal's frames; a state that is stated otherwise than it was is told."""
    changed = rewritten(signals()[0], 1, reserve_in=1 + legs_in(signals()[0])[0].reserve_in)
    found = execute_on_market(signals(), market(tmp_path / "whole"), SeededPools())
    assert len(found) == len(signals())
    assert all(execution == ([], []) for execution in found.values())
    key = key_of(changed)
    assert key is not None
    (told,) = execute_on_market([changed], tmp_path / "whole", SeededPools())[key].wrong
    assert told.startswith("leg 1: expected Reserves(reserve0=")
    assert execute_on_market(signals(), market(tmp_path / "part", key[1] - 1), SeededPools()) == {}


def verify(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines of the command."""
    ended = CliRunner().invoke(command, [*map(str, arguments), "--json"], standalone_mode=False)
    assert ended.exception is None, ended.output
    return ended.return_value, [json.loads(line) for line in ended.stdout.splitlines()]


def test_command_executes_signals_of_a_journal(tmp_path: Path) -> None:
    with open_writer(tmp_path / "signals") as journal:
        append(journal, [build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, one.records) for one in signals()], 1)
    code, (*lines, counts) = verify("--journal", tmp_path / "signals", "--evm")
    assert (code, counts["right"], counts["wrong"], counts["not_executed"]) == (0, len(signals()), 0, 0)
    assert all(line["right"] and line["not_executed"] == [] for line in lines)
    whole = market(tmp_path / "market")
    assert verify("--journal", tmp_path / "signals", "--evm", "--market", whole) == (0, [*lines, counts])
    part = market(tmp_path / "part", 10)
    code, (*lines, counts) = verify("--journal", tmp_path / "signals", "--evm", "--market", part)
    assert (code, counts["wrong"], counts["not_executed"]) == (1, 0, len(signals()))
    assert lines[0]["not_executed"] == ["the market's journal does not hold the frame behind it"]


def test_market_without_evm_is_refused(tmp_path: Path) -> None:
    arguments = ["--hex", "00", "--market", str(tmp_path)]
    ended = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert "--market" in str(ended.exception)


def test_one_unit_more_than_the_contract_pays_is_told() -> None:
    leg = legs_in(signals()[0])[0]
    changed = rewritten(signals()[0], 1, amount_out=leg.amount_out + 1)
    execution = execute_signal(changed, SeededPools())
    assert execution.unjudged == []
    assert execution.wrong == [
        f"leg 1: expected {leg.amount_in} in and {leg.amount_out + 1} out as stated, "
        f"the contract took {leg.amount_in} and paid {leg.amount_out}"
    ]


def test_what_no_contract_judges_and_what_one_refuses_are_told_apart() -> None:
    pools = SeededPools()
    unknown_fee = execute_signal(rewritten(signals()[0], 2, fee_pips=2500), pools)
    assert unknown_fee.wrong == []
    assert unknown_fee.unjudged == ["leg 2: a Uniswap V2 pair charges whole thousandths below 256, this pool 2500 pips"]
    refused = execute_signal(rewritten(signals()[0], 2, reserve_in=MOST, reserve_out=MOST), pools)
    assert refused.unjudged == []
    assert refused.wrong[0].startswith("leg 2: the contract refused the swap: UniswapV2: OVERFLOW")


def test_way_of_a_leg_is_its_own() -> None:
    """Two V3 legs of one signal, each with the ticks that it crosses."""
    leg = CycleLeg(
        amount_in=10**15,
        amount_out=0,
        reserve_in=0,
        reserve_out=0,
        sqrt_price_x96=1 << 96,
        liquidity=10**16,
        tick=0,
        fee_pips=3000,
        pool=POOL,
        token_in=FIRST,
        token_out=SECOND,
        venue=0,
        protocol=Protocol.UNISWAP_V3,
        decimals_in=18,
        decimals_out=18,
        leg=1,
    )
    back = replace(leg, pool=OTHER, token_in=SECOND, token_out=FIRST, leg=2)
    signal = ArbitrageSignal(
        block_number=1,
        expires_block=2,
        opportunity=1,
        block_hash=bytes(32),
        amount_in=leg.amount_in,
        amount_out=0,
        token_in=FIRST,
        decimals_in=18,
        legs=2,
        verdict=QuoteVerdict.EXACT,
    )
    ways = [WayTick(-(10**16), -60, 60, 1), WayTick(10**15, -1200, 60, 1), WayTick(-(10**16), 2400, 60, 2)]
    message = parse(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, (signal, leg, back, *ways)))
    first, second = execute_signal(message, SeededPools()).wrong
    assert first.startswith(
        "leg 1: expected 1000000000000000 in and 0 out as stated, the contract took 1000000000000000"
    )
    assert second.startswith(
        "leg 2: expected 1000000000000000 in and 0 out as stated, the contract took 1000000000000000"
    )
    assert first.rpartition(" ")[2] != second.rpartition(" ")[2]


def test_ticks_that_the_market_does_not_tell_are_not_judged(tmp_path: Path) -> None:
    """The journal begins behind the pool's tick map: its price is known, what lies beside it is not."""
    head = (POOL, FIRST, SECOND, Venue.UNISWAP_V3, 18, 18, Protocol.UNISWAP_V3)
    state = PoolState(*head, 0, 0, 1 << 96, 10**16, 5, 3000, 0, 60, bytes(20), "", "")
    with open_writer(tmp_path, ring_uuid=RING) as journal:
        data = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [state], sequence=1, flags=Flag.SNAPSHOT)
        append(journal, [data], 1)
    amounts, price = (10**15, 0, 0, 0), (1 << 96, 10**16, 0, 3000)
    leg = CycleLeg(*amounts, *price, POOL, FIRST, SECOND, Venue.UNISWAP_V3, Protocol.UNISWAP_V3, 18, 18, 1)
    identity = SignalIdentity(7, 1, 0, RING, "flash", 2)
    signal = parse(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity, leg, WayTick(10**15, -60, 60, 1)]))
    (execution,) = execute_on_market([signal], tmp_path, SeededPools()).values()
    assert execution == ([], [f"leg 1: the market's frames do not tell the ticks of pool 0x{POOL.hex()}"])
