"""The HTTP server of `alphapulse obs`, with its limits.

Owns what uvicorn is told.  It knows no route.
"""

from __future__ import annotations

import contextlib

import uvicorn
from starlette.types import ASGIApp

WATCHING, BESIDE = 7 * 64, 64
"""Connections at once: a browser has its WebSocket and up to six for the page's files, and `tools.dashboard.live` lets
64 watch; the others are for who asks for metrics and health, so that pages keep nobody from these."""
CLOSING_S = 1
LONGEST_MESSAGE = 1 << 16
"""Of a WebSocket; what a page may say is far shorter, and is told why (`tools.dashboard.watcher`)."""


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server of `app` that is not started yet; signals are its caller's."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        limit_concurrency=WATCHING + BESIDE,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=CLOSING_S,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # ours, not uvicorn's
    return server
