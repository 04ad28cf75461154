"""Debian's Chromium, driven by playwright: what the dashboard is tested, measured and photographed in.

Owns where the browser is, how it is started, and what a page complained about.  playwright brings the driver and no
browser; axe-core, which judges accessibility, comes from npm, pinned by SHA-256.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tlv.errors import UsageError
from tools.rig.evm.packages import AXE, path_of

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = "chromium chromium-sandbox fonts-dejavu-core"
OPTIONS = (
    "--disable-dev-shm-usage",  # /dev/shm is the rings'
    "--disable-background-networking",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
POLL_MS = 30
AWAY = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|WebSocket connection"
"""What Chromium says of a server that is not there: no fault of the page."""


def chromium() -> str:
    """Where the browser is.

    Raises:
        UsageError: nowhere; with what to do.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise UsageError(
            f"Chromium is needed and was not found in PATH as {', '.join(PROGRAMS)}: `make test` installs it "
            f"(Debian: apt-get install --no-install-recommends {PACKAGES})"
        )
    return found


@contextmanager
def running_browser(*options: str) -> Iterator[Browser]:
    """A browser, until the block is left.

    playwright turns an event loop in this thread meanwhile: no `asyncio.run` in it.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium(),
            chromium_sandbox=os.geteuid() != 0,  # Chromium refuses root a sandbox
            args=[*OPTIONS, *options],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Complaints:
    """What pages reported: errors and warnings of the console, which tells violations of the policy, too; exceptions;
    requests that failed.
    """

    texts: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page from now on."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.texts.append(f"exception: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self.texts.append(f"{message.type}: {message.text}")

    def without(self, pattern: str) -> list[str]:
        """Those that do not match."""
        return [text for text in self.texts if not re.search(pattern, text)]


def wait_for(page: Page, expression: str, argument: object = None, *, seconds: float = 120.0) -> None:
    """Wait until an expression, or a function of the argument, is true in a page.

    playwright's `wait_for_function` has the page evaluate a string, which the dashboard's policy forbids.

    Raises:
        TimeoutError: it has not become true.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression, argument):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{page.url}: not within {seconds:g} s: {expression} of {argument}")
        page.wait_for_timeout(POLL_MS)


def violations(page: Page, exclude: Sequence[str] = ()) -> list[str]:
    """What axe finds wrong with a page as it is, each with the elements."""
    page.evaluate(path_of(AXE, "axe.min.js").read_text(encoding="utf-8"))
    answer: Any = page.evaluate(
        "exclude => axe.run({exclude: exclude.map(each => [each])}, {resultTypes: ['violations']})", list(exclude)
    )
    return [
        f"{found['id']} ({found['impact']}): {found['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for found in answer["violations"]
        for node in found["nodes"]
    ]
