"""Row 33 of the fault table: who may ask, by Host, Origin and token, whether for a page or with a handshake."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.tools.obs.asking import ask, handshake
from tools.obs.guard import LOOPBACK, Guard

TOKEN = "0123456789abcdef-token"
OWN = "127.0.0.1:9464"


async def served(_: Request) -> Response:
    return Response("served")


async def accepted(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def guard(*, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = (), token: str = "") -> Guard:
    app = Starlette(routes=[Route("/", served), WebSocketRoute("/ws", accepted)])
    return Guard(app, (*LOOPBACK, *hosts), origins, token)


def status(guarded: Guard, *headers: tuple[str, str]) -> int:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    refusal = guarded.refuse(Headers(raw=raw))
    return refusal.status if refusal else 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (OWN, 200),
        ("127.0.0.1", 200),
        ("LocalHost:9464", 200),
        ("[::1]:9464", 200),
        ("dash.example", 200),
        ("Dash.Example:80", 200),
        ("evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.", 421),
        ("localhost:", 421),
        ("localhost:9464:80", 421),
        ("localhost@evil.example", 421),
        ("localhost evil.example", 421),
        ("", 421),
    ],
)
def test_guard_host_must_be_one_of_ours(host: str, expected: int) -> None:
    assert status(guard(hosts=("dash.example",)), ("host", host)) == expected


def test_guard_without_a_host_or_with_two_refuses() -> None:
    assert status(guard()) == 421
    assert status(guard(), ("host", OWN), ("host", OWN)) == 421


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (f"http://{OWN}", 200),
        (f"https://{OWN}", 200),
        ("https://grafana.example", 200),
        ("http://127.0.0.1:80", 403),
        ("http://localhost:9464", 403),
        ("https://evil.example", 403),
        ("https://grafana.example.evil.example", 403),
        (f"http://{OWN}/path", 403),
        (f"http://{OWN}@evil.example", 403),
        (f"ftp://{OWN}", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_guard_origin_must_be_the_servers_own_or_allowed(origin: str, expected: int) -> None:
    guarded = guard(origins=("https://grafana.example",))
    assert status(guarded, ("host", OWN), ("origin", origin)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \u00e9", 401),
    ],
)
def test_guard_token_must_be_carried(given: str, expected: int) -> None:
    assert status(guard(token=TOKEN), ("host", OWN), ("authorization", given)) == expected
    assert status(guard(token=TOKEN), ("host", OWN)) == 401


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        ((f"alphapulse, bearer.{TOKEN}",), True),
        (("alphapulse", f"bearer.{TOKEN}"), True),
        ((f"bearer.guess, bearer.{TOKEN}",), True),
        ((f"bearer.%30{TOKEN[1:]}",), True),
        (("alphapulse",), False),
        ((f"alphapulse, {TOKEN}",), False),
        ((f"bearer.{TOKEN}x",), False),
        (("bearer.",), False),
        (("bearer.%ff",), False),
    ],
)
def test_guard_handshake_may_carry_the_token_as_a_subprotocol(protocols: tuple[str, ...], expected: bool) -> None:
    headers = [("host", OWN), *(("sec-websocket-protocol", protocol) for protocol in protocols)]
    accepted = handshake(guard(token=TOKEN), "/ws", *headers) == "websocket.accept"
    assert accepted is expected
    assert ask(guard(token=TOKEN), "/ws", *headers).status == 401, "of a request it is no token"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", 200),
        ("/assets/main.js", 404),
        ("/assets", 401),
        ("/metrics", 401),
        ("//", 401),
        ("/assets/../metrics", 404),
    ],
)
def test_guard_page_and_its_files_need_no_token(path: str, expected: int) -> None:
    guarded = guard(token=TOKEN)
    assert ask(guarded, path, ("host", OWN)).status == expected
    assert ask(guarded, path, ("host", "evil.example")).status == 421
    assert ask(guarded, path, ("host", OWN), ("origin", "https://evil.example")).status == 403


HANDSHAKES = {
    "own page": (("host", OWN), ("origin", f"http://{OWN}"), ("authorization", f"Bearer {TOKEN}")),
    "no token": (("host", OWN), ("origin", f"http://{OWN}")),
    "wrong token": (("host", OWN), ("origin", f"http://{OWN}"), ("authorization", "Bearer guess")),
    "other origin": (("host", OWN), ("origin", "https://evil.example"), ("authorization", f"Bearer {TOKEN}")),
    "null origin": (("host", OWN), ("origin", "null"), ("authorization", f"Bearer {TOKEN}")),
    "other port": (("host", OWN), ("origin", "http://127.0.0.1:81"), ("authorization", f"Bearer {TOKEN}")),
    "rebound name": (("host", "evil.example"), ("origin", "http://evil.example"), ("authorization", f"Bearer {TOKEN}")),
    "no host": (("origin", f"http://{OWN}"), ("authorization", f"Bearer {TOKEN}")),
}


def test_guard_of_eight_handshakes_accepts_one(tell: Callable[[str], None]) -> None:
    answers = {name: handshake(guard(token=TOKEN), "/ws", *headers) for name, headers in HANDSHAKES.items()}
    accepted = [name for name, answer in answers.items() if answer == "websocket.accept"]
    tell(f"row 33: {len(HANDSHAKES)} handshakes, {len(accepted)} accepted")
    assert accepted == ["own page"]
    # A close before an accept: the server answers 403.
    assert set(answers.values()) == {"websocket.accept", "websocket.close"}


@pytest.mark.parametrize(("host", "expected"), [(OWN, 200), ("evil.example", 421)])
def test_guard_every_answer_has_the_policy(host: str, expected: int) -> None:
    answer = ask(guard(), "/", ("host", host))
    assert answer.status == expected
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert (answer.body == b"served") is (expected == 200)
