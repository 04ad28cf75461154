"""The dashboard in Chromium over the pipeline on the bundled recording: every panel against ring and journal."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import SESSION
from tests.system.test_obs import TOKEN, Asking, running
from tests.tools.dashboard.browser.board import (
    DESKTOP,
    PHONE,
    Board,
    all_of,
    board,
    market,
    pools,
    state_of,
    wait_until,
)
from tests.tools.dashboard.browser.oracle import (
    Expected,
    Row,
    journal_frames,
    ring_frames,
    until_end_of,
)
from tools.rig.browser import AWAY, running_browser, violations
from tools.rig.recorded_pipeline import PARTS, RecordedPipeline, recorded_pipeline

LAST_BLOCK = 13_522_298
PAGES, PAGES_IN_SOAK = 6, 20
SMALL = {"width": 360, "height": 240}
ROWS = "[...document.querySelectorAll('tbody tr, [data-kind]')].map(row => row.textContent)"
"""What is in sight of tables and happenings."""
WIDTH = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPipeline]:
    """One for all, when the recording has been played."""
    with recorded_pipeline(tmp_path_factory.mktemp("board"), f"{SESSION}.board") as started:
        wait_until(started.has_played, lambda: True)
        yield started


@pytest.fixture(scope="module")
def browser(pipeline: RecordedPipeline) -> Iterator[Browser]:
    """One for all; asyncio turns in this thread from here on."""
    with running_browser() as started:
        yield started


@pytest.fixture
def page(browser: Browser, pipeline: RecordedPipeline) -> Iterator[Board]:
    """A page that is live."""
    with board(browser) as made:
        made.open(pipeline.url)
        yield made


def expected(pipeline: RecordedPipeline) -> Expected:
    return Expected(ring_frames(pipeline.market))


def signals(pipeline: RecordedPipeline) -> Expected:
    return Expected(ring_frames(pipeline.signals), named=ring_frames(pipeline.market))


def is_whole(page: Board, pipeline: RecordedPipeline) -> None:
    """Wait until the page shows what the rings hold."""
    all_of(page, lambda: expected(pipeline), lambda: signals(pipeline))


def happenings(page: Page) -> set[tuple[str, str]]:
    items = page.locator("[data-panel=happenings] li")
    return {tuple(one) for one in items.evaluate_all("all => all.map(one => [one.dataset.sequence, one.dataset.kind])")}


def test_every_panel_shows_what_the_rings_hold_to_the_last_unit(page: Board, pipeline: RecordedPipeline) -> None:
    is_whole(page, pipeline)
    held = expected(pipeline)
    assert (
        held.market
        and signals(pipeline).opportunities
        and LAST_BLOCK in {row["number"] for row in held.blocks.values()}
    )
    page.shows("pools", lambda: expected(pipeline).pools, pools)
    wait_until(lambda: happenings(page.page), lambda: set(expected(pipeline).happenings[-60:]))
    symbols = {f"0x{token.hex()}": symbol for token, symbol in held.symbols.items() if symbol}
    named = {amount["token"]: amount["symbol"] for row in page.rows("market") for amount in row["sold.amounts"]}
    assert {token: symbols[token] for token in named if token in symbols}.items() <= {
        token: shown.partition(" 0x")[0] for token, shown in named.items()
    }.items()
    names = page.panel("processes").locator("[data-box]")
    found = set(names.evaluate_all("all => all.map(one => one.dataset.box + ' ' + one.dataset.name)"))
    readers = {f"process {pipeline.market}-collector", f"process {pipeline.market}-recorder"}
    ours = readers | {f"process {pipeline.signals}-strategy"}
    assert ours | {f"ring {pipeline.market}", f"ring {pipeline.signals}"} <= found


def test_swap_shows_its_way_and_pool_its_picture_by_keyboard_alone(page: Board, pipeline: RecordedPipeline) -> None:
    keys = page.page.keyboard
    row = page.panel("market").locator("tbody tr").first
    row.focus()
    keys.press("ArrowDown")
    sequence = page.page.evaluate("document.activeElement.closest('tr').dataset.sequence")
    keys.press("Enter")
    trace = json.loads(Asking(pipeline.url).get(f"/api/trace?ring={pipeline.market}&sequence={sequence}")[1])
    timeline = page.panel("timeline")
    for hop in trace["traces"][0]["hops"]:
        expect(timeline).to_contain_text(re.compile(hop["name"].replace("_", "[_ ]")))
    page.panel("pools").locator("tbody tr").first.focus()
    keys.press("Enter")
    expect(page.page.locator("#pool-picture")).to_contain_text(re.compile("reserve", re.IGNORECASE))
    before = page.page.evaluate("document.documentElement.dataset.theme")
    page.page.locator("h1").click()
    keys.press("t")
    page.until("before => document.documentElement.dataset.theme !== before", before)
    keys.press("/")
    assert page.page.evaluate("document.activeElement.id") == "filter-pair"
    keys.press("Escape")
    keys.press("?")
    expect(page.page.locator("#help")).to_be_visible()
    keys.press("Escape")
    expect(page.page.locator("#help")).to_be_hidden()


def test_filters_leave_what_passes_and_say_when_nothing_does(page: Board, pipeline: RecordedPipeline) -> None:
    is_whole(page, pipeline)
    everything = page.rows("market")
    venue = everything[0]["venue"]
    value = page.page.locator("#filter-venue option").evaluate_all(
        "(all, venue) => all.find(one => one.textContent === venue).value", venue
    )
    page.page.select_option("#filter-venue", value)
    page.shows("market", lambda: {row["@sequence"] for row in everything if row["venue"] == venue}, names)
    page.page.select_option("#filter-venue", "")
    symbol = everything[0]["sold.amounts"][0]["symbol"].lower()
    page.page.fill("#filter-pair", symbol)
    page.shows("market", lambda: {row["@sequence"] for row in everything if has(row, symbol)}, names)
    page.page.fill("#filter-pair", "")
    page.page.fill("#filter-size", "1000.5")
    page.shows("market", lambda: {row["@sequence"] for row in everything if is_large(row, 1000, 5)}, names)
    page.page.fill("#filter-pair", "no such token")
    expect(page.panel("market")).to_contain_text(re.compile("passes the filter"))


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["@sequence"] for row in rows}


def amounts(row: dict[str, Any]) -> list[Row]:
    return [*row["sold.amounts"], *row["bought.amounts"]]


def has(row: dict[str, Any], symbol: str) -> bool:
    return any(symbol in f"{amount['symbol']} {amount['token']}".lower() for amount in amounts(row))


def is_large(row: dict[str, Any], whole: int, tenths: int) -> bool:
    """Whether an amount is at least so many whole tokens and tenths."""
    return any(
        10 * int(amount["units"]) >= (10 * whole + tenths) * 10 ** (amount["decimals"] % 255) for amount in amounts(row)
    )


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_is_accessible_and_no_wider_than_its_window(
    browser: Browser, pipeline: RecordedPipeline, scheme: str, viewport: dict[str, int]
) -> None:
    with board(browser, color_scheme=scheme, viewport=viewport) as page:
        page.open(pipeline.url)
        assert page.page.evaluate("document.documentElement.dataset.theme") == scheme
        page.until("document.querySelectorAll('[data-panel=market] tbody tr').length > 0")
        page.panel("market").locator("tbody tr").first.click()
        expect(page.panel("timeline")).to_contain_text(re.compile("receive"))
        assert violations(page.page) == []
        assert page.page.evaluate(WIDTH) <= 0


def test_time_travel_shows_the_fold_of_the_journal_and_replays_from_there(
    page: Board, pipeline: RecordedPipeline
) -> None:
    frames = journal_frames(pipeline.journal)
    for number in (13_522_200, 13_522_160, LAST_BLOCK):
        past = Expected(until_end_of(frames, number))
        page.page.fill("#block-number", str(number))
        page.page.keyboard.press("Enter")
        page.is_now("past")
        page.shows("market", lambda past=past: past.market, market)
        page.shows("pools", lambda past=past: past.pools, pools)
        expect(page.page.locator("#head")).to_contain_text(f"{number:,}")
    page.page.fill("#block-number", "13522160")
    page.page.keyboard.press("Enter")
    page.page.select_option("#speed", "64")
    page.page.click("#replay")
    page.is_now("replay")
    later = Expected(until_end_of(frames, 13_522_169)).market
    wait_until(lambda: later.items() <= market(page.rows("market")).items(), lambda: True)
    page.page.keyboard.press("Escape")
    page.page.click("#live")
    page.is_now("live")
    is_whole(page, pipeline)


@pytest.mark.parametrize("count", [PAGES, pytest.param(PAGES_IN_SOAK, marks=pytest.mark.soak)])
def test_pages_end_equal_to_the_rings_though_each_process_is_killed_in_turn(
    browser: Browser, pipeline: RecordedPipeline, count: int
) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(board(browser, allowed=AWAY, viewport=SMALL)) for _ in range(count)]
        for page in pages:
            page.page.goto(pipeline.url, wait_until="commit")
        for page in pages:
            page.is_now("live")
        assert {page.page.evaluate("document.visibilityState") for page in pages} == {"visible"}
        for part in PARTS:
            pipeline.kill(part)
            if part == "obs":
                for page in pages:
                    page.until("['lost', 'stale'].includes(document.documentElement.dataset.connection)")
            pipeline.start(part)
        for page in pages:
            page.is_now("live")
        is_whole(pages[0], pipeline)
        for page in pages:
            wait_until(lambda page=page: page.page.evaluate(ROWS), lambda: pages[0].page.evaluate(ROWS))


def test_browser_that_stops_reading_harms_nobody(page: Board, pipeline: RecordedPipeline) -> None:
    """It asks for everything and takes nothing: its connection is ended, and the page goes on."""
    host, _, port = pipeline.url.removeprefix("http://").partition(":")
    head = [
        *("GET /dashboard HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        "Sec-WebSocket-Protocol: alphapulse",
    ]
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.sendall("\r\n".join([*head, "", ""]).encode())
        before = page.page.evaluate("alphapulse.counts.updates")
        page.until("before => alphapulse.counts.updates > before + 30", before)
        assert state_of(page.page) == "live"
        is_whole(page, pipeline)


def test_page_of_another_build_asks_to_be_loaded_again(browser: Browser, pipeline: RecordedPipeline) -> None:
    """As after an upgrade of obs, while the page of the old one is open."""
    with board(browser) as old:

        def of_another_build(route: Any) -> None:
            answer = route.fetch()
            route.fulfill(
                response=answer, body=re.sub(r'(name="build" content=)"[^"]*"', r'\1"0123456789"', answer.text())
            )

        old.page.route(f"{pipeline.url}/", of_another_build)
        old.page.goto(pipeline.url)
        old.is_now("old-page")
        old.says("load")
        old.page.unroute_all()
        old.page.click("#banner-action")
        old.is_now("live")


def test_token_comes_with_the_address_or_a_form_and_never_stays_in_it(
    browser: Browser, pipeline: RecordedPipeline, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    options = ("--ring", pipeline.market, "--ring", pipeline.signals, "--token-file", str(token))
    with running(tmp_path, "obs", "--port", "0", *options, "--json") as (_, ready):
        with board(browser) as page:
            page.open(f"{ready['url']}/#token={TOKEN}")
            assert TOKEN not in page.page.url
            is_whole(page, pipeline)
        with board(browser, allowed="401|403|WebSocket") as page:
            page.open(ready["url"], "token")
            page.page.fill("#token-value", "0123456789abcdef-wrong")
            page.page.keyboard.press("Enter")
            expect(page.page.locator("#token-text")).to_contain_text(re.compile("refused"))
            page.page.fill("#token-value", TOKEN)
            page.page.keyboard.press("Enter")
            page.is_now("live")
