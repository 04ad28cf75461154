"""Ports of this machine."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port at 127.0.0.1 on which nobody listens at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
