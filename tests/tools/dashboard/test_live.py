"""The live server: a real one, real rings and real WebSockets; what pages get against what the rings hold."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ringbuf import Reader, RingInfo, Writer
from ringbuf.layout import HEADER_BYTES
from ringbuf.names import ring_object
from ringbuf.segment import path_of
from tests.tools.dashboard.pages import PATIENCE_S, PageModel, page
from tests.tools.dashboard.test_view import MOST, block, market, opportunity, origin, reorg, signal, swap, system
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import Flag
from tlv.layout import LAYOUT_DIGEST, PoolSwap, PoolSync
from tlv.message import parse
from tools.dashboard import live as lives
from tools.dashboard.live import LiveDashboard
from tools.dashboard.page import Page
from tools.dashboard.past import Past
from tools.dashboard.routes import dashboard_routes
from tools.dashboard.shapes import Hello, PageFarewell, Update
from tools.obs import command as commands
from tools.obs.app import make_app
from tools.obs.command import listen, serve
from tools.obs.guard import LOOPBACK, Guard
from tools.obs.look import Looking
from tools.obs.serving import server_of

TOKEN = "0123456789abcdef/token=+%"


@contextmanager
def serving(
    *rings: str, token: str = "", port: int = 0, send_buffer: int = 0, journals: tuple[Path, ...] = ()
) -> Iterator[str]:
    """The URL of an obs in a thread of this process; the kernel keeps `send_buffer` bytes for a page, if given."""
    files = Page()
    live = LiveDashboard(files.build)
    with (
        closing(Looking(rings, live)) as looking,
        closing(Past(journals, files.build, live.pool)) as past,
        listen("127.0.0.1", port) as listening,
    ):
        if send_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        app = make_app(looking, list, dashboard_routes(files, live, past))
        server = server_of(Guard(app, LOOPBACK, (), token))
        thread = threading.Thread(target=lambda: asyncio.run(serve(server, listening, looking, live, past, None)))
        thread.start()
        past.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def url(ring_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with serving(ring_name) as url:
        yield url


@contextmanager
def writing(name: str) -> Iterator[Writer]:
    with Writer.create(name, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as writer:
        yield writer


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    with closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def swaps_in(ring: str) -> dict[tuple[str, int], tuple[list[str], list[str], bool]]:
    """What goes in, what comes out and whether it is a removed copy, of every swap that a ring holds."""
    found = {}
    with closing(Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)) as reader:
        for frame in reader.poll(4096):
            message = parse(bytes(frame.payload))
            if (one := message.first(PoolSwap)) is not None:
                sides = [[one.amount0_in, one.amount1_in], [one.amount0_out, one.amount1_out]]
                sold, bought = ([str(units) for units in side if units] for side in sides)
                found[ring, frame.sequence] = (sold, bought, bool(message.header.flags & Flag.REMOVED))
    return found


def swaps_of(model: PageModel) -> dict[tuple[str, int], tuple[list[str], list[str], bool]]:
    """The same of what a page has."""
    return {
        key: ([one.units for one in row.sold], [one.units for one in row.bought], "removed" in row.flags)
        for key, row in model.rows["swaps"].items()
    }


# ---- what a page gets


def test_pages_get_every_swap_of_the_ring_to_the_unit_and_all_the_same(ring_name: str, url: str) -> None:
    amounts = [(MOST, 0, 0, 1), (0, 1, MOST, 0), (10**18 + 1, 3, 7, 2**200 + 1)]
    with writing(ring_name) as writer, ExitStack() as opened:
        writer.publish(market(swap(), origin()))
        pages = [opened.enter_context(page(url)) for _ in range(20)]
        for turn in range(60):
            flags = Flag.REMOVED if turn % 7 == 0 else Flag(0)
            writer.publish(market(swap(*amounts[turn % 3]), origin(turn), flags=flags))
        expected = swaps_in(ring_name)
        assert len(expected) == 61
        for one in pages:
            one.until(lambda model: len(model.rows["swaps"]) == 61)
            assert swaps_of(one.model) == expected
            assert one.hello.mode == "live" and one.updates[0].whole
            assert one.socket.subprotocol == "alphapulse"


def test_page_sees_a_reorg_take_back_blocks_and_signals(
    ring_name: str, tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    signals = new_ring_name()
    with writing(ring_name) as writer, writing(signals) as publisher, serving(ring_name, signals) as url:
        writer.publish(market(block(5)))
        writer.publish(market(block(6, b"b")))
        identity, *rest = signal(trigger=1, number=6)
        publisher.publish(opportunity(msgspec.structs.replace(identity, trigger_ring=writer.uuid), *rest))
        with page(url) as one:
            (row,) = one.until(lambda model: [*model.rows["signals"].values()])
            assert (row.state, row.market_ring, row.gross.units) == ("stands", ring_name, str(MOST))
            writer.publish(system(reorg(5, 6)))
            writer.publish(market(block(6, b"c")))
            one.until(lambda model: len(model.rows["blocks"]) == 3)
            (row,) = one.until(lambda m: [row for row in m.rows["signals"].values() if row.state == "removed"])
            verdicts = {row.hash[2:4]: row.verdict for row in one.model.rows["blocks"].values()}
            assert verdicts == {"61": "open", "62": "removed", "63": "open"}
            assert [row.kind for row in one.model.rows["happenings"].values()] == ["reorg"]


def test_page_sees_the_states_of_pools(ring_name: str, url: str) -> None:
    with writing(ring_name) as writer, page(url) as one:
        writer.publish(market(sync(MOST, 7), origin()))
        (row,) = one.until(lambda model: [*model.rows["pools"].values()])
        assert (row.reserve0, row.reserve1, row.known) == (str(MOST), "7", True)
        writer.publish(market(sync(8, 9), origin(log_index=1)))
        one.until(lambda model: [row for row in model.rows["pools"].values() if row.reserve0 == "8"])


def sync(reserve0: int, reserve1: int) -> PoolSync:
    head = swap()
    return PoolSync(
        head.pool, head.token0, head.token1, head.venue, head.decimals0, head.decimals1, 2, reserve0, reserve1
    )


def test_page_of_a_ring_that_is_made_anew_has_nothing_of_the_old_one(ring_name: str, url: str) -> None:
    with page(url) as one:
        one.until(lambda model: not model.newest["health"].healthy)
        with writing(ring_name) as writer:
            publish(writer, beat(held_back=0))
            writer.publish(market(swap(1), origin()))
            one.until(lambda model: model.rows["swaps"] and model.newest["summary"].feeds)
            writer.close(unlink=True)
        with writing(ring_name) as writer:
            writer.publish(market(block(5)))
            writer.publish(market(swap(2), origin()))
            one.until(lambda model: model.rows["blocks"])
            assert [sold for sold, _, _ in swaps_of(one.model).values()] == [["2"]]
            kinds = {row.kind for row in one.model.rows["happenings"].values()}
            assert "ring_replaced" in kinds


def test_page_of_a_damaged_ring_is_told_and_sees_what_comes_behind_it(ring_name: str, url: str) -> None:
    with writing(ring_name) as writer, page(url) as one:
        writer.publish(market(swap(1), origin()))
        one.until(lambda model: model.rows["swaps"])
        end = RingInfo.read(ring_name).tail
        with path_of(ring_object(ring_name)).open("r+b") as file:
            writer.publish(market(swap(2), origin()))
            file.seek(HEADER_BYTES + end + 8)
            file.write(b"\xff" * 8)  # the tag of the second frame
        one.until(lambda model: [row for row in model.rows["happenings"].values() if row.kind == "lost"])
        while ["3"] not in [sold for sold, _, _ in swaps_of(one.model).values()]:
            writer.publish(market(swap(3), origin()))  # the ring's end is read on, once a look found it
            one.next()
        counted = one.until(lambda model: model.newest["summary"].lost_frames)
        first, *rest = [row for row in one.model.rows["happenings"].values() if row.kind == "lost"]
        assert "no frame where sequence 2 should be" in first.text
        assert counted == sum(row.last - row.first + 1 for row in rest)


def test_page_that_opens_later_sees_what_came_while_nobody_watched(ring_name: str, url: str) -> None:
    with writing(ring_name) as writer:
        writer.publish(system(reorg(5, 6)))
        with page(url) as one:
            one.until(lambda model: model.rows["happenings"])
        for number in range(10):
            writer.publish(market(swap(number + 1), origin()))
        with page(url) as one:
            one.until(lambda model: len(model.rows["swaps"]) == 10 and model.rows["happenings"])


# ---- pages that are slow, hidden or hostile


def test_hidden_page_gets_nothing_and_everything_when_it_is_seen_again(ring_name: str, url: str) -> None:
    with writing(ring_name) as writer, page(url) as hidden, page(url) as seen:
        hidden.until(lambda model: True)
        hidden.socket.send('{"type":"watch","on":false}')
        writer.publish(market(swap(), origin()))
        for _ in range(8):
            seen.next()
        hidden.socket.send('{"type":"watch","on":true}')
        while not (update := hidden.next()).whole:  # type: ignore[union-attr]  # what was on its way
            assert len(hidden.updates) < 5
        assert len(update.swaps or ()) == 1  # type: ignore[union-attr]


def test_page_that_stops_reading_holds_up_nobody_and_is_sent_everything_when_it_reads(
    ring_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "TAKES_NOTHING_S", 600)
    with writing(ring_name) as writer, serving(ring_name, send_buffer=1 << 16) as url, page(url) as other:
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect((host, int(port)))
            with page(url, sock=narrow, max_queue=1) as slow:
                slow.next()
                for turn in range(12):
                    for _ in range(200):
                        writer.publish(market(swap(turn + 1), origin()))
                    other.until(
                        lambda model, turn=turn: any(
                            row.sold[0].units == str(turn + 1) for row in model.rows["swaps"].values()
                        )
                    )
                before = len(slow.updates)
                slow.until(lambda model: any(row.sold[0].units == "12" for row in model.rows["swaps"].values()))
                assert any(update.whole for update in slow.updates[before:])
                assert len(slow.updates) < len(other.updates)


def test_page_that_never_reads_is_dropped(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TAKES_NOTHING_S", 1)
    monkeypatch.setattr(lives, "MOST_WATCHERS", 2)
    with writing(ring_name) as writer, serving(ring_name) as url, page(url) as other:
        host, port = url.removeprefix("http://").split(":")
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect((host, int(port)))
            narrow.sendall(HANDSHAKE.format(host=host, port=port).encode())
            while not is_served(url):  # until its place is free
                for _ in range(200):
                    writer.publish(market(swap(), origin()))
                other.next()


HANDSHAKE = (
    "GET /dashboard HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def is_served(url: str) -> bool:
    """Whether there is a place for one page more."""
    with connect(url.replace("http", "ws", 1) + "/dashboard") as socket:
        return isinstance(msgspec.json.decode(socket.recv(PATIENCE_S), type=Hello | PageFarewell), Hello)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "[]",
        '{"type":"watch"}',
        '{"type":"watch","on":1}',
        '{"type":"watch","on":true,"more":1}',
        '{"type":"start","on":true}',
        '{"type":"watch","on":true}' + " " * 1024,
        b'{"type":"watch","on":true}',
        "\U0001f600" * 2000,
    ],
)
def test_page_that_says_what_it_may_not_is_told_and_dropped_alone(ring_name: str, url: str, said: Any) -> None:
    with page(url) as other, page(url) as one:
        one.next()
        one.socket.send(said)
        farewell = one.farewell()
        assert not farewell.again and "nothing that a page says" in farewell.text
        with pytest.raises(ConnectionClosed) as closed:
            one.socket.recv(PATIENCE_S)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
        other.next()
        other.next()


def test_pages_beyond_the_limit_are_told_and_metrics_answer(url: str) -> None:
    with ExitStack() as opened:
        for _ in range(lives.MOST_WATCHERS):
            opened.enter_context(page(url))
        refused = refused_by(url)
        assert refused.again and "64 pages watch already" in refused.text
        assert ask(url, "/metrics")[0] == 200
    with page(url) as one:
        one.until(lambda model: True)


def refused_by(url: str) -> PageFarewell:
    """The farewell to a page that is not even greeted."""
    with connect(url.replace("http", "ws", 1) + "/dashboard") as socket:
        return msgspec.json.decode(socket.recv(PATIENCE_S), type=PageFarewell)


# ---- ends


def test_pages_of_an_obs_that_ends_are_told_to_come_back_and_do(ring_name: str) -> None:
    with writing(ring_name) as writer, ExitStack() as opened:
        writer.publish(market(swap(), origin()))
        with serving(ring_name) as url:
            pages = [opened.enter_context(page(url)) for _ in range(3)]
            for one in pages:
                one.until(lambda model: model.rows["swaps"])
        for one in pages:
            farewell = one.farewell()
            assert farewell.again and farewell.text == "obs ends"
        with serving(ring_name, port=int(url.rpartition(":")[2])) as again, page(again) as one:
            one.until(lambda model: model.rows["swaps"])


# ---- who may look


def test_page_and_its_files_are_served_by_type_and_nothing_else_of_the_package(url: str) -> None:
    status, headers, body = ask(url, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<html" in body and f'content="{Page().build}"'.encode() in body
    scripts = re.findall(rb'src="(/assets/[^"]+)"', body)
    assert scripts
    for path in scripts:
        status, headers, body = ask(url, path.decode())
        assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8") and body
        assert "default-src 'self'" in headers["content-security-policy"]
    for path in ("", "../shapes.py", "%2e%2e/shapes.py", "/etc/passwd", "none.js", "index.html/", "..%2f..%2fpy.typed"):
        assert ask(url, f"/assets/{path}")[0] == 404
    assert [ask(url, path, "POST")[0] for path in ("/", "/assets/none.js")] == [405, 405]


HANDSHAKES: list[tuple[dict[str, Any], bool]] = [
    ({"subprotocols": ["alphapulse", f"bearer.{quote(TOKEN, safe='')}"]}, True),
    ({"additional_headers": {"Authorization": f"Bearer {TOKEN}"}}, True),
    ({}, False),
    ({"subprotocols": ["alphapulse"]}, False),
    ({"subprotocols": ["alphapulse", "bearer.guess"]}, False),
    ({"subprotocols": ["alphapulse", f"bearer.{quote(TOKEN, safe='')}"], "origin": "http://evil.example"}, False),
    ({"subprotocols": ["alphapulse", f"bearer.{quote(TOKEN, safe='')}"], "origin": "null"}, False),
]


def test_with_a_token_data_are_for_who_has_it_and_the_page_for_all(ring_name: str, tell: Callable[[str], None]) -> None:
    with serving(ring_name, token=TOKEN) as url:
        assert ask(url, "/")[0] == 200
        assert ask(url, "/assets/none.js")[0] == 404
        assert [ask(url, path)[0] for path in ("/metrics", "/api/rings", "/dashboard", "/assetsX")] == [401] * 4
        assert ask(url, "/", Host="evil.example")[0] == 421, "a name that leads here (DNS rebinding)"
        assert ask(url, "/", Origin="http://evil.example")[0] == 403
        accepted = []
        for settings, _ in HANDSHAKES:
            try:
                with page(url, **settings) as one:
                    accepted.append(isinstance(one.next(), Update) and one.socket.subprotocol in {None, "alphapulse"})
            except InvalidStatus as refused:
                assert refused.response.status_code == 403
                accepted.append(False)
        tell(f"row 33: {len(HANDSHAKES)} handshakes of pages, {sum(accepted)} accepted")
        assert accepted == [expected for _, expected in HANDSHAKES]
