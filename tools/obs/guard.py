"""Who may ask: row 33 of the fault table, for requests and WebSocket handshakes alike.

Owns the decision, over the headers of a request.  It knows no route.

    Host    must be a name that we were given: a name of somebody else's that leads here (DNS rebinding) is none
    Origin  a page may ask only if we served it, or if its origin was allowed; programs send none
    token   asked for wherever we listen on more than loopback; not for the page and its files, which hold no data and
            are what asks a person for the token

A browser cannot give a WebSocket handshake a header, so there the token may come as a subprotocol: `bearer.` and the
token, in which characters that no subprotocol may hold are percent-encoded.  The handshake is answered with another
subprotocol of the same list, so that the token is not sent back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?")
POLICY = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""Sent with every answer: no inline script, no frame, no other origin, nothing kept."""
PAGE, FILES = "/", "/assets/"
"""What needs no token."""
BEARER = "bearer."
REFUSED_HANDSHAKE = 1008
"""WebSocket close code (RFC 6455): before the handshake is accepted it becomes an HTTP 403."""


@dataclass(frozen=True)
class RefusedRequest:
    """Why somebody may not ask."""

    status: int
    text: str


class Guard:
    """Lets through to `app` who may ask.

    Args:
        hosts: names, without port, under which we may be asked.
        origins: of pages of others that may ask.
        token: that each request must carry; empty: none.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str] = (), token: str = "") -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)
        self._token = token.encode()

    def refuse(self, headers: Headers, *, public: bool = False, handshake: bool = False) -> RefusedRequest | None:
        """Why these headers are refused; None if they are not.  What is `public` needs no token."""
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        match = HOST.fullmatch(host)
        if match is None or match[1] not in self._hosts:
            return RefusedRequest(421, "Host: expected a name that --allow-host gives, or of loopback")
        for origin in map(str.lower, headers.getlist("origin")):
            if origin not in self._origins and not _same_place(origin, host):
                return RefusedRequest(403, "Origin: expected this server's own, or one that --allow-origin gives")
        if self._token and not public and not any(map(self._is_token, given_tokens(headers, handshake))):
            return RefusedRequest(401, "Authorization: expected `Bearer` and the token")
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what is wrong."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        handshake = scope["type"] == "websocket"
        public = not handshake and (scope["path"] == PAGE or scope["path"].startswith(FILES))
        refusal = self.refuse(Headers(scope=scope), public=public, handshake=handshake)
        if refusal is not None and handshake:
            await receive()
            await send({"type": "websocket.close", "code": REFUSED_HANDSHAKE, "reason": refusal.text})
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in POLICY.items()),
                ]
            await send(message)

        if refusal is None:
            await self._app(scope, receive, send_with_policy)
            return
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
        answer = JSONResponse({"error": refusal.text}, refusal.status, headers)
        await answer(scope, receive, send_with_policy)


def given_tokens(headers: Headers, handshake: bool) -> Iterator[str]:
    """The tokens that a request carries; with a handshake also those among its subprotocols."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield given.strip()
    offered = ",".join(headers.getlist("sec-websocket-protocol")) if handshake else ""
    for protocol in map(str.strip, offered.split(",")):
        if protocol.startswith(BEARER):
            yield protocol.removeprefix(BEARER)
            yield unquote(protocol.removeprefix(BEARER))


def _same_place(origin: str, host: str) -> bool:
    """Whether a page's origin is the host, port included, that it asks."""
    parts = urlsplit(origin)
    return parts.scheme in {"http", "https"} and parts.netloc == host and not parts.path
