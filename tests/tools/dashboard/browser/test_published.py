"""The dashboard in Chromium over rings that say what no recording does: dead feeds, 78 digits, hostile names."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs
from playwright.sync_api import Browser, expect

from tests.system.test_obs import running
from tests.tools.dashboard.browser.board import Board, all_of, bare, board, market, pools
from tests.tools.dashboard.browser.oracle import Expected, exact, ring_frames
from tests.tools.dashboard.browser.published import LARGEST, PublishedMarket, address
from tests.tools.test_dump_text import LEGS, REPORT, SIGNAL, A, B, H
from tlv.codes import BreakerState, Domain, FeedReason, Flag, OrderReason, Venue, WithdrawalReason
from tlv.layout import CircuitBreaker, Economics, Fill, RiskDecision, SignalIdentity, SignalWithdrawn
from tools.rig.browser import running_browser

ETHER = 10**18
HOSTILE = (
    "<script>boom()",
    "<img/onerror=boom()>",
    "\u202eDSU\u2066",
    "A\nB\tC\x07\x1b[31m",
    "'\"><b>&amp;",
    "a\u0301\u0301\u0301\u0301\u0301",
    "__proto__",
    "\u200b\u200d",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all."""
    with running_browser() as started:
        yield started


@contextmanager
def watched(browser: Browser, ring: str, place: Path) -> Iterator[tuple[Board, int]]:
    """A page of an obs that looks at this ring, and the pid of that."""
    with running(place, "obs", "--port", "0", "--ring", ring, "--json") as (obs, ready), board(browser) as page:
        page.open(ready["url"])
        yield page, obs.pid


def expected(ring: str) -> Expected:
    return Expected(ring_frames(ring))


def test_signals_that_are_over_and_orders_on_paper_are_said_to_the_unit(
    browser: Browser, ring_name: str, tmp_path: Path
) -> None:
    with PublishedMarket(ring_name) as ring, watched(browser, ring_name, tmp_path) as (page, _):
        worth = Economics(LARGEST, 1, 1, 1, 1, 1, 1, A, bytes(20), 18)
        for number in (1, 2):
            ids = SignalIdentity(number, 1, 0, bytes(16), "own", 1)
            found = structs.replace(SIGNAL, opportunity=number)
            ring.publish(Domain.SIGNAL, [ids, found, worth, *LEGS])
        states = lambda rows: [(row["state"], row["route"]) for row in rows]  # noqa: E731
        route = "dfyn → quickswap v2" if LEGS[0].venue == Venue.DFYN_POLYGON else "quickswap v2 → dfyn"
        page.shows("opportunities", lambda: [("stands", route)] * 2, states)
        gone = SignalWithdrawn(1, 1, 7, bytes(32), WithdrawalReason.GONE)
        ring.publish(Domain.SIGNAL, [SignalIdentity(9, 2, 0, bytes(16), "own", 1), gone])
        page.shows("opportunities", lambda: [("stands", route), ("withdrawn", route)], states)
        assert page.rows("opportunities")[0]["gross.amounts"][0]["units"] == str(LARGEST)
        fill = Fill(9, 255, REPORT.order_ring, 7, H, 5, LARGEST, 7, b"p" * 20, A, B, 3000, 1, 400, 2, 18, 6, 1)
        ring.publish(Domain.EXECUTION, [RiskDecision(9, 255, REPORT.order_ring, 7, 0, 0, 1, 0)])
        ring.publish(Domain.EXECUTION, [fill, REPORT])
        ring.publish(Domain.EXECUTION, [RiskDecision(10, 5, REPORT.order_ring, 7, 9, 8, 0, OrderReason.RATE)])
        ring.publish(Domain.EXECUTION, [CircuitBreaker(7, 12, -5, 3, BreakerState.OPEN, OrderReason.FAILURES)])
        page.shows("orders", lambda: ["refused: rate", "filled"], lambda rows: [row["state"] for row in rows])
        filled = page.rows("orders")[1]
        shown = {name: filled[f"{name}.amounts"][0]["units"] for name in ("got", "expected", "gas", "net")}
        assert shown == {"got": str(LARGEST), "expected": "7", "gas": "3", "net": str(REPORT.net)}
        note = page.panel("orders").locator(".note")
        expect(note).to_contain_text("circuit breaker open until block 12 has ended (failures)")
        expect(note).to_contain_text("1 filled, 0 failed: net 0.999999999999999997")


def test_reorg_is_seen_live_and_takes_back_swaps_blocks_and_states(
    browser: Browser, ring_name: str, tmp_path: Path
) -> None:
    with PublishedMarket(ring_name) as collector, watched(browser, ring_name, tmp_path) as (page, _):
        collector.snapshot(1, ("ONE", "TWO"), state=5 * ETHER)
        for number in (100, 101):
            collector.block(number)
            kept = collector.swap(1, (ETHER, 0, 0, number), log=1)
            collector.sync(1, (6 * ETHER, number * ETHER), log=2)
            collector.end(number, events=2)
        page.shows("market", lambda: expected(ring_name).market, market)
        page.shows("pools", lambda: expected(ring_name).pools, pools)
        reorg = collector.reorg(100, events=2)
        collector.sync(1, (6 * ETHER, 101 * ETHER), log=2, flags=Flag.REMOVED)
        removal = collector.swap(1, (ETHER, 0, 0, 101), log=1, flags=Flag.REMOVED)
        page.shows("market", lambda: expected(ring_name).market, market)
        page.shows("blocks", lambda: ["removed", "tombstone"], lambda rows: [row["verdict"] for row in rows])
        page.shows("pools", lambda: expected(ring_name).pools, pools)
        assert page.rows("pools")[0]["reserve1.amounts"][0]["units"] == str(100 * ETHER)
        expect(page.panel("happenings").locator(f"li[data-kind=reorg][data-sequence='{reorg}']")).to_be_visible()
        found = {row["@sequence"]: row for row in page.rows("market")}
        assert "@removed" in found[str(removal)]
        assert ["@takenBack" in found[str(sequence)] for sequence in (kept, removal)] == [True, False]


def test_feed_that_dies_is_told_by_a_banner_until_it_lives(browser: Browser, ring_name: str, tmp_path: Path) -> None:
    with PublishedMarket(ring_name) as collector, watched(browser, ring_name, tmp_path) as (page, _):
        collector.block(100)
        page.says_nothing()
        collector.reason = FeedReason.UNREACHABLE
        page.says("unreachable")
        collector.reason = FeedReason.OK
        page.says_nothing()


def test_page_of_a_stopped_obs_is_stale_and_live_again_when_it_goes_on(
    browser: Browser, ring_name: str, tmp_path: Path
) -> None:
    with PublishedMarket(ring_name), watched(browser, ring_name, tmp_path) as (page, pid):
        page.says_nothing()
        os.kill(pid, signal.SIGSTOP)
        page.is_now("stale")
        page.says("nothing has come for two seconds")
        os.kill(pid, signal.SIGCONT)
        page.is_now("live")
        page.says_nothing()


def test_ring_that_is_made_anew_replaces_what_the_page_had(browser: Browser, ring_name: str, tmp_path: Path) -> None:
    with watched(browser, ring_name, tmp_path) as (page, _):
        for first in (100, 200):
            with PublishedMarket(ring_name) as collector:
                collector.block(first)
                collector.swap(first, (first, 0, 0, 7))
                collector.end(first, events=1)
                all_of(page, lambda: expected(ring_name), lambda: Expected([]))


def test_amounts_of_78_digits_and_hostile_names_are_exact_and_harmless(
    browser: Browser, ring_name: str, tmp_path: Path
) -> None:
    with PublishedMarket(ring_name) as collector, watched(browser, ring_name, tmp_path) as (page, _):
        collector.block(100)
        for pool, symbol in enumerate(HOSTILE, 1):
            collector.snapshot(pool, (symbol, symbol[::-1]))
        for log, decimals in enumerate((0, 6, 18, 77, 255)):
            collector.swap(1 + log, (LARGEST, 1, 0, LARGEST - log), log=log, decimals=(decimals, decimals))
        page.shows("market", lambda: expected(ring_name).market, market)
        texts = {amount["text"] for row in page.rows("market") for amount in bare(row["sold.amounts"])}
        assert exact(LARGEST, 18) in texts and len(exact(LARGEST, 0).replace(",", "")) == 78
        page.shows("pools", lambda: len(HOSTILE), len)
        shown = page.page.locator("body").inner_text() + page.page.locator("body").evaluate(
            "body => [...body.querySelectorAll('[title]')].map(each => each.title).join()"
        )
        assert "<script>boom()" in shown, "markup is text"
        assert not set(shown) & set("\u202e\u2066\u200b\u200d\x07\x1b"), "what reorders or hides text is not there"
        assert page.page.evaluate("document.querySelectorAll('main script, main img').length") == 0


def test_10000_pools_are_there_and_found_and_few_of_them_in_the_document(
    browser: Browser, ring_name: str, tmp_path: Path
) -> None:
    with PublishedMarket(ring_name, capacity=1 << 24) as collector, watched(browser, ring_name, tmp_path) as (page, _):
        for pool in range(1, 10_001):
            collector.snapshot(pool, (f"T{pool}", "USD"), state=pool * ETHER)
        page.until("document.querySelector('#pools-note').textContent.includes('10,000')")
        assert page.panel("pools").locator("tbody tr").count() < 200
        page.page.fill("#filter-pool", "T7777")
        row = page.panel("pools").locator("tbody tr")
        expect(row).to_have_count(1)
        expect(row).to_have_attribute("data-pool", f"0x{address(7777 << 64).hex()}")
        assert page.rows("pools")[0]["reserve0.amounts"][0]["units"] == str(7777 * ETHER)
