"""Ports of this machine."""

from __future__ import annotations

import contextlib
import socket


def free_port(preferred: int = 0) -> int:
    """A port at 127.0.0.1 on which nobody listens at this moment; the preferred one, if that is free."""
    for wanted in (preferred, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", wanted)) as server:
            port: int = server.getsockname()[1]
            return port
    raise OSError("no port of 127.0.0.1 is free")
