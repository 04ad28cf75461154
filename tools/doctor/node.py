"""Whether an endpoint can feed a collector.

Owns the checks that ask, in the order in which a collector would stumble over them.  They ask little: some thirty
requests and two subscriptions, and nothing that changes anything.  What is judged from watching stands in `pushed`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

from producers.chains.configuration import ChainConfig
from producers.node.errors import EndpointError
from producers.node.hex import HexError, read_quantity
from producers.node.jsonrpc import HEAD, LOGS, TEXT
from producers.node.view_calls import DECIMALS, read_word
from tlv.errors import FeedError
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.http import opener_for
from tools.doctor.pushed import check_age, check_clock_skew, check_heads, check_lag, check_pushed_logs, check_removed
from tools.doctor.watch import PushedAndAsked
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer

ROUND_TRIPS = 10
SLOW_MS = 500.0
HEADS = 4
"""The first and the last may be cut off by the subscription's beginning and end; two whole blocks lie between."""
COLLECTOR_RANGE = 256
"""Blocks of the largest range a collector asks for; it halves what is refused."""
RANGES = (1, 16, 64, COLLECTOR_RANGE, 1024, 4096, 16384)

Say = Callable[[str], None]
Check = Callable[[Endpoint, ChainConfig], Awaitable[CheckResult]]


async def examine(url: str, http_url: str, chain: ChainConfig, wait_s: float, say: Say) -> list[CheckResult]:
    """Every check of one endpoint; `say` is given what is going on."""
    watch = PushedAndAsked()
    began = time.monotonic()
    try:
        async with Endpoint(url, watch.take) as endpoint:
            took_ms = (time.monotonic() - began) * 1e3
            findings = [CheckResult("connection", Verdict.OK, f"open after {took_ms:.0f} ms", measured={"ms": took_ms})]
            for name, check in CHECKS.items():
                findings.append(await attempted(name, check(endpoint, chain)))
            say(f"watching {endpoint.host} for {HEADS} blocks, at most {wait_s:g} s ...")
            try:
                await watch.look(endpoint, http_url, opener_for(http_url), HEADS, wait_s)
            except FeedError as error:
                return [*findings, CheckResult("subscription", Verdict.FAIL, str(error), "a collector needs the push")]
            findings += [check_heads(watch, wait_s), await attempted("pushed logs", check_pushed_logs(endpoint, watch))]
            return [*findings, check_lag(watch), check_age(watch), check_clock_skew(watch), check_removed(watch)]
    except EndpointError as error:
        return [CheckResult("connection", Verdict.FAIL, str(error), "is the URL right, and is the way to it open?")]


async def attempted(name: str, check: Awaitable[CheckResult]) -> CheckResult:
    """The finding of a check, or what kept it from finding anything."""
    try:
        return await check
    except FeedError as error:
        return CheckResult(name, Verdict.FAIL, str(error))


async def check_chain(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """Nothing that another chain's node says is about ours."""
    found = await ask_quantity(endpoint, "eth_chainId")
    good = found == chain.chain_id
    return CheckResult(
        "chain",
        Verdict.OK if good else Verdict.FAIL,
        f"{found}" if good else f"expected {chain.chain_id} ({chain.name}), found {found}",
        "another --chain, or another URL",
        {"chain_id": found},
    )


async def check_latency(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """Every back-fill and every verification waits for answers."""
    took_ms = []
    for _ in range(ROUND_TRIPS):
        began = time.monotonic()
        await ask_quantity(endpoint, "eth_blockNumber")
        took_ms.append((time.monotonic() - began) * 1e3)
    median, most = statistics.median(took_ms), max(took_ms)
    return CheckResult(
        "latency",
        Verdict.OK if median < SLOW_MS else Verdict.WARN,
        f"{median:.1f} ms a request, {most:.1f} ms at most of {ROUND_TRIPS}",
        "a nearer endpoint closes gaps sooner",
        {"median_ms": median, "max_ms": most},
    )


async def check_calls(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """Pools and tokens are verified by calls; the wrapped native token says 18 decimals on every chain."""
    call = {"to": chain.wrapped_native, "data": DECIMALS}
    answer = await endpoint.ask_for(TEXT, "eth_call", call, "latest")
    good = read_word(answer) == 18
    found = "answered" if good else "the wrapped native token does not say that it has 18 decimals"
    return CheckResult("contract calls", Verdict.OK if good else Verdict.WARN, found, "is it this chain, and in sync?")


async def check_block_logs(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """The logs of one block by its hash: how a collector proves a block complete."""
    head = await endpoint.ask_for(HEAD, "eth_getBlockByNumber", "latest", False)
    began = time.monotonic()
    logs = await endpoint.ask_for(LOGS, "eth_getLogs", {"blockHash": head.hash})
    took_ms = (time.monotonic() - began) * 1e3
    foreign = sum(log.block_hash != head.hash for log in logs)
    return CheckResult(
        "logs of a block",
        Verdict.OK if not foreign else Verdict.FAIL,
        f"{len(logs)} in {took_ms:.0f} ms" + (f", {foreign} of them of another block" if foreign else ""),
        "this node ignores blockHash",
        {"logs": len(logs), "ms": took_ms},
    )


async def check_range(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """How many blocks one eth_getLogs may span.  Only creation events are asked for, so that the limit on blocks is
    met before the one on results."""
    head = await ask_quantity(endpoint, "eth_blockNumber")
    emitters = [factory.address for factory in chain.factories] or [chain.wrapped_native]
    answered, refusal = 0, ""
    for blocks in sorted({min(blocks, head + 1) for blocks in RANGES}):
        span = {"fromBlock": hex(head - blocks + 1), "toBlock": hex(head), "address": emitters}
        try:
            await endpoint.ask("eth_getLogs", span)
        except Unanswered as error:
            refusal = f"; {blocks} refused: {error}"
            break
        answered = blocks
    enough = answered >= COLLECTOR_RANGE or not refusal
    return CheckResult(
        "log range",
        Verdict.OK if enough else Verdict.WARN if answered else Verdict.FAIL,
        f"{answered} blocks in one request{refusal}",
        f"below {COLLECTOR_RANGE} blocks a long back-fill takes more requests",
        {"blocks": answered},
    )


async def ask_quantity(endpoint: Endpoint, method: str) -> int:
    """A number.

    Raises:
        Unanswered, UnexpectedAnswer: there is none.
    """
    answer: str = await endpoint.ask_for(TEXT, method)
    try:
        return read_quantity(answer)
    except HexError as error:
        raise UnexpectedAnswer(f"{method}: {error}") from None


CHECKS: dict[str, Check] = {
    "chain": check_chain,
    "latency": check_latency,
    "contract calls": check_calls,
    "logs of a block": check_block_logs,
    "log range": check_range,
}
