"""One request to an application, by ASGI: no socket, no server."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


async def sent_by(
    app: ASGIApp, kind: str, path: str, method: str, headers: tuple[tuple[str, str], ...]
) -> list[Message]:
    """Every message that the application sends for one request or handshake."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        **{"type": kind, "method": method, "path": path, "root_path": "", "scheme": "http"},
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    await app(scope, receive, send)
    return sent


def ask(app: ASGIApp, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
    """The answer to one request."""
    start, *parts = asyncio.run(sent_by(app, "http", path, method, headers))
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(part["body"] for part in parts))


def handshake(app: ASGIApp, path: str, *headers: tuple[str, str]) -> str:
    """What the application answers to a WebSocket's handshake first."""
    return str(asyncio.run(sent_by(app, "websocket", path, "GET", headers))[0]["type"])
