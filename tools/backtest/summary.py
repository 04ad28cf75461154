"""What a run gave, as JSON and as text.

Owns the names of the keys.  Amounts are exact decimal texts; in text they are whole coins with all their digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from consumers.backtest.account import PaperAccount
from consumers.backtest.mapped_journal import JournalFacts
from consumers.backtest.run import RunResult
from consumers.execution.ledger import Pnl
from tlv.codes import UNKNOWN_DECIMALS
from tools.strategy_text import unpriced_hint, unpriced_orders_hint

COIN_DECIMALS = 18


def coins(wei: int) -> str:
    """Whole coins, every digit: 0.000000000000000001 is one wei."""
    return tokens(wei, COIN_DECIMALS)


def tokens(amount: int, decimals: int) -> str:
    """Whole tokens, every digit; base units where the decimals are unknown."""
    if decimals == UNKNOWN_DECIMALS:
        return f"{amount} base units"
    if not amount:
        return "0"
    text = f"{Decimal(f'{amount}E-{decimals}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def pnl_line(pnl: Pnl) -> dict[str, Any]:
    """Sums in wei as JSON has them."""
    fields = msgspec.structs.asdict(pnl)
    return {name: value if name in ("orders", "filled") else str(value) for name, value in fields.items()}


def account_line(account: PaperAccount) -> dict[str, Any]:
    """Profit and loss as JSON."""
    ledger = account.ledger
    return {
        "unit": "wei",
        **pnl_line(ledger.total),
        "drawdown": str(account.drawdown),
        "by_strategy": {name: pnl_line(pnl) for name, pnl in ledger.by_strategy.items()},
        "by_route": {name: pnl_line(pnl) for name, pnl in ledger.by_route.items()},
        "by_token": {
            f"0x{token.hex()}": {
                "decimals": one.decimals,
                "reports": one.reports,
                "gross": str(one.gross),
                "gas": str(one.gas),
                "net": str(one.net),
                "expected": str(one.expected_net),
            }
            for token, one in account.by_token.items()
        },
    }


def run_line(result: RunResult, data_bytes: int) -> dict[str, Any]:
    """A run as JSON.  `order_hash` is that of the only strategy, or null: each has its own."""
    strategies = result.strategies
    ledger = result.account.ledger
    return {
        "run": result.number,
        "set": result.settings,
        "complete": not result.missing,
        "missing": result.missing,
        "order_hash": strategies[0].order_hash if len(strategies) == 1 else None,
        "execution_hash": result.execution_hash,
        "frames": result.frames,
        "signals": sum(one.signals for one in strategies),
        "withdrawn": sum(one.withdrawn for one in strategies),
        "orders": sum(one.orders for one in strategies),
        "outcomes": {name: count for name, count in ledger.states.items() if count},
        "waiting": result.waiting,
        "reasons": {name: count for name, count in ledger.reasons.items() if count},
        "pnl": account_line(result.account),
        "pnl_by_delay": {str(blocks): account_line(account)["net"] for blocks, account in result.by_delay.items()},
        "strategies": [
            {
                "name": one.name,
                "version": one.version,
                "params": one.params,
                "order_hash": one.order_hash,
                "messages": one.messages,
                "signals": one.signals,
                "orders": one.orders,
                "withdrawn": one.withdrawn,
                "frames": one.frames,
                "lost": one.lost,
                "poisoned": one.poisoned,
                "counts": one.counts,
                "stopped": one.stopped,
            }
            for one in strategies
        ],
        "seconds": round(result.seconds, 3),
        "private_bytes": result.private_bytes,
        "data_bytes": data_bytes,
    }


def run_text(result: RunResult, facts: JournalFacts) -> str:
    """A run as text."""
    total, account = result.account.ledger.total, result.account
    lines = [
        f"{result.frames:,} frames of {facts.ring_name}, blocks {facts.first_block} to {facts.last_block}, "
        f"in {result.seconds:.1f} s"
    ]
    for one in result.strategies:
        lines.append(
            f"{one.name}: {one.signals} signals, {one.withdrawn} withdrawn, {one.orders} orders; "
            f"order_hash {one.order_hash}{unpriced_hint(one.counts, one.params)}"
        )
    lines.append(f"outcomes: {counted(account.ledger.states) or 'no order'}; execution_hash {result.execution_hash}")
    if reasons := counted(account.ledger.reasons):
        hint = unpriced_orders_hint(account.ledger.reasons, total.filled, account.ledger.config.wrapped_native)
        lines.append(f"reasons: {reasons}{hint}")
    if result.waiting:
        lines.append(f"{result.waiting} orders were waiting for their block when the journal ended")
    lines += [
        f"net     {coins(total.net)} coins if every attempt is included (p = 1)",
        f"        {coins(total.expected)} with the stated probability of inclusion",
        f"gross   {coins(total.gross)}",
        f"gas     {coins(total.gas)}",
        f"fell by {coins(account.drawdown)} at most (drawdown)",
    ]
    for token, came in account.by_token.items():
        net, gross, gas = (tokens(amount, came.decimals) for amount in (came.net, came.gross, came.gas))
        lines.append(f"token 0x{token.hex()}: net {net}, gross {gross}, gas {gas}")
    lines += [f"NOT COMPLETE: {reason}" for reason in result.missing]
    return "\n".join(lines)


def counted(counts: Mapping[str, int]) -> str:
    """`3 filled, 1 failed`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def sweep_text(results: Sequence[RunResult]) -> str:
    """A row for each run of a sweep, the best first."""
    rows = [("run", "net (p = 1)", "stated p", "drawdown", "filled", "failed", "set")]
    for one in best_first(results):
        ledger = one.account.ledger
        settings = " ".join(f"{key}={value}" for key, value in one.settings.items())
        states = ledger.states
        rows.append(
            (
                *(str(one.number), coins(ledger.total.net), coins(ledger.total.expected), coins(one.account.drawdown)),
                *(str(states["filled"]), str(states["failed"]), settings),
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def best_first(results: Sequence[RunResult]) -> list[RunResult]:
    """Runs by net, the highest first; of equal ones the earlier."""
    return sorted(results, key=lambda one: (-one.account.ledger.total.net, one.number))
