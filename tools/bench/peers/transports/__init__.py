"""The peers and ours, one file each.

No file imports its library at its head: whether it is installed is asked before its processes start.
"""

from __future__ import annotations

OURS = "tools.bench.peers.transports.ring"
PEERS = tuple(
    f"tools.bench.peers.transports.{name}"
    for name in ("iceoryx", "zeromq", "zenoh_session", "fifo", "unix_socket", "mp_pipe", "mp_queue")
)
"""Modules, each with a `TRANSPORT`."""
