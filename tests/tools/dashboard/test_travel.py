"""Time travel over real sockets: what a page asks, what it is answered, and a replay to the journal's end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from websockets.sync.client import connect

from tests.tools.dashboard.journals import PATIENCE_S, RING, history, parted, plain_pages, write_parts
from tests.tools.dashboard.pages import SomePage
from tests.tools.dashboard.test_live import ask, serving
from tools.dashboard import past
from tools.dashboard.shapes import JournalRow, PageFarewell, PoolDetail, Update
from tools.rig.processes import wait_for

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A journal of some 60 blocks."""
    write_parts(tmp_path / "night", parted(history(21, 60), 2))
    return tmp_path / "night"


@pytest.fixture
def url(ring_name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An obs that can travel in it twice, under two names, as soon as all is indexed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory.parent))
    with serving(ring_name, journals=(directory, directory)) as url:
        wait_for(lambda: all(row.indexed == 1.0 for row in journals(url)), PATIENCE_S)
        yield url


def journals(url: str) -> list[JournalRow]:
    """What can be travelled in."""
    status, _, body = ask(url, "/api/journals")
    assert status == 200
    return msgspec.json.decode(body, type=list[JournalRow])


def test_page_and_pools_at_a_block_are_answered_as_they_were(url: str, directory: Path) -> None:
    pages = plain_pages(directory)
    assert [(row.name, row.ring, row.problem) for row in journals(url)] == [("night", RING, ""), ("night-2", RING, "")]
    for number in sorted(pages)[::7]:
        status, headers, body = ask(url, f"/api/at?journal=night&block={number}")
        assert (status, headers["content-type"]) == (200, "application/json")
        page = msgspec.json.decode(body, type=Update)
        assert page == pages[number] and page.whole
        for row in page.pools or ():
            pair = f"token0={row.token0.address}&token1={row.token1.address}"
            place = f"ring={RING}&venue={row.venue}&pool={row.pool}&{pair}&journal=night-2&block={number}"
            detail = msgspec.json.decode(ask(url, f"/api/pool?{place}")[2], type=PoolDetail)
            assert detail.row == row
            if row.known and row.price is not None:
                assert detail.prices[-1][2] == row.price


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ("at?journal=none&block=1", 400, "journal: expected one of those there are (night, night-2), found 'none'"),
        ("at", 400, "journal: expected one of those there are (night, night-2), found ''"),
        ("at?journal=night", 400, "block: expected a number from 0 to 9223372036854775807, found ''"),
        ("at?journal=night&block=-1", 400, "found '-1'"),
        ("at?journal=night&block=9223372036854775808", 400, "found '9223372036854775808'"),
        ("at?journal=night&block=" + "1" * 5000, 400, "block: expected a number"),
        ("at?journal=night&block=%F0%9F%98%80", 400, "block: expected a number"),
        ("pool?ring=x", 400, "pool ''"),
        ("pool?ring=x&pool=0x" + "0" * 40 + "&token1=0x" + "0" * 40, 400, "address '': expected 20 bytes"),
        ("pool?ring=x&pool=0x12", 400, "pool '0x12': expected 20 or 32 bytes"),
        (f"pool?ring=x&pool=0x{'12' * 20}", 404, "pool: expected one of ring 'x'"),
        (f"pool?ring=x&pool=0x{'12' * 20}&journal=night&block=x", 400, "block: expected a number"),
        (f"pool?ring={RING}&pool=0x{'01' * 20}&venue=a.b&journal=night&block=1", 404, "found a.b:0x0101"),
    ],
)
def test_question_that_is_none_is_answered_with_what_was_expected_and_found(
    url: str, question: str, status: int, words: str
) -> None:
    found, headers, body = ask(url, f"/api/{question}")
    assert (found, headers["content-type"]) == (status, "application/json")
    assert words in json.loads(body)["error"]


@contextmanager
def replay(url: str, question: str) -> Iterator[SomePage]:
    """A page that looks at a replay."""
    with connect(f"{url.replace('http', 'ws', 1)}/dashboard?{question}", compression=None, max_size=None) as socket:
        yield SomePage(socket)


def test_replay_begins_with_the_page_and_ends_with_the_journals_last(url: str, directory: Path) -> None:
    pages = plain_pages(directory)
    begin, last = sorted(pages)[20], max(pages)
    with replay(url, f"journal=night&block={begin}&speed=40") as shown:
        assert shown.hello.mode == "past" and [row.name for row in shown.hello.journals] == ["night", "night-2"]
        assert shown.next() == pages[begin]
        shown.socket.send(json.dumps({"type": "watch", "on": False}))
        shown.socket.send(json.dumps({"type": "watch", "on": True}))
        farewell = shown.farewell()
        assert farewell == PageFarewell("journal night ends here", again=False)
    assert len(shown.updates) > 2, "it was shown on its way"
    end = pages[last]
    assert {row.pool: row for row in end.pools or ()} == {row.pool: row for row in shown.model.rows["pools"].values()}
    newest = shown.model.newest["summary"]
    assert end.summary is not None
    assert (newest.events, newest.swaps, newest.reorgs) == (
        end.summary.events,
        end.summary.swaps,
        end.summary.reorgs,
    )


@pytest.mark.parametrize(
    ("question", "words", "again"),
    [
        ("journal=none&block=1", "journal: expected one of", False),
        ("journal=night&block=x", "block: expected a number", False),
        ("journal=night&block=1&speed=0", "speed: expected a number above 0, at most 1000, found '0'", False),
        ("journal=night&block=1&speed=nan", "found 'nan'", False),
    ],
)
def test_replay_that_cannot_be_is_told_why(url: str, question: str, words: str, again: bool) -> None:
    asked = f"{url.replace('http', 'ws', 1)}/dashboard?{question}"
    with connect(asked) as page:
        farewell = msgspec.json.decode(page.recv(PATIENCE_S), type=PageFarewell)
    assert words in farewell.text and farewell.again is again


def test_replays_and_seeks_beyond_the_limit_are_told_to_come_back(
    url: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = min(plain_pages(directory))
    monkeypatch.setattr(past, "MOST_REPLAYS", 1)
    with replay(url, f"journal=night&block={first}&speed=0.01") as shown:
        assert isinstance(shown.next(), Update)
        with connect(f"{url.replace('http', 'ws', 1)}/dashboard?journal=night&block={first}") as second:
            farewell = msgspec.json.decode(second.recv(PATIENCE_S), type=PageFarewell)
        assert farewell == PageFarewell("1 replays run already, which is all that obs serves", again=True)
        shown.socket.send("no such word")
        assert "nothing that a page says" in shown.farewell().text
    monkeypatch.setattr(past, "MOST_SEEKS", 0)
    status, _, body = ask(url, f"/api/at?journal=night&block={first}")
    assert status == 503 and "ask again" in json.loads(body)["error"]


def test_seeks_whose_askers_have_gone_keep_nobody_waiting(url: str, directory: Path) -> None:
    last = max(plain_pages(directory))
    address = "127.0.0.1", int(url.rpartition(":")[2])
    request = f"GET /api/at?journal=night&block={last} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for _ in range(past.MOST_SEEKS * 2):
        with socket.create_connection(address) as asker:
            asker.sendall(request.encode())
    wait_for(lambda: ask(url, f"/api/at?journal=night&block={last}")[0] == 200, PATIENCE_S)


def test_replay_of_an_obs_that_ends_is_told_to_come_back(
    ring_name: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory.parent))
    first = min(plain_pages(directory))
    with ExitStack() as opened:
        with serving(ring_name, journals=(directory,)) as url:
            wait_for(lambda: all(row.indexed == 1.0 for row in journals(url)), PATIENCE_S)
            shown = opened.enter_context(replay(url, f"journal=night&block={first}&speed=0.01"))
            assert isinstance(shown.next(), Update)
        assert shown.farewell() == PageFarewell("obs ends", again=True)
