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
from producers.node.refusals import Meaning
from producers.node.view_calls import DECIMALS, read_word
from tlv.errors import FeedError
from tools.doctor.asking import Asking, Say, Tell
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.http import opener_for
from tools.doctor.pushed import check_age, check_clock_skew, check_heads, check_lag, check_pushed_logs, check_removed
from tools.doctor.watch import PushedAndAsked
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer

ROUND_TRIPS = 10
SLOW_MS = 500.0
LATENCY_S = 4.0
"""For all round trips together; a rate limit makes each of them take seconds."""
QUESTION_S = 4.0
NO_PUSH = "a collector needs eth_subscribe: use an endpoint that offers it over WebSocket"
INSTEAD = {
    Meaning.POLICY: "a collector then fetches logs of known pools only: --fallback with another endpoint",
    Meaning.UNSUPPORTED: "a collector then asks by number, and compares the hashes",
    Meaning.SIZE: "a collector then asks in parts, or raise its limit with --max-message",
}
HEADS = 4
"""The first and the last may be cut off by the subscription's beginning and end; two whole blocks lie between."""
COLLECTOR_RANGE = 256
"""Blocks of the largest range a collector asks for; it halves what is refused."""
RANGES = (1, 16, 64, COLLECTOR_RANGE, 1024, 4096, 16384)

Check = Callable[[Endpoint, ChainConfig], Awaitable[CheckResult]]


async def examine(
    url: str, http_url: str, chain: ChainConfig, wait_s: float, say: Say, tell: Tell = lambda finding: None
) -> list[CheckResult]:
    """Every check of one endpoint; `tell` is given each finding at once, `say` what is being waited for."""
    asking = Asking(say, tell)
    with asking.reporting():
        await _examine(asking, url, http_url, chain, wait_s, say)
    return asking.findings


async def _examine(asking: Asking, url: str, http_url: str, chain: ChainConfig, wait_s: float, say: Say) -> None:
    watch = PushedAndAsked()
    began = time.monotonic()
    try:
        async with Endpoint(url, watch.take, timeout_s=QUESTION_S) as endpoint:
            took_ms = (time.monotonic() - began) * 1e3
            asking.found(
                CheckResult("connection", Verdict.OK, f"open after {took_ms:.0f} ms", measured={"ms": took_ms})
            )
            for name, check in CHECKS.items():
                await asking.find(name, check(endpoint, chain))
                if asking.is_hopeless:
                    return
            say(f"watching {endpoint.host} for {HEADS} blocks, at most {wait_s:g} s ...")
            asking.wait_for(f"{HEADS} blocks")
            try:
                await watch.look(endpoint, http_url, opener_for(http_url), HEADS, wait_s)
            except FeedError as error:
                asking.found(CheckResult("subscription", Verdict.FAIL, str(error), NO_PUSH))
                return
            asking.found(check_heads(watch, wait_s))
            await asking.find("pushed logs", check_pushed_logs(endpoint, watch))
            for finding in (check_lag(watch), check_age(watch), check_clock_skew(watch), check_removed(watch)):
                asking.found(finding)
    except EndpointError as error:
        advice = "is the URL right, and is the way to it open?"
        asking.found(CheckResult("connection", Verdict.FAIL, str(error), advice))


async def check_software(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """What the node calls itself; many providers do not say."""
    try:
        name = await endpoint.ask_for(TEXT, "web3_clientVersion")
    except Unanswered as error:
        if error.failure.meaning in (Meaning.UNSUPPORTED, Meaning.POLICY):
            return CheckResult("software", Verdict.UNKNOWN, "it does not say")
        raise
    return CheckResult("software", Verdict.OK, "".join(letter for letter in name[:100] if letter.isprintable()))


async def check_calls_by_hash(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """A pool is verified as of the very block of its log."""
    head = await endpoint.ask_for(HEAD, "eth_getBlockByNumber", "latest", False)
    call = {"to": chain.wrapped_native, "data": DECIMALS}
    try:
        await endpoint.ask_for(TEXT, "eth_call", call, {"blockHash": head.hash})
    except Unanswered as error:
        if error.failure.meaning in (Meaning.RATE, Meaning.QUOTA, Meaning.REVERT):
            raise
        advice = "a collector asks by number and compares the hash afterwards: slower, and blind during reorgs"
        return CheckResult("calls by hash", Verdict.WARN, f"{error}", advice)
    return CheckResult("calls by hash", Verdict.OK, "answered (EIP-1898)")


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
    took_ms: list[float] = []
    until = time.monotonic() + LATENCY_S
    while len(took_ms) < ROUND_TRIPS and (not took_ms or time.monotonic() < until):
        began = time.monotonic()
        await ask_quantity(endpoint, "eth_blockNumber")
        took_ms.append((time.monotonic() - began) * 1e3)
    median, most = statistics.median(took_ms), max(took_ms)
    return CheckResult(
        "latency",
        Verdict.OK if median < SLOW_MS else Verdict.WARN,
        f"{median:.1f} ms a request, {most:.1f} ms at most of {len(took_ms)}",
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
    try:
        logs = await endpoint.ask_for(LOGS, "eth_getLogs", {"blockHash": head.hash})
    except Unanswered as error:
        instead = INSTEAD.get(error.failure.meaning)
        if instead is None:
            raise
        return CheckResult("logs of a block", Verdict.WARN, str(error), instead)
    took_ms = (time.monotonic() - began) * 1e3
    foreign = sum(log.block_hash != head.hash for log in logs)
    return CheckResult(
        "logs of a block",
        Verdict.OK if not foreign else Verdict.FAIL,
        f"{len(logs)} in {took_ms:.0f} ms" + (f", {foreign} of them of another block" if foreign else ""),
        "this node ignores blockHash: use another endpoint",
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
    "software": check_software,
    "latency": check_latency,
    "contract calls": check_calls,
    "calls by hash": check_calls_by_hash,
    "logs of a block": check_block_logs,
    "log range": check_range,
}
