"""What is judged from watching an endpoint: heads, logs, the lag of HTTP, clocks, and what cannot be told.

Owns the limits.  Everything here reads a finished `PushedAndAsked`; only the pushed logs are held against what the node
lists.
"""

from __future__ import annotations

import statistics

from producers.node.jsonrpc import LOGS
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.watch import PushedAndAsked
from tools.rig.endpoint import Endpoint

STALE_S = 30.0
EARLY_S = -3.0
SKEW_S = 2.0
"""Of which up to one is the missing fraction of an HTTP date."""
LAGGING_BLOCKS = 2


def check_heads(watch: PushedAndAsked, wait_s: float) -> CheckResult:
    """A subscription can be accepted and dead."""
    found = f"{len(watch.heads)} blocks pushed" + ("" if watch.heads else f" within {wait_s:g} s")
    if watch.unreadable:
        found += f", and {watch.unreadable} notifications that are neither head nor log"
    advice = "the chain stands still, or the subscription is dead; --wait takes longer"
    return CheckResult("subscription", Verdict.OK if watch.heads else Verdict.FAIL, found, advice)


async def check_pushed_logs(endpoint: Endpoint, watch: PushedAndAsked) -> CheckResult:
    """Of each block that was pushed whole: the pushed logs against the node's own list."""
    pushed = listed = blocks = 0
    for seen in watch.heads[1:-1]:
        logs = await endpoint.ask_for(LOGS, "eth_getLogs", {"blockHash": seen.head.hash})
        identities = {(log.transaction_hash, log.log_index) for log in logs}
        pushed += len(identities & watch.logs[seen.head.hash])
        listed += len(identities)
        blocks += 1
    if not listed:
        found = f"no logs in {blocks} whole blocks" if blocks else "no whole block was pushed; --wait takes longer"
        return CheckResult("pushed logs", Verdict.UNKNOWN, found)
    return CheckResult(
        "pushed logs",
        Verdict.OK if pushed == listed else Verdict.WARN if pushed else Verdict.FAIL,
        f"{pushed} of {listed} in {blocks} whole blocks",
        "a collector notices and fetches the rest, later than it could",
        {"pushed": pushed, "listed": listed},
    )


def check_lag(watch: PushedAndAsked) -> CheckResult:
    """Whoever asks HTTP after a push asks a node that may not have the block yet."""
    if watch.http_problem:
        return CheckResult("head lag of HTTP", Verdict.WARN, watch.http_problem, "a collector needs the WebSocket only")
    if not watch.lag_blocks:
        return CheckResult("head lag of HTTP", Verdict.UNKNOWN, "no block was pushed")
    behind = max(watch.lag_blocks)
    caught_up = len(watch.lag_ms) == len(watch.lag_blocks)
    median = statistics.median(watch.lag_ms) if watch.lag_ms else None
    time_text = f"shows a pushed block after {median:.0f} ms" if median is not None else "never showed a pushed block"
    return CheckResult(
        "head lag of HTTP",
        Verdict.OK if behind <= LAGGING_BLOCKS and caught_up else Verdict.WARN,
        f"{time_text}, {behind} blocks behind at most",
        "HTTP answers from another, later node",
        {"blocks": behind, "median_ms": median},
    )


def check_age(watch: PushedAndAsked) -> CheckResult:
    """From a block's timestamp (whole seconds) to its arrival; negative if it came early."""
    age = watch.median_age_s
    if age is None:
        return CheckResult("block age", Verdict.UNKNOWN, "no block was pushed")
    return CheckResult(
        "block age",
        Verdict.OK if EARLY_S <= age <= STALE_S else Verdict.WARN,
        f"{age:.1f} s when pushed",
        "the node is behind, or a clock is off",
        {"median_s": age},
    )


def check_clock_skew(watch: PushedAndAsked) -> CheckResult:
    """Our clock against the one of the endpoint's HTTP server."""
    if not watch.clock_skew_s:
        return CheckResult("clock skew", Verdict.UNKNOWN, "the endpoint tells no time over HTTP")
    # Dates are cut to whole seconds, so on average they are half a second old.
    skew = statistics.median(watch.clock_skew_s) - 0.5
    return CheckResult(
        "clock skew",
        Verdict.OK if abs(skew) <= SKEW_S else Verdict.WARN,
        f"ours is {abs(skew):.1f} s {'ahead' if skew >= 0 else 'behind'}, to within 0.5 s",
        "synchronise this machine's clock: block ages and latencies are measured with it",
        {"seconds": skew},
    )


def check_removed(watch: PushedAndAsked) -> CheckResult:
    """Whether dropped logs are announced shows in a reorg only, and a collector does not rely on it."""
    if watch.removed:
        return CheckResult("removed logs", Verdict.OK, f"{watch.removed} announced with `removed: true`")
    return CheckResult("removed logs", Verdict.UNKNOWN, "unknown until a reorg happens; reorgs are found by parentHash")
