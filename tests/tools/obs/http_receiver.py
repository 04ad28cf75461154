"""A real HTTP server that takes what apprise posts to `json://...`, or refuses it, or hangs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

PATIENCE_S = 90.0
"""Longer than any machine is busy."""


class HttpReceiver:
    """Listens at loopback within `with`; `status` is what it answers, and nothing while `hangs` is set."""

    def __init__(self, status: int = 200, port: int = 0) -> None:
        receiver = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.asked += 1
                while receiver.hangs.is_set():
                    time.sleep(0.02)
                if receiver.status == 200:
                    receiver.messages.append(body)
                self.send_response(receiver.status)
                self.end_headers()
                self.wfile.write(self.path.encode())  # as services do, it repeats what stands in the URL

            def log_message(self, *_: object) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.status = status
        self.hangs = threading.Event()
        self.asked = 0
        self.messages: list[dict[str, Any]] = []
        self._server = Listening(("127.0.0.1", port), Answering)
        self.port = self._server.server_address[1]

    def url(self, rest: str = "") -> str:
        """As it stands in a file of receivers."""
        return f"json://127.0.0.1:{self.port}/{rest}"

    @property
    def text(self) -> str:
        """Every message that it took."""
        return "\n".join(f"{message['title']}\n{message['message']}" for message in list(self.messages))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hangs.clear()
        self._server.shutdown()
        self._server.server_close()


def wait_until(met: Callable[[], object]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def receivers_file(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    """A file of receivers."""
    path = folder / "receivers"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path
