"""Whether an endpoint can feed a collector.

Owns the checks that ask, in the order in which a collector would stumble over them.  They ask little: some thirty
requests and two subscriptions, and nothing that changes anything.  What is judged from watching stands in `pushed`.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus

from producers.chains.configuration import ChainConfig
from producers.node.hex import HexError, read_quantity
from producers.node.jsonrpc import HEAD, LOGS, TEXT
from producers.node.redaction import host_of, without_secrets
from producers.node.refusals import Meaning
from producers.node.view_calls import DECIMALS, read_word
from tlv.errors import FeedError
from tools.doctor.asking import Asking, Say, Tell
from tools.doctor.finding import CheckResult, Verdict
from tools.doctor.http import opener_for
from tools.doctor.pushed import check_age, check_clock_skew, check_heads, check_lag, check_pushed_logs, check_removed
from tools.doctor.watch import PushedAndAsked
from tools.rig.endpoint import Endpoint, NoConnection, Unanswered, UnexpectedAnswer

ROUND_TRIPS = 10
SLOW_MS = 500.0
LATENCY_S = 4.0
"""For all round trips together; a rate limit makes each of them take seconds."""
QUESTION_S = 4.0
STALE_BLOCK_S, EARLY_BLOCK_S = 60.0, -15.0
"""Age of a node's newest block; a chain whose blocks take longer has 20 block times."""
NO_WEBSOCKET = (
    "is that its WebSocket endpoint? providers have another URL for HTTP, nodes another port (8546, not 8545)"
)
REMEDY_OF_STATUS = {
    (401, 403): "its key is missing, wrong, or not for this chain or address: the provider's page shows it",
    (404,): "the path of the URL is wrong: copy it again from the provider's page",
    (429,): "too many requests: wait a minute; an account, or --fallback with another endpoint",
    range(500, 600): "its provider fails: try again, and give --fallback another endpoint",
    range(600): NO_WEBSOCKET,
}
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


class _Hashed(msgspec.Struct):
    hash: str


class _Syncing(msgspec.Struct):
    currentBlock: str = "?"  # noqa: N815 - the protocol's names
    highestBlock: str = "?"  # noqa: N815


Check = Callable[[Endpoint, ChainConfig], Awaitable[CheckResult]]


async def examine(
    url: str, http_url: str, chain: ChainConfig, wait_s: float, say: Say, tell: Tell = lambda finding: None
) -> list[CheckResult]:
    """Every check of one endpoint; `tell` is given each finding at once, `say` what is being waited for."""
    asking = Asking(say, tell)
    with asking.reporting():
        try:
            await _examine(asking, url, http_url, chain, wait_s, say)
        except Exception as error:  # noqa: BLE001 - what an endpoint says must not end the doctor
            found = f"could not be checked further: {type(error).__name__}: {without_secrets(str(error), url)}"
            asking.found(CheckResult("endpoint", Verdict.UNKNOWN, found, "report it"))
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
    except NoConnection as error:
        advice = remedy_of(error.cause, url)
        asking.found(CheckResult("connection", Verdict.FAIL, str(error), advice, where=host_of(url)))


def remedy_of(error: Exception, url: str) -> str:
    """What to do where there is no connection."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "wss" else 80)
    if isinstance(error, InvalidStatus):
        return next(remedy for codes, remedy in REMEDY_OF_STATUS.items() if error.response.status_code in codes)
    if isinstance(error, InvalidProxy):
        return "unset HTTPS_PROXY and HTTP_PROXY, or correct them"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"openssl s_client -connect {host}:{port} shows the certificate; is this machine's clock right (`date`)? a"
            " certificate authority of your own: SSL_CERT_FILE"
        )
    if isinstance(error, ssl.SSLError):
        return "it speaks no TLS at this port: ws:// instead of wss://?"
    if isinstance(error, socket.gaierror):
        return f"is the host's name right? getent hosts {host}; no name at all: see /etc/resolv.conf"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at port {port} there: is the node running, and its WebSocket on (geth: --ws, 8546)?"
    if isinstance(error, TimeoutError):
        return f"nc -vz {host} {port}: a firewall may drop what we send, or the node hangs"
    if isinstance(error, InvalidHandshake):
        return NO_WEBSOCKET
    return "is the URL right, and is the way to it open?"


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


async def check_early_block(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """Chains can share an id; the hash of an early block tells them apart."""
    if chain.identity is None:
        return CheckResult("early block", Verdict.UNKNOWN, "the chain file names none")
    number, wanted = chain.identity.number, chain.identity.hash
    raw = await endpoint.ask("eth_getBlockByNumber", hex(number), False)
    try:
        found = msgspec.json.decode(raw, type=_Hashed | None)
    except msgspec.DecodeError:
        raise UnexpectedAnswer(f"block {number}: the answer has another form than a block's") from None
    if found is None:
        advice = "a node that keeps history, if forks or development chains of this id are about; else nothing"
        return CheckResult("early block", Verdict.WARN, f"it does not show block {number}: pruned?", advice)
    good = found.hash == wanted
    return CheckResult(
        "early block",
        Verdict.OK if good else Verdict.FAIL,
        f"block {number} is {found.hash[:18]}...",
        f"another chain that has the id {chain.chain_id}, too: another URL, or the chain file's `identity` is wrong",
        expected=f"{wanted[:18]}...",
    )


async def check_synced(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """A node that syncs answers everything, of the past."""
    try:
        raw = await endpoint.ask("eth_syncing")
    except Unanswered as error:
        if error.failure.meaning in (Meaning.UNSUPPORTED, Meaning.POLICY):
            return CheckResult("sync", Verdict.UNKNOWN, "it does not say")
        raise
    try:
        found = msgspec.json.decode(raw, type=_Syncing | bool)
    except msgspec.DecodeError:
        raise UnexpectedAnswer("eth_syncing: the answer has another form than a node's") from None
    if found is False:
        return CheckResult("sync", Verdict.OK, "done, as it says")
    at = f", at block {found.currentBlock} of {found.highestBlock}" if isinstance(found, _Syncing) else ""
    advice = "wait until it has caught up, or use another endpoint meanwhile"
    return CheckResult("sync", Verdict.FAIL, f"the node is syncing{at}", advice, expected="a node in sync")


async def check_newest_block(endpoint: Endpoint, chain: ChainConfig) -> CheckResult:
    """A node that has lost its peers goes on answering."""
    head = await endpoint.ask_for(HEAD, "eth_getBlockByNumber", "latest", False)
    age_s, limit_s = time.time() - read_quantity(head.timestamp), max(STALE_BLOCK_S, 20 * chain.block_time_s)
    good = EARLY_BLOCK_S <= age_s <= limit_s
    when = f"{age_s:.0f} s old" if age_s >= 0 else f"{-age_s:.0f} s ahead of this machine's clock"
    advice = "the node stands still (its peers, its disk), or this machine's clock is off: timedatectl"
    return CheckResult(
        "newest block",
        Verdict.OK if good else Verdict.WARN,
        f"block {read_quantity(head.number)} is {when}",
        advice,
        {"age_s": age_s},
        expected=f"at most {limit_s:.0f} s",
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
    "early block": check_early_block,
    "software": check_software,
    "sync": check_synced,
    "newest block": check_newest_block,
    "latency": check_latency,
    "contract calls": check_calls,
    "calls by hash": check_calls_by_hash,
    "logs of a block": check_block_logs,
    "log range": check_range,
}
