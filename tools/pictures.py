"""`make pictures`: the pictures of docs and README, of the dashboard over the pipeline on the bundled recording.

Owns what is in a picture, and how large it may be.  They are taken when the recording has been played once and goes on
in another lap: everything that happens in it has happened.
"""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

from tlv.errors import AlphaPulseError
from tools.rig.browser import running_browser, wait_for
from tools.rig.recorded_pipeline import recorded_pipeline

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SPEED = "10"
"""The recording takes half a minute: the charts have something to show."""
HEAD = "Number(document.querySelector('#head').textContent.replaceAll(',', ''))"
LAST_BLOCK, PAST_BLOCK = 13_522_298, 13_522_209
COLOURS = 128
MOST_BYTES = 200_000


class Shot(NamedTuple):
    """One picture."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"]
    panel: str = ""
    """Of which it is; empty: of the page."""
    past: bool = False
    """Whether it is of a block of the journal."""


SIZES = ((390, 1400), (820, 1400), (1440, 1200))
SHOTS = (
    *(Shot(f"dashboard-{width}-light", width, height, "light") for width, height in SIZES),
    *(Shot(f"dashboard-{width}-dark", width, height, "dark") for width, height in SIZES),
    Shot("timeline", 1440, 1200, "light", panel="timeline"),
    Shot("time-travel", 1440, 700, "dark", past=True),
)


class PictureTooLarge(AlphaPulseError):
    """A picture would make the repository larger than pictures may."""


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        pipeline = stack.enter_context(recorded_pipeline(Path(folder), "pictures", SPEED, "loop"))
        browser = stack.enter_context(running_browser())
        for shot in SHOTS:
            path = FOLDER / f"{shot.name}.png"
            path.write_bytes(small(taken(browser, pipeline.url, shot), shot.name))
            print(f"  {path.relative_to(FOLDER.parent.parent)}  {path.stat().st_size:,} bytes", file=sys.stderr)


def taken(browser: Browser, url: str, shot: Shot) -> bytes:
    """A picture, as the browser takes it."""
    size: ViewportSize = {"width": shot.width, "height": shot.height}
    with browser.new_context(viewport=size, color_scheme=shot.scheme, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(url)
        wait_for(page, f"{HEAD} >= {LAST_BLOCK}")
        choose(page)
        if shot.past:
            travel(page)
        page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        return page.locator(f"[data-panel={shot.panel}]").screenshot() if shot.panel else page.screenshot()


def choose(page: Page) -> None:
    """Choose a signal and a pool, for the panels that show one."""
    page.locator("[data-panel=opportunities] tbody tr").last.click()
    wait_for(page, "document.querySelector('[data-panel=timeline]').textContent.includes('receive')")
    page.locator("[data-panel=pools] tbody tr").first.click()
    wait_for(page, "document.querySelector('#pool-picture').childElementCount > 0")


def travel(page: Page) -> None:
    """Go to a block of the journal."""
    page.fill("#block-number", str(PAST_BLOCK))
    page.keyboard.press("Enter")
    wait_for(page, f"{HEAD} === {PAST_BLOCK}")


def small(picture: bytes, name: str) -> bytes:
    """The same with a palette.

    Raises:
        PictureTooLarge: that is not enough.
    """
    made = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    if len(made.getvalue()) > MOST_BYTES:
        raise PictureTooLarge(f"{name}: expected at most {MOST_BYTES:,} bytes, found {len(made.getvalue()):,}")
    return made.getvalue()


if __name__ == "__main__":
    main()
