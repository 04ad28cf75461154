"""What `alphapulse strategy` prints at the end of a strategy: its counts as JSON, and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.loading import parameters_of
from consumers.native.runner import NativeRunner
from consumers.own_counts import shown_counts
from consumers.runner import Runner

VERDICTS = ("exact", "within_segment", "speculative")
NO_PRICE = (
    "no pool gives their tokens a price in the chain's coin, {}: "
    "set wrapped_native to the token that wraps this chain's coin"
)
ARBITRAGE_COUNTS = ("screened", "candidates", "gross_positive", "net_positive", "unpriced", "stale")


def statistics_of(runner: Runner | NativeRunner, seconds: float) -> dict[str, Any]:
    """What a strategy did; the counts of its own are the arbitrage's."""
    counted, strategy = runner.counts, runner.driver.strategy
    found: dict[str, Any] = {
        "strategy": strategy.name,
        "signals": counted.signals,
        "signals_late": counted.late_signals,
        "orders": counted.orders,
        "withdrawn": counted.withdrawn,
        "again": counted.again,
        "frames": counted.frames,
        "lost": counted.lost,
        "poisoned": counted.poisoned,
        "seconds": round(seconds, 3),
        "latency_ns": counted.latencies(),
        "params": parameters_of(strategy),
        "order_hash": runner.order_hash.hexdigest(),
    }
    found["counts"] = shown_counts(strategy.counts)
    if isinstance(strategy, FlashArbitrage):
        found["signals_by_verdict"] = {name: strategy.counts[f"signals_{name}"] for name in VERDICTS}
        found["pools"] = len(strategy.book.pools)
        refused = sum(count for name, count in strategy.counts.items() if name.startswith("refused_"))
        found |= {name: strategy.counts[name] for name in ARBITRAGE_COUNTS} | {"untouchable": refused}
    return found


def sentence_of(found: dict[str, Any]) -> str:
    """The same for a person."""
    kinds = [f"{found[kind]} {kind}" for kind in ("orders", "withdrawn") if found[kind]]
    text = "{signals} signals" + (f" (of them {', '.join(kinds)})" if kinds else "") + " from {frames} frames"
    if "screened" in found:
        text += (
            " of {pools} pools: {screened} comparisons, {candidates} candidates, {gross_positive} earn before gas, "
            "{net_positive} after it"
        )
    text += "; {lost} frames lost, {poisoned} poisoned"
    if found["again"]:
        text += "; {again} were published before"
    return text.format(**found) + unpriced_hint(found["counts"], found["params"])


def unpriced_hint(counts: dict[str, int | float | str], params: dict[str, Any]) -> str:
    """What to do where nothing could be signalled because no pool prices its gas; empty if something could."""
    if not counts.get("unpriced") or counts.get("net_positive") or "wrapped_native" not in params:
        return ""
    return f"; {counts['unpriced']} cycles may earn, but {NO_PRICE.format(params['wrapped_native'])}, or gross = true"


def unpriced_orders_hint(reasons: Mapping[str, int], filled: int, coin: str) -> str:
    """The same of an executor, which refuses what it cannot price; empty if it filled something."""
    if filled or not reasons.get("unpriced"):
        return ""
    dear = "; or their gas is more than a report can state (their RiskDecisions have a limit): lower gas.tip_wei"
    return f"; {reasons['unpriced']} orders were refused, as {NO_PRICE.format(coin)}{dear}"
