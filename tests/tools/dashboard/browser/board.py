"""The dashboard in a browser, as tests see it: its panels as data, waited for until they say what they should."""

from __future__ import annotations

import difflib
import pprint
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from tests.tools.dashboard.browser.oracle import Expected, Row
from tools.rig.browser import Complaints, wait_for

PATIENCE_S = 120.0
"""Longer than any machine is busy."""
PATIENCE_MS = 1000 * PATIENCE_S
MOST_LINES = 40
"""Of a difference."""
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

READ = """
async panel => {
  const section = document.querySelector(`[data-panel="${panel}"]`);
  const scroller = section.querySelector(".scroller");
  const drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const shown = row => {
    const made = {};
    for (const [name, value] of Object.entries(row.dataset)) made[`@${name}`] = value;
    for (const cell of row.querySelectorAll("[data-field]")) {
      made[cell.dataset.field] = cell.textContent.trim();
      made[`${cell.dataset.field}.amounts`] = [...cell.querySelectorAll("[data-units]")].map(each => ({
        units: each.dataset.units, decimals: Number(each.dataset.decimals), token: each.dataset.token,
        text: each.textContent, symbol: each.parentElement.querySelector(".symbol")?.textContent ?? "",
      }));
    }
    return made;
  };
  const found = new Map();
  const before = scroller.scrollTop;
  for (let top = 0; ; top += scroller.clientHeight / 2) {
    scroller.scrollTop = top;
    await drawn();
    for (const row of section.querySelectorAll("tbody tr")) {
      const {ring, sequence, venue, pool, pair, number, hash} = row.dataset;
      found.set([ring, sequence, venue, pool, pair, number, hash].join(" "), shown(row));
    }
    if (top + scroller.clientHeight >= scroller.scrollHeight) break;
  }
  scroller.scrollTop = before;
  return [...found.values()];
}
"""
"""The rows of a table, wherever it is scrolled to: those out of sight are not in the document.  Of each row its data as
`@name`, of each cell its text as `field`, and its amounts."""


class Board:
    """One page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints = Complaints()
        self.complaints.watch(page)
        page.set_default_timeout(PATIENCE_MS)

    def open(self, url: str, state: str = "live") -> None:
        """Load it, and wait until it is connected."""
        self.page.goto(url)
        self.is_now(state)

    def until(self, expression: str, argument: object = None) -> None:
        """Wait until an expression, or a function of the argument, is true in the page."""
        wait_for(self.page, expression, argument, seconds=PATIENCE_S)

    def is_now(self, state: str) -> None:
        """Wait until `data-connection` says so."""
        self.until(f"document.documentElement.dataset.connection === '{state}'")

    def panel(self, name: str) -> Locator:
        """A section."""
        return self.page.locator(f"[data-panel={name}]")

    def rows(self, panel: str) -> list[dict[str, Any]]:
        """The rows of a table, as `READ` gives them."""
        found: list[dict[str, Any]] = self.page.evaluate(READ, panel)
        return found

    def says(self, words: str) -> None:
        """Wait until the banner has these words."""
        self.until("words => !banner.hidden && banner.textContent.toLowerCase().includes(words)", words)

    def says_nothing(self) -> None:
        """Wait until there is no banner."""
        self.until("banner.hidden")

    def shows(self, panel: str, wanted: Callable[[], Any], found: Callable[[list[dict[str, Any]]], Any]) -> None:
        """Wait until what is found in a table is what is wanted."""
        wait_until(lambda: found(self.rows(panel)), wanted)


def wait_until(look: Callable[[], Any], wanted: Callable[[], Any]) -> None:
    """Look again and again until both are equal; what differs is told."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) != (expected := wanted()):
        if time.monotonic() > deadline:
            lines = (pprint.pformat(one, width=160).splitlines() for one in (expected, found))
            raise AssertionError("\n".join([*difflib.unified_diff(*lines, "expected", "found", n=1)][:MOST_LINES]))
        time.sleep(0.05)


@contextmanager
def board(browser: Browser, *, allowed: str = "(?!)", **context: Any) -> Iterator[Board]:
    """A page in a context of its own, which must complain of nothing but what `allowed` matches."""
    with browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce"} | context) as own:
        made = Board(own.new_page())
        yield made
        assert made.complaints.without(allowed) == []


# ---- tables as what is compared


def market(rows: list[dict[str, Any]]) -> dict[str, Row]:
    """The swaps of a page, as `Expected.market`."""
    return {
        row["@sequence"]: {
            "sold": bare(row["sold.amounts"]),
            "bought": bare(row["bought.amounts"]),
            "block": row["block"],
            "venue": row["venue"],
            "removed": "@removed" in row,
        }
        for row in rows
    }


def opportunities(rows: list[dict[str, Any]]) -> dict[str, Row]:
    """The signals, as `Expected.opportunities`."""
    amounts = ("amount_in", "gross", "gas", "net")
    return {
        row["@sequence"]: {name: bare(row[f"{name}.amounts"])[0] for name in amounts}
        | {name: row[name] for name in ("verdict", "route")}
        for row in rows
    }


def pools(rows: list[dict[str, Any]]) -> dict[str, Row]:
    """The pools of a page, as `Expected.pools`."""
    return {
        f"{row['@pool']} {row['@pair']}": {
            "known": row["@known"] == "true",
            "price": None if row["price"] == "-" else row["price"].replace(",", ""),
            "reserves": [int(row[f"reserve{at}.amounts"][0]["units"]) for at in (0, 1)]
            if row["@known"] == "true"
            else [0, 0],
            "liquidity": 0,
            "venue": row["@venue"],
        }
        for row in rows
    }


def blocks(rows: list[dict[str, Any]]) -> dict[str, Row]:
    """The blocks, as `Expected.blocks`."""
    return {row["@hash"]: {"number": int(row["@number"]), "verdict": row["verdict"].replace(" ", "_")} for row in rows}


def bare(amounts: list[Row]) -> list[Row]:
    """Amounts without what the token is called."""
    return [{name: value for name, value in amount.items() if name != "symbol"} for amount in amounts]


def all_of(shown: Board, expected: Callable[[], Expected], signals: Callable[[], Expected]) -> None:
    """Wait until every table says what the frames say, unit by unit."""
    shown.shows("market", lambda: expected().market, market)
    shown.shows("opportunities", lambda: signals().opportunities, opportunities)
    shown.shows("blocks", lambda: expected().blocks, blocks)


def state_of(page: Page) -> str:
    """What a page says of its connection."""
    return str(page.evaluate("document.documentElement.dataset.connection"))
