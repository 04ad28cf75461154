"""What 100,000 known pools cost a collector: memory, and the time of a start.

Owns the pools, made up and valid (each has the address that its factory's CREATE2 gives it), their cache file, and the
`alphapulse collect` process that is measured while events of all of them arrive.  The baseline is the same process with
as many events of the recording's pools, and no cache.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from producers.chains.configuration import ChainConfig, load_chain
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.proving import Standing
from producers.pools.cache import PoolCache
from producers.pools.inquiry import Finding, Token
from ringbuf import unlink
from tlv.codes import Protocol
from tlv.filter import address
from tools.bench.collector.load import Blocks, event_blocks, in_blocks, served
from tools.bench.result import BenchResult

POOLS = 100_000
RING_BYTES = 1 << 24
HUBS = 8
"""Each pool trades a token of its own against one of so many, as most pools do against wrapped coins and dollars."""
ROUNDS = 2
"""Events of each pool: with the first one its snapshot is published too, with the others nothing new."""
TARGET_MB = 300.0
FLAT_MB = 10.0
PATIENCE_S = 300.0
SAMPLE_S = 0.1
MB = 1e6


class Memory(NamedTuple):
    """Resident memory of a collector in MB, the pages of the ring that it touched included."""

    start_s: float
    """From the start of the process to its ready line."""
    ready: float
    met: float
    """Once every pool has had an event."""
    end: float
    events: int


def run(seconds: float) -> list[BenchResult]:
    """Both collectors; a bench of less than a second has fewer pools, and its rows say so."""
    pools = max(min(POOLS, int(POOLS * seconds)), 1)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "pools"
        addresses = write_cache(cache, load_chain("polygon"), pools)
        with served(lambda: events_of(addresses), ROUNDS * pools) as url:
            known = measure(url, str(cache), pools)
        with served(event_blocks, ROUNDS * pools) as url:
            few = measure(url, "none", pools)
    title, baseline = f"collector, {pools} known pools: ", "as many events of the recording's pools, no cache"
    note = (
        f"{known.ready:.0f} MB before the first event, {known.events} events; ring of {RING_BYTES / MB:.0f} MB included"
    )
    grown, few_grown = known.end - known.met, few.end - few.met
    growth_ratio = (few.end / few.met) / (known.end / known.met)
    growth = title + "RSS growth once all have spoken"
    return [
        BenchResult(title + "RSS", known.end, "MB", baseline, few.end, few.end / known.end, TARGET_MB, note),
        BenchResult(growth, grown, "MB", baseline, few_grown, growth_ratio, FLAT_MB, "ratio of the growth factors"),
        BenchResult(title + "start", known.start_s, "s", baseline, few.start_s, few.start_s / known.start_s),
    ]


def write_cache(path: Path, chain: ChainConfig, count: int) -> list[str]:
    """Write a cache of `count` pools; returns their addresses."""
    factory = next(factory for factory in chain.factories if factory.protocol_code is Protocol.UNISWAP_V2)
    findings = []
    for number in range(count):
        pair = (b"hub %d" % (number % HUBS), b"token %d" % number)
        token0, token1 = sorted(hashlib.sha256(token).digest()[:20] for token in pair)
        pool = VerifiedEmitter(
            pool=factory.pool_address(token0, token1),
            token0=token0,
            token1=token1,
            venue=factory.venue_code,
            decimals0=18,
            decimals1=6,
            factory=address(factory.address),
            fee_pips=factory.fee_pips,
            protocol=Protocol.UNISWAP_V2,
        )
        findings.append(Finding(Standing.VERIFIED, pool, Token(18, f"A{number}"), Token(6, f"B{number}")))
    PoolCache(path, chain).append(findings, chain.genesis)
    return ["0x" + finding.pool.pool.hex() for finding in findings if finding.pool is not None]


def events_of(addresses: list[str]) -> Blocks:
    """One event of each pool."""
    row = event_blocks()[0][0]
    return in_blocks([{**row, "address": address} for address in addresses])


def measure(url: str, cache: str, pools: int) -> Memory:
    """One collector from its start until it has taken everything."""
    ring = f"bench.{secrets.token_hex(4)}"
    command = [
        "-m",
        "tools.command.main",
        "collect",
        "--url",
        url,
        "--ring",
        ring,
        "--capacity",
        str(RING_BYTES),
        "--json",
    ]
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / "stats"
        begin = time.perf_counter()
        collector = subprocess.Popen(
            [sys.executable, *command, "--pool-cache", cache, "--stats-json", str(stats)], stdout=subprocess.PIPE
        )
        try:
            assert collector.stdout is not None
            assert json.loads(collector.stdout.readline())["ready"]
            start_s, ready = time.perf_counter() - begin, resident(collector.pid)
            wait_for(stats, pools)
            met = resident(collector.pid)
            counted = wait_for(stats, ROUNDS * pools)
            return Memory(start_s, ready, met, resident(collector.pid), counted["events_published"])
        finally:
            collector.terminate()
            collector.communicate()
            unlink(ring)


def resident(pid: int) -> float:
    """Memory of a process that is in RAM, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes) * 1024 / MB


def wait_for(stats: Path, logs: int) -> dict[str, Any]:
    """The statistics, once they count so many logs."""
    until = time.monotonic() + PATIENCE_S
    while True:
        counted = json.loads(stats.read_bytes()) if stats.exists() else {}
        if counted.get("logs_received", 0) >= logs:
            return counted
        if time.monotonic() > until:
            raise TimeoutError(f"expected {logs} logs within {PATIENCE_S:.0f} s, found {counted.get('logs_received')}")
        time.sleep(SAMPLE_S)
