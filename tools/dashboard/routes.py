"""Where the dashboard is: its page, the page's files, the WebSocket that feeds it, and the past.

Owns the paths.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from tools.dashboard.live import LiveDashboard
from tools.dashboard.page import INDEX, Page, PageFile
from tools.dashboard.past import Past


def dashboard_routes(page: Page, live: LiveDashboard, past: Past) -> list[BaseRoute]:
    """The routes of a page and of what feeds it."""

    def sent(file: PageFile | None) -> Response:
        if file is None:
            return Response("no such file", 404, media_type="text/plain")
        return Response(file.content, headers={"content-type": file.content_type})

    async def index(_: Request) -> Response:
        return sent(page.get(INDEX))

    async def asset(request: Request) -> Response:
        return sent(page.get(request.path_params["path"]))

    async def feed(socket: WebSocket) -> None:
        await (past if "journal" in socket.query_params else live).serve(socket)

    return [
        Route("/", index),
        Route("/assets/{path:path}", asset),
        WebSocketRoute("/dashboard", feed),
        *past.routes(),
    ]
