"""Cycles, orders, fills and risk in words: what `dump` says of these records.

Owns the wording.  How an amount of a token is written is the caller's matter, since only the stream knows symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlv.codes import UNKNOWN_DECIMALS, BreakerState, OrderReason, OrderState, WithdrawalReason
from tlv.instrument import pool_text
from tlv.layout import (
    ArbitrageSignal,
    CircuitBreaker,
    CycleLeg,
    Economics,
    ExecutionReport,
    Fill,
    OrderLeg,
    OrderRecord,
    OrderRequest,
    OrderStatus,
    RiskDecision,
    SignalWithdrawn,
)
from tlv.record import Record
from tlv.units import MS
from tools.code_names import code_name
from tools.wording import counted, verdict

PPM = 1_000_000
AmountText = Callable[[int, bytes, int], str]
"""Writes base units of a token with so many decimals."""


def execution_sentences(amount: AmountText) -> dict[type[Record], Callable[[Any], str]]:
    """What is said of each of these records, without its name."""
    return {
        ArbitrageSignal: lambda record: signal_text(record, amount),
        CircuitBreaker: breaker_text,
        CycleLeg: lambda record: leg_text(record, amount),
        Economics: lambda record: economics_text(record, amount),
        ExecutionReport: lambda record: report_text(record, amount),
        Fill: lambda record: fill_text(record, amount),
        OrderLeg: order_leg_text,
        OrderRequest: lambda record: request_text(record, amount),
        OrderStatus: status_text,
        RiskDecision: risk_text,
        SignalWithdrawn: withdrawn_text,
    }


def signal_text(signal: ArbitrageSignal, amount: AmountText) -> str:
    """What goes into a round trip and comes out of it, and until when that holds."""
    paid, got = (amount(units, signal.token_in, signal.decimals_in) for units in (signal.amount_in, signal.amount_out))
    trade = f"{paid} -> {got} in {counted(signal.legs, 'leg')}, {verdict(signal.verdict)}"
    holds = f"until block {signal.expires_block}, opportunity {signal.opportunity:016x}"
    return f"{trade}, {holds}, {place(signal.block_number, signal.block_hash)}"


def leg_text(leg: CycleLeg, amount: AmountText) -> str:
    """One swap of a signal."""
    paid = amount(leg.amount_in, leg.token_in, leg.decimals_in)
    got = amount(leg.amount_out, leg.token_out, leg.decimals_out)
    return f"{leg.leg}: {paid} -> {got} in {pool_text(leg.venue, leg.pool)}"


def economics_text(worth: Economics, amount: AmountText) -> str:
    """What a signal earns."""
    gross, gas, net = (
        amount(value, worth.profit_token, worth.profit_decimals) for value in (worth.gross, worth.gas_cost, worth.net)
    )
    return f"gross {gross}, gas {gas} ({gas_text(worth)}), net {net}"


def gas_text(worth: Economics | ExecutionReport) -> str:
    """How much gas at which price, and which pool prices the chain's coin."""
    priced = f"{worth.gas_units:,} units at {worth.gas_price} wei"
    if any(worth.rate_pool):
        return priced + f", priced by pool 0x{worth.rate_pool.hex()}"
    if not worth.rate_native and not worth.rate_profit:
        return priced + ", which no pool prices: not in net"
    return priced


def withdrawn_text(record: SignalWithdrawn) -> str:
    """Which signal holds no more."""
    why = code_name(WithdrawalReason, record.reason)
    what = f"signal {record.signal_id:016x} of opportunity {record.opportunity:016x}"
    return f"{what}: {why}, {place(record.block_number, record.block_hash)}"


def request_text(order: OrderRequest, amount: AmountText) -> str:
    """What a strategy asks for; an order states no decimals."""
    paid = amount(order.amount_in, order.token_in, UNKNOWN_DECIMALS)
    least = amount(order.min_amount_out, order.token_out, UNKNOWN_DECIMALS)
    whose = f"{order.order_id:016x} of {order.strategy} version {order.strategy_version}"
    decided = f"decided on block {order.block_number} and sequence {order.trigger_sequence} of ring "
    decided += f"{order.trigger_ring.hex()}, until block {order.expires_block}"
    return f"{whose}: {paid} -> at least {least} in {counted(order.legs, 'leg')}, {decided}"


def order_leg_text(leg: OrderLeg) -> str:
    """One swap that a strategy asks for."""
    return f"{leg.leg}: 0x{leg.token_in.hex()} -> 0x{leg.token_out.hex()} in pool 0x{leg.pool.hex()}"


def risk_text(decision: RiskDecision) -> str:
    """Whether an order may be attempted."""
    if decision.approved:
        return f"{order_text(decision)} approved, block {decision.block_number}"
    why = f"{code_name(OrderReason, decision.reason)}, found {decision.found}, limit {decision.limit}"
    return f"{order_text(decision)} refused: {why}, block {decision.block_number}"


def status_text(status: OrderStatus) -> str:
    """What became of an order."""
    where = place(status.block_number, status.block_hash)
    return f"{order_text(status)} {outcome(status.state, status.reason)}, {where}"


def fill_text(fill: Fill, amount: AmountText) -> str:
    """One swap on paper."""
    paid = amount(fill.amount_in, fill.token_in, fill.decimals_in)
    got = amount(fill.amount_out, fill.token_out, fill.decimals_out)
    swap = f"{order_text(fill)} leg {fill.leg}: {paid} -> {got} in {pool_text(fill.venue, fill.pool)}"
    if fill.expected_out:
        swap += f", expected {amount(fill.expected_out, fill.token_out, fill.decimals_out)}"
    swap += f", fee {fill.fee_pips} pips"
    behind = f"behind {counted(fill.swaps_before, 'swap')} of the pool"
    return f"{swap}, {behind} in {place(fill.block_number, fill.block_hash)}"


def report_text(report: ExecutionReport, amount: AmountText) -> str:
    """What an attempt gave and cost."""
    gross, gas, net, expected = (
        amount(value, report.token, report.decimals)
        for value in (report.gross, report.gas_cost, report.net, report.expected_net)
    )
    parts = [f"{order_text(report)} {outcome(report.state, report.reason)} in {counted(report.legs, 'leg')}"]
    if report.amount_out:
        got = amount(report.amount_out, report.token, report.decimals)
        parts.append(f"{report.amount_in} base units in -> {got}")
    if report.expected_out:
        parts.append(f"expected {amount(report.expected_out, report.token, report.decimals)}")
    parts += [f"gross {gross}", f"gas {gas} ({gas_text(report)})", f"net {net}"]
    parts.append(f"with {report.inclusion_ppm * 100 / PPM:g} % inclusion {expected}")
    if report.latency_ns >= 0:
        parts.append(f"latency {report.latency_ns / MS:g} ms")
    return ", ".join([*parts, place(report.block_number, report.block_hash)])


def breaker_text(breaker: CircuitBreaker) -> str:
    """Whether orders pass."""
    state = code_name(BreakerState, breaker.state)
    if breaker.state == BreakerState.OPEN:
        state += f" until block {breaker.until_block} has ended"
    why = code_name(OrderReason, breaker.reason)
    what = f"loss {breaker.loss} wei, {counted(breaker.failures, 'failure')}"
    return f"{state}: {why}, {what}, block {breaker.block_number}"


def order_text(record: OrderRecord) -> str:
    """Which order: its id and the frame that asked for it."""
    return f"order {record.order_id:016x} (sequence {record.order_sequence} of ring {record.order_ring.hex()})"


def outcome(state: int, reason: int) -> str:
    """A state, and why."""
    text = code_name(OrderState, state)
    return text if reason == OrderReason.NONE else f"{text} ({code_name(OrderReason, reason)})"


def place(number: int, block_hash: bytes) -> str:
    """A block; its hash if that is known."""
    return f"block {number}" + (f" 0x{block_hash.hex()}" if any(block_hash) else "")
