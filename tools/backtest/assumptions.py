"""What a backtest assumes, in sentences: the executor's model with the settings of the run.

Owns the sentences; `docs/execution.md` explains the model.  A setting that changes what is assumed stands in one.
"""

from __future__ import annotations

from consumers.execution.config import ExecutionConfig
from tools.backtest.summary import coins


def assumptions(config: ExecutionConfig) -> list[str]:
    """One sentence each."""
    behind = {0: "in front of all", 100: "behind all"}.get(config.share_percent, f"behind {config.share_percent} %")
    gas = config.gas
    return [
        f"An order that was decided on the state of block N is attempted in block N + {config.delay_blocks}, "
        f"{behind} of that block's own swaps of each of its pools.",
        "Amounts are those that the pools' contracts would pay in that state, to the base unit. An attempt that would "
        "bring less than the order accepts reverts, and pays its gas.",
        f"Every attempt is included (p = 1); the second figure takes a probability of {config.inclusion_percent:g} % "
        "for each, and that an attempt that is not included earns nothing and costs nothing.",
        "Own fills move a pool for later orders until the chain's next event of the pool shows its real state. Nobody "
        "answers them: what others would have done after such a fill is not known.",
        "Nobody else saw the same opportunity, except for those whose swaps are in the recorded blocks.",
        latency(config),
        f"Gas is {gas.overhead_units:,} units for an attempt, {gas.v2_swap_units:,} for a V2 swap, "
        f"{gas.v3_swap_units:,} for a V3 swap and {gas.v3_tick_units:,} for each tick that it crosses, unless set by "
        f"venue; a unit costs the block's own base fee and a tip of {coins(gas.tip_wei)} coins, or "
        f"{coins(gas.legacy_price_wei)} coins in blocks without a base fee.",
        "Other tokens are converted to the chain's coin at the rate of a pool in the same state, without the cost of "
        "doing it.",
        f"Limits: {coins(config.max_exposure_wei)} coins put in by the orders of a block, "
        f"{coins(config.max_position_wei)} held of one token, {config.max_orders_per_block} orders a block, "
        f"{coins(config.max_loss_wei)} lost in all. The circuit breaker opens for {config.cool_down_blocks} blocks "
        f"after {config.breaker_failures} failures in a row, or {coins(config.breaker_loss_wei)} coins lost within "
        f"{config.breaker_blocks} blocks.",
        "The capital for every order is there, in the token that it begins with, and costs nothing.",
        "A block that left the chain takes its fills with it; its orders are not tried again.",
    ]


def latency(config: ExecutionConfig) -> str:
    """How late an order comes."""
    if config.latency_ms is not None:
        return (
            f"An order comes {config.latency_ms:g} ms after the event behind it was received; in a block that was "
            "received before that it is not attempted."
        )
    return (
        "An order comes when the event behind it had been received and published, by the recorded times; what the "
        "strategy takes to decide counts as nothing. execute.latency_ms sets a time instead."
    )
