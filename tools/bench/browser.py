"""The dashboard in a real browser: first paint, frames and memory while events pass, and obs under twenty pages.

Owns these readings.  The browser is Debian's Chromium without a screen; where it or playwright is missing, that is said
and nothing is read.  Ten minutes of memory are `--seconds 600`.
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringbuf import Writer
from tlv.codes import Domain, FeedReason, FeedState, Flag, Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST, EventOrigin, Heartbeat, PoolState, PoolSwap
from tlv.message import build
from tools.bench.obs import obs, processor_ms
from tools.bench.result import BenchResult

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

LOADS = 5
PAGES = 20
SMALL: ViewportSize = {"width": 360, "height": 240}
"""Of each of many pages: what they draw is not what is measured."""
POOLS = 100
SLICES = 100
"""A second: events come in so many bursts."""
FEW, MANY = 1_000, 5_000
"""Events a second."""
MIB = 1 << 20
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FRAMES = """
ms => new Promise(done => {
  let frames = 0;
  const begin = performance.now();
  const count = now => {
    if (now - begin >= ms) return done(1000 * frames / (now - begin));
    frames++;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
})
"""


def run(seconds: float) -> list[BenchResult]:
    """All readings; those over time, each over some `seconds`."""
    try:
        from tools.rig.browser import chromium

        chromium()
    except (ModuleNotFoundError, UsageError) as error:
        missing = error if isinstance(error, UsageError) else "playwright is needed: pip install 'alphapulse[dev]'"
        click.echo(f"browser: nothing is measured: {missing}", err=True)
        return []
    with publishing() as market, obs(market.name) as (process, url):
        page = url.removesuffix("metrics")
        return [*one_page(page, market, seconds), twenty_pages(page, market, process, seconds)]


class BenchMarket:
    """A ring in which a thread publishes swaps of some pools at `rate` a second, and a heartbeat each second."""

    def __init__(self) -> None:
        self.name = f"bench.{secrets.token_hex(4)}"
        self.rate = 0
        self._writer = Writer.create(self.name, layout_digest=LAYOUT_DIGEST)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        origin = EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32))
        beat = Heartbeat(7, 7, 0, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)
        self._beat = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [beat])
        self._swaps: list[bytes] = []
        for pool in range(POOLS):
            tokens = (2 * pool).to_bytes(20, "big"), (2 * pool + 1).to_bytes(20, "big")
            prefix = (pool.to_bytes(20, "big"), *tokens, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
            state = PoolState(*prefix, 0, 0, 1 << 96, 10**20, 7, 500, 0, 10, bytes(20), f"T{pool}", "USDC")
            self._writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [state], flags=Flag.SNAPSHOT))
            amounts = (10**18 + pool, 0, 0, 10**6 + pool, (1 << 96) + pool, 10**20, 0)
            swap = PoolSwap(*prefix, *amounts, bytes(20), bytes(20))
            self._swaps.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [swap, origin]))

    def _run(self) -> None:
        due, turn = time.perf_counter(), 0
        while not self._ends.is_set():
            if turn % SLICES == 0:
                self._writer.publish(self._beat)
            for at in range(self.rate // SLICES):
                self._writer.publish(self._swaps[(turn + at) % POOLS])
            turn += 1
            due += 1 / SLICES
            time.sleep(max(due - time.perf_counter(), 0))

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def close(self) -> None:
        """End, and remove the ring."""
        self._ends.set()
        self._thread.join()
        self._writer.close(unlink=True)


@contextmanager
def publishing() -> Iterator[BenchMarket]:
    """One that publishes nothing yet but heartbeats."""
    market = BenchMarket()
    market.start()
    try:
        yield market
    finally:
        market.close()


def one_page(url: str, market: BenchMarket, seconds: float) -> list[BenchResult]:
    """First paint, frames a second and memory, each beside those of an empty page."""
    from tools.rig.browser import running_browser, wait_for

    with running_browser() as browser:
        empty_ms = statistics.median(first_paint_ms(browser, f"{url}healthz") for _ in range(LOADS))
        paint_ms = statistics.median(first_paint_ms(browser, url) for _ in range(LOADS))
    with running_browser() as browser:
        page = browser.new_page()
        empty_fps, empty_mb = float(page.evaluate(FRAMES, 1000)), renderer_mb(browser, page)
        page.goto(url)
        wait_for(page, "window.alphapulse?.counts.updates > 0")
        market.rate = FEW
        wait_for(page, "window.alphapulse?.counts.swaps > 0")
        fps, heap_mb = float(page.evaluate(FRAMES, 1000 * seconds)), js_heap_mb(page)
        grown_mb = renderer_mb(browser, page) - empty_mb
        market.rate = 0
    passing = f"while {FEW:,} events/s pass"
    note = f"after {seconds:g} s; --seconds 600 is ten minutes"
    empty = ("empty page", empty_mb)
    return [
        BenchResult("browser: first paint", paint_ms, "ms", "of a JSON answer", empty_ms, empty_ms / paint_ms, 1000.0),
        BenchResult(f"browser: frames {passing}", fps, "1/s", "empty page", empty_fps, fps / empty_fps, 59.0),
        BenchResult(f"browser: memory {passing}", grown_mb, "MB", *empty, empty_mb / grown_mb, 60.0, note),
        BenchResult(f"browser: JavaScript heap {passing}", heap_mb, "MB", *empty, empty_mb / heap_mb, 60.0, note),
    ]


def twenty_pages(url: str, market: BenchMarket, process: subprocess.Popen[str], seconds: float) -> BenchResult:
    """Processor time of obs while so many pages watch it."""
    from tools.rig.browser import running_browser, wait_for

    with running_browser() as browser:
        pages = [browser.new_page(viewport=SMALL) for _ in range(PAGES)]
        for page in pages:
            page.goto(url, wait_until="commit")  # they load side by side
        for page in pages:
            wait_for(page, "window.alphapulse?.counts.updates > 0")
        market.rate = MANY
        wait_for(pages[0], "window.alphapulse?.counts.swaps > 0")
        began_ms, begin = processor_ms(process.pid), time.perf_counter()
        pages[0].wait_for_timeout(1000 * max(seconds, 1.0))
        spent_ms = (processor_ms(process.pid) - began_ms) / (time.perf_counter() - begin)
        market.rate = 0
    idle = 1000.0
    name = f"browser: obs with {PAGES} pages at {MANY:,} events/s"
    note = f"of processor time in a second, over {max(seconds, 1.0):g} s"
    return BenchResult(name, spent_ms, "ms", "a second of one core", idle, idle / max(spent_ms, 1.0), 150.0, note)


def first_paint_ms(browser: Browser, url: str) -> float:
    """From the navigation to the first text, in a context of its own: nothing is cached."""
    from tools.rig.browser import wait_for

    with browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        wait_for(page, PAINT)
        return float(page.evaluate(PAINT))


def js_heap_mb(page: Page) -> float:
    """JavaScript objects that live, the worker's left out."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return float(metrics["JSHeapUsedSize"]) / MIB


def renderer_mb(browser: Browser, page: Page) -> float:
    """Memory that the browser's renderers share with nobody; unused objects are collected first."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()
    session = browser.new_browser_cdp_session()
    processes: list[dict[str, Any]] = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(private_mb(int(one["id"])) for one in processes if one["type"] == "renderer")


def private_mb(pid: int) -> float:
    """Of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
