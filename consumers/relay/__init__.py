"""The relay: the messages of a domain's rings over a Unix socket, for any process and any language.

`RELAY.md` beside this file is the wire protocol, complete enough to write a client from; `consumers.client` is one.
"""

from consumers.relay.errors import RelayError, SocketRefused
from consumers.relay.server import Relay

__all__ = ["Relay", "RelayError", "SocketRefused"]
