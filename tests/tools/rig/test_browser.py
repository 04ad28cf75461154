"""The browser that the dashboard is tested in: what is said where there is none, and what a page's faults look like."""

from __future__ import annotations

import pytest

from tlv.errors import UsageError
from tools.rig.browser import AWAY, PACKAGES, Complaints, chromium, running_browser, violations

FAULTY = "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src='data:,'><script>throw 'up'</script>"


def test_chromium_that_is_not_there_is_asked_for_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=f"`make test` installs it .*apt-get install.* {PACKAGES}"):
        chromium()


def test_complaints_hold_what_a_page_throws_and_axe_what_is_not_accessible() -> None:
    with running_browser() as browser:
        page, complaints = browser.new_page(), Complaints()
        complaints.watch(page)
        page.set_content(FAULTY)
        page.evaluate("console.error('net::ERR_CONNECTION_REFUSED')")
        assert complaints.texts == ["exception: up", "error: net::ERR_CONNECTION_REFUSED"]
        assert complaints.without(AWAY) == ["exception: up"]
        assert ["image-alt" in found for found in violations(page)] == [True]
